//! The fleet's agent with a real systemd: in this process, over the machine's bus and file system.
//!
//! The store is in memory. What needs no real systemd is tested in the agent's own crate.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fleet_agent::{Agent, Bus, Configuration, Uptime};
use fleet_api::{DropIn, Unit};
use fleet_model::{MachineId, State};
use fleet_store::memory::{MemoryClient, MemoryStore};
use fleet_store::{
    Contents, DropInText, Keys, Layout, MachineRecord, Operation, Target, Transaction, UnitStatus,
    Value,
};
use keelson_qemu::{NamespaceMachine, RunningNamespace};
use machine_facts::system_root::SystemRoot;
use systemd_unit::{UnitFile, UnitName};

use crate::root::{root_tree, work_folder};

/// On a busy host; a good boot takes a second.
const BOOT: Duration = Duration::from_mins(2);
/// For a command in a machine, and for a state to be told.
const SOON: Duration = Duration::from_mins(1);
/// Of the machine's lease: the shortest in which a busy host keeps it alive.
const TTL: Duration = Duration::from_secs(8);

/// A machine with an agent that runs here.
struct Node {
    machine: RunningNamespace,
    store: MemoryStore,
    client: MemoryClient,
    layout: Layout,
    id: MachineId,
    agent: Option<Agent<MemoryClient>>,
    _folder: tempfile::TempDir,
}

impl Node {
    fn boot(name: &str) -> Self {
        let folder = tempfile::tempdir_in(work_folder()).expect("a temporary folder");
        let mut machine = NamespaceMachine::new(name, root_tree());
        let masked = ["kvd.service", "keelson-health.service", "etcd.service"];
        machine.masked.extend(masked.map(ToOwned::to_owned));
        let started = machine.start(folder.path(), None);
        let machine = started.unwrap_or_else(|error| panic!("{error}"));
        let booted = machine.wait_booted(BOOT);
        booted.unwrap_or_else(|error| panic!("{error}"));
        let store = MemoryStore::new(1);
        Self {
            machine,
            client: store.client(),
            store,
            layout: Layout::default(),
            id: MachineId::new("m1"),
            agent: None,
            _folder: folder,
        }
    }

    /// The machine's file system, seen from here.
    fn root(&self) -> PathBuf {
        format!("/proc/{}/root", self.machine.process_id()).into()
    }

    fn start_agent(&mut self) {
        let socket = self.root().join("run/dbus/system_bus_socket");
        let bus = Bus::new(Some(format!("unix:path={}", socket.display())));
        let configuration = Configuration {
            machine: self.id.clone(),
            boot_id: "b".to_owned(),
            record: MachineRecord::default(),
            layout: self.layout.clone(),
            lease_ttl: TTL,
            boot_grace: Duration::from_secs(5),
            registration: fleet_agent::RegistrationSettings::default(),
            root: SystemRoot::new(self.root()),
            uptime: Uptime::of_machine(),
        };
        self.agent = Some(Agent::start(configuration, bus, self.client.clone()));
    }

    async fn restart_agent(&mut self) {
        self.agent.take().expect("it runs").stop().await;
        self.start_agent();
    }

    fn change(&self, operations: Vec<Operation>) {
        let outcome = self.store.put_through(&Transaction {
            conditions: Vec::new(),
            operations,
        });
        assert!(outcome.is_some_and(fleet_store::Outcome::is_committed));
    }

    fn target(&self, unit: &str, contents: &Contents, desired: State) {
        let unit = UnitName::new(unit).expect("a name");
        let hash = hash(&unit, contents);
        let target = Target {
            hash: hash.clone(),
            desired,
            replacing: Vec::new(),
        };
        self.change(vec![
            Operation::put(self.layout.contents(&hash), contents.to_bytes()),
            Operation::put(self.layout.target(&self.id, &unit), target.to_bytes()),
        ]);
    }

    fn untarget(&self, unit: &str) {
        let unit = UnitName::new(unit).expect("a name");
        self.change(vec![Operation::Delete(self.layout.target(&self.id, &unit))]);
    }

    fn state(&self, unit: &str) -> Option<UnitStatus> {
        let unit = UnitName::new(unit).expect("a name");
        let key = Keys::One(self.layout.state(&self.id, &unit));
        let pair = self.store.look(&key).into_iter().next()?;
        Some(UnitStatus::from_pair(&pair).expect("a state"))
    }

