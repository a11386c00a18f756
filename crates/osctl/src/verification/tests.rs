//! The root's device in copies of `/sys` and `/proc`, and a kernel that answers as it is told.
use super::*;
use crate::mount_table::tests::TEXT;
use crate::test_machine::facts;
use machine_facts::error::FactError;
use std::fs;
use std::io;

struct Machine {
    folder: tempfile::TempDir,
    root: SystemRoot,
}

fn machine(mounts: &str, device_name: Option<&str>) -> Machine {
    let folder = tempfile::tempdir().unwrap();
    let root = SystemRoot::new(folder.path());
    let device = folder.path().join("sys/dev/block/253:0/dm");
    if let Some(name) = device_name {
        fs::create_dir_all(&device).unwrap();
        fs::write(device.join("name"), format!("{name}\n")).unwrap();
    }
    fs::create_dir_all(folder.path().join("proc/self")).unwrap();
    fs::write(folder.path().join("proc/self/mountinfo"), mounts).unwrap();
    Machine { folder, root }
}

impl Machine {
    fn verification(&self, query: Query<'_>) -> Fact<Verification> {
        assert!(self.folder.path().exists());
        let mounts = MountTable::read(&self.root).unwrap();
        read(&self.root, &mounts, &facts(), query)
    }
}

fn target(kind: &str, text: &str) -> Target {
    Target {
        kind: kind.to_owned(),
        text: text.to_owned(),
    }
}

fn table(hash: &str) -> Target {
    let text =
        format!("1 254:2 254:3 4096 4096 77000 1 sha256 {hash} 00ff 1 restart_on_corruption");
    target("verity", &text)
}

fn answers(status: &str) -> impl Fn(&str, Question) -> Fact<Target> {
    let status = target("verity", status);
    move |name, question| {
        assert_eq!(name, "root");
        Ok(match question {
            Question::Status => status.clone(),
            Question::Table => table(&"ab".repeat(32)),
        })
    }
}

fn not_verified(verification: Verification) -> String {
    match verification {
        Verification::NotVerified(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_kernel_has_the_last_word() {
    let machine = machine(TEXT, Some("root"));
    let verification = |status| machine.verification(&answers(status)).unwrap();
    assert_eq!(verification("V"), Verification::Verified);
    assert_eq!(verification("V 3"), Verification::Verified);
    assert_eq!(verification("C"), Verification::Corrupted);
    assert!(not_verified(verification("")).contains("dm-verity reports"));
}

#[test]
fn another_root_hash_is_not_verified() {
    let hash: RootHash = "ab".repeat(32).parse().unwrap();
    let status = target("verity", "V");
    let other = judge(&table(&"cd".repeat(32)), &status, &hash);
    assert!(not_verified(other).contains("cdcdcd"));
    let short = judge(&target("verity", "1 254:2"), &status, &hash);
    assert!(not_verified(short).contains("another root hash"));
    let linear = judge(&target("linear", "254:2 0"), &target("linear", ""), &hash);
    assert!(not_verified(linear).contains("linear"));
}

#[test]
fn another_device_is_not_verified_and_not_asked() {
    let unasked = |_: &str, _| -> Fact<Target> { panic!("asked") };
    let reason =
        |mounts: &str, name| not_verified(machine(mounts, name).verification(&unasked).unwrap());
    assert!(reason(TEXT, Some("swap")).contains("\"swap\""));
    assert_eq!(
        reason(TEXT, None),
        "/ is on /dev/dm-0, which is no device-mapper device"
    );
    assert!(reason(&TEXT.replace("erofs", "ext4"), Some("root")).contains("ext4"));
}

#[test]
fn an_ordinary_user_learns_that_it_takes_root() {
    let refuse = |_: &str, _| -> Fact<Target> {
        Err(FactError::read("/dev/mapper/control")(
            io::ErrorKind::PermissionDenied.into(),
        ))
    };
    let error = machine(TEXT, Some("root"))
        .verification(&refuse)
        .unwrap_err();
    assert!(error.needs_root());
}
