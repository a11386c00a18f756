//! The API as clients see it, over a store in memory.
//!
//! fleet's own answers are those of its API tests and documentation. Sockets and TLS are tested with the
//! program itself.

mod events;
mod machines;
mod page;
mod units;

use std::sync::Arc;

use bytes::Bytes;
use fleet_model::MachineId;
use fleet_store::memory::{MemoryClient, MemoryStore};
use fleet_store::{
    Alive, Layout, LeaseRecord, MachineRecord, Operation, Target, Transaction, UnitStatus, Value,
};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use serde_json::{Value as Json, json};
use systemd_unit::UnitName;
use tokio::sync::watch;

use super::role::{Caller, Role};
use super::{Api, Metrics, Parts, Peers, Readiness};

/// This machine.
const HERE: &str = "11111111111111111111111111111111";
/// Another one.
const THERE: &str = "22222222222222222222222222222222";

struct Fixture {
    api: Arc<Api<MemoryClient>>,
    store: MemoryStore,
    client: MemoryClient,
    layout: Layout,
    readiness: watch::Sender<Readiness>,
    stop: watch::Sender<bool>,
}

/// Status and body; an empty body is null.
type Reply = (u16, Json);

impl Fixture {
    fn new() -> Self {
        let store = MemoryStore::new(1);
        let client = store.client();
        let layout = Layout::default();
        let (readiness, ready) = watch::channel(Readiness::Serving);
        let (stop, stopping) = watch::channel(false);
        let api = Api::new(Parts {
            store: client.clone(),
            layout: layout.clone(),
            machine: MachineId::new(HERE),
            page_limit: 100,
            peers: Peers::new(None),
            metrics: Arc::new(Metrics::new()),
            readiness: ready,
            stop: stopping,
        });
        Self {
            api: Arc::new(api),
            store,
            client,
            layout,
            readiness,
            stop,
        }
    }

