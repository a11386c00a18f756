//! The cluster's reboot lock: machines that take turns by the store, by FleetLock, and by both.
//!
//! The machines are folders whose host only notes what it is asked for; the store is a real kvd.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use update_model::lock_view::Kept;
use update_model::reboot::Lock;
use update_model::semaphore::Semaphore;
use updaterd::host::Question;
use updaterd::lock;

use crate::host::{Asked, WaitingMachine};
use crate::raw_http::Connection;
use crate::server::Server;

const ONE: &str = "11111111111111111111111111111111";
const TWO: &str = "22222222222222222222222222222222";
const WAITS: [Asked; 1] = [Asked::Again(Question::Reboot)];

fn by_store(address: SocketAddr) -> String {
    format!(
        "reboot = \"immediate\"\nreboot-lock = {{ store = {{}} }}\n\
         store = {{ endpoints = [\"http://{address}\"] }}\n"
    )
}

fn by_fleet_lock(address: SocketAddr) -> String {
    format!(
        "reboot = \"immediate\"\nreboot-lock = {{ fleet-lock = {{ url = \"http://{address}/\" }} }}\n"
    )
}

/// The lock as a machine with these settings sees it.
fn semaphore(machine: &WaitingMachine) -> Result<Semaphore> {
    let settings = machine_facts::update_files::read_settings(&machine.root)?;
    match lock::view(&machine.root, &settings)?.kept {
        Kept::InStore(semaphore) => Ok(semaphore),
        Kept::ByFleetLock(url) => anyhow::bail!("{url} does not tell"),
    }
}

fn set_slots(machine: &WaitingMachine, slots: u32) -> Result<String> {
    let settings = machine_facts::update_files::read_settings(&machine.root)?;
    lock::set_slots(&machine.root, &settings, slots)
}

fn unlock(machine: &WaitingMachine, id: &str) -> Result<String> {
    let settings = machine_facts::update_files::read_settings(&machine.root)?;
    lock::unlock(&machine.root, &settings, id)
}

/// One reboots, the other waits until that is healthy.
fn take_turns(one: &WaitingMachine, two: &WaitingMachine) -> Result<()> {
    assert_eq!(one.ask(), "the reboot happens now");
    assert_eq!(one.asked(), [Asked::Reboot]);
    assert!(two.ask().contains("waits for"));
    assert_eq!(two.asked(), WAITS);
    assert!(two.why().contains("osctl lock status"), "{}", two.why());
    // It is up again, and the other must wait still.
    one.boot_new(false);
    assert!(one.back_in_service()?.contains("is kept"));
    two.ask();
    assert_eq!(two.asked(), WAITS);
    one.fall_back();
    assert_eq!(one.back_in_service()?, "the machine is back in service");
    assert_eq!(one.record().preparation.lock, Lock::NotAsked);
    assert_eq!(two.ask(), "the reboot happens now");
    assert_eq!(two.asked(), [Asked::Reboot]);
    Ok(())
}

#[test]
fn two_machines_take_turns_by_the_store() -> Result<()> {
    let kvd = Server::kvd()?;
    let [one, two] = [ONE, TWO].map(|id| WaitingMachine::new(id, &by_store(kvd.address)));
    take_turns(&one, &two)?;
    let holders = semaphore(&one)?.holders;
    assert_eq!(holders.keys().collect::<Vec<_>>(), [TWO]);
    // Somebody takes the slot of a machine that does not come back.
    unlock(&one, TWO)?;
    assert!(semaphore(&one)?.holders.is_empty());
    let error = unlock(&one, TWO).expect_err("nobody holds one").to_string();
    assert!(error.contains("holds no slot"), "{error}");
    Ok(())
}

#[test]
fn two_machines_take_turns_by_fleet_lock() -> Result<()> {
    let kvd = Server::kvd()?;
    let [one, two] = [ONE, TWO].map(|id| WaitingMachine::new(id, &by_fleet_lock(kvd.address)));
    take_turns(&one, &two)
}