    /// Waits until a unit's state is so.
    async fn wait_state(&self, unit: &str, is_it: impl Fn(Option<&UnitStatus>) -> bool) {
        let deadline = Instant::now() + SOON;
        loop {
            let state = self.state(unit);
            if is_it(state.as_ref()) {
                return;
            }
            if Instant::now() > deadline {
                let status = self.show(unit, "ActiveState,SubState,LoadState,FragmentPath");
                panic!("{unit}: told {state:?}, systemd says {status}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn wait_active(&self, unit: &str, active: &str) {
        self.wait_state(unit, |state| {
            state.is_some_and(|state| state.active == active)
        })
        .await;
    }

    fn run(&self, words: &[&str]) -> String {
        let output = self.machine.run(words, SOON);
        output.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Properties that systemd shows of a unit.
    fn show(&self, unit: &str, properties: &str) -> String {
        let output = self.run(&[
            "systemctl",
            "show",
            "--property",
            properties,
            "--value",
            unit,
        ]);
        output.trim().to_owned()
    }

    /// What a command prints, whether or not it succeeds.
    fn ask(&self, words: &[&str]) -> String {
        let (_, output, _) = self.machine.output(words, SOON).expect("it runs");
        output.trim().to_owned()
    }
}

fn hash(name: &UnitName, contents: &Contents) -> String {
    let parse = |text: &str| UnitFile::parse(text).expect("a unit file");
    let drop_ins = contents.drop_ins.iter();
    let unit = Unit {
        drop_ins: drop_ins
            .map(|one| DropIn::from_file(&one.name, &parse(&one.file)))
            .collect(),
        ..Unit::from_file(name.as_str(), &parse(&contents.file))
    };
    unit.hash().expect("a hash")
}

fn service(lines: &str) -> Contents {
    Contents {
        file: format!("[Service]\n{lines}\n"),
        drop_ins: Vec::new(),
    }
}

fn sleeping(description: &str) -> Contents {
    let file =
        format!("[Unit]\nDescription={description}\n\n[Service]\nExecStart=sleep infinity\n");
    Contents {
        file,
        drop_ins: Vec::new(),
    }
}

fn is_empty(folder: &Path, word: &str) -> bool {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names = entries.map(|entry| entry.expect("an entry").file_name());
    !names.any(|name| name.to_string_lossy().contains(word))
}

#[tokio::test]
async fn a_unit_lives_and_goes_as_it_is_wanted() {
    let mut node = Node::boot("a1");
    node.start_agent();
    let mut contents = sleeping("first");
    node.target("hello.service", &contents, State::Loaded);
    node.wait_active("hello.service", "inactive").await;
    assert_eq!(
        node.ask(&["systemctl", "is-enabled", "hello.service"]),
        "linked-runtime"
    );
    node.target("hello.service", &contents, State::Launched);
    node.wait_active("hello.service", "active").await;
    assert_eq!(node.show("hello.service", "Description"), "first");

    // Other contents, this time in a drop-in.
    let first = node.show("hello.service", "MainPID");
    contents.drop_ins.push(DropInText {
        name: "10-name.conf".to_owned(),
        file: "[Unit]\nDescription=second\n".to_owned(),
    });
    node.target("hello.service", &contents, State::Launched);
    let expected = hash(&UnitName::new("hello.service").expect("a name"), &contents);
    let is_new = |state: Option<&UnitStatus>| {
        state.is_some_and(|state| state.hash == expected && state.active == "active")
    };
    node.wait_state("hello.service", is_new).await;
    assert_eq!(node.show("hello.service", "Description"), "second");
    let second = node.show("hello.service", "MainPID");
    assert_ne!(second, first);
    assert_eq!(node.show("hello.service", "NeedDaemonReload"), "no");

    // An upgrade of the agent, and one of systemd.
    node.restart_agent().await;
    node.run(&["systemctl", "daemon-reexec"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(node.show("hello.service", "MainPID"), second);
    node.run(&["systemctl", "kill", "--signal=KILL", "hello.service"]);
    node.wait_active("hello.service", "failed").await;
    assert_eq!(node.state("hello.service").expect("a state").sub, "failed");

    node.untarget("hello.service");
    node.wait_state("hello.service", |state| state.is_none())
        .await;
    assert!(is_empty(&node.root().join("run/fleet/units"), "hello"));
    assert!(is_empty(&node.root().join("run/systemd/system"), "hello"));
    assert_eq!(node.show("hello.service", "LoadState"), "not-found");
}

#[tokio::test]
async fn every_change_is_told_also_what_cannot_be_done() {
    let mut node = Node::boot("a2");
    node.start_agent();
    // fleet's case of a unit that another one wants.
    node.target("hello.service", &sleeping("hello"), State::Loaded);
    let mut installed = sleeping("installed");
    installed.file = format!(
        "[Unit]\nBindsTo=hello.service\nAfter=hello.service\n\n{}\n[Install]\nWantedBy=hello.service\n",
        installed.file.split("\n\n").nth(1).expect("a section")
    );
    node.target("installed.service", &installed, State::Loaded);
    node.wait_active("installed.service", "inactive").await;
    node.wait_active("hello.service", "inactive").await;
    node.target("hello.service", &sleeping("hello"), State::Launched);
    node.wait_active("installed.service", "active").await;
    node.target("hello.service", &sleeping("hello"), State::Loaded);
    node.wait_active("hello.service", "inactive").await;
    node.wait_active("installed.service", "inactive").await;

    node.target(
        "restarts.service",
        &service("ExecStart=false\nRestart=always\nRestartSec=1h"),
        State::Launched,
    );
    let is_waiting = |state: Option<&UnitStatus>| {
        state.is_some_and(|state| {
            (state.active.as_str(), state.sub.as_str()) == ("activating", "auto-restart")
        })
    };
    node.wait_state("restarts.service", is_waiting).await;
    node.target(
        "once.service",
        &service("Type=oneshot\nExecStart=true"),
        State::Launched,
    );
    let is_done = |state: Option<&UnitStatus>| {
        state.is_some_and(|state| state.active == "inactive" && state.reached == State::Launched)
    };
    node.wait_state("once.service", is_done).await;
    let is_bad = |state: Option<&UnitStatus>| {
        state.is_some_and(|state| state.load == "bad-setting" && !state.problem.is_empty())
    };
    node.target("bad.service", &service("Type=simple"), State::Launched);
    node.wait_state("bad.service", is_bad).await;
    let is_foreign = |state: Option<&UnitStatus>| {
        state.is_some_and(|state| {
            state
                .problem
                .contains("the machine has a unit of this name")
        })
    };
    let before = node.show("dbus.service", "FragmentPath,MainPID");
    node.target("dbus.service", &sleeping("mine"), State::Launched);
    node.wait_state("dbus.service", is_foreign).await;
    assert_eq!(node.show("dbus.service", "FragmentPath,MainPID"), before);

    let units = ["hello", "installed", "restarts", "once", "bad", "dbus"];
    for unit in units {
        node.untarget(&format!("{unit}.service"));
    }
    for unit in units {
        node.wait_state(&format!("{unit}.service"), |state| state.is_none())
            .await;
    }
    assert_eq!(node.show("dbus.service", "FragmentPath,MainPID"), before);
    assert!(is_empty(&node.root().join("run/fleet/units"), ".service"));
}

#[tokio::test]
async fn units_are_started_within_milliseconds_and_many_at_once() {
    let mut node = Node::boot("a3");
    node.start_agent();
    let count = 20;
    let mut times = Vec::new();
    for number in 0..count {
        let unit = format!("one{number}.service");
        let begun = Instant::now();
        node.target(&unit, &sleeping(&unit), State::Launched);
        node.wait_active(&unit, "active").await;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    println!(
        "target to active state: median {:?}, longest {:?}",
        times[count / 2],
        times[count - 1]
    );
    assert!(times[count / 2] < Duration::from_secs(1), "{times:?}");
    let begun = Instant::now();
    for number in 0..100 {
        let unit = format!("many{number}.service");
        node.target(&unit, &sleeping(&unit), State::Launched);
    }
    for number in 0..100 {
        node.wait_active(&format!("many{number}.service"), "active")
            .await;
    }
    println!("100 units: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_stubborn_unit_is_killed_before_the_lease_ends() {
    let mut node = Node::boot("a4");
    node.start_agent();
    let stubborn = "ExecStart=sh -c 'trap \"\" TERM; while :; do sleep 1; done'\n\n[X-Fleet]\nOnPartition=stop";
    node.target("stubborn.service", &service(stubborn), State::Launched);
    node.target("keep.service", &sleeping("keep"), State::Launched);
    node.wait_active("stubborn.service", "active").await;
    node.wait_active("keep.service", "active").await;
    let kept = node.show("keep.service", "MainPID");
    node.client.cut();
    let is_alive = || {
        let key = Keys::One(node.layout.alive(&node.id));
        !node.store.look(&key).is_empty()
    };
    let deadline = Instant::now() + TTL * 3;
    while node.ask(&["systemctl", "is-active", "stubborn.service"]) != "failed" {
        assert!(is_alive(), "the lease ended before the unit did");
        assert!(Instant::now() < deadline, "it still runs");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(is_alive(), "the lease ended before the unit did");
    assert_eq!(node.show("keep.service", "MainPID"), kept);
    node.client.mend();
    node.wait_active("stubborn.service", "active").await;
    assert_eq!(node.show("keep.service", "MainPID"), kept);
}
