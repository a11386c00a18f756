//! Appending sections to a stub, as systemd's `ukify` does.
//!
//! Does not change or merge sections that the stub has.

use super::UkiError;
use super::image::{Field, Image, SECTION_HEADER_LENGTH};

const CONTAINS_CODE: u32 = 0x20;
const CONTAINS_INITIALIZED_DATA: u32 = 0x40;
const READABLE: u32 = 0x4000_0000;

/// A section to be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// Its name, at most 8 bytes: `.osrel`, `.cmdline`, `.uname`, `.initrd`, `.linux`.
    pub name: &'a str,
    /// What is in it.
    pub contents: &'a [u8],
}

/// Where a new section goes.
struct Placement {
    raw_offset: u32,
    raw_length: u32,
    virtual_address: u32,
    virtual_length: u32,
}

/// The image as it grows.
struct Assembly<'a> {
    stub: Image<'a>,
    bytes: Vec<u8>,
    names: Vec<String>,
    /// The first address behind all sections.
    virtual_end: u64,
    initialized_data: u64,
}

/// The stub with these sections appended, in this order; the same input gives the same bytes.
pub fn assemble(stub: &[u8], sections: &[Section<'_>]) -> Result<Vec<u8>, UkiError> {
    let mut assembly = Assembly::new(stub)?;
    let headers_length = assembly.check_header_room(sections.len())?;
    for (index, section) in sections.iter().enumerate() {
        assembly.append(index, section)?;
    }
    assembly.finish(sections.len(), headers_length)
}

impl<'a> Assembly<'a> {
    fn new(stub: &'a [u8]) -> Result<Self, UkiError> {
        let image = Image::parse(stub)?;
        if image.is_signed() {
            return Err(UkiError::SignedStub);
        }
        if image.field(Field::FileAlignment) == 0 || image.field(Field::SectionAlignment) == 0 {
            return Err(UkiError::NotPe("it states no alignment"));
        }
        let sections = image.sections()?;
        let end = |address: u32, length: u32| u64::from(address) + u64::from(length);
        let ends = sections
            .iter()
            .map(|section| end(section.virtual_address, section.virtual_length));
        Ok(Self {
            stub: image,
            bytes: stub.to_vec(),
            names: sections
                .iter()
                .map(super::image::SectionHeader::name)
                .collect(),
            virtual_end: ends.max().unwrap_or(0),
            initialized_data: image.field(Field::InitializedDataLength).into(),
        })
    }

    /// The new length of the headers: the table may grow up to the first section's contents, which
    /// begin at the file alignment.
    fn check_header_room(&self, wanted: usize) -> Result<u32, UkiError> {
        let alignment = self.stub.field(Field::FileAlignment);
        let headers_length = self
            .stub
            .field(Field::HeadersLength)
            .checked_next_multiple_of(alignment)
            .ok_or(UkiError::NotPe("its headers are too long"))?;
        let sections = self.stub.sections()?;
        let first_raw = sections
            .iter()
            .filter_map(super::image::SectionHeader::raw_offset)
            .min();
        let limit = first_raw.map_or(headers_length as usize, |raw| {
            raw.min(headers_length as usize)
        });
        let room = limit.saturating_sub(self.stub.section_table_end()) / SECTION_HEADER_LENGTH;
        if wanted > room {
            return Err(UkiError::NoHeaderRoom { room, wanted });
        }
        Ok(headers_length)
    }

    fn append(&mut self, index: usize, section: &Section<'_>) -> Result<(), UkiError> {
        let Section { name, contents } = *section;
        self.check_section(name, contents)?;
        let too_large = || UkiError::TooLarge(name.to_owned());
        let placement = self.place(contents.len()).ok_or_else(too_large)?;
        self.bytes.resize(placement.raw_offset as usize, 0);
        self.bytes.extend_from_slice(contents);
        self.bytes.resize(
            placement.raw_offset as usize + placement.raw_length as usize,
            0,
        );
        let offset = self.stub.section_table_end() + index * SECTION_HEADER_LENGTH;
        put(&mut self.bytes, offset, &section_header(name, &placement));
        self.virtual_end =
            u64::from(placement.virtual_address) + u64::from(placement.virtual_length);
        self.initialized_data += u64::from(placement.virtual_length);
        self.names.push(name.to_owned());
        Ok(())
    }

    fn check_section(&self, name: &str, contents: &[u8]) -> Result<(), UkiError> {
        let printable = name.bytes().all(|byte| byte.is_ascii_graphic());
        if !printable || name.is_empty() || name.len() > 8 {
            return Err(UkiError::SectionName(name.to_owned()));
        }
        if self.names.iter().any(|existing| existing == name) {
            return Err(UkiError::DuplicateSection(name.to_owned()));
        }
        if contents.is_empty() {
            return Err(UkiError::EmptySection(name.to_owned()));
        }
        Ok(())
    }

    /// `None` if the image would grow beyond what its fields can say.
    fn place(&self, length: usize) -> Option<Placement> {
        let file_alignment = u64::from(self.stub.field(Field::FileAlignment));
        let section_alignment = u64::from(self.stub.field(Field::SectionAlignment));
        let length = length as u64;
        let raw_offset = (self.bytes.len() as u64).next_multiple_of(file_alignment);
        let raw_length = length.next_multiple_of(file_alignment);
        let virtual_address = self.virtual_end.next_multiple_of(section_alignment);
        u32::try_from(raw_offset + raw_length).ok()?;
        u32::try_from((virtual_address + length).next_multiple_of(section_alignment)).ok()?;
        Some(Placement {
            raw_offset: u32::try_from(raw_offset).ok()?,
            raw_length: u32::try_from(raw_length).ok()?,
            virtual_address: u32::try_from(virtual_address).ok()?,
            virtual_length: u32::try_from(length).ok()?,
        })
    }

    fn finish(mut self, added: usize, headers_length: u32) -> Result<Vec<u8>, UkiError> {
        let too_large = || UkiError::TooLarge(self.names.last().cloned().unwrap_or_default());
        let alignment = u64::from(self.stub.field(Field::SectionAlignment));
        let image_length = self.virtual_end.next_multiple_of(alignment);
        let image_length = u32::try_from(image_length).map_err(|_| too_large())?;
        let initialized = u32::try_from(self.initialized_data).map_err(|_| too_large())?;
        let count = u16::try_from(self.stub.section_count() + added).map_err(|_| too_large())?;
        put(
            &mut self.bytes,
            self.stub.section_count_offset(),
            &count.to_le_bytes(),
        );
        for (field, value) in [
            (Field::InitializedDataLength, initialized),
            (Field::ImageLength, image_length),
            (Field::HeadersLength, headers_length),
            // Firmware ignores it, and signing tools fill it in.
            (Field::Checksum, 0),
        ] {
            put(
                &mut self.bytes,
                self.stub.field_offset(field),
                &value.to_le_bytes(),
            );
        }
        Ok(self.bytes)
    }
}

fn section_header(name: &str, placement: &Placement) -> [u8; SECTION_HEADER_LENGTH] {
    // As `ukify` has it, for kernels that the stub would start in place.
    let contains = if name == ".linux" {
        CONTAINS_CODE
    } else {
        CONTAINS_INITIALIZED_DATA
    };
    let mut header = [0; SECTION_HEADER_LENGTH];
    put(&mut header, 0, name.as_bytes());
    put(&mut header, 8, &placement.virtual_length.to_le_bytes());
    put(&mut header, 12, &placement.virtual_address.to_le_bytes());
    put(&mut header, 16, &placement.raw_length.to_le_bytes());
    put(&mut header, 20, &placement.raw_offset.to_le_bytes());
    put(&mut header, 36, &(contains | READABLE).to_le_bytes());
    header
}

fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes[offset..offset + value.len()].copy_from_slice(value);
}
