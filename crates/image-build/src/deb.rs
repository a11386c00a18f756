//! Reading Debian package files: an `ar` archive whose member `data.tar.*` holds the files.
//!
//! Control files and maintainer scripts are never looked at. See deb(5).

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::error::{BuildError, Result, open};

/// Hands the package's file tree, a tar stream, to `read`.
pub fn read_data<T>(path: &Path, read: impl FnOnce(&mut dyn Read) -> Result<T>) -> Result<T> {
    let mut archive = ar::Archive::new(BufReader::with_capacity(1 << 17, open(path)?));
    while let Some(member) = archive.next_entry() {
        let mut member = member.map_err(|e| BuildError::io("read", path, e))?;
        let name = String::from_utf8_lossy(member.header().identifier()).into_owned();
        if let Some(compression) = name.trim_end_matches('/').strip_prefix("data.tar") {
            return read(&mut *decompressor(compression, &mut member, path)?);
        }
    }
    Err(BuildError::Package {
        package: path.display().to_string(),
        reason: "it has no data.tar member; it is no Debian package".to_owned(),
    })
}

fn decompressor<'a>(
    compression: &str,
    member: &'a mut ar::Entry<'_, BufReader<File>>,
    path: &Path,
) -> Result<Box<dyn Read + 'a>> {
    match compression {
        "" => Ok(Box::new(member)),
        ".xz" => Ok(Box::new(liblzma::read::XzDecoder::new(member))),
        ".zst" => {
            let decoder =
                zstd::Decoder::new(member).map_err(|e| BuildError::io("read", path, e))?;
            Ok(Box::new(decoder))
        }
        other => Err(BuildError::Package {
            package: path.display().to_string(),
            reason: format!("its data is compressed as {other:?}; known are .xz and .zst"),
        }),
    }
}

/// The whole contents of an xz stream.
pub fn decompress_xz(compressed: &[u8]) -> io::Result<Vec<u8>> {
    let mut contents = Vec::with_capacity(compressed.len() * 4);
    liblzma::read::XzDecoder::new(compressed).read_to_end(&mut contents)?;
    Ok(contents)
}
