//! What a flag is, and looking one up. The flags themselves stand in [`table`].
//!
//! One table serves the command line, the environment and the settings file, so that the three
//! cannot drift apart. Values are text here; [`crate::configuration`] gives them types.

mod table;

pub(crate) use table::FLAGS;

/// What a flag's value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// True or false; the bare flag means true.
    Switch,
    /// A whole number.
    Number,
    /// A length of time: `500ms`, `10m`, `2h`.
    Duration,
    /// Anything else; lists are separated by commas.
    Text,
}

/// What a flag does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// It has a meaning.
    Used,
    /// etcd has it, kvd has nothing it could change: the reason.
    Ignored(&'static str),
    /// A switch that stands where the reason says; the other position is accepted with a warning.
    Fixed(&'static str, &'static str),
}

/// A flag, by the names of etcd 3.4 where etcd has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Flag {
    /// Without dashes.
    pub(crate) name: &'static str,
    /// The heading of `--help` it stands under.
    pub(crate) group: &'static str,
    /// What its value looks like.
    pub(crate) kind: Kind,
    /// As text; empty for none, or for one that depends on other flags.
    pub(crate) default: &'static str,
    /// What it does here.
    pub(crate) treatment: Treatment,
    /// A line for `--help`.
    pub(crate) help: &'static str,
}

impl Flag {
    /// The name of its environment variable: `--data-dir` is `ETCD_DATA_DIR`.
    pub(crate) fn variable(&self) -> String {
        format!("ETCD_{}", self.name.to_uppercase().replace('-', "_"))
    }
}

/// The flag of a name.
pub(crate) fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The flags that the help of etcd 3.4.23 names.
    const ETCD_FLAGS: &str = include_str!("../testdata/etcd-3.4.23-flags.txt");

    #[test]
    fn every_flag_of_etcd_is_known_with_its_kind() {
        let mut count = 0;
        for line in ETCD_FLAGS.lines() {
            let name = line.split_whitespace().next().unwrap();
            if ["version", "help"].contains(&name) {
                continue;
            }
            let flag = find(name).unwrap_or_else(|| panic!("--{name} is unknown"));
            let is_switch = line.ends_with("'true'") || line.ends_with("'false'");
            assert_eq!(flag.kind == Kind::Switch, is_switch, "--{name}");
            count += 1;
        }
        assert!(count > 75, "{count} flags read from the test data");
    }

    #[test]
    fn names_are_unique_and_defaults_have_their_kind() {
        for (index, flag) in FLAGS.iter().enumerate() {
            let again = FLAGS[index + 1..].iter().any(|one| one.name == flag.name);
            assert!(!again, "--{} stands twice", flag.name);
            match flag.kind {
                Kind::Switch => assert!(flag.default.parse::<bool>().is_ok(), "{}", flag.name),
                Kind::Number => assert!(flag.default.parse::<u64>().is_ok(), "{}", flag.name),
                Kind::Duration | Kind::Text => {}
            }
            assert!(!flag.help.ends_with('.'), "--{}", flag.name);
        }
    }

    #[test]
    fn variables_are_named_as_etcd_names_them() {
        assert_eq!(find("data-dir").unwrap().variable(), "ETCD_DATA_DIR");
        assert_eq!(find("name").unwrap().variable(), "ETCD_NAME");
    }
}
