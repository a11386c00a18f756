//! Whole configurations against a small image in a temporary folder: applied, applied again, refused.
//!
//! What one operation does by itself is tested beside it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use machine_facts::provision_record::{Change, Outcome, Record, Step};

use crate::operation::Manner;
use crate::root::Root;
use crate::run::{Afterwards, Found, Place, run};

struct Image(tempfile::TempDir);

impl Image {
    fn new() -> Self {
        let image = Self(tempfile::tempdir().unwrap());
        let unit = "[Service]\nExecStart=/bin/true\n[Install]\n";
        for (path, text) in [
            ("etc/passwd", "root:x:0:0:Root:/root:/bin/bash\n"),
            ("etc/group", "root:x:0:\nsudo:x:27:\nshadow:x:42:\n"),
            ("etc/shadow", "root:*::0:99999:7:::\n"),
            ("etc/gshadow", "sudo:!::\n"),
            ("etc/.pwd.lock", ""),
            ("etc/skel/.profile", "# mine\n"),
            ("usr/bin/bash", ""),
            ("usr/share/zoneinfo/Europe/Berlin", ""),
            (
                "usr/lib/systemd/system-preset/50-a.preset",
                "enable on.service\ndisable *\n",
            ),
            (
                "usr/lib/systemd/system/kvd.service",
                format!("{unit}WantedBy=multi-user.target\n").as_str(),
            ),
            (
                "usr/lib/systemd/system/getty@.service",
                format!("{unit}WantedBy=getty.target\nDefaultInstance=tty1\n").as_str(),
            ),
            ("var/kept", "kept"),
            ("root/kept", ""),
            ("home/kept", ""),
        ] {
            image.put(path, text);
        }
        fs::set_permissions(image.at("etc/shadow"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("usr/bin", image.at("bin")).unwrap();
        fs::create_dir(image.at("run")).unwrap();
        symlink("/run", image.at("var/run")).unwrap();
        image
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path.trim_start_matches('/'))
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn link(&self, path: &str) -> String {
        let target = fs::read_link(self.at(path));
        let target = target.unwrap_or_else(|error| panic!("{path}: {error}"));
        target.to_str().unwrap().to_owned()
    }

    fn run(&self, text: &str, manner: Manner) -> Record {
        let root = Root::open(self.0.path()).unwrap();
        let found = Found {
            bytes: text.as_bytes().to_vec(),
            source: "a test".to_owned(),
            name: "test.toml".to_owned(),
            afterwards: Afterwards::Stays,
        };
        let place = Place {
            root: &root,
            devices: None,
            network: None,
            manner,
        };
        run(&found, &place, &mut |_| {})
    }

    /// Applied; the second time changes nothing.
    fn apply(&self, text: &str) -> Vec<String> {
        let record = self.run(text, Manner::Really);
        assert_eq!(record.outcome, Outcome::Applied);
        let after = self.everything();
        let again = self.run(text, Manner::Really);
        assert_eq!(again.outcome, Outcome::Applied);
        let is_change = |step: &&Step| step.change != Change::Unchanged;
        let changes: Vec<_> = again.steps.iter().filter(is_change).collect();
        assert!(changes.is_empty(), "{changes:?}");
        assert_eq!(self.everything(), after);
        record.steps.iter().map(ToString::to_string).collect()
    }

    /// Refused with these problems; the image is as it was.
    fn refuse(&self, text: &str) -> Vec<String> {
        let before = self.everything();
        let record = self.run(text, Manner::Really);
        assert_eq!(self.everything(), before);
        match record.outcome {
            Outcome::Refused { problems } => problems,
            other => panic!("{text}: {other:?}"),
        }
    }

    /// Every path, with its bytes and attributes.
    fn everything(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.0.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = fs::symlink_metadata(&path).unwrap();
                let (mode, owner) = (metadata.mode(), (metadata.uid(), metadata.gid()));
                let bytes = fs::read_link(&path).map(std::path::PathBuf::into_os_string);
                let bytes = format!("{bytes:?} {:?}", fs::read(&path).ok());
                if metadata.is_dir() {
                    folders.push(path.clone());
                }
                let node = metadata.ino();
                found.insert(path, format!("{mode:o} {owner:?} {node} {bytes}"));
            }
        }
        found
    }
}

