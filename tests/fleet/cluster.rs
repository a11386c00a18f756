//! A cluster: machines with fleetd, and a kvd beside them, joined by a bridge.
//!
//! The programs are those that were built with the tests, or what `FLEETD_BIN`, `FLEETCTL_BIN` and
//! `KVD_BIN` name. Nothing is reached but what the test started.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use keelson_qemu::{Bind, Bridge, GuestFile, NamespaceMachine, RunningNamespace};

use crate::certificates::Authority;
use crate::root::{root_tree, work_folder};

/// On a busy host; a good boot takes a second.
const BOOT: Duration = Duration::from_mins(2);
/// For a command in a machine.
const SOON: Duration = Duration::from_mins(1);
/// Until the fleet has done what it shall.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a machine may be silent; fleet's tests took 3 s, on machines that had nothing else to do.
pub(crate) const TTL: Duration = Duration::from_secs(6);
/// Where units' files are in every machine.
const UNITS: &str = "/opt/units";

/// A cluster that runs; dropped, it is gone.
pub(crate) struct Cluster {
    pub(crate) machines: Vec<RunningNamespace>,
    pub(crate) store: Store,
    pub(crate) bridge: Bridge,
    authority: Authority,
    folder: tempfile::TempDir,
    units: Vec<(String, String)>,
}

/// A server of etcd's API on the bridge.
pub(crate) struct Store {
    child: Child,
    server: PathBuf,
    folder: PathBuf,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A row of `fleetctl list-units`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) unit: String,
    pub(crate) machine: String,
    pub(crate) active: String,
}

/// A program that was built with this one, or the one that a variable names.
fn program(name: &str) -> PathBuf {
    let variable = format!("{}_BIN", name.to_uppercase());
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    let own = std::env::current_exe().expect("this program");
    // A test is in target/PROFILE/deps, the benchmark beside the others.
    let mut found = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name));
    let path = found.find(|path| path.is_file());
    path.unwrap_or_else(|| panic!("build {name}: cargo build --package {name}"))
}

/// The id of a machine, from 0: its first digits tell machines apart, as those of real ones do.
pub(crate) fn id(machine: usize) -> String {
    format!("{:x}", machine + 1).repeat(32)
}

fn address(machine: usize) -> String {
    format!("10.98.0.{}", machine + 11)
}

/// A unit that runs until it is stopped.
pub(crate) fn sleeper(more: &str) -> String {
    format!("[Service]\nExecStart=/bin/sleep infinity\n{more}")
}

impl Store {
    fn start(bridge: &Bridge, server: PathBuf, folder: &Path) -> Self {
        let folder = folder.join("store");
        let child = Self::spawn(bridge, &server, &folder);
        Self {
            child,
            server,
            folder,
        }
    }

    fn spawn(bridge: &Bridge, server: &Path, folder: &Path) -> Child {
        let url = "http://10.98.0.1:2379";
        let mut command = bridge.command(server);
        command
            .arg("--data-dir")
            .arg(folder)
            .args(["--listen-client-urls", url, "--advertise-client-urls", url])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().expect("the store starts")
    }

