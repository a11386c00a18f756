//! Whole statuses of copied machines, as text and as JSON.
use super::*;
use crate::device_mapper::{Question, Target};
use crate::test_machine::OS_RELEASE;
use crate::test_machine::boot_toml;
use disk_format::meta::{BootRecord, Identity, Kept, ResetOrder};
use std::fs::{self, File};
use std::io;

const NOW: Duration = Duration::from_millis(200_500);

struct Machine {
    folder: tempfile::TempDir,
    root: SystemRoot,
}

impl Machine {
    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = SystemRoot::new(folder.path());
        Self { folder, root }
    }

    /// A counted boot of 1.2~rc3 from slot a, watched, with the good 1.1 in slot b.
    fn new() -> Self {
        let machine = Self::empty();
        machine.put("usr/lib/os-release", OS_RELEASE);
        machine.put("run/keelson/boot.toml", &boot_toml());
        machine.put("proc/self/mountinfo", crate::mount_table::tests::TEXT);
        machine.put("sys/dev/block/253:0/dm/name", "root\n");
        machine.put("efi/EFI/Linux/keelson_1.1.efi", "");
        machine.put("efi/EFI/Linux/keelson_1.2~rc3+2-1.efi", "");
        fs::create_dir(machine.folder.path().join("state")).unwrap();
        machine.put_boot_record();
        let report = HealthReport::Healthy {
            healthy_after_seconds: 12.5,
            notes: Vec::new(),
        };
        report.write(&machine.root).unwrap();
        machine
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn put_boot_record(&self) {
        self.put("dev/vda6", &"\0".repeat(1 << 20));
        let mut record = BootRecord::default();
        record.count_failed_boot(&"ab".repeat(32).parse().unwrap());
        let device = File::options()
            .read(true)
            .write(true)
            .open(self.root.path("/dev/vda6"));
        record.write(&mut device.unwrap()).unwrap();
    }

    fn remove(&self, path: &str) {
        let path = self.folder.path().join(path);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }

    fn status(&self) -> Status {
        let mut status = Status::read(&self.root, &verified).unwrap();
        // The size of the test machine's disk is none of the test's business.
        if let Ok(state) = &mut status.state {
            assert!(state.size_bytes >= state.free_bytes && state.free_bytes > 0);
            (state.size_bytes, state.free_bytes) = (16_320_875_725, 15_998_753_177);
        }
        status
    }

    fn line(&self, label: &str) -> String {
        let text = text::render(&self.status(), NOW);
        let line = text.lines().find(|line| line.starts_with(label));
        line.unwrap()[14..].to_owned()
    }
}

fn verified(name: &str, question: Question) -> Fact<Target> {
    if name != "root" {
        return Err(FactError::Absent(format!("there is no device {name}")));
    }
    let table = format!("1 254:2 254:3 4096 4096 9 1 sha256 {} 00", "ab".repeat(32));
    Ok(Target {
        kind: "verity".to_owned(),
        text: match question {
            Question::Status => "V".to_owned(),
            Question::Table => table,
        },
    })
}

fn refused<T>() -> Fact<T> {
    Err(FactError::read("/x")(
        io::ErrorKind::PermissionDenied.into(),
    ))
}

#[test]
fn the_text_of_a_healthy_machine() {
    let expected = "\
Keelson 1.2~rc3 (vm), build 1234567890ab…
Slot          a on /dev/vda (root hash abababababab…, verified)
Boot          uefi, counted: 2 tries left, 1 done
Other slot    b: version 1.1, good (uncounted)
State         15.2 GiB, 14.8 GiB free, /dev/vda7 at /state
Health        healthy for 3 min
Failed boots  1, this one included until it is healthy
Updates       no source of releases is configured: name one as `sources` in /etc/keelson/update.toml, or give one to `osctl update --from`
";
    assert_eq!(text::render(&Machine::new().status(), NOW), expected);
}

