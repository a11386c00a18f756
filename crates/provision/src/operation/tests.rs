//! Every operation twice in a temporary root: what it does, and that it does nothing the second time.
//!
//! Ownership is checked as root only may change it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::*;
use crate::contents::Bytes;

struct Bench {
    folder: tempfile::TempDir,
    root: Root,
    accounts: Accounts,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for path in ["etc/skel/.config", "srv", "var"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        let root = Root::open(folder.path()).unwrap();
        Self {
            root,
            folder,
            accounts: Accounts::default(),
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    fn perform(&self, operation: &Operation, manner: Manner) -> String {
        let context = Context {
            root: &self.root,
            accounts: &self.accounts,
            manner,
        };
        match operation.perform(&context) {
            Ok(steps) => {
                let steps: Vec<_> = steps.iter().map(ToString::to_string).collect();
                steps.join("; ")
            }
            Err(error) => format!("{error}: {}", error.source),
        }
    }

    /// Said, done, and not done again.
    fn twice(&self, operation: &Operation, step: &str) {
        let before = tree(self.folder.path());
        assert_eq!(self.perform(operation, Manner::DryRun), step);
        assert_eq!(tree(self.folder.path()), before, "only said");
        assert_eq!(self.perform(operation, Manner::Really), step);
        let after = tree(self.folder.path());
        let again = self.perform(operation, Manner::Really);
        assert!(
            again.is_empty() || again.starts_with("already there: "),
            "{again}"
        );
        assert_eq!(tree(self.folder.path()), after);
    }
}

/// Every path with mode, owner, number of the node and bytes.
fn tree(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        found.push(format!(
            "{path:?} {:o} {} {} {} {:?}",
            metadata.permissions().mode(),
            metadata.uid(),
            metadata.gid(),
            metadata.ino(),
            fs::read(&path).ok()
        ));
        if metadata.is_dir() {
            found.extend(tree(&path));
        }
    }
    found.sort();
    found
}

fn file(path: &str, bytes: Bytes) -> FileWork {
    FileWork {
        path: path.to_owned(),
        bytes,
        attributes: Attributes::default(),
        replaces: false,
    }
}

#[test]
fn files_are_made_with_their_parents() {
    let bench = Bench::new();
    let mut work = file("/etc/new/deep/a", Bytes::Whole(b"hello".to_vec()));
    work.attributes = Attributes::fixed(0o640, Owner { user: 7, group: 8 });
    bench.twice(
        &Operation::File(work),
        "created file /etc/new/deep/a (0640 7:8)",
    );
    assert_eq!(fs::read(bench.at("/etc/new/deep/a")).unwrap(), b"hello");
    let parent = fs::metadata(bench.at("/etc/new/deep")).unwrap();
    assert_eq!(parent.permissions().mode() & 0o7777, 0o755);
}

#[test]
fn what_is_appended_stands_once_at_the_end() {
    let bench = Bench::new();
    fs::write(bench.at("/etc/a"), "one\n").unwrap();
    fs::set_permissions(bench.at("/etc/a"), fs::Permissions::from_mode(0o600)).unwrap();
    let work = file("/etc/a", Bytes::AtEnd(b"two\n".to_vec()));
    bench.twice(&Operation::File(work), "changed file /etc/a (0600 root)");
    assert_eq!(fs::read(bench.at("/etc/a")).unwrap(), b"one\ntwo\n");
    let touched = Operation::File(file("/etc/a", Bytes::Kept));
    let said = bench.perform(&touched, Manner::Really);
    assert_eq!(said, "already there: file /etc/a (0600 root)");
}

#[test]
fn a_mode_alone_is_a_change() {
    let bench = Bench::new();
    fs::write(bench.at("/etc/a"), "x").unwrap();
    let mut work = file("/etc/a", Bytes::Whole(b"x".to_vec()));
    work.attributes.mode = Some(0o4755);
    bench.twice(&Operation::File(work), "changed file /etc/a (4755 root)");
}

#[test]
fn another_kind_is_replaced_only_if_that_is_wanted() {
    let bench = Bench::new();
    fs::create_dir_all(bench.at("/etc/a/deep")).unwrap();
    let mut work = file("/etc/a", Bytes::Whole(Vec::new()));
    let refused = bench.perform(&Operation::File(work.clone()), Manner::Really);
    assert!(
        refused.starts_with("cannot make the file /etc/a: "),
        "{refused}"
    );
    assert!(bench.at("/etc/a/deep").exists());
    work.replaces = true;
    bench.twice(&Operation::File(work), "changed file /etc/a (0644 root)");
}

#[test]
fn directories_keep_what_is_in_them() {
    let bench = Bench::new();
    fs::write(bench.at("/var/kept"), "").unwrap();
    let mut work = DirectoryWork {
        path: "/var".to_owned(),
        attributes: Attributes::fixed(0o1777, Owner { user: 5, group: 0 }),
        replaces: false,
    };
    bench.twice(
        &Operation::Directory(work.clone()),
        "changed directory /var (1777 5:root)",
    );
    assert!(bench.at("/var/kept").exists());
    work.path = "/etc/x/y".to_owned();
    bench.twice(
        &Operation::Directory(work.clone()),
        "created directory /etc/x/y (1777 5:root)",
    );
    work.replaces = true;
    fs::write(bench.at("/etc/x/y/gone"), "").unwrap();
    bench.perform(&Operation::Directory(work), Manner::Really);
    assert!(bench.at("/etc/x/y").is_dir() && !bench.at("/etc/x/y/gone").exists());
}

#[test]
fn links_of_both_kinds() {
    let bench = Bench::new();
    fs::write(bench.at("/etc/a"), "").unwrap();
    let mut work = LinkWork {
        path: "/etc/b".to_owned(),
        kind: LinkKind::Symbolic("a".to_owned()),
        attributes: Attributes {
            user: Some(9),
            ..Attributes::default()
        },
        replaces: false,
    };
    bench.twice(&Operation::Link(work.clone()), "created link /etc/b to a");
    work.kind = LinkKind::Hard("/etc/a".to_owned());
    let refused = bench.perform(&Operation::Link(work.clone()), Manner::Really);
    assert!(
        refused.starts_with("cannot make the link /etc/b: "),
        "{refused}"
    );
    work.replaces = true;
    bench.twice(&Operation::Link(work), "changed hard link /etc/b to /etc/a");
}

#[test]
fn a_home_has_the_skeleton_and_is_the_users() {
    let bench = Bench::new();
    fs::write(bench.at("/etc/skel/.bashrc"), "x").unwrap();
    fs::write(bench.at("/etc/skel/.config/y"), "y").unwrap();
    symlink("/etc", bench.at("/etc/skel/etc")).unwrap();
    let owner = Owner {
        user: 1000,
        group: 1001,
    };
    let home = HomeWork {
        path: "/srv/ada".to_owned(),
        owner,
    };
    let said = "created home directory /srv/ada (0700 1000:1001)";
    bench.twice(&Operation::Home(home), said);
    for path in ["", ".bashrc", ".config", ".config/y", "etc"] {
        let path = bench.at("/srv/ada").join(path);
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (1000, 1001), "{path:?}");
    }
    assert_eq!(fs::metadata(bench.at("/etc")).unwrap().uid(), 0);
    assert_eq!(bench.root.names("/srv").unwrap(), ["ada"]);
}

