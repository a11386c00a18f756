//! Names of units as users write them: paths, and names without a type.
//!
//! Whether a unit of that name exists is not asked.

use std::path::Path;

use systemd_unit::{NameKind, UnitName};

/// Types that fleet knew; anything else gets `.service`.
const TYPES: &[&str] = &[
    "automount",
    "device",
    "mount",
    "path",
    "scope",
    "service",
    "slice",
    "snapshot",
    "socket",
    "swap",
    "target",
    "timer",
];

/// The name that a user means: what comes after the last slash, with a type.
pub(crate) fn mangle(given: &str) -> String {
    let base = Path::new(given).file_name().map_or_else(
        || given.to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    with_type(&base)
}

/// With `.service` if it has no type.
pub(crate) fn with_type(given: &str) -> String {
    let has_type = given
        .rsplit_once('.')
        .is_some_and(|(_, suffix)| TYPES.contains(&suffix));
    if has_type {
        given.to_owned()
    } else {
        format!("{given}.service")
    }
}

/// The template of an instance.
pub(crate) fn template(name: &str) -> Option<String> {
    let name = UnitName::new(name).ok()?;
    match name.kind() {
        NameKind::Instance(_) => Some(name.template()?.to_string()),
        NameKind::Plain | NameKind::Template => None,
    }
}

/// Whether it is a template.
pub(crate) fn is_template(name: &str) -> bool {
    UnitName::new(name).is_ok_and(|name| name.kind() == NameKind::Template)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_fleetctl_did() {
        for (given, name) in [
            ("hello", "hello.service"),
            ("hello.service", "hello.service"),
            ("units/hello.timer", "hello.timer"),
            ("./a.b", "a.b.service"),
            ("hello@1", "hello@1.service"),
        ] {
            assert_eq!(mangle(given), name);
        }
    }

    #[test]
    fn templates_are_told_apart() {
        assert_eq!(template("a@1.service").as_deref(), Some("a@.service"));
        assert_eq!(template("a.service"), None);
        assert_eq!(template("a@.service"), None);
        assert!(is_template("a@.service"));
        assert!(!is_template("a@1.service"));
    }
}
