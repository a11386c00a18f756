//! Changing a unit file line by line, and making one from a list of options.
//!
//! A changed file is parsed again, so that line numbers and sections hold. What a value means is not
//! checked.

use thiserror::Error;

use crate::file::{Item, ItemKind, SyntaxError, UnitFile};
use crate::line::WHITESPACE;

/// Why a file cannot be changed so.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EditError {
    /// It would not be read back as what it is.
    #[error(
        "`{key}` in section `{section}` cannot be written with the value `{value}`: \
             a key or value must not contain a line of its own, nor end with a backslash"
    )]
    NotOneAssignment {
        /// As it was given.
        section: String,
        /// As it was given.
        key: String,
        /// As it was given.
        value: String,
    },
    /// The whole is no unit file.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
}

impl UnitFile {
    /// A file with these options, each a section, key and value, laid out as fleet did: sections in
    /// the order of their first option.
    ///
    /// # Errors
    /// For an option that would be read as something else, and for too many of them.
    pub fn from_options<'a>(
        options: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>,
    ) -> Result<Self, EditError> {
        let mut sections: Vec<(&str, String)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for (section, key, value) in options {
            check(section, key, value)?;
            let place = *places.entry(section).or_insert_with(|| {
                sections.push((section, format!("[{section}]\n")));
                sections.len() - 1
            });
            sections[place].1.extend([key, "=", value, "\n"]);
        }
        let texts: Vec<String> = sections.into_iter().map(|(_, text)| text).collect();
        Ok(Self::parse(texts.join("\n"))?)
    }

    /// Gives a key one value: its first assignment is replaced and all others are removed. A key
    /// that is not there is added.
    ///
    /// # Errors
    /// If it would be read as something else, or the file would be too long.
    pub fn set(&mut self, section: &str, key: &str, value: &str) -> Result<(), EditError> {
        check(section, key, value)?;
        let places = self.places(section, key);
        let Some((first, others)) = places.split_first() else {
            return self.add(section, key, value);
        };
        let line = self.line(key, value);
        self.rebuild(|index, item, text| {
            if index == *first {
                Some(with_end_like(&line, &text[item.raw.clone()]))
            } else {
                others.contains(&index).then(String::new)
            }
        })
    }

    /// Adds an assignment: after the last of its key, else at the end of its section, else in a new
    /// section at the end of the file.
    ///
    /// # Errors
    /// If it would be read as something else, or the file would be too long.
    pub fn add(&mut self, section: &str, key: &str, value: &str) -> Result<(), EditError> {
        check(section, key, value)?;
        let line = self.line(key, value);
        let place = self.places(section, key).last().copied();
        let Some(place) = place.or_else(|| self.end_of(section)) else {
            return self.append_section(section, &line);
        };
        let newline = self.newline();
        self.rebuild(|index, item, text| {
            let raw = &text[item.raw.clone()];
            let end = newline.repeat(missing_ends(raw));
            (index == place).then(|| format!("{raw}{end}{line}"))
        })
    }

    /// Removes every assignment of a key; returns how many there were.
    ///
    /// # Errors
    /// Never in practice: what is left of a unit file is one.
    pub fn remove(&mut self, section: &str, key: &str) -> Result<usize, EditError> {
        let places = self.places(section, key);
        self.rebuild(|index, _, _| places.contains(&index).then(String::new))?;
        Ok(places.len())
    }

    /// The items that assign a key.
    fn places(&self, section: &str, key: &str) -> Vec<usize> {
        let is_it = |item: &Item| match &item.kind {
            ItemKind::Assignment {
                section: at,
                key: found,
                ..
            } => found == key && self.is_section(*at, section),
            _ => false,
        };
        let items = self.items().iter().enumerate();
        items
            .filter(|(_, item)| is_it(item))
            .map(|(index, _)| index)
            .collect()
    }

    fn is_section(&self, item: usize, name: &str) -> bool {
        matches!(&self.items()[item].kind, ItemKind::Section(found) if found == name)
    }

    /// The last item of a section that is not blank: its last assignment, or its header.
    fn end_of(&self, section: &str) -> Option<usize> {
        let items = self.items();
        let header = (0..items.len()).rfind(|at| self.is_section(*at, section))?;
        let is_in = |at: &usize| matches!(&items[*at].kind, ItemKind::Assignment { section, .. } if *section == header);
        Some((header..items.len()).rfind(is_in).unwrap_or(header))
    }

    fn append_section(&mut self, section: &str, line: &str) -> Result<(), EditError> {
        let newline = self.newline();
        let mut text = self.text().to_owned();
        let last = self.items().last();
        let missing = last.map_or(0, |item| missing_ends(&self.text()[item.raw.clone()]));
        text.push_str(&newline.repeat(missing));
        if !text.is_empty() {
            text.push_str(newline);
        }
        text.extend(["[", section, "]", newline, line]);
        *self = Self::parse(text)?;
        Ok(())
    }

    fn line(&self, key: &str, value: &str) -> String {
        format!("{key}={value}{}", self.newline())
    }

    /// How the first line ends.
    fn newline(&self) -> &'static str {
        match crate::line::lines(self.text()).next() {
            Some(line) if line.raw.ends_with("\r\n") => "\r\n",
            _ => "\n",
        }
    }

    /// The text again with some items replaced, and parsed.
    fn rebuild(
        &mut self,
        replace: impl Fn(usize, &Item, &str) -> Option<String>,
    ) -> Result<(), EditError> {
        let mut text = String::with_capacity(self.text().len());
        for (index, item) in self.items().iter().enumerate() {
            match replace(index, item, self.text()) {
                Some(replacement) => text.push_str(&replacement),
                None => text.push_str(&self.text()[item.raw.clone()]),
            }
        }
        *self = Self::parse(text)?;
        Ok(())
    }
}

