//! Machines that tell each other through a real store how updates ended, and what they take then.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use etcd_client::{Client, GetOptions};
use machine_facts::health_report::HealthReport;
use machine_facts::system_root::SystemRoot;
use serde_json::Value;
use tokio::runtime::Runtime;
use update_model::progress::State;
use updaterd::cluster::tell;
use updaterd::keeper::Keeper;
use updaterd::run::{Order, OrderedBy, Outcome};

use crate::fixture::{Build, Releases};
use crate::host::{Asked, WaitingMachine};
use crate::machine::{TestMachine, install_from, installed};
use crate::server::{Server, free_address};

const PREFIX: &str = "/keelson/updates/outcomes/vm/";

/// Machines that run version 1 and look for others at the same place.
struct Cluster {
    releases: Releases,
    machines: Vec<TestMachine>,
}

fn id(number: usize) -> String {
    format!("{number:032x}")
}

impl Cluster {
    fn new(machines: usize, store: SocketAddr) -> Self {
        let releases = Releases::new();
        let first = Build::new("1");
        releases.release(&first, false);
        releases.release(&Build::new("2"), false);
        let machines = (0..machines).map(|number| {
            let machine = TestMachine::new(&first, &releases);
            machine.put("etc/machine-id", id(number).as_bytes());
            configure(&machine, &releases, store, "");
            machine
        });
        Self {
            machines: machines.collect(),
            releases,
        }
    }
}

fn configure(machine: &TestMachine, releases: &Releases, store: SocketAddr, more: &str) {
    let settings = format!(
        "sources = [\"{}\"]\n{more}\n[store]\nendpoints = [\"http://{store}\"]\n",
        releases.folder().display()
    );
    machine.put("etc/keelson/update.toml", settings.as_bytes());
}

/// As the timer does it.
fn check(machine: &TestMachine) -> Outcome {
    let order = Order {
        from: None,
        by: OrderedBy::Timer,
        ..install_from("")
    };
    machine.update(&order).expect("it works")
}

/// As the service of that name does it after a boot.
fn outcome(machine: &TestMachine) -> State {
    let root: &SystemRoot = &machine.root;
    let mut keeper = Keeper::take(root).expect("the record");
    let settings = machine_facts::update_files::read_settings(root).expect("settings");
    tell(root, &settings, &mut keeper);
    keeper.record().state.clone()
}

fn be_unhealthy(machine: &TestMachine) {
    let report = HealthReport::Unhealthy {
        unhealthy_after_seconds: 300.0,
        reasons: vec!["kvd.service has failed".to_owned()],
    };
    report.write(&machine.root).expect("written");
    assert!(matches!(outcome(machine), State::Bad(_)));
}

fn assert_halted(outcome: Outcome) -> String {
    let Outcome::Nothing(text) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(text.contains("2 is halted ("), "{text}");
    text
}

/// What the store has, by the part of its key that is not the same in all.
fn told(store: SocketAddr) -> Result<Vec<(String, Value)>> {
    let pairs = read(store)?.into_iter().map(|(key, value)| {
        let value = serde_json::from_slice(&value)?;
        Ok((key, value))
    });
    pairs.collect()
}

fn read(store: SocketAddr) -> Result<Vec<(String, Vec<u8>)>> {
    Runtime::new()?.block_on(async {
        let mut client = Client::connect([store.to_string()], None).await?;
        let options = GetOptions::new().with_prefix();
        let answer = client.get(PREFIX, Some(options)).await?;
        let pairs = answer.kvs().iter().map(|pair| {
            let key = pair.key_str()?.strip_prefix(PREFIX).context("the prefix")?;
            Ok((key.to_owned(), pair.value().to_vec()))
        });
        pairs.collect()
    })
}

/// Writes keys as others may have.
fn write(store: SocketAddr, pairs: &[(String, String)]) -> Result<()> {
    Runtime::new()?.block_on(async {
        let mut client = Client::connect([store.to_string()], None).await?;
        for (key, value) in pairs {
            client
                .put(format!("{PREFIX}{key}"), value.as_str(), None)
                .await?;
        }
        Ok(())
    })
}

#[test]
fn one_bad_canary_of_three_halts_the_others() -> Result<()> {
    let server = Server::kvd()?;
    let cluster = Cluster::new(3, server.address);
    let [canary, staged, idle] = &cluster.machines[..] else {
        panic!("three were made");
    };
    assert_eq!(check(canary), installed("2"));
    assert_eq!(check(staged), installed("2"));
    canary.boot();
    be_unhealthy(canary);
    assert!(canary.record().unreported.is_empty(), "it was told");
    let all = told(server.address)?;
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0].0, format!("2/{}", id(0)));
    assert_eq!(all[0].1["outcome"], "bad");
    assert_eq!(all[0].1["cause"], "unhealthy");

    let text = assert_halted(check(idle));
    let reason = format!("1 of 1 machine was bad with it, last {}", id(0));
    assert!(
        text.contains(&reason) && text.contains("kvd.service has failed"),
        "{text}"
    );
    assert!(text.contains("osctl update --retry"), "{text}");
    assert_eq!(idle.entries(), ["keelson_1.efi"]);
    let note = idle.root.read_text("/run/motd.d/60-keelson-update")?;
    assert!(note.contains("is halted"), "{note}");
    let metrics = idle.root.read_text(updaterd::metrics::PATH)?;
    let sample = "keelson_update_held_back{reason=\"halted\"} 1";
    assert!(metrics.contains(sample), "{metrics}");
    // What is installed already is not rebooted into.
    assert_halted(check(staged));
    assert!(matches!(staged.record().state, State::Staged(_)));

    let retry = Order {
        retry: true,
        ..install_from(&cluster.releases.folder().display().to_string())
    };
    assert_eq!(idle.update(&retry)?, installed("2"));
    // A newer release is another matter.
    cluster.releases.release(&Build::new("3"), false);
    assert_eq!(check(staged), installed("3"));
    Ok(())
}