    async fn ask_as(&self, caller: &Caller, request: Request<Full<Bytes>>) -> Reply {
        let answer = self.api.answer(caller, request).await;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("it cannot fail");
        let bytes = body.to_bytes();
        let json = serde_json::from_slice(&bytes);
        (
            status,
            json.unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes))),
        )
    }

    async fn ask(&self, method: &str, path: &str, body: &Json) -> Reply {
        self.ask_as(&Caller::Local, request(method, path, body))
            .await
    }

    async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &Json::Null).await
    }

    async fn put_unit(&self, name: &str, body: &Json) -> u16 {
        let path = format!("/fleet/v1/units/{name}");
        self.ask("PUT", &path, body).await.0
    }

    fn write(&self, operations: Vec<Operation>) {
        let transaction = Transaction {
            conditions: Vec::new(),
            operations,
        };
        let outcome = self.store.put_through(&transaction).expect("written");
        assert!(outcome.is_committed());
    }

    fn machine(&self, id: &str, metadata: &[(&str, &str)]) {
        let machine = MachineId::new(id);
        let pairs = metadata.iter();
        let record = MachineRecord {
            primary_ip: "192.0.2.1".to_owned(),
            metadata: pairs
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            lease: Some(LeaseRecord {
                id: 1,
                ttl_seconds: 30,
            }),
            ..MachineRecord::default()
        };
        let alive = Alive {
            boot_id: "b".to_owned(),
        };
        self.write(vec![
            Operation::put(self.layout.record(&machine), record.to_bytes()),
            Operation::put(self.layout.alive(&machine), alive.to_bytes()),
        ]);
    }

    /// Places a unit as the engine would, and has its machine say that it runs.
    fn run(&self, name: &str, machine: &str, hash: &str) {
        use fleet_model::State;
        let (unit, machine) = (
            UnitName::new(name).expect("a name"),
            MachineId::new(machine),
        );
        let target = Target {
            hash: hash.to_owned(),
            desired: State::Launched,
            replacing: Vec::new(),
        };
        let status = UnitStatus {
            hash: hash.to_owned(),
            reached: State::Launched,
            load: "loaded".to_owned(),
            active: "active".to_owned(),
            sub: "running".to_owned(),
            invocation: "0f".to_owned(),
            problem: String::new(),
        };
        self.write(vec![
            Operation::put(self.layout.target(&machine, &unit), target.to_bytes()),
            Operation::put(self.layout.state(&machine, &unit), status.to_bytes()),
        ]);
    }

    /// Has a machine say why it cannot run a unit.
    fn hinder(&self, name: &str, machine: &str, problem: &str) {
        let unit = UnitName::new(name).expect("a name");
        let status = UnitStatus {
            hash: "x".to_owned(),
            reached: fleet_model::State::Inactive,
            load: String::new(),
            active: String::new(),
            sub: String::new(),
            invocation: String::new(),
            problem: problem.to_owned(),
        };
        let key = self.layout.state(&MachineId::new(machine), &unit);
        self.write(vec![Operation::put(key, status.to_bytes())]);
    }

    /// Until what was written behind the API's back can be seen through it.
    async fn until(&self, path: &str, is_there: impl Fn(&Json) -> bool) -> Json {
        for _ in 0..1000 {
            let (status, body) = self.get(path).await;
            if status == 200 && is_there(&body) {
                return body;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("{path} never was so");
    }
}

fn request(method: &str, path: &str, body: &Json) -> Request<Full<Bytes>> {
    let text = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    Request::builder()
        .method(method)
        .uri(path)
        .header("Content-Type", "application/json")
        .body(Full::new(Bytes::from(text)))
        .expect("a request")
}

fn holder(roles: &[Role]) -> Caller {
    Caller::Certificate {
        name: "alice".to_owned(),
        roles: roles.to_vec(),
    }
}

fn hello() -> Json {
    json!([
        {"section": "Service", "name": "ExecStart", "value": "/bin/sleep infinity"},
    ])
}

#[tokio::test]
async fn addresses_that_are_none_and_methods_that_do_not_fit_are_refused() {
    let fixture = Fixture::new();
    for (method, path, expected) in [
        ("GET", "/fleet/v1/nothing", 404),
        ("GET", "/fleet/v2/units", 404),
        ("POST", "/", 405),
        ("POST", "/fleet/v1/units", 405),
        ("POST", "/fleet/v1/discovery", 400),
        ("DELETE", "/fleet/v1/machines", 405),
        ("GET", "/fleet/v1/units/a.service", 404),
        ("GET", "/fleet/v1/units/no%20name", 404),
        ("DELETE", "/fleet/v1/units/a.service", 404),
        ("GET", "/fleet/v1/state/a.service", 404),
        ("GET", "/fleet/v1/units?nextPageToken=EwBMLg==", 400),
        ("GET", "/fleet/v1/machines?nextPageToken=EwBMLg==", 400),
        (
            "GET",
            "/fleet/v1/state?nextPageToken=a&nextPageToken=b",
            400,
        ),
    ] {
        let (status, body) = fixture.ask(method, path, &Json::Null).await;
        assert_eq!(status, expected, "{method} {path}");
        assert_eq!(body["error"]["code"], expected, "{method} {path}: {body}");
    }
}

#[tokio::test]
async fn usage_is_told_of_every_machine_as_far_as_it_can_be_asked() {
    let fixture = Fixture::new();
    fixture.machine(HERE, &[]);
    fixture.machine(THERE, &[]);
    let (status, body) = fixture.get("/fleet/v1/usage").await;
    assert_eq!(status, 200, "{body}");
    let machines = body["machines"].as_array().expect("a list");
    let told = machines.iter().map(|one| (&one["machineID"], &one["type"]));
    let expected =
        [(HERE, "usage"), (THERE, "unreachable")].map(|(id, kind)| (json!(id), json!(kind)));
    assert!(
        told.eq(expected.iter().map(|(id, kind)| (id, kind))),
        "{body}"
    );
    assert!(machines[0]["memoryBytes"].as_u64() > Some(0), "{body}");
    assert!(
        machines[1]["message"]
            .as_str()
            .expect("why")
            .contains("tls-cafile"),
        "{body}"
    );
    let (status, _) = fixture.get("/fleet/v1/usage?machineID=m3").await;
    assert_eq!(status, 404);
    // Of this machine, peers may know it, and no store is needed.
    fixture.client.cut();
    let (status, _) = fixture
        .get(&format!("/fleet/v1/usage?machineID={HERE}"))
        .await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn what_has_nothing_to_do_with_the_store_is_told_without_it() {
    let fixture = Fixture::new();
    fixture.client.cut();
    let (status, body) = fixture.get("/v1-alpha/discovery").await;
    assert_eq!((status, &body["id"]), (200, &json!("fleet:v1")));
    let (status, page) = fixture.get("/").await;
    assert!(
        status == 200
            && page
                .as_str()
                .is_some_and(|text| text.contains("<title>Fleet"))
    );
    let (status, text) = fixture.get("/metrics").await;
    assert!(
        status == 200
            && text
                .as_str()
                .is_some_and(|text| text.contains("fleet_http_responses_total"))
    );
    let (status, body) = fixture.get("/fleet/v1/units").await;
    let message = body["error"]["message"].as_str().expect("a message");
    assert_eq!(status, 503);
    assert!(
        message.starts_with("fleet server unable to communicate with etcd"),
        "{message}"
    );
}

#[tokio::test]
async fn a_machine_that_another_has_the_id_of_refuses_everything() {
    let fixture = Fixture::new();
    let refusing = Readiness::Refusing("another machine has this id".to_owned());
    fixture.readiness.send_replace(refusing);
    let (status, body) = fixture.get("/fleet/v1/machines").await;
    assert_eq!(status, 503);
    assert_eq!(body["error"]["message"], "another machine has this id");
}

#[tokio::test]
async fn only_what_may_pass_is_to_be_asked_again() {
    let fixture = Fixture::new();
    let ask = async || {
        let request = request("GET", "/fleet/v1/units", &Json::Null);
        let answer = fixture.api.answer(&Caller::Local, request).await;
        let again = answer.headers().get("retry-after").cloned();
        (answer.status().as_u16(), again)
    };
    assert_eq!(ask().await, (200, None));
    fixture.client.cut();
    assert_eq!(ask().await, (503, Some("1".parse().expect("a value"))));
    let refusing = Readiness::Refusing("another machine has this id".to_owned());
    fixture.readiness.send_replace(refusing);
    assert_eq!(ask().await, (503, None), "that does not pass by itself");
}

#[tokio::test]
async fn certificates_decide_who_may_what() {
    let fixture = Fixture::new();
    let unit = json!({"name": "a.service", "options": hello(), "desiredState": "inactive"});
    assert_eq!(fixture.put_unit("a.service", &unit).await, 201);
    let start = json!({"desiredState": "launched"});
    let path = "/fleet/v1/units/a.service";
    let here = format!("{path}/status?machineID={HERE}");
    let there = format!("{path}/status?machineID={THERE}");
    // Method, path, body, and what Read, Operate, Admin, Peer and nobody get.
    let rows = [
        ("GET", path, Json::Null, [200, 200, 200, 403, 403]),
        ("GET", "/", Json::Null, [200, 200, 200, 403, 403]),
        ("GET", here.as_str(), Json::Null, [200, 200, 200, 200, 403]),
        ("GET", there.as_str(), Json::Null, [404, 404, 404, 403, 403]),
        ("PUT", path, start, [403, 204, 204, 403, 403]),
        ("PUT", path, unit, [403, 403, 204, 403, 403]),
        (
            "PATCH",
            "/fleet/v1/machines",
            json!([]),
            [403, 403, 204, 403, 403],
        ),
        ("DELETE", path, Json::Null, [403, 403, 204, 403, 403]),
    ];
    let callers = [
        holder(&[Role::Read]),
        holder(&[Role::Operate]),
        holder(&[Role::Admin]),
        holder(&[Role::Peer]),
        holder(&[]),
    ];
    for (method, path, body, expected) in rows {
        for (caller, expected) in callers.iter().zip(expected) {
            let (status, answer) = fixture.ask_as(caller, request(method, path, &body)).await;
            let status = if status == 201 { 204 } else { status };
            assert_eq!(status, expected, "{method} {path} by {caller:?}: {answer}");
        }
    }
}

#[tokio::test]
async fn nothing_is_told_without_encryption() {
    let fixture = Fixture::new();
    for path in ["/", "/metrics", "/fleet/v1/machines"] {
        let asked = request("GET", path, &Json::Null);
        let (status, body) = fixture.ask_as(&Caller::Unencrypted, asked).await;
        assert_eq!(status, 403);
        let message = body["error"]["message"].as_str().expect("a message");
        assert!(message.contains("tls-certfile"), "{message}");
    }
}

#[tokio::test]
async fn web_pages_of_others_change_nothing() {
    let fixture = Fixture::new();
    let mut asked = request("PATCH", "/fleet/v1/machines", &json!([]));
    let origin = hyper::header::HeaderValue::from_static("https://example.com");
    asked.headers_mut().insert("Origin", origin);
    assert_eq!(fixture.ask_as(&Caller::Local, asked).await.0, 403);
}
