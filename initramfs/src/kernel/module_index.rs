//! The list of kernel modules in the initramfs, `/modules/index`, as plain text.
//!
//! It does not load modules and does not resolve dependencies: the image builder wrote each
//! line in load order. One entry a line, words separated by one space or more, `#` comments:
//!
//! ```text
//! always FILE                      loaded at once, in the order of the lines
//! esp FILE                         loaded before the ESP is mounted, in the order of the lines
//! alias PATTERN FILE [FILE...]     loaded when a device's modalias matches PATTERN:
//!                                  the driver's dependencies in load order, the driver last
//! ```
//!
//! FILE is a name in `/modules`, decompressed. A file may occur in many lines.
use crate::kernel::glob;

/// The parsed index.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ModuleIndex {
    /// Files that every machine needs, in load order.
    pub(crate) always: Vec<String>,
    /// Files that mounting the ESP needs besides, in load order.
    pub(crate) esp: Vec<String>,
    /// In the order of the lines: what is likely to drive the boot disk comes first.
    aliases: Vec<Alias>,
}

/// A driver that is loaded for the devices it knows.
#[derive(Debug, PartialEq, Eq)]
struct Alias {
    pattern: String,
    files: Vec<String>,
}

/// A line of the index that means nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "/modules/index line {line_number}: {reason}: {line:?}; the image builder wrote it wrongly"
)]
pub(crate) struct ModuleIndexError {
    line_number: usize,
    reason: &'static str,
    line: String,
}

impl ModuleIndex {
    /// Parses the whole file.
    pub(crate) fn parse(text: &str) -> Result<Self, ModuleIndexError> {
        let mut index = Self::default();
        for (number, line) in text.lines().enumerate() {
            index.parse_line(line).map_err(|reason| ModuleIndexError {
                line_number: number + 1,
                reason,
                line: line.to_owned(),
            })?;
        }
        Ok(index)
    }

    fn parse_line(&mut self, line: &str) -> Result<(), &'static str> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [comment, ..] if comment.starts_with('#') => {}
            ["always", file] => self.always.push(file_name(file)?),
            ["esp", file] => self.esp.push(file_name(file)?),
            ["esp", ..] => return Err("`esp` takes one file"),
            ["always", ..] => return Err("`always` takes one file"),
            ["alias", pattern, files @ ..] if !files.is_empty() => {
                let files = files
                    .iter()
                    .map(|file| file_name(file))
                    .collect::<Result<_, _>>()?;
                self.aliases.push(Alias {
                    pattern: (*pattern).to_owned(),
                    files,
                });
            }
            ["alias", ..] => return Err("`alias` takes a pattern and one file or more"),
            _ => return Err("unknown keyword"),
        }
        Ok(())
    }

    /// The drivers for a device with this modalias, for [`ModuleIndex::files`]. The lower the
    /// number, the earlier its line.
    pub(crate) fn drivers_for<'a>(&'a self, modalias: &'a str) -> impl Iterator<Item = usize> + 'a {
        let aliases = self.aliases.iter().enumerate();
        aliases
            .filter(move |(_, alias)| glob::matches(&alias.pattern, modalias))
            .map(|(number, _)| number)
    }

    /// A driver's files in load order.
    pub(crate) fn files(&self, driver: usize) -> &[String] {
        self.aliases.get(driver).map_or(&[], |alias| &alias.files)
    }
}

fn file_name(word: &str) -> Result<String, &'static str> {
    if word.contains('/') {
        return Err("a module is named by its file in /modules, without a folder");
    }
    Ok(word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "\
# written by the image builder
always dm-bufio.ko
always   dm-mod.ko

alias virtio:d00000002v* virtio_blk.ko
alias scsi:t-0x00* scsi_common.ko scsi_mod.ko sd_mod.ko
alias virtio:d* other.ko
";

    #[test]
    fn order_is_kept() {
        let index = ModuleIndex::parse(INDEX).unwrap();
        assert_eq!(index.always, ["dm-bufio.ko", "dm-mod.ko"]);
        let drivers: Vec<_> = index.drivers_for("scsi:t-0x00").collect();
        assert_eq!(drivers, [1]);
        assert_eq!(
            index.files(1),
            ["scsi_common.ko", "scsi_mod.ko", "sd_mod.ko"]
        );
    }

    #[test]
    fn all_matching_lines_count() {
        let index = ModuleIndex::parse(INDEX).unwrap();
        let drivers: Vec<_> = index.drivers_for("virtio:d00000002v00001AF4").collect();
        assert_eq!(drivers, [0, 2]);
        assert_eq!(index.drivers_for("pci:v1").count(), 0);
        assert!(index.files(3).is_empty());
    }

    #[test]
    fn errors_name_the_line() {
        for (line, reason) in [
            ("sometimes x.ko", "unknown keyword"),
            ("always", "`always` takes one file"),
            ("always a.ko b.ko", "`always` takes one file"),
            ("alias pci:*", "`alias` takes"),
            ("always kernel/fs/x.ko", "without a folder"),
            ("alias pci:* ../x.ko", "without a folder"),
        ] {
            let error = ModuleIndex::parse(&format!("always a.ko\n{line}\n"))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("line 2") && error.contains(reason),
                "{error}"
            );
        }
    }

    #[test]
    fn an_empty_index_is_valid() {
        assert_eq!(
            ModuleIndex::parse("\n# nothing\n").unwrap(),
            ModuleIndex::default()
        );
    }
}