/// Something of each kind.
const WHOLE: &str = r#"
hostname = "node1"
time-zone = "Europe/Berlin"
commands = [["/usr/bin/touch", "/var/lib/was-here"]]
sysctl = { "net.ipv4.ip_forward" = 1 }

[[groups]]
name = "admins"
id = 1500

[[users]]
name = "core"
groups = ["admins", "sudo"]
shell = "/bin/bash"
ssh-keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAXm5y core@example.com"]
password-hash = "$6$secret"

[[directories]]
path = "/var/lib/app/deep"
mode = 0o700
user = "core"

[[files]]
path = "/etc/systemd/network/10-a.network"
contents = "[Match]\nName=eth0\n"

[[files]]
path = "/var/lib/app/token"
contents = "hunter2"
mode = 0o600
user = "core"
group = "admins"

[[links]]
path = "/opt/link"
target = "tool"

[[units]]
name = "hello.service"
enable = true
contents = "[Service]\nExecStart=/usr/bin/echo hello\n[Install]\nWantedBy=multi-user.target\nAlias=hi.service\n"
drop-ins = [{ name = "10-a.conf", contents = "[Install]\nRequiredBy=kvd.service\n" }]

[[units]]
name = "getty@.service"
enable = true

[[units]]
name = "kvd.service"
mask = true
"#;

#[test]
fn everything_is_applied_and_once_only() {
    let image = Image::new();
    let said = image.run(WHOLE, Manner::DryRun);
    let untouched = image.everything();
    assert_eq!(said.outcome, Outcome::Applied);
    let steps = image.apply(WHOLE);
    assert_ne!(image.everything(), untouched);
    let said: Vec<_> = said.steps.iter().map(ToString::to_string).collect();
    assert_eq!(said, steps, "a dry run says what is done");
    assert!(!steps.join("\n").contains("hunter2") && !steps.join("\n").contains("secret"));
    assert!(
        steps.contains(&"created file /var/lib/app/token (0600 core:admins)".to_owned()),
        "{steps:#?}"
    );
    assert!(
        steps.contains(&"created user core (1000, in admins, sudo)".to_owned()),
        "{steps:#?}"
    );

    assert_eq!(image.text("etc/hostname"), "node1\n");
    assert_eq!(
        image.link("etc/localtime"),
        "../usr/share/zoneinfo/Europe/Berlin"
    );
    assert_eq!(
        image.text("etc/sysctl.d/50-first-boot.conf"),
        "net.ipv4.ip_forward = 1\n"
    );
    assert_eq!(image.link("opt/link"), "tool");
    assert_eq!(image.text("home/core/.profile"), "# mine\n");
    assert!(
        image
            .text("etc/passwd")
            .contains("\ncore:x:1000:1000::/home")
    );
    assert!(image.text("etc/shadow").contains("core:$6$secret:"));
    let keys = fs::metadata(image.at("home/core/.ssh/authorized_keys")).unwrap();
    assert_eq!((keys.uid(), keys.mode() & 0o7777), (1000, 0o600));
    let shadow = fs::metadata(image.at("etc/shadow")).unwrap();
    assert_eq!(shadow.mode() & 0o7777, 0o640, "the mode stays");

    let units = "etc/systemd/system";
    let hello = "/etc/systemd/system/hello.service";
    for link in [
        "multi-user.target.wants/hello.service",
        "hi.service",
        "kvd.service.requires/hello.service",
    ] {
        assert_eq!(image.link(&format!("{units}/{link}")), hello);
    }
    let getty = image.link(&format!("{units}/getty.target.wants/getty@tty1.service"));
    assert_eq!(getty, "/usr/lib/systemd/system/getty@.service");
    assert_eq!(image.link(&format!("{units}/kvd.service")), "/dev/null");
    let commands = format!("{units}/first-boot-commands.service");
    assert!(
        image
            .text(&commands)
            .contains("ExecStart=/var/lib/keelson/provision/commands/01\n")
    );
    let wants = format!("{units}/multi-user.target.wants/first-boot-commands.service");
    assert_eq!(image.link(&wants), format!("/{commands}"));
}