#[test]
fn machines_of_both_kinds_share_one_lock() -> Result<()> {
    let kvd = Server::kvd()?;
    let one = WaitingMachine::new(ONE, &by_fleet_lock(kvd.address));
    let two = WaitingMachine::new(TWO, &by_store(kvd.address));
    take_turns(&one, &two)?;
    assert_eq!(semaphore(&two)?.holders.len(), 1);
    let error = set_slots(&one, 2).expect_err("kvd's slots are set in the store");
    assert!(error.to_string().contains("are set there"), "{error}");
    Ok(())
}

#[test]
fn more_slots_let_more_reboot_and_none_let_nobody() -> Result<()> {
    let kvd = Server::kvd()?;
    let [one, two] = [ONE, TWO].map(|id| WaitingMachine::new(id, &by_store(kvd.address)));
    set_slots(&one, 0)?;
    assert!(one.ask().contains("slots to 0"));
    assert_eq!(one.asked(), WAITS);
    set_slots(&one, 2)?;
    one.ask();
    two.ask();
    assert_eq!(
        [one.asked(), two.asked()],
        [[Asked::Reboot], [Asked::Reboot]]
    );
    let semaphore = semaphore(&one)?;
    assert_eq!((semaphore.slots, semaphore.holders.len()), (2, 2));
    Ok(())
}

#[test]
fn without_the_store_nobody_reboots_and_what_is_held_is_given_back_later() -> Result<()> {
    let mut kvd = Server::kvd()?;
    let machine = WaitingMachine::new(ONE, &by_store(kvd.address));
    kvd.kill()?;
    assert!(machine.ask().contains("cannot be asked for"));
    assert_eq!(machine.asked(), WAITS);
    assert!(
        machine.why().contains("cannot be asked for"),
        "{}",
        machine.why()
    );
    kvd.start_again()?;
    machine.ask();
    assert_eq!(machine.asked(), [Asked::Reboot]);

    kvd.kill()?;
    machine.boot_new(true);
    let error = format!("{:#}", machine.back_in_service().expect_err("it is down"));
    assert!(error.contains("was not given back"), "{error}");
    assert_eq!(machine.record().preparation.lock, Lock::Held);
    kvd.start_again()?;
    assert!(semaphore(&machine)?.holders.contains_key(ONE));
    machine.back_in_service()?;
    assert!(semaphore(&machine)?.holders.is_empty());
    Ok(())
}

#[test]
fn a_machine_that_forgot_its_slot_gives_it_back_at_its_next_boot() -> Result<()> {
    let kvd = Server::kvd()?;
    let machine = WaitingMachine::new(ONE, &by_store(kvd.address));
    machine.ask();
    machine.put("/var/lib/keelson/update/record.json", "lost");
    machine.boot_new(false);
    machine.back_in_service()?;
    assert!(semaphore(&machine)?.holders.contains_key(ONE));
    machine.boot_new(true);
    machine.back_in_service()?;
    assert!(semaphore(&machine)?.holders.is_empty());
    Ok(())
}

#[test]
fn a_reboot_that_does_not_happen_gives_the_lock_back() -> Result<()> {
    let kvd = Server::kvd()?;
    let mut machine = WaitingMachine::new(ONE, &by_store(kvd.address));
    machine.host.is_stuck = true;
    assert!(machine.ask().contains("called off"));
    assert!(semaphore(&machine)?.holders.is_empty());
    machine.host.is_stuck = false;
    machine.hook("exit 1");
    let error = machine
        .try_to_ask()
        .expect_err("neither drain nor undrain works");
    assert!(
        format!("{error:#}").contains("not brought back"),
        "{error:#}"
    );
    assert_eq!(
        machine.calls(),
        [
            "drain reboot into 2",
            "undrain the machine is back in service"
        ]
    );
    // It is not in service, so no other may go down.
    assert!(semaphore(&machine)?.holders.contains_key(ONE));
    machine.hook("test $1 = undrain");
    assert!(machine.ask().contains("put off"));
    assert!(semaphore(&machine)?.holders.is_empty());
    // Settings that forbid it meanwhile.
    machine.hook("");
    machine.ask();
    assert!(semaphore(&machine)?.holders.contains_key(ONE));
    let manual = by_store(kvd.address).replace("immediate", "manual");
    machine.put("/etc/keelson/update.toml", &manual);
    assert!(machine.ask().contains("waits for `systemctl reboot`"));
    assert!(semaphore(&machine)?.holders.is_empty());
    Ok(())
}

