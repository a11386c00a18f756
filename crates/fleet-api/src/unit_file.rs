//! Units from files and back, and their hash.
//!
//! A file's comments and layout are not part of a unit.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use fleet_model::{FleetOptions, OptionError, options};
use systemd_unit::{Assignment, EditError, UnitFile, UnitName};

use crate::unit::{DropIn, Unit, UnitOption};

impl Unit {
    /// A unit with a file's options; nothing is wanted of it yet.
    pub fn from_file(name: impl Into<String>, file: &UnitFile) -> Self {
        Self {
            name: name.into(),
            options: options_of(file),
            ..Self::default()
        }
    }

    /// Its options as a file: sections in the order of their first option, as fleet wrote it.
    ///
    /// # Errors
    /// For an option that cannot stand in a file.
    pub fn to_file(&self) -> Result<UnitFile, EditError> {
        file_of(&self.options)
    }

    /// fleet's hash of a unit: SHA-1 of its file, in hexadecimal digits. Drop-ins count if there are any.
    ///
    /// # Errors
    /// For an option that cannot stand in a file.
    pub fn hash(&self) -> Result<String, EditError> {
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        context.update(self.to_file()?.text().as_bytes());
        for drop_in in &self.drop_ins {
            context.update(b"\0");
            context.update(drop_in.name.as_bytes());
            context.update(b"\0");
            context.update(drop_in.to_file()?.text().as_bytes());
        }
        Ok(hexadecimal(context.finish().as_ref()))
    }

    /// Every option, drop-ins after the unit's own, in the order in which they count.
    pub fn all_options(&self) -> impl Iterator<Item = &UnitOption> {
        let added = self.drop_ins.iter().flat_map(|drop_in| &drop_in.options);
        self.options.iter().chain(added)
    }

    /// What its `[X-Fleet]` section asks for. Lines are counted as in [`Unit::to_file`], and go on
    /// through the drop-ins.
    ///
    /// # Errors
    /// For a key that is unknown or has a bad value, and for keys that contradict each other.
    pub fn fleet_options(&self, name: &UnitName) -> Result<FleetOptions, OptionError> {
        FleetOptions::parse(name, assignments(self.all_options()))
    }

    /// Whether it asks to run on every machine, as a client sees it: from its last `Global=`.
    pub fn is_global(&self) -> bool {
        let of_key =
            |option: &&UnitOption| option.section == options::SECTION && option.name == "Global";
        let last = self.all_options().filter(of_key).last();
        last.is_some_and(|option| {
            let value = option.value.to_ascii_lowercase();
            ["1", "yes", "y", "true", "t", "on"].contains(&value.trim_matches('"'))
        })
    }

    /// Its first `Description=`, or nothing.
    pub fn description(&self) -> &str {
        let mut options = self.options.iter();
        let found = options.find(|option| option.section == "Unit" && option.name == "Description");
        found.map_or("", |option| &option.value)
    }
}

impl DropIn {
    /// A drop-in with a file's options.
    pub fn from_file(name: impl Into<String>, file: &UnitFile) -> Self {
        Self {
            name: name.into(),
            options: options_of(file),
        }
    }

    /// Its options as a file.
    ///
    /// # Errors
    /// For an option that cannot stand in a file.
    pub fn to_file(&self) -> Result<UnitFile, EditError> {
        file_of(&self.options)
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

fn options_of(file: &UnitFile) -> Vec<UnitOption> {
    let assignments = file.assignments();
    assignments
        .map(|found| UnitOption::new(found.section, found.key, found.value))
        .collect()
}

fn file_of(options: &[UnitOption]) -> Result<UnitFile, EditError> {
    UnitFile::from_options(options.iter().map(|option| {
        let UnitOption {
            name,
            section,
            value,
        } = option;
        (section.as_str(), name.as_str(), value.as_str())
    }))
}

/// Options with the lines they have when each section stands once: as in `UnitFile::from_options`.
fn assignments<'a>(
    options: impl Iterator<Item = &'a UnitOption>,
) -> impl Iterator<Item = Assignment<'a>> {
    let mut sections: Vec<(&str, Vec<&UnitOption>)> = Vec::new();
    for option in options {
        let known = sections
            .iter_mut()
            .find(|(name, _)| *name == option.section);
        match known {
            Some((_, of_section)) => of_section.push(option),
            None => sections.push((&option.section, vec![option])),
        }
    }
    let mut line = 0;
    let mut found = Vec::new();
    for (section, of_section) in sections {
        line += 1;
        for option in of_section {
            line += 1;
            found.push(Assignment {
                section,
                key: &option.name,
                value: &option.value,
                line,
            });
        }
        line += 1; // the empty line between sections
    }
    found.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str =
        "[Unit]\nDescription=Hello\n\n[Service]\nExecStart=/bin/true\n\n[X-Fleet]\nGlobal=yes\n";

    fn unit(text: &str) -> Unit {
        let file = UnitFile::parse(text).expect("a unit file");
        Unit::from_file("hello.service", &file)
    }

    #[test]
    fn a_file_comes_back() {
        let text = unit(HELLO).to_file().expect("a file");
        assert_eq!(text.text(), HELLO);
    }

    #[test]
    fn comments_and_continued_lines_do_not() {
        let unit = unit("# why\n[Service]\nExecStart=/bin/echo \\\n  a\n");
        let file = unit.to_file().expect("a file");
        assert_eq!(file.text(), "[Service]\nExecStart=/bin/echo    a\n");
    }

    /// `sha1sum` of the text.
    #[test]
    fn the_hash_is_that_of_the_text() {
        let unit = unit("[Service]\nExecStart=/bin/true\n");
        let hash = unit.hash().expect("a hash");
        assert_eq!(hash, "86943ac9f3754cb90f8dd38bf6da7b0cad074592");
        let mut with_drop_in = unit.clone();
        with_drop_in.drop_ins = vec![DropIn {
            name: "a.conf".to_owned(),
            options: vec![UnitOption::new("Service", "User", "nobody")],
        }];
        assert_ne!(with_drop_in.hash().expect("a hash"), hash);
    }

    #[test]
    fn description_and_global_are_seen() {
        let unit = unit(HELLO);
        assert_eq!(unit.description(), "Hello");
        assert!(unit.is_global());
        assert!(!super::tests::unit("[X-Fleet]\nGlobal=yes\nGlobal=no\n").is_global());
    }

    #[test]
    fn a_bad_option_is_named_with_its_line() {
        let unit = unit("[Unit]\nDescription=x\n[X-Fleet]\nGlobl=yes\n");
        let name = UnitName::new("hello.service").expect("a name");
        let error = unit.fleet_options(&name).expect_err("unknown key");
        assert_eq!(
            error.to_string(),
            "line 5: unrecognized key `Globl` in section [X-Fleet]"
        );
    }
}