#[test]
fn keys_are_added_to_those_that_are_there() {
    let bench = Bench::new();
    let owner = Owner {
        user: 1000,
        group: 1000,
    };
    let keys = |lines: &[&str]| {
        Operation::Keys(KeysWork {
            user: "ada".to_owned(),
            path: "/srv".to_owned(),
            owner,
            lines: lines.iter().map(|&line| line.to_owned()).collect(),
        })
    };
    let path = "/srv/.ssh/authorized_keys";
    bench.twice(
        &keys(&["one"]),
        &format!("created 1 SSH key of ada in {path}"),
    );
    fs::write(bench.at(path), "one\nmine").unwrap();
    bench.twice(
        &keys(&["one", "two"]),
        &format!("changed 2 SSH keys of ada in {path}"),
    );
    assert_eq!(
        fs::read_to_string(bench.at(path)).unwrap(),
        "one\nmine\ntwo\n"
    );
    let mode = |path: &str| fs::metadata(bench.at(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("/srv/.ssh"), mode(path)), (0o700, 0o600));
    assert_eq!(fs::metadata(bench.at(path)).unwrap().uid(), 1000);
}

#[test]
fn a_users_link_leads_no_key_elsewhere() {
    let bench = Bench::new();
    symlink("/etc", bench.at("/srv/.ssh")).unwrap();
    let owner = Owner {
        user: 1000,
        group: 1000,
    };
    let keys = Operation::Keys(KeysWork {
        user: "ada".to_owned(),
        path: "/srv".to_owned(),
        owner,
        lines: vec!["one".to_owned()],
    });
    let refused = bench.perform(&keys, Manner::Really);
    assert!(
        refused.starts_with("cannot make the SSH keys of ada"),
        "{refused}"
    );
    assert_eq!(bench.root.names("/etc").unwrap(), ["skel"]);
}

#[test]
fn what_shall_go_goes() {
    let bench = Bench::new();
    symlink("/x", bench.at("/etc/a")).unwrap();
    let removal = Operation::Removal {
        path: "/etc/a".to_owned(),
        why: "b is disabled".to_owned(),
    };
    bench.twice(&removal, "removed /etc/a (b is disabled)");
}