#[test]
fn a_document_of_another_kind_is_refused_and_left() -> Result<()> {
    let kvd = Server::kvd()?;
    let [one, two] = [
        WaitingMachine::new(ONE, &by_store(kvd.address)),
        WaitingMachine::new(TWO, &by_fleet_lock(kvd.address)),
    ];
    let set = "PUT /v2/keys/keelson/reboot-lock/default HTTP/1.1\r\nHost: test\r\n\
               Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\nvalue=xyz";
    let mut connection = Connection::open(kvd.address)?;
    connection.send(set.as_bytes())?;
    assert_eq!(connection.read_head()?.status, 201);
    for machine in [&one, &two] {
        let text = machine.ask();
        assert!(text.contains("/keelson/reboot-lock/default"), "{text}");
        assert_eq!(machine.asked(), WAITS);
    }
    Ok(())
}

const PRE_REBOOT: &str = "/v1/pre-reboot";
const STEADY_STATE: &str = "/v1/steady-state";

/// As Zincati asks.
fn ask(address: SocketAddr, path: &str, id: &str) -> Result<(u16, Value)> {
    let body = json!({"client_params": {"id": id, "group": "workers"}}).to_string();
    post(address, path, "fleet-lock-protocol: true\r\n", &body)
}

fn post(address: SocketAddr, path: &str, header: &str, body: &str) -> Result<(u16, Value)> {
    send(address, "POST", path, header, body)
}

/// A request of FleetLock as it is sent; gives status and body.
fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    header: &str,
    body: &str,
) -> Result<(u16, Value)> {
    let mut connection = Connection::open(address)?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\n{header}Content-Length: {length}\r\n\r\n{body}"
    );
    connection.send(request.as_bytes())?;
    let head = connection.read_head()?;
    let body = connection.read_body(&head, false)?;
    if body.is_empty() {
        return Ok((head.status, Value::Null));
    }
    let is_json = head.header("content-type") == Some("application/json");
    ensure!(is_json, "an error that is no JSON: {head:?}");
    let value = serde_json::from_slice(&body);
    Ok((head.status, value.context("an error that is no JSON")?))
}

#[test]
fn fleet_lock_is_recursive_as_the_protocol_demands() -> Result<()> {
    let kvd = Server::kvd()?;
    let at = kvd.address;
    let done = (200, Value::Null);
    // Who holds nothing may give it back: Zincati does when it starts.
    assert_eq!(ask(at, STEADY_STATE, "one")?, done);
    assert_eq!(ask(at, PRE_REBOOT, "one")?, done);
    assert_eq!(ask(at, PRE_REBOOT, "one")?, done);
    let (status, body) = ask(at, PRE_REBOOT, "two")?;
    assert_eq!(
        (status, &body["kind"]),
        (409, &json!("failed_lock_semaphore_full"))
    );
    assert_eq!(body["value"], json!("all 1 slots are taken: one"));
    assert_eq!(ask(at, STEADY_STATE, "two")?, done);
    assert_eq!(ask(at, PRE_REBOOT, "two")?.0, 409);
    assert_eq!(ask(at, STEADY_STATE, "one")?, done);
    assert_eq!(ask(at, PRE_REBOOT, "two")?, done);
    Ok(())
}