/// How many ends of lines an item lacks so that a line after it is one of its own: one if it has no
/// end, and an empty line if its last line, comments apart, wants to be continued.
fn missing_ends(raw: &str) -> usize {
    let lines = crate::line::lines(raw).filter(|line| !line.is_comment());
    let is_continued = lines.last().is_some_and(|line| line.continues());
    let missing = usize::from(!raw.ends_with(['\n', '\r'])) + usize::from(is_continued);
    // A `\n` after a `\r` is part of the end that is there already.
    missing + usize::from(is_continued && raw.ends_with('\r'))
}

/// The line, without its end if what it replaces has none.
fn with_end_like(line: &str, replaced: &str) -> String {
    let has_end = replaced.ends_with(['\n', '\r']);
    let line = if has_end {
        line
    } else {
        line.trim_end_matches(['\n', '\r'])
    };
    line.to_owned()
}

/// Whether a section, key and value are read back as exactly one assignment. The value may have
/// lines that continue, as a parser that keeps them hands it on.
fn check(section: &str, key: &str, value: &str) -> Result<(), EditError> {
    let header = format!("[{section}]\n");
    let parsed = UnitFile::parse(format!("{header}{key}={value}\n[End]\n"))?;
    let kinds: Vec<&ItemKind> = parsed.items().iter().map(|item| &item.kind).collect();
    let is_one = match kinds[..] {
        [
            ItemKind::Section(name),
            ItemKind::Assignment {
                key: found_key,
                value: found,
                ..
            },
            ItemKind::Section(end),
        ] => {
            let is_joined = value.contains('\n') || value.trim_matches(WHITESPACE) == found;
            name == section && found_key == key && end == "End" && is_joined
        }
        _ => false,
    };
    if is_one && !section.contains(['\n', '\r']) {
        return Ok(());
    }
    Err(EditError::NotOneAssignment {
        section: section.to_owned(),
        key: key.to_owned(),
        value: value.to_owned(),
    })
}
