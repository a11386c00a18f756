//! The headers of a PE32+ image: where fields and sections are.
//!
//! Does not check what a loader would, only what reading and appending depend on.

use std::ops::Range;

use super::UkiError;

pub(super) const SECTION_HEADER_LENGTH: usize = 40;

const COFF_HEADER_LENGTH: usize = 24; // with the signature before it
const MAGIC_PE32_PLUS: u16 = 0x20b;
const DATA_DIRECTORIES: usize = 112;
const CERTIFICATE_DIRECTORY: usize = 4;

/// Fields of the optional header, by their offset in it.
#[derive(Clone, Copy)]
pub(super) enum Field {
    InitializedDataLength = 8,
    SectionAlignment = 32,
    FileAlignment = 36,
    ImageLength = 56,
    HeadersLength = 60,
    Checksum = 64,
    DirectoryCount = 108,
}

/// An image whose headers are within it.
#[derive(Clone, Copy)]
pub(super) struct Image<'a> {
    bytes: &'a [u8],
    coff_offset: usize,
    optional_length: usize,
    section_count: usize,
}

/// A section that is within the image.
pub(super) struct SectionHeader {
    name: [u8; 8],
    pub(super) virtual_address: u32,
    pub(super) virtual_length: u32,
    raw_offset: usize,
    raw_length: usize,
}

impl<'a> Image<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, UkiError> {
        let cut_short = UkiError::NotPe("it ends in its headers");
        if !bytes.starts_with(b"MZ") {
            return Err(UkiError::NotPe("it does not begin with MZ"));
        }
        let coff_offset = read_u32(bytes, 0x3c).ok_or(cut_short.clone())? as usize;
        let signature = coff_offset
            .checked_add(4)
            .and_then(|end| bytes.get(coff_offset..end));
        if signature != Some(b"PE\0\0") {
            return Err(UkiError::NotPe("it has no PE signature"));
        }
        let field = |offset: usize| read_u16(bytes, coff_offset + offset).map(usize::from);
        let optional_length = field(20).ok_or(cut_short.clone())?;
        let section_count = field(6).ok_or(cut_short.clone())?;
        let image = Self {
            bytes,
            coff_offset,
            optional_length,
            section_count,
        };
        if image.section_table_end() > bytes.len() {
            return Err(cut_short);
        }
        let magic = read_u16(bytes, image.optional_offset());
        if magic != Some(MAGIC_PE32_PLUS) || optional_length < DATA_DIRECTORIES {
            return Err(UkiError::NotPe("it is not of the 64-bit kind"));
        }
        Ok(image)
    }

    fn optional_offset(&self) -> usize {
        self.coff_offset + COFF_HEADER_LENGTH
    }

    /// Where the number of sections is stored, in 2 bytes.
    pub(super) fn section_count_offset(&self) -> usize {
        self.coff_offset + 6
    }

    pub(super) fn section_count(&self) -> usize {
        self.section_count
    }

    fn section_table_offset(&self) -> usize {
        self.optional_offset() + self.optional_length
    }

    /// Where the next section's header goes.
    pub(super) fn section_table_end(&self) -> usize {
        self.section_table_offset() + self.section_count * SECTION_HEADER_LENGTH
    }

    pub(super) fn field_offset(&self, field: Field) -> usize {
        self.optional_offset() + field as usize
    }

    pub(super) fn field(&self, field: Field) -> u32 {
        // `parse` made sure of the whole optional header.
        read_u32(self.bytes, self.field_offset(field)).unwrap_or(0)
    }

    pub(super) fn is_signed(&self) -> bool {
        let offset = DATA_DIRECTORIES + CERTIFICATE_DIRECTORY * 8;
        self.field(Field::DirectoryCount) as usize > CERTIFICATE_DIRECTORY
            && self.optional_length >= offset + 8
            && read_u32(self.bytes, self.optional_offset() + offset) != Some(0)
    }

    pub(super) fn sections(&self) -> Result<Vec<SectionHeader>, UkiError> {
        let table = &self.bytes[self.section_table_offset()..self.section_table_end()];
        let (headers, _) = table.as_chunks::<SECTION_HEADER_LENGTH>();
        headers
            .iter()
            .map(|header| SectionHeader::parse(header, self.bytes.len()))
            .collect()
    }
}

impl SectionHeader {
    fn parse(header: &[u8; SECTION_HEADER_LENGTH], image_length: usize) -> Result<Self, UkiError> {
        let field =
            |offset: usize| u32::from_le_bytes(std::array::from_fn(|index| header[offset + index]));
        let section = Self {
            name: std::array::from_fn(|index| header[index]),
            virtual_length: field(8),
            virtual_address: field(12),
            raw_length: field(16) as usize,
            raw_offset: field(20) as usize,
        };
        let end = section.raw_offset.checked_add(section.raw_length);
        if section.raw_length > 0 && end.is_none_or(|end| end > image_length) {
            return Err(UkiError::SectionOutside {
                name: section.name(),
            });
        }
        Ok(section)
    }

    pub(super) fn name(&self) -> String {
        String::from_utf8_lossy(&self.name)
            .trim_end_matches('\0')
            .to_owned()
    }

    /// Where the section begins in the file, if anything of it is there.
    pub(super) fn raw_offset(&self) -> Option<usize> {
        (self.raw_length > 0).then_some(self.raw_offset)
    }

    /// Where its contents are in the file, without padding.
    pub(super) fn contents(&self) -> Range<usize> {
        if self.raw_length == 0 {
            return 0..0; // its offset means nothing, and may be outside
        }
        let length = self.raw_length.min(self.virtual_length as usize);
        self.raw_offset..self.raw_offset + length
    }
}

fn read_u16(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn read_u32(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}
