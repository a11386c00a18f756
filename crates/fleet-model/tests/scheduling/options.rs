//! What `[X-Fleet]` takes and refuses.
//!
//! What options do is in `cases`.

use fleet_model::{FleetOptions, OnPartition, Placement};
use proptest::prelude::*;
use systemd_unit::UnitFile;

use crate::fixture::name;

fn parse(unit: &str, options: &str) -> Result<FleetOptions, String> {
    let file = UnitFile::parse(format!("[X-Fleet]\n{options}")).unwrap();
    FleetOptions::parse(&name(unit), file.assignments()).map_err(|error| error.to_string())
}

#[test]
fn both_generations_and_specifiers() {
    let text = "X-ConditionMachineOf=db@%i.service\nMachineOf=\"cache.service\" \"%p-log@%i.service\"\n\
                X-Conflicts=%p@*.service\nConflicts=old.service\nX-ConditionMachineMetadata=a=%i %ä %\n\
                MachineMetadata=\"a=b\" \"c=d\"\nOnPartition=stop";
    let options = parse("web@7.service", text).unwrap();
    let peers: Vec<&str> = options
        .machine_of()
        .map(systemd_unit::UnitName::as_str)
        .collect();
    assert_eq!(
        peers,
        ["cache.service", "db@7.service", "web-log@7.service"]
    );
    let globs: Vec<&str> = options
        .conflicts
        .iter()
        .map(fleet_model::Glob::as_str)
        .collect();
    assert_eq!(globs, ["web@*.service", "old.service"]);
    let values: Vec<&String> = options.metadata["a"].iter().collect();
    assert_eq!(values, ["7 %ä %", "b"]);
    assert_eq!(options.on_partition, OnPartition::Stop);
    let boot = parse("a.service", "X-ConditionMachineBootID=abc\nMachineID=abc").unwrap();
    assert_eq!(boot.placement, Placement::Machine("abc".to_owned()));
    assert!(parse("a.service", "Global=yes\nGlobal=no\nMachineOf=b.service").is_ok());
}

#[test]
fn refusals_name_key_and_line() {
    let bad = [
        ("Colour=red", "line 2: unrecognized key `Colour`"),
        (
            "\nOnPartition=maybe",
            "line 3: OnPartition=maybe: it must be keep or stop",
        ),
        ("Global=perhaps", "line 2: Global=perhaps"),
        ("MachineMetadata=a", "line 2: MachineMetadata=a"),
        ("MachineMetadata=a=b c=d", "line 2: "),
        ("Conflicts=[a", "line 2: Conflicts=[a: syntax error"),
        ("Conflicts=\"a", "line 2: Conflicts"),
        ("MachineOf=web", "line 2: MachineOf=web"),
        (
            "MachineID=a\nMachineID=b",
            "line 3: MachineID=b: another line says a",
        ),
        ("MachineID=a b", "line 2: "),
        ("ReserveMemory=much", "line 2: ReserveMemory=much"),
        ("Spread=a b", "line 2: "),
        (
            "MachineID=a\nMachineOf=b.service",
            "MachineID (line 2) cannot be used with MachineOf (line 3)",
        ),
        (
            "X-Conflicts=b\nMachineID=a",
            "MachineID (line 3) cannot be used with X-Conflicts (line 2)",
        ),
        (
            "Global=yes\nMachineID=a",
            "MachineID (line 3) cannot be used with Global (line 2)",
        ),
        ("Replaces=b\nMachineID=a", "MachineID (line 3)"),
        ("Global=yes\nMachineOf=b.service", "Global (line 2)"),
        ("Global=yes\nReplaces=b", "Global (line 2)"),
        ("Global=yes\nSpread=b", "Global (line 2)"),
        (
            "Conflicts=a\nReplaces=b",
            "Conflicts (line 2) cannot be used with Replaces (line 3)",
        ),
        (
            "MachineOf=b.service\nConflicts=b*",
            "unresolvable requirements: MachineOf=b.service",
        ),
        (
            "MachineOf=b.service\nReplaces=b*",
            "unresolvable requirements",
        ),
        (
            "MachineOf=a.service",
            "line 2: MachineOf=a.service is the unit itself",
        ),
    ];
    for (text, expected) in bad {
        let error = parse("a.service", text).unwrap_err();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn limits_of_the_unit_are_reservations() {
    let text = "[Service]\nMemoryMax=1G\nMemoryMax=512M\nCPUQuota=150%\nTasksMax=10%\n[Socket]\nMemoryMax=9G";
    let reservation = parse("a.service", text).unwrap().reservation;
    assert_eq!(
        (reservation.memory, reservation.cpu, reservation.tasks),
        (512 << 20, 1500, 0)
    );
    let none = parse("a.service", "[Service]\nMemoryMax=1G\nMemoryMax=infinity").unwrap();
    assert_eq!(none.reservation.memory, 0);
}

#[test]
fn globs_are_gos() {
    let cases = [
        ("*", "", true),
        ("a*c", "abbc", true),
        ("a*c*e", "abcdce", true),
        ("a*c", "abcd", false),
        ("?b", "äb", true),
        ("?", "", false),
        ("[a-c]x", "bx", true),
        ("[^a-c]x", "bx", false),
        (r"a\*", "a*", true),
        (r"[\]]", "]", true),
        ("a", "ab", false),
    ];
    for (pattern, name, expected) in cases {
        let glob = fleet_model::Glob::new(pattern).unwrap();
        assert_eq!(glob.matches(name), expected, "{pattern} {name}");
    }
    for bad in ["[", "[a", "[]", "[a-", "[a-]", "a\\", "[-a]", "[^]"] {
        assert!(fleet_model::Glob::new(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_text_is_options_or_an_error(text in "[ -~\n\u{e4}]{0,60}") {
        for key in ["MachineOf", "Conflicts", "MachineMetadata", "Spread", "ReserveCPU"] {
            let file = UnitFile::parse(format!("[X-Fleet]\n{key}={text}"));
            if let Ok(file) = file {
                let _ = FleetOptions::parse(&name("a@b.service"), file.assignments());
            }
        }
    }

    #[test]
    fn globs_do_not_panic(pattern in "[a-c*?^\\]\\[\\\\-]{0,8}", name in "[a-c]{0,8}") {
        if let Ok(glob) = fleet_model::Glob::new(pattern) {
            let matches = glob.matches(&name);
            prop_assert!(!matches || name.starts_with(&glob.literal_prefix()));
        }
    }
}
