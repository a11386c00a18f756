//! Precedence and warnings, as tables.

use super::*;
use crate::settings_file;

fn given(name: &str, value: &str, source: Source) -> Given {
    let flag = find(name).unwrap();
    let value = value.to_owned();
    Given {
        flag,
        value,
        source,
    }
}

fn flags(pairs: &[(&str, &str)]) -> Layer {
    let one = |(name, value): &(&str, &str)| given(name, value, Source::CommandLine);
    pairs.iter().map(one).collect()
}

fn environment(pairs: &[(&str, &str)]) -> (Layer, Vec<String>) {
    from_environment(
        pairs
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned())),
    )
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    for (flag, variable, file, expected) in [
        (None, None, None, "default"),
        (None, None, Some("file"), "file"),
        (None, Some("variable"), None, "variable"),
        (None, Some("variable"), Some("file"), "variable"),
        (Some("flag"), None, None, "flag"),
        (Some("flag"), None, Some("file"), "flag"),
        (Some("flag"), Some("variable"), None, "flag"),
        (Some("flag"), Some("variable"), Some("file"), "flag"),
        (None, Some(""), Some("file"), "file"),
    ] {
        let flag = flag.map_or(vec![], |value| flags(&[("name", value)]));
        let variable = variable.map_or(vec![], |value| environment(&[("ETCD_NAME", value)]).0);
        let file = file.map_or(vec![], |value| {
            settings_file::parse("kvd.toml", &format!("name = \"{value}\"")).unwrap()
        });
        let settings = Settings::merge(vec![flag, variable, file]).unwrap();
        assert_eq!(settings.text("name"), expected);
        assert_eq!(settings.is_given("name"), expected != "default");
    }
}

#[test]
fn what_has_no_effect_is_said_once_with_the_reason() {
    for (name, value, part) in [
        ("wal-dir", "/w", Some("data directory")),
        ("pre-vote", "false", Some("always on")),
        ("pre-vote", "true", None),
        ("enable-v2", "1", None),
        ("enable-v2", "0", Some("always served")),
        ("max-txn-ops", "128", None),
        ("max-txn-ops", "5", Some("v3")),
        ("name", "a", None),
    ] {
        let settings = Settings::merge(vec![flags(&[(name, value)])]).unwrap();
        assert_eq!(
            settings.warnings.len(),
            usize::from(part.is_some()),
            "{name}"
        );
        if let Some(part) = part {
            assert!(
                settings.warnings[0].contains(part),
                "{:?}",
                settings.warnings
            );
            assert!(
                settings.warnings[0].contains(value),
                "{:?}",
                settings.warnings
            );
        }
    }
}

#[test]
fn values_of_another_kind_are_refused_by_name() {
    for (name, value) in [
        ("election-timeout", "1s"),
        ("election-timeout", "-1"),
        ("force-new-cluster", "yes"),
        ("history-age", "5"),
        ("max-snapshots", ""),
    ] {
        let UsageError(message) = Settings::merge(vec![flags(&[(name, value)])]).unwrap_err();
        assert!(
            message.starts_with(&format!("--{name}={value}: ")),
            "{message}"
        );
    }
    let (layer, _) = environment(&[("ETCD_HEARTBEAT_INTERVAL", "x")]);
    let UsageError(message) = Settings::merge(vec![layer]).unwrap_err();
    assert!(
        message.starts_with("ETCD_HEARTBEAT_INTERVAL=x: "),
        "{message}"
    );
}

#[test]
fn unknown_variables_are_warned_of() {
    let (layer, warnings) = environment(&[
        ("ETCD_NMAE", "a"),
        ("ETCD_name", "b"),
        ("ETCDCTL_API", "2"),
        ("ETCD_VERSION", "3.4"),
        ("PATH", "/bin"),
    ]);
    assert_eq!(layer, []);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("ETCD_NMAE"), "{warnings:?}");
}
