//! Both stages of a first boot as programs, on a folder that is a machine's root, with servers on the loopback.
//!
//! What systemd would be told is written down by scripts of its programs' names. The booted machine is elsewhere.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

use mock_server::{Answer, MockServer};

#[allow(dead_code, reason = "the library's own tests use the rest of it")]
#[path = "../src/mock_server.rs"]
mod mock_server;

/// Of `remote`.
const DIGEST: &str = "sha256-b71199ebd070b36beab7317920c2c2f1d777df8d05e5527d8458fda57cb17a7a";
/// What systemd's programs are replaced by: each writes down how it was called.
const TOLD: &str = "#!/bin/sh\necho \"$(basename \"$0\") $*\" >> \"$TOLD\"\n\
                    [ \"$1\" = get-default ] && echo multi-user.target\nexit 0\n";

/// A folder with a root, a `/sys`, a `/run` and a kernel command line.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new(command_line: &str) -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        for (path, text) in [
            ("root/etc/passwd", "root:x:0:0:Root:/root:/bin/sh\n"),
            ("root/etc/group", "root:x:0:\nshadow:x:42:\n"),
            ("root/etc/shadow", "root:*::0:99999:7:::\n"),
            ("root/etc/gshadow", ""),
            ("root/root/kept", ""),
            ("root/var/kept", ""),
            ("sys/kept", ""),
            ("run/kept", ""),
            ("command-line", command_line),
        ] {
            machine.put(path, text.as_bytes());
        }
        for name in ["systemctl", "systemd-tmpfiles"] {
            let path = format!("programs/{name}");
            machine.put(&path, TOLD.as_bytes());
            fs::set_permissions(machine.at(&path), fs::Permissions::from_mode(0o755)).unwrap();
        }
        machine
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_default()
    }

    /// By the credential `keelson.config`.
    fn give(&self, text: &str) {
        let mut table = vec![11, 4, 0, 0];
        table.extend(b"io.systemd.credential:keelson.config=");
        table.extend(text.as_bytes());
        table.extend([0, 0, 127, 4, 0, 0, 0, 0]);
        self.put("sys/firmware/dmi/tables/DMI", &table);
    }

    fn stage(&self, name: &str) -> Output {
        let programs = self.at("programs");
        let path = format!("{}:/usr/bin:/bin", programs.display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_provision"));
        command.arg(name).env("PATH", path);
        command.env("TOLD", self.at("told"));
        for folder in ["root", "sys", "run", "command-line"] {
            command.arg(format!("--{folder}")).arg(self.at(folder));
        }
        command.output().unwrap()
    }

    fn is_requested(&self) -> bool {
        self.at("run/systemd/system/default.target").is_symlink()
            && self.at("run/keelson/first-boot/requested").exists()
    }

    fn is_stopped(&self) -> bool {
        self.is_requested() && self.at("run/keelson/first-boot/stopped").exists()
    }

    fn is_done(&self) -> bool {
        self.at("root/var/lib/keelson/provision/done").exists()
    }
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(err)
}

/// NoCloud's, with these bytes as user data.
fn seed(user_data: impl Fn() -> Answer + Send + Sync + 'static) -> MockServer {
    MockServer::start(move |request| match request.line.as_str() {
        "GET /user-data" => user_data(),
        "GET /meta-data" => {
            Answer::text("instance-id: i-7\npublic-keys: ['ssh-ed25519 AAAA a@example.com']\n")
        }
        _ => Answer::status("404 Not Found"),
    })
}

#[test]
fn a_machine_on_no_cloud_has_no_network_stage() {
    let machine = Machine::new("console=ttyS0");
    let output = machine.stage("first-boot");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(machine.is_done() && !machine.is_requested());
}