#[test]
fn the_json_of_a_healthy_machine() {
    let expected = serde_json::json!({
        "release": {
            "name": "Keelson", "version": "1.2~rc3",
            "build_id": "1234567890abcdef1234567890abcdef", "product": "vm"
        },
        "boot": {
            "path": "uefi", "slot": "a", "disk": "/dev/vda", "root_device": "/dev/vda2",
            "root_hash": "ab".repeat(32), "first_boot": true, "init_seconds": 0.6
        },
        "verification": {"state": "verified", "reason": null},
        "boot_entry": {"state": "counted", "tries_left": 2, "tries_done": 1},
        "other_versions": [
            {"version": "1.1", "state": "good", "tries_left": null, "tries_done": null}
        ],
        "failed_boots": 1,
        "state": {
            "path": "/state", "device": "/dev/vda7",
            "size_bytes": 16_320_875_725_u64, "free_bytes": 15_998_753_177_u64
        },
        "reset": {"state": "none", "erases": false, "keeps_identity": false, "keeps": []},
        "health": {
            "state": "healthy", "reasons": [], "notes": [],
            "healthy_after_seconds": 12.5, "healthy_for_seconds": 188.0
        },
        "provision": {"state": "not_looked_for", "reasons": [], "source": null, "digest": null},
        "update": {
            "state": "idle", "version": null, "channel": "stable", "pinned": null,
            "held_back": null, "failing_attempts": 0,
            "why": "no source of releases is configured: name one as `sources` in \
                    /etc/keelson/update.toml, or give one to `osctl update --from`"
        },
        "errors": []
    });
    let text = json::render(&Machine::new().status(), NOW).unwrap();
    assert!(text.ends_with("}\n"));
    let actual: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(actual, expected);
}

/// What an ordinary user sees.
fn restricted() -> Status {
    Status {
        verification: refused(),
        entry: refused(),
        other_versions: refused(),
        failed_boots: refused(),
        reset: refused(),
        ..Machine::new().status()
    }
}

#[test]
fn the_text_for_an_ordinary_user() {
    let expected = "\
Keelson 1.2~rc3 (vm), build 1234567890ab…
Slot          a on /dev/vda (root hash abababababab…, verification unknown (needs root))
Boot          uefi, was counted when it booted; entry unknown (needs root)
Other slot    b: unknown (needs root)
State         15.2 GiB, 14.8 GiB free, /dev/vda7 at /state
Health        healthy for 3 min
Failed boots  unknown (needs root)
Updates       no source of releases is configured: name one as `sources` in /etc/keelson/update.toml, or give one to `osctl update --from`
";
    assert_eq!(text::render(&restricted(), NOW), expected);
}

#[test]
fn unknown_parts_are_null_and_explained_in_json() {
    let text = json::render(&restricted(), NOW).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let parts = [
        "verification",
        "boot_entry",
        "other_versions",
        "failed_boots",
        "reset",
    ];
    let errors = parts.map(|part| serde_json::json!({"part": part, "reason": "needs root"}));
    assert_eq!(value["errors"], serde_json::json!(errors));
    for part in parts {
        assert!(value[part].is_null(), "{part}");
    }
}

#[test]
fn a_direct_boot_counts_nothing() {
    let machine = Machine::new();
    let direct = boot_toml().replace("\"uefi\"", "\"direct\"");
    machine.put("run/keelson/boot.toml", &direct);
    assert_eq!(machine.line("Boot"), "not counted (direct boot)");
    machine.put(
        "run/keelson/boot.toml",
        &direct.replace("esp = \"/dev/vda1\"\n", ""),
    );
    assert_eq!(
        machine.line("Other slot"),
        "b: unknown: /dev/vda has no ESP"
    );
}

#[test]
fn the_other_slot_is_empty_after_an_installation() {
    let machine = Machine::new();
    machine.remove("efi/EFI/Linux/keelson_1.1.efi");
    assert_eq!(machine.line("Other slot"), "b: empty");
    machine.put("efi/EFI/Linux/keelson_1.3+1.efi", "");
    assert_eq!(
        machine.line("Other slot"),
        "b: version 1.3, counted: 1 try left, 0 done"
    );
}

#[test]
fn an_own_entry_that_is_missing_is_said() {
    let machine = Machine::new();
    machine.remove("efi/EFI/Linux/keelson_1.2~rc3+2-1.efi");
    assert_eq!(
        machine.line("Boot"),
        "uefi, was counted when it booted; entry unknown: /efi/EFI/Linux has no entry of version 1.2~rc3"
    );
}