    /// Kills it, as a power cut does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
    }

    /// Starts it again on what it wrote.
    pub(crate) fn start_again(&mut self, bridge: &Bridge) {
        self.child = Self::spawn(bridge, &self.server, &self.folder);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // It may have been killed before.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Cluster {
    /// So many machines over kvd, each with these units' files.
    pub(crate) fn start(machines: usize, units: &[(&str, &str)]) -> Self {
        Self::over(program("kvd"), machines, units)
    }

    /// The same over another server of etcd's v3 API.
    pub(crate) fn over(server: PathBuf, machines: usize, units: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir_in(work_folder()).expect("a temporary folder");
        let bridge = Bridge::create("10.98.0.1", 24).unwrap_or_else(|error| panic!("{error}"));
        let store = Store::start(&bridge, server, folder.path());
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        let mut cluster = Self {
            machines: Vec::new(),
            store,
            bridge,
            authority: Authority::new(),
            folder,
            units: units.iter().map(owned).collect(),
        };
        for _ in 0..machines {
            cluster.add(&[]);
        }
        cluster.wait_members(machines);
        cluster
    }

    /// One machine more; `settings` are lines of its settings file.
    pub(crate) fn add(&mut self, settings: &[&str]) {
        let index = self.machines.len();
        let machine = self.machine(index, &id(index), settings);
        self.boot(&machine);
    }

    /// A machine with the id of another.
    pub(crate) fn add_double(&mut self, of: usize) {
        let machine = self.machine(self.machines.len(), &id(of), &[]);
        self.boot(&machine);
    }

    fn boot(&mut self, machine: &NamespaceMachine) {
        let running = machine
            .start(self.folder.path(), Some(&self.bridge))
            .unwrap_or_else(|error| panic!("{error}"));
        running
            .wait_booted(BOOT)
            .unwrap_or_else(|error| panic!("{error}"));
        self.machines.push(running);
    }

    fn machine(&self, index: usize, id: &str, settings: &[&str]) -> NamespaceMachine {
        let mut machine = NamespaceMachine::new(&format!("m{index}"), root_tree());
        machine.address = Some(address(index));
        machine.machine_id = Some(id.to_owned());
        let masked = ["kvd.service", "keelson-health.service", "etcd.service"];
        machine.masked.extend(masked.map(ToOwned::to_owned));
        for name in ["fleetd", "fleetctl"] {
            machine.binds.push(Bind {
                source: program(name),
                target: format!("/usr/bin/{name}").into(),
            });
        }
        machine.files = self.files(index, settings);
        machine
    }

    fn files(&self, index: usize, settings: &[&str]) -> Vec<GuestFile> {
        let mut settings_file = format!(
            "etcd-servers = [\"http://10.98.0.1:2379\"]\nagent-ttl = \"{}s\"\nlisten = \"0.0.0.0:49153\"\n\
             tls-cafile = \"/etc/keelson/ca.pem\"\ntls-certfile = \"/etc/keelson/fleetd.pem\"\n\
             tls-keyfile = \"/etc/keelson/fleetd.key\"\nmetadata = {{ hostname = \"m{index}\" }}\n",
            TTL.as_secs()
        );
        for line in settings {
            settings_file.push_str(line);
            settings_file.push('\n');
        }
        let (certificate, key) = self.authority.issue("fleet-peer", &address(index));
        let ours = |name: &str| {
            let path = format!("units/usr/lib/systemd/system/{name}");
            let text = std::fs::read(keelson_tests::checkout().join(path)).expect("our unit");
            GuestFile::new(format!("/usr/lib/systemd/system/{name}"), text)
        };
        let mut files = vec![
            ours("fleetd.service"),
            ours("fleetd-guard.service"),
            ours("fleet.socket"),
            // The image under test may be older than the group.
            GuestFile::new(
                "/etc/systemd/system/fleet.socket.d/test.conf",
                "[Socket]\nSocketGroup=root\n",
            ),
            GuestFile::new(
                "/etc/systemd/system/multi-user.target.d/fleet.conf",
                "[Unit]\nWants=fleet.socket fleetd.service\n",
            ),
            GuestFile::new("/etc/keelson/fleet.toml", settings_file),
            GuestFile::new("/etc/keelson/ca.pem", self.authority.certificate()),
            GuestFile::new("/etc/keelson/fleetd.pem", certificate),
            GuestFile::new("/etc/keelson/fleetd.key", key),
        ];
        // The folder is there without units, too.
        files.push(GuestFile::new(
            format!("{UNITS}/README"),
            "Units of the test\n",
        ));
        for (name, text) in &self.units {
            files.push(GuestFile::new(format!("{UNITS}/{name}"), text.as_str()));
        }
        files
    }

    /// The authority of the cluster's certificates.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Runs a command in a machine.
    pub(crate) fn run(&self, machine: usize, words: &[&str]) -> Ended {
        let (status, stdout, stderr) = self.machines[machine]
            .output(words, SOON)
            .unwrap_or_else(|error| panic!("{words:?}: {error}"));
        Ended {
            code: status.code(),
            stdout,
            stderr,
        }
    }

    /// Runs a shell's words in a machine, which must succeed.
    pub(crate) fn sh(&self, machine: usize, script: &str) -> String {
        let ended = self.run(machine, &["sh", "-c", script]);
        assert_eq!(ended.code, Some(0), "{script}: {ended:?}");
        ended.stdout
    }

    /// Runs fleetctl in a machine, in the folder with the units' files.
    pub(crate) fn fleetctl(&self, machine: usize, words: &str) -> Ended {
        let script = format!("cd {UNITS} && exec fleetctl --request-timeout 30 {words}");
        self.run(machine, &["sh", "-c", &script])
    }

    /// Runs fleetctl on the first machine, which must succeed.
    pub(crate) fn ok(&self, words: &str) -> String {
        let ended = self.fleetctl(0, words);
        assert_eq!(
            ended.code,
            Some(0),
            "fleetctl {words}: {ended:?}\n{}",
            self.logs()
        );
        ended.stdout
    }

    /// The journals of all fleetds.
    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for machine in &self.machines {
            let words = [
                "journalctl",
                "--unit=fleetd",
                "--no-pager",
                "--lines=60",
                "--output=cat",
            ];
            let told = machine.output(&words, SOON);
            let told = told.map(|(_, stdout, _)| stdout).unwrap_or_default();
            text = format!("{text}== {}\n{told}", machine.name());
        }
        text
    }

    /// What runs where, by name and machine.
    pub(crate) fn rows(&self, machine: usize) -> Vec<Row> {
        let words = "list-units --no-legend --full --fields unit,machine,active";
        let ended = self.fleetctl(machine, words);
        let mut rows: Vec<Row> = ended.stdout.lines().filter_map(row).collect();
        rows.sort_unstable();
        rows
    }

    /// The machines where a unit is active.
    pub(crate) fn places(&self, machine: usize, unit: &str) -> Vec<String> {
        let rows = self.rows(machine).into_iter();
        let here = rows.filter(|row| row.unit == unit && row.active == "active");
        here.map(|row| row.machine).collect()
    }

    /// Looks until something is so.
    pub(crate) fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "{what} never came\n{}",
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until a unit is active on a machine, as the first tells it, and gives the machine.
    pub(crate) fn active(&self, unit: &str) -> String {
        self.until(&format!("an active {unit}"), || self.places(0, unit).pop())
    }

    /// Waits until so many units are active.
    pub(crate) fn wait_active(&self, count: usize) -> Vec<Row> {
        self.until(&format!("{count} active units"), || {
            let mut rows = self.rows(0);
            rows.retain(|row| row.active == "active");
            (rows.len() == count).then_some(rows)
        })
    }

    /// Waits until the cluster has so many members.
    pub(crate) fn wait_members(&self, count: usize) {
        self.until(&format!("{count} machines"), || {
            let ended = self.fleetctl(0, "list-machines --no-legend");
            (ended.code == Some(0) && ended.stdout.lines().count() == count).then_some(())
        });
    }

    /// The index of a machine with an id.
    pub(crate) fn index(&self, machine_id: &str) -> usize {
        let found = (0..self.machines.len()).find(|index| id(*index) == machine_id);
        found.unwrap_or_else(|| panic!("no machine {machine_id}"))
    }

    /// A property of a unit, as a machine's systemd has it.
    pub(crate) fn property(&self, machine: usize, unit: &str, property: &str) -> String {
        let ended = self.run(
            machine,
            &["systemctl", "show", "--value", "-p", property, unit],
        );
        ended.stdout.trim().to_owned()
    }
}

fn row(line: &str) -> Option<Row> {
    let mut words = line.split_whitespace();
    let unit = words.next()?.to_owned();
    let machine = words.next()?.split('/').next()?.to_owned();
    let active = words.next()?.to_owned();
    Some(Row {
        unit,
        machine,
        active,
    })
}