#[test]
fn user_data_is_applied_before_the_boot_goes_on_and_once() {
    let server = seed(|| Answer::text("[[files]]\npath = '/etc/a'\ncontents = 'hello'\n"));
    let line = format!("quiet ds=nocloud;s={}/", server.url());
    let machine = Machine::new(&line);
    let output = machine.stage("first-boot");
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(machine.is_requested() && !machine.is_done());
    assert_eq!(server.requests(), Vec::<String>::new());

    let output = machine.stage("network");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains("asking the metadata service of NoCloud (http://127.0.0.1"),
        "{text}"
    );
    assert_eq!(machine.text("root/etc/a"), "hello");
    let keys = machine.text("root/root/.ssh/authorized_keys");
    assert_eq!(keys, "ssh-ed25519 AAAA a@example.com\n");
    let facts = machine.text("root/var/lib/keelson/provision/metadata");
    assert!(facts.contains("KEELSON_INSTANCE_ID=\"i-7\"\n"), "{facts}");
    assert_eq!(
        machine.text("told"),
        "systemctl daemon-reload\nsystemd-tmpfiles --create\nsystemctl get-default\n\
         systemctl --no-block start multi-user.target\n"
    );
    assert!(machine.is_done() && !machine.is_requested());

    let asked = server.requests().len();
    for stage in ["first-boot", "network"] {
        assert_eq!(machine.stage(stage).status.code(), Some(0));
    }
    assert!(!machine.is_requested());
    assert_eq!(server.requests().len(), asked, "nothing on later boots");
    assert_eq!(machine.text("told").lines().count(), 4);
}

#[test]
fn a_refused_configuration_changes_nothing_until_it_is_corrected() {
    static IS_RIGHT: AtomicBool = AtomicBool::new(false);
    let server = seed(|| {
        if IS_RIGHT.load(Ordering::Relaxed) {
            return Answer::text("[[files]]\npath = '/etc/a'\n");
        }
        Answer::text("[[files]]\npath = '/etc/a'\nuser = 'nobody-knows'\n")
    });
    let machine = Machine::new(&format!("ds=nocloud;s={}", server.url()));
    machine.stage("first-boot");
    let output = machine.stage("network");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    let why = "user-data:3:1: files[0].user: there is no user nobody-knows";
    assert!(text.contains(why), "{text}");
    assert!(!machine.at("root/etc/a").exists() && !machine.at("root/root/.ssh").exists());
    assert_eq!(machine.text("told"), "");
    assert!(machine.is_requested() && !machine.is_done());

    IS_RIGHT.store(true, Ordering::Relaxed);
    let output = machine.stage("network");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(machine.at("root/etc/a").exists() && machine.is_done());
}

#[test]
fn what_a_local_configuration_names_is_fetched_and_judged_first() {
    let server = MockServer::start(|request| match request.line.as_str() {
        "GET /b" => Answer::text("remote"),
        _ => Answer::status("404 Not Found"),
    });
    let configuration = |digest: &str| {
        let url = server.url();
        format!(
            "[[files]]\npath = '/etc/a'\ncontents = 'here'\n\
             [[files]]\npath = '/etc/b'\nsource = '{url}/b'\ndigest = '{digest}'\n"
        )
    };
    let machine = Machine::new("");
    machine.give(&configuration(&format!("sha256-{}", "0".repeat(64))));
    let output = machine.stage("first-boot");
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    let kept = machine.at("run/keelson/first-boot/configuration.json");
    assert_eq!(
        fs::metadata(&kept).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let output = machine.stage("network");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("keelson.config:4:1: files[1]: "), "{text}");
    assert!(!machine.at("root/etc/a").exists());

    // Corrected, with the next boot.
    machine.give(&configuration(DIGEST));
    machine.stage("first-boot");
    let output = machine.stage("network");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(machine.text("root/etc/b"), "remote");
    assert!(!kept.exists() && machine.is_done());
}