#[test]
fn every_state_of_health_has_its_words() {
    let machine = Machine::new();
    let reasons = vec!["a.service has failed".to_owned(), "b".to_owned()];
    let line = |report: HealthReport| {
        report.write(&machine.root).unwrap();
        machine.line("Health")
    };
    let checking = line(HealthReport::Checking {
        reasons: reasons.clone(),
    });
    assert_eq!(checking, "checking: a.service has failed; b");
    let unhealthy = line(HealthReport::Unhealthy {
        unhealthy_after_seconds: 300.0,
        reasons,
    });
    assert_eq!(unhealthy, "unhealthy: a.service has failed; b");
    let soaking = line(HealthReport::Soaking {
        healthy_after_seconds: 190.0,
        notes: vec!["this machine has no network interface".to_owned()],
    });
    assert_eq!(
        soaking,
        "healthy for 10 s, still watched (this machine has no network interface)"
    );
    machine.remove("run/keelson/health.toml");
    assert_eq!(machine.line("Health"), "not checked in this boot");
}

#[test]
fn an_ordered_reset_is_shown() {
    let machine = Machine::new();
    let order = |order: ResetOrder| {
        let device = File::options()
            .read(true)
            .write(true)
            .open(machine.root.path("/dev/vda6"));
        let mut record = BootRecord::default();
        record.order_reset(order).unwrap();
        record.write(&mut device.unwrap()).unwrap();
        let text = json::render(&machine.status(), NOW).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        (machine.line("Reset"), value["reset"].clone())
    };
    let (line, json) = order(ResetOrder::Clear(Kept {
        identity: Identity::Kept,
        paths: vec!["/home".parse().unwrap()],
    }));
    assert_eq!(
        line,
        "at the next boot, keeping machine id and SSH host keys, /home; \
         `osctl reset --cancel` takes it back"
    );
    let expected = serde_json::json!({
        "state": "ordered", "erases": false, "keeps_identity": true, "keeps": ["/home"]
    });
    assert_eq!(json, expected);
    let (line, json) = order(ResetOrder::Erase);
    assert!(
        line.starts_with("at the next boot, keeping nothing"),
        "{line}"
    );
    assert_eq!(json["erases"], true);
}

#[test]
fn what_became_of_the_first_boot_is_shown() {
    let machine = Machine::new();
    let text = r#"{"outcome":{"state":"refused","problems":["a:1:1: b"]},"source":"the ESP",
        "format":null,"digest":null,"steps":[]}"#;
    machine.put("var/lib/keelson/provision/result.json", text);
    assert_eq!(machine.line("First boot"), "REFUSED the ESP: a:1:1: b");
    let text = json::render(&machine.status(), NOW).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let expected = serde_json::json!({
        "state": "refused", "reasons": ["a:1:1: b"], "source": "the ESP", "digest": null
    });
    assert_eq!(value["provision"], expected);
}

#[test]
fn what_a_reset_could_not_remove_is_shown() {
    let machine = Machine::new();
    fs::create_dir(machine.folder.path().join("state/.reset")).unwrap();
    assert!(machine.line("Reset").contains("/state/.reset"));
}

#[test]
fn a_missing_part_leaves_the_others() {
    let machine = Machine::new();
    for path in ["run/keelson", "dev", "efi", "proc"] {
        machine.remove(path);
    }
    let text = text::render(&machine.status(), NOW);
    assert!(text.starts_with("Keelson 1.2~rc3 (vm)"), "{text}");
    assert_eq!(text.matches("unknown").count(), 5, "{text}");
    assert!(
        text.contains("Failed boots  unknown: it depends on the facts of this boot"),
        "{text}"
    );
}

#[test]
fn another_system_is_refused() {
    let machine = Machine::empty();
    assert!(Status::read(&machine.root, &verified).is_err());
    machine.put("usr/lib/os-release", "ID=debian\nNAME=\"Debian\"\n");
    assert!(Status::read(&machine.root, &verified).is_err());
    machine.put("run/keelson/boot.toml", &boot_toml());
    assert!(Status::read(&machine.root, &verified).is_ok());
}