#[test]
fn fleet_lock_refuses_what_is_not_meant_or_makes_no_sense() -> Result<()> {
    let kvd = Server::kvd()?;
    let body = r#"{"client_params":{"id":"a","group":"default"}}"#;
    let header = "fleet-lock-protocol: true\r\n";
    let cases = [
        ("POST", "", body, 400, "wrong_header"),
        (
            "POST",
            "fleet-lock-protocol: 1\r\n",
            body,
            400,
            "wrong_header",
        ),
        ("GET", header, body, 405, "wrong_method"),
        ("POST", header, "", 400, "wrong_body"),
        ("POST", header, "{}", 400, "wrong_body"),
        (
            "POST",
            header,
            r#"{"client_params":{"id":"a"}}"#,
            400,
            "wrong_body",
        ),
        (
            "POST",
            header,
            r#"{"client_params":{"id":"a","group":"a/../b"}}"#,
            400,
            "wrong_group",
        ),
        (
            "POST",
            header,
            r#"{"client_params":{"id":"","group":"a"}}"#,
            400,
            "wrong_id",
        ),
    ];
    for (method, header, body, status, kind) in cases {
        for path in [PRE_REBOOT, STEADY_STATE] {
            let answer = send(kvd.address, method, path, header, body)?;
            assert_eq!(
                (answer.0, &answer.1["kind"]),
                (status, &json!(kind)),
                "{body}"
            );
            assert_ne!(answer.1["value"], json!(""));
        }
    }
    Ok(())
}

#[test]
fn many_that_ask_at_once_get_no_more_slots_than_there_are() -> Result<()> {
    let kvd = Server::kvd()?;
    let at = kvd.address;
    let machine = WaitingMachine::new(ONE, &by_store(at));
    set_slots(&machine, 3)?;
    let threads: Vec<_> = (0..12)
        .map(|number| {
            std::thread::spawn(move || {
                let body =
                    json!({"client_params": {"id": format!("m{number}"), "group": "default"}});
                post(
                    at,
                    PRE_REBOOT,
                    "fleet-lock-protocol: true\r\n",
                    &body.to_string(),
                )
            })
        })
        .collect();
    let mut statuses = Vec::new();
    for thread in threads {
        statuses.push(thread.join().expect("no panic")?.0);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [[200; 3].as_slice(), &[409; 9]].concat());
    assert_eq!(semaphore(&machine)?.holders.len(), 3);
    Ok(())
}

#[test]
fn many_machines_that_ask_at_once_get_no_more_slots_than_there_are() -> Result<()> {
    let kvd = Server::kvd()?;
    let settings = by_store(kvd.address);
    let first = WaitingMachine::new(ONE, &settings);
    set_slots(&first, 2)?;
    let asked: Vec<Vec<Asked>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let machine = WaitingMachine::new(&format!("{number:032}"), &settings);
                scope.spawn(move || {
                    machine.ask();
                    machine.asked()
                })
            })
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        threads.into_iter().map(join).collect()
    });
    let reboots = asked.iter().filter(|one| **one == [Asked::Reboot]).count();
    assert_eq!(reboots, 2, "{asked:?}");
    assert_eq!(semaphore(&first)?.holders.len(), 2);
    Ok(())
}

#[test]
fn where_users_matter_a_stranger_gets_no_slot() -> Result<()> {
    let kvd = Server::kvd()?;
    let put = |path: &str, body: &str| -> Result<u16> {
        let mut connection = Connection::open(kvd.address)?;
        let request = format!(
            "PUT {path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.send(request.as_bytes())?;
        Ok(connection.read_head()?.status)
    };
    assert_eq!(
        put(
            "/v2/auth/users/root",
            r#"{"user":"root","password":"secret"}"#
        )?,
        201
    );
    assert_eq!(put("/v2/auth/enable", "")?, 200);
    let (status, body) = ask(kvd.address, PRE_REBOOT, "one")?;
    assert_eq!((status, &body["kind"]), (401, &json!("unauthenticated")));
    for (credentials, wanted) in [("root:secret", 200), ("root:wrong", 401)] {
        let credentials = STANDARD.encode(credentials);
        let header = format!("fleet-lock-protocol: true\r\nAuthorization: Basic {credentials}\r\n");
        let body = r#"{"client_params":{"id":"a","group":"other"}}"#;
        assert_eq!(post(kvd.address, PRE_REBOOT, &header, body)?.0, wanted);
    }

    let settings = by_store(kvd.address).replace(
        "] }",
        "], credentials = { user = \"root\", password-file = \"/etc/password\" } }",
    );
    let machine = WaitingMachine::new(ONE, &settings);
    machine.put("/etc/password", "wrong\n");
    assert!(machine.ask().contains("cannot be asked for"));
    machine.put("/etc/password", "secret\n");
    assert_eq!(machine.ask(), "the reboot happens now");
    Ok(())
}
