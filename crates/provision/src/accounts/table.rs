//! One of the four files of accounts: lines of fields with colons between them.
//!
//! Lines that are not touched stay byte by byte. Does not know what fields mean.

/// The file's lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    lines: Vec<String>,
}

impl Table {
    pub(crate) fn parse(text: &str) -> Self {
        Self {
            lines: text.lines().map(str::to_owned).collect(),
        }
    }

    pub(crate) fn text(&self) -> String {
        self.lines
            .iter()
            .flat_map(|line| [line.as_str(), "\n"])
            .collect()
    }

    /// The fields of the first entry of a name.
    pub(crate) fn get(&self, name: &str) -> Option<Vec<&str>> {
        let line = &self.lines[self.position(name)?];
        Some(line.split(':').collect())
    }

    /// A field of the first entry of a name.
    pub(crate) fn field(&self, name: &str, index: usize) -> Option<&str> {
        self.get(name)?.get(index).copied()
    }

    /// The names of entries whose field has a value.
    pub(crate) fn names_with<'a>(
        &'a self,
        index: usize,
        value: &'a str,
    ) -> impl Iterator<Item = &'a str> {
        self.entries().filter_map(move |entry| {
            let found = entry.split(':').nth(index) == Some(value);
            found.then(|| name_of(entry))
        })
    }

    /// All values of a field.
    pub(crate) fn values(&self, index: usize) -> impl Iterator<Item = &str> {
        self.entries()
            .filter_map(move |entry| entry.split(':').nth(index))
    }

    /// Lines that are entries: no comments, no empty ones, none of NIS.
    fn entries(&self) -> impl Iterator<Item = &str> {
        let lines = self.lines.iter().map(String::as_str);
        lines.filter(|line| !line.is_empty() && !line.starts_with(['#', '+', '-']))
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.lines.iter().position(|line| name_of(line) == name)
    }

    /// Puts an entry in the place of the one of its name, or to the end, before lines of NIS.
    pub(crate) fn put(&mut self, fields: &[&str]) {
        let line = fields.join(":");
        let name = fields.first().copied().unwrap_or_default();
        if let Some(position) = self.position(name) {
            self.lines[position] = line;
            return;
        }
        let nis = self.lines.iter().position(|line| line.starts_with('+'));
        self.lines.insert(nis.unwrap_or(self.lines.len()), line);
    }

    /// Changes a field of an entry that is there; whether it was another.
    pub(crate) fn set(&mut self, name: &str, index: usize, value: &str) -> bool {
        let Some(position) = self.position(name) else {
            return false;
        };
        let mut fields: Vec<&str> = self.lines[position].split(':').collect();
        while fields.len() <= index {
            fields.push("");
        }
        let is_other = fields[index] != value;
        fields[index] = value;
        self.lines[position] = fields.join(":");
        is_other
    }

    /// Adds a name to a field that is a list with commas; whether it was not in it.
    pub(crate) fn add_member(&mut self, name: &str, index: usize, member: &str) -> bool {
        let Some(list) = self.field(name, index) else {
            return false;
        };
        let mut members: Vec<&str> = list.split(',').filter(|one| !one.is_empty()).collect();
        if members.contains(&member) {
            return false;
        }
        members.push(member);
        let members = members.join(",");
        self.set(name, index, &members)
    }
}

fn name_of(line: &str) -> &str {
    line.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_touched_stays() {
        let text = "root:x:0:\n# a comment\nadm:x:4:a,b\n+nis::\n";
        let mut table = Table::parse(text);
        assert_eq!(table.text(), text);
        table.put(&["new", "x", "5", ""]);
        assert!(table.add_member("adm", 3, "c"));
        assert!(!table.add_member("adm", 3, "a"));
        assert!(table.add_member("new", 3, "a"));
        assert!(!table.set("root", 2, "0"));
        let expected = "root:x:0:\n# a comment\nadm:x:4:a,b,c\nnew:x:5:a\n+nis::\n";
        assert_eq!(table.text(), expected);
    }

    #[test]
    fn entries_are_found_by_name_and_field() {
        let table = Table::parse("root:x:0:0\nfoo:x:1000:100\n#bar:x:1000:1\n");
        assert_eq!(table.field("foo", 3), Some("100"));
        assert_eq!(table.field("fo", 3), None);
        assert_eq!(table.names_with(2, "1000").collect::<Vec<_>>(), ["foo"]);
        assert_eq!(table.values(2).collect::<Vec<_>>(), ["0", "1000"]);
    }
}