#[test]
fn what_the_service_says_of_the_machine_is_the_clusters() {
    let server = MockServer::start(|request| match request.line.as_str() {
        "GET /hetzner/v1/userdata" => Answer::text(
            "[cluster]\nname = '$hostname'\naddress = '$private_ipv4'\ndiscovery = 'http://d/1'\n\
             metadata = { region = '$region' }\n",
        ),
        "GET /hetzner/v1/metadata/hostname" => Answer::text("n7"),
        "GET /hetzner/v1/metadata/region" => Answer::text("eu-central"),
        "GET /hetzner/v1/metadata/local-ipv4" => Answer::text("10.0.0.7"),
        _ => Answer::status("404 Not Found"),
    });
    let line = format!("keelson.platform=hetzner keelson.metadata={}", server.url());
    let machine = Machine::new(&line);
    machine.stage("first-boot");
    let output = machine.stage("network");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let kvd = machine.text("root/etc/keelson/kvd.toml");
    assert!(kvd.contains("name = \"n7\""), "{kvd}");
    assert!(kvd.contains("\"http://10.0.0.7:2379\""), "{kvd}");
    let fleet = machine.text("root/etc/keelson/fleet.toml");
    assert!(fleet.contains("region = \"eu-central\""), "{fleet}");
}

#[test]
fn a_command_line_that_cannot_be_obeyed_stops_the_boot() {
    let machine = Machine::new("keelson.platform=ecs");
    let output = machine.stage("first-boot");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(
        text.contains("keelson.platform=ecs on the kernel command line"),
        "{text}"
    );
    assert!(machine.is_stopped() && !machine.is_done());
}

#[test]
fn a_wrong_local_configuration_is_where_the_boot_stops() {
    let machine = Machine::new("quiet");
    machine.give("hostname = 'a'\n[[files]]\npath = '/etc/a'\nuser = 'nobody-knows'\n");
    let why = "keelson.config:4:1: files[0].user: there is no user nobody-knows";
    let output = machine.stage("first-boot");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains(why), "{text}");
    assert!(machine.is_requested() && machine.is_stopped() && !machine.is_done());
    // However often: the network is not asked, and nobody gets in who did not ask.
    for _ in 0..2 {
        let output = machine.stage("network");
        let text = said(&output);
        assert_eq!(output.status.code(), Some(5), "{text}");
        assert!(text.contains(why) && text.contains("stops here"), "{text}");
        assert!(text.contains("keelson.emergency=1"), "{text}");
    }
    assert_eq!(machine.text("told"), "");
    assert!(!machine.at("root/etc/hostname").exists());
    let status = machine.text("root/var/lib/keelson/provision/result.json");
    assert!(status.contains(why), "{status}");
}

#[test]
fn a_way_in_is_opened_if_asked_for_and_closed_before_the_boot_goes_on() {
    static IS_RIGHT: AtomicBool = AtomicBool::new(false);
    let server = seed(|| {
        let is_right = IS_RIGHT.load(Ordering::Relaxed);
        let path = if is_right { "/etc/a" } else { "a" };
        Answer::text(format!("[[files]]\npath = '{path}'\n"))
    });
    let shell = "keelson-emergency-shell.service";
    let line = format!("keelson.emergency=1 ds=nocloud;s={}", server.url());
    let machine = Machine::new(&line);
    machine.stage("first-boot");
    assert_eq!(machine.stage("network").status.code(), Some(3));
    let told = format!("systemctl --no-block start {shell}\n");
    assert_eq!(machine.text("told"), told);
    IS_RIGHT.store(true, Ordering::Relaxed);
    assert_eq!(machine.stage("network").status.code(), Some(0));
    let told = format!("{told}systemctl stop {shell}\nsystemctl daemon-reload\n");
    assert!(machine.text("told").starts_with(&told));

    let machine = Machine::new("keelson.emergency");
    machine.give("hostnam = 'a'\n");
    machine.stage("first-boot");
    assert_eq!(machine.stage("network").status.code(), Some(5));
    assert!(machine.text("told").contains(shell));
}

#[test]
fn words_that_nobody_needs_are_told_if_they_are_wrong() {
    let machine = Machine::new("keelson.config=ftp://x");
    machine.give("[[files]]\npath = '/etc/a'\n");
    let output = machine.stage("first-boot");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let told = "keelson.config=ftp://x on the kernel command line is not an address";
    assert!(text.contains(told), "{text}");
}