#[test]
fn healthy_machines_let_the_rollout_go_on() -> Result<()> {
    let server = Server::kvd()?;
    let cluster = Cluster::new(2, server.address);
    let [first, second] = &cluster.machines[..] else {
        panic!("two were made");
    };
    assert_eq!(check(first), installed("2"));
    first.boot();
    first.become_healthy();
    assert!(matches!(outcome(first), State::Good(_)));
    assert_eq!(check(second), installed("2"));
    let all = told(server.address)?;
    assert_eq!(all[0].1["outcome"], "healthy", "{all:?}");
    // A rollback by hand replaces that, and counts.
    updaterd::rollback::roll(&first.root, updaterd::rollback::Direction::Back)?;
    assert_eq!(first.boot(), "1");
    outcome(first);
    let all = told(server.address)?;
    assert_eq!(
        (all.len(), &all[0].1["cause"]),
        (1, &Value::from("by-hand"))
    );
    assert_halted(check(second));
    Ok(())
}

#[test]
fn what_cannot_be_told_is_told_later_and_meanwhile_nothing_is_taken() -> Result<()> {
    let mut server = Server::kvd()?;
    let cluster = Cluster::new(2, server.address);
    let [first, second] = &cluster.machines[..] else {
        panic!("two were made");
    };
    assert_eq!(check(first), installed("2"));
    server.kill()?;
    first.boot();
    be_unhealthy(first);
    assert_eq!(first.record().unreported.len(), 1, "it waits");

    let waits = check(second);
    let text = format!("{waits:?}");
    assert!(matches!(waits, Outcome::Nothing(_)), "{text}");
    let parts = ["2 waits until it is known", "store-unreachable"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");

    server.start_again()?;
    // The timer's next run; the bad version is not its matter any more.
    assert!(matches!(check(first), Outcome::Nothing(_)));
    assert!(first.record().unreported.is_empty(), "it was told");
    assert_eq!(told(server.address)?.len(), 1);
    assert_halted(check(second));
    Ok(())
}

/// Machines that take turns at rebooting ask for the lock again and again, without a new look at the
/// releases; meanwhile the one that went first may have found them bad.
#[test]
fn a_machine_whose_turn_to_reboot_comes_stays_if_the_first_one_was_bad() -> Result<()> {
    let server = Server::kvd()?;
    let settings = format!(
        "reboot = \"immediate\"\nreboot-lock = {{ store = {{}} }}\n\
         store = {{ endpoints = [\"http://{}\"] }}\n",
        server.address
    );
    let machine = WaitingMachine::new(&id(1), &settings);
    let report = "{\"format\":1,\"at\":\"2026-11-28T12:00:00Z\",\"outcome\":\"bad\",\
                  \"cause\":\"no-boot\",\"reason\":\"it did not boot\"}";
    let told = (format!("2/{}", id(0)), report.to_owned());
    write(server.address, &[told])?;
    let text = machine.ask();
    assert!(text.contains("2 is halted (1 of 1 machine"), "{text}");
    assert_eq!(machine.asked(), []);
    let why = machine.why();
    assert!(why.contains("2 is installed but is halted"), "{why}");
    // The next one gets the lock; its release is not halted any more.
    let other = WaitingMachine::new(&id(2), &settings);
    let healthy = report.replace("\"bad\"", "\"healthy\"");
    write(server.address, &[(format!("2/{}", id(0)), healthy)])?;
    assert_eq!(other.ask(), "the reboot happens now");
    assert_eq!(other.asked(), [Asked::Reboot]);
    Ok(())
}

#[test]
fn a_setting_goes_on_without_the_store() -> Result<()> {
    let nobody = free_address()?;
    let cluster = Cluster::new(1, nobody);
    let machine = &cluster.machines[0];
    assert!(matches!(check(machine), Outcome::Nothing(_)));
    let proceed = "halt = { store-unreachable = \"proceed\" }";
    configure(machine, &cluster.releases, nobody, proceed);
    assert_eq!(check(machine), installed("2"));
    Ok(())
}

#[test]
fn the_store_does_not_fill_up() -> Result<()> {
    let server = Server::kvd()?;
    let cluster = Cluster::new(1, server.address);
    let machine = &cluster.machines[0];
    let value = |at: &str| format!("{{\"format\":1,\"at\":\"{at}\",\"outcome\":\"healthy\"}}");
    let now = jiff::Timestamp::now();
    let own = |number: &str| format!("{number}/{}", id(0));
    let mut pairs = vec![
        ("0.1/foreign".to_owned(), "not ours".to_owned()),
        ("0.1/gone".to_owned(), value("2020-01-01T00:00:00Z")),
    ];
    for (number, days) in [("0.4", 4), ("0.3", 3), ("0.2", 2), ("0.1", 1)] {
        let at = now - jiff::SignedDuration::from_hours(24 * days);
        pairs.push((own(number), value(&at.to_string())));
    }
    write(server.address, &pairs)?;
    assert_eq!(check(machine), installed("2"));
    let left: Vec<String> = read(server.address)?
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    let expected = [own("0.1"), "0.1/foreign".to_owned(), own("0.2"), own("0.3")];
    assert_eq!(left, expected);
    Ok(())
}