#[test]
fn units_are_disabled_and_preset() {
    let image = Image::new();
    let wants = image.at("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wants).unwrap();
    for name in ["kvd.service", "getty@tty7.service", "other.service"] {
        symlink("/usr/lib/x", wants.join(name)).unwrap();
    }
    let text = "[Service]\\nExecStart=/bin/true\\n[Install]\\nWantedBy=multi-user.target\\n";
    let steps = image.apply(&format!(
        "units = [{{ name = 'kvd.service', enable = false }}, {{ name = 'getty@.service', enable = false }},\n\
         {{ name = 'on.service', contents = \"{text}\" }}, {{ name = 'off.service', contents = \"{text}\" }}]"
    ));
    let removed: Vec<_> = steps
        .iter()
        .filter(|step| step.starts_with("removed"))
        .collect();
    assert_eq!(removed.len(), 2, "{steps:#?}");
    let mut left: Vec<_> = fs::read_dir(wants)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["on.service", "other.service"]);
}

#[test]
fn what_coreos_started_is_wanted() {
    let image = Image::new();
    image.apply("#cloud-config\ncoreos:\n  units:\n  - name: etcd2.service\n    command: start\n");
    let link = image.link("etc/systemd/system/multi-user.target.wants/kvd.service");
    assert_eq!(link, "/usr/lib/systemd/system/kvd.service");
}

/// Configurations, and what is said of them.
const REFUSED: &[(&str, &str)] = &[
    (
        "[[files]]\npath = '/etc/a'\nuser = 'nobody'\n",
        "test.toml:3:1: files[0].user: there is no user nobody",
    ),
    (
        "[[files]]\npath = '/var/run/a'\n",
        "/var/run/a leads to /run/a: /run/a would be gone",
    ),
    ("[[files]]\npath = '/etc/out/a'\n", "leads out of the root"),
    (
        "[[files]]\npath = '/etc/file/a'\n",
        "goes through /etc/file, which is a file",
    ),
    (
        "[[files]]\npath = '/etc/folder'\ncontents = 'x'\n",
        "/etc/folder is there already and differs",
    ),
    (
        "[[files]]\npath = '/etc/file'\ncontents = 'x'\n",
        "/etc/file is there already and differs",
    ),
    (
        "[[directories]]\npath = '/etc/file'\n",
        "/etc/file is there already and differs",
    ),
    (
        "[[directories]]\npath = '/etc'\noverwrite = true\n",
        "/etc cannot be replaced as a whole",
    ),
    (
        "[[links]]\npath = '/etc/file'\ntarget = 'x'\n",
        "/etc/file is there already and differs",
    ),
    (
        "[[links]]\npath = '/etc/new'\ntarget = '/etc/none'\nhard = true\n",
        "links[0].target: /etc/none is no file",
    ),
    (
        "hostname = 'a'\n[[files]]\npath = '/etc/hostname'\n",
        "/etc/hostname stands at files[0] already",
    ),
    (
        "time-zone = 'Mars/Olympus'\n",
        "test.toml:1:1: time-zone: Mars/Olympus: the image has no such zone",
    ),
    (
        "users = [{ name = 'a', shell = '/bin/zsh' }]\n",
        "the image has no /bin/zsh",
    ),
    (
        "users = [{ name = 'a', home = '/usr/a' }]\n",
        "/usr/a is part of the read-only image",
    ),
    (
        "users = [{ name = 'a', home = '/var/kept' }]\n",
        "home directory /var/kept is a file",
    ),
    (
        "users = [{ name = 'a', without-home = true, ssh-keys = ['ssh-ed25519 AAAA'] }]\n",
        "have no place",
    ),
    (
        "units = [{ name = 'none.service', enable = true }]\n",
        "no unit none.service",
    ),
    (
        "#cloud-config\nusers:\n- name: a\n  sudo: ALL=(ALL) ALL\n",
        "the image has no sudo",
    ),
];

#[test]
fn what_does_not_suit_the_machine_is_refused_before_the_first_write() {
    let image = Image::new();
    image.put("etc/file", "other");
    fs::create_dir_all(image.at("etc/folder/x")).unwrap();
    symlink("../../..", image.at("etc/out")).unwrap();
    for (text, complaint) in REFUSED {
        let problems = image.refuse(text);
        assert!(
            problems.iter().any(|problem| problem.contains(complaint)),
            "{text}{problems:#?}"
        );
    }
}

