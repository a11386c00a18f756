//! Containers that are announced on the machine, and what the store has of them.

use std::collections::BTreeMap;
use std::process::{Child, Command};

use container_model::name::Name;
use container_model::port::Protocol;
use container_model::registration::{
    ANNOUNCED, Address, Announcement, Health, REGISTERED, Receipt, Service, Settings,
};
use fleet_agent::Registration;
use fleet_store::memory::MemoryStore;
use fleet_store::{KeyValue, Keys};
use tokio::time::sleep;

use crate::fixture::{Machine, TTL, seconds};

const WEB: &str = "/keelson/services/web/";
const DNS: &str = "/keelson/services/dns/";

/// A process that stands for a container's monitor.
struct Monitor {
    child: Child,
    name: Name,
}

impl Monitor {
    fn start(name: &str) -> Self {
        let child = Command::new("sleep").arg("1000").spawn().expect("sleep");
        let name = name.parse().expect("a name");
        Self { child, name }
    }

    fn announce(&self, machine: &Machine, services: &[(&str, u16)]) {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.expect("a process");
        let (_, fields) = stat.rsplit_once(')').expect("fields");
        let started = fields.split_whitespace().nth(19).expect("a time");
        let service = |(name, port): &(&str, u16)| Service {
            name: (*name).to_owned(),
            address: Address::Machine,
            port: *port,
            container_port: 80,
            protocol: Protocol::Tcp,
            tags: Vec::new(),
            id: None,
            attributes: BTreeMap::new(),
        };
        let announcement = Announcement {
            container: self.name.clone(),
            process: self.child.id(),
            process_started: started.parse().expect("a number"),
            unit: None,
            image: "a".to_owned(),
            digest: "b".to_owned(),
            health: Health::Unchecked,
            services: services.iter().map(service).collect(),
        };
        let path = self.path(machine, ANNOUNCED);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, serde_json::to_vec(&announcement).expect("JSON")).expect("written");
    }

    fn withdraw(&self, machine: &Machine) {
        std::fs::remove_file(self.path(machine, ANNOUNCED)).expect("it was announced");
    }

    fn path(&self, machine: &Machine, folder: &str) -> std::path::PathBuf {
        let folder = machine.folder.path().join(folder.trim_start_matches('/'));
        folder.join(format!("{}.json", self.name))
    }

    fn receipt(&self, machine: &Machine) -> Option<Receipt> {
        let text = std::fs::read(self.path(machine, REGISTERED)).ok()?;
        Some(serde_json::from_slice(&text).expect("a receipt"))
    }

    /// Asks the agent, and waits no longer than a monitor would.
    async fn settled(&self, machine: &Machine) -> Option<Result<(), String>> {
        let agent = machine.agent.as_ref().expect("it runs");
        let announcements = agent.announcements();
        let settled = announcements.settled(self.name.clone());
        tokio::time::timeout(seconds(2), settled).await.ok()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn keys(store: &MemoryStore, prefix: &str) -> Vec<KeyValue> {
    store.look(&Keys::Prefix(prefix.to_owned()))
}

async fn registered(store: &MemoryStore) -> Machine {
    let mut machine = Machine::new(store);
    "10.0.0.1".clone_into(&mut machine.record.primary_ip);
    machine.start_agent();
    sleep(seconds(1)).await;
    assert_eq!(machine.registration(), Registration::Registered);
    machine
}

#[tokio::test(start_paused = true)]
async fn what_is_announced_is_registered_under_the_machines_lease_and_withdrawn() {
    let store = MemoryStore::new(1);
    let machine = registered(&store).await;
    let lease = machine.alive().expect("alive").1.lease;
    let monitor = Monitor::start("c");
    let revision = store.revision();
    monitor.announce(&machine, &[("web", 8080), ("dns", 53)]);
    assert_eq!(monitor.settled(&machine).await, Some(Ok(())));
    let (web, dns) = (keys(&store, WEB), keys(&store, DNS));
    assert_eq!(web[0].key, format!("{WEB}{}:c:80", machine.id));
    let value = String::from_utf8(web[0].value.clone()).expect("text");
    assert!(
        value.starts_with(r#"{"address":"10.0.0.1","port":8080,"#),
        "{value}"
    );
    assert_eq!((web[0].lease, dns[0].lease), (lease, lease));
    assert_eq!(
        web[0].mod_revision, dns[0].mod_revision,
        "in one transaction"
    );
    assert_eq!(store.revision(), revision + 1);
    let receipt = monitor.receipt(&machine).expect("a receipt");
    assert!(receipt.confirmed);
    assert_eq!(receipt.entries.len(), 2);

    // What is said again is not written again.
    assert_eq!(monitor.settled(&machine).await, Some(Ok(())));
    assert_eq!(store.revision(), revision + 1);

    // Another service: one goes, one stays as it is.
    monitor.announce(&machine, &[("web", 8080)]);
    assert_eq!(monitor.settled(&machine).await, Some(Ok(())));
    assert_eq!(keys(&store, WEB), web);
    assert_eq!(keys(&store, DNS), []);

    monitor.withdraw(&machine);
    assert_eq!(monitor.settled(&machine).await, Some(Ok(())));
    assert_eq!(keys(&store, "/keelson/services/"), []);
    assert_eq!(keys(&store, "/keelson/fleet/announced/"), []);
    assert_eq!(monitor.receipt(&machine), None);
}

#[tokio::test(start_paused = true)]
async fn nothing_flaps_while_agents_end_and_start() {
    for is_killed in [false, true] {
        let store = MemoryStore::new(1);
        let mut machine = registered(&store).await;
        let (stays, goes) = (Monitor::start("stays"), Monitor::start("goes"));
        stays.announce(&machine, &[("web", 8080)]);
        goes.announce(&machine, &[("dns", 53)]);
        assert_eq!(stays.settled(&machine).await, Some(Ok(())));
        assert_eq!(goes.settled(&machine).await, Some(Ok(())));
        let before = keys(&store, WEB);
        if is_killed {
            machine.kill_agent();
        } else {
            machine.stop_agent().await;
        }
        goes.withdraw(&machine);
        sleep(seconds(1)).await;
        assert_eq!(keys(&store, DNS).len(), 1, "nobody is there to take it out");
        machine.start_agent();
        sleep(seconds(2)).await;
        assert_eq!(keys(&store, WEB), before, "not even put again");
        assert_eq!(keys(&store, DNS), []);
        assert_eq!(goes.receipt(&machine), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_takes_the_keys_and_a_new_one_brings_them_back() {
    let store = MemoryStore::new(1);
    let machine = registered(&store).await;
    let monitor = Monitor::start("c");
    monitor.announce(&machine, &[("web", 8080)]);
    assert_eq!(monitor.settled(&machine).await, Some(Ok(())));
    let lease = keys(&store, WEB)[0].lease.expect("a lease");
    store.end_lease(lease);
    assert_eq!(keys(&store, WEB), []);
    sleep(TTL).await;
    let new = keys(&store, WEB)[0].lease.expect("a lease");
    assert_ne!(new, lease);
    assert_eq!(machine.alive().expect("alive").1.lease, Some(new));
    let receipt = monitor.receipt(&machine).expect("a receipt");
    assert_eq!((receipt.confirmed, receipt.lease), (true, new.to_string()));
}

#[tokio::test(start_paused = true)]
async fn without_the_store_only_what_it_may_have_is_waited_for() {
    let store = MemoryStore::new(1);
    let machine = registered(&store).await;
    let (known, unknown) = (Monitor::start("known"), Monitor::start("unknown"));
    known.announce(&machine, &[("web", 8080)]);
    assert_eq!(known.settled(&machine).await, Some(Ok(())));
    machine.client.cut();
    unknown.announce(&machine, &[("dns", 53)]);
    assert_eq!(unknown.settled(&machine).await, None);
    known.withdraw(&machine);
    assert_eq!(
        known.settled(&machine).await,
        None,
        "the store has it still"
    );
    machine.client.mend();
    sleep(seconds(5)).await;
    assert_eq!(keys(&store, WEB), []);
    assert_eq!(keys(&store, DNS).len(), 1);

    // An agent that was never registered has nothing to take out.
    let other = MemoryStore::new(2);
    let mut lonely = Machine::new(&other);
    lonely.client.cut();
    lonely.start_agent();
    assert_eq!(unknown.settled(&lonely).await, Some(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_killed_monitor_announces_nothing() {
    let store = MemoryStore::new(1);
    let machine = registered(&store).await;
    let mut monitor = Monitor::start("c");
    monitor.announce(&machine, &[("web", 8080)]);
    assert_eq!(monitor.settled(&machine).await, Some(Ok(())));
    monitor.child.kill().expect("killed");
    // Its file is there still. The clock of these tests does not wait for the kernel.
    for _ in 0..1000 {
        if keys(&store, WEB).is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
        sleep(std::time::Duration::from_millis(1)).await;
    }
    panic!("it is registered still");
}

#[tokio::test(start_paused = true)]
async fn what_never_will_be_registered_is_refused_with_the_reason() {
    let store = MemoryStore::new(1);
    let machine = Machine::registered(&store).await;
    let monitor = Monitor::start("c");
    monitor.announce(&machine, &[("web", 8080)]);
    let refused = monitor.settled(&machine).await.expect("an answer");
    assert!(refused.expect_err("no address").contains("public-ip"));

    let mut machine = Machine::new(&MemoryStore::new(2));
    machine.registration = Settings::parse("layouts = []").expect("settings");
    machine.start_agent();
    sleep(seconds(1)).await;
    monitor.announce(&machine, &[("web", 8080)]);
    let refused = monitor.settled(&machine).await.expect("an answer");
    assert!(
        refused
            .expect_err("no layout")
            .contains("registration.toml")
    );
}

#[tokio::test(start_paused = true)]
async fn an_address_that_changes_is_told() {
    let store = MemoryStore::new(1);
    let machine = registered(&store).await;
    let monitor = Monitor::start("c");
    monitor.announce(&machine, &[("web", 8080)]);
    assert_eq!(monitor.settled(&machine).await, Some(Ok(())));
    let before = keys(&store, WEB);
    let mut record = machine.record.clone();
    "10.0.0.2".clone_into(&mut record.primary_ip);
    machine.agent.as_ref().expect("it runs").set_record(record);
    sleep(seconds(1)).await;
    let after = keys(&store, WEB);
    assert!(after[0].value.starts_with(br#"{"address":"10.0.0.2""#));
    assert_eq!(after[0].create_revision, before[0].create_revision);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_leaves_has_nothing_left_to_withdraw() {
    let store = MemoryStore::new(1);
    let mut machine = registered(&store).await;
    let monitor = Monitor::start("c");
    monitor.announce(&machine, &[("web", 8080)]);
    assert_eq!(monitor.settled(&machine).await, Some(Ok(())));
    let agent = machine.agent.take().expect("it runs");
    assert_eq!(agent.leave(seconds(5)).await, Ok(true));
    assert_eq!(keys(&store, WEB), []);
    assert_eq!(monitor.receipt(&machine), None);
}