#[test]
fn what_needs_the_network_waits() {
    let image = Image::new();
    let untouched = image.everything();
    for text in [
        "hostname = 'a'\ninclude = [{ source = 'https://x/y' }]\n",
        "[[files]]\npath = '/etc/a'\n[[files]]\npath = '/etc/b'\nsource = 'https://x/y'\n",
    ] {
        let outcome = image.run(text, Manner::Really).outcome;
        let addresses = vec!["https://x/y".to_owned()];
        assert_eq!(outcome, Outcome::Deferred { addresses });
        assert_eq!(image.everything(), untouched);
    }
}

#[test]
fn all_problems_are_told_in_the_texts_order() {
    let image = Image::new();
    let problems = image.refuse("hostname = 'a'\n[[files]]\npath = '/etc/a'\nuser = 'x'\n[[units]]\nname = 'y.service'\nenable = true\n");
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems[0].starts_with("test.toml:4:"), "{problems:#?}");
    assert!(problems[1].starts_with("test.toml:5:"), "{problems:#?}");
}

#[test]
fn what_is_cut_off_is_finished_by_the_next_run() {
    let image = Image::new();
    // A file system that cannot be written to in one place.
    let text =
        "[[files]]\npath = '/etc/a'\ncontents = 'x'\n[[files]]\npath = '/srv/b'\ncontents = 'x'\n";
    image.put("srv", "in the way");
    let root = Root::open(image.0.path()).unwrap();
    let configuration = provision_model::Configuration::parse(
        text.as_bytes(),
        provision_model::Variables::default(),
    )
    .unwrap();
    fs::remove_file(image.at("srv")).unwrap();
    let work = super::prepare(
        &configuration,
        &provision_model::Plan::default(),
        (&root, None),
        None,
    )
    .unwrap();
    image.put("srv", "in the way");
    let mut steps = Vec::new();
    let failed = work.perform(&root, Manner::Really, &mut |step| steps.push(step.clone()));
    let failed = failed.unwrap_err().to_string();
    assert_eq!(failed, "cannot make the file /srv/b");
    assert_eq!(steps.len(), 1);
    fs::remove_file(image.at("srv")).unwrap();
    let record = image.run(text, Manner::Really);
    assert_eq!(record.steps[0].change, Change::Unchanged);
    assert_eq!(record.steps[1].change, Change::Created);
}

#[test]
fn what_is_brought_along_is_applied_with_the_rest() {
    let image = Image::new();
    let inner = "{\"ignition\":{\"version\":\"3.5.0\"},\"storage\":{\"files\":[\
                 {\"path\":\"/etc/a\",\"mode\":384,\"contents\":{\"source\":\"data:,inner\"}}]}}";
    let inner = inner.replace('"', "%22");
    let outer = |inner: &str| {
        format!(
            "{{\"ignition\":{{\"version\":\"3.5.0\",\"config\":{{\"merge\":[{{\"source\":\"data:,{inner}\"}}]}}}},\
             \"storage\":{{\"files\":[{{\"path\":\"/etc/b\"}},{{\"path\":\"/etc/a\",\"contents\":{{\"source\":\"data:,outer\"}}}}]}}}}"
        )
    };
    let steps = image.apply(&outer(&inner));
    let expected = "created file /etc/a (0600 root)";
    assert!(steps.contains(&expected.to_owned()), "{steps:#?}");
    assert_eq!(image.text("etc/a"), "inner");
    assert_eq!(image.text("etc/b"), "");
    let wrong = inner.replace("384", "999999");
    let problems = image.refuse(&outer(&wrong));
    let expected = "ignition.config.merge[0]: what is brought along here: 1:";
    assert!(problems[0].contains(expected), "{problems:#?}");
    let wrong = inner.replace("/etc/a", "/etc/b/c");
    let problems = image.refuse(&outer(&wrong));
    assert!(
        problems[0].contains("/etc/b/c is below /etc/b"),
        "{problems:#?}"
    );
}
