//! A server that answers as fleet's API does, from what a test tells it, and remembers what it was asked.
//!
//! It knows a rule or two of fleetd: what is wanted of a unit becomes true at once, on machine m1.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixListener;

/// The machine that units come to.
pub(crate) const MACHINE: &str = "113f16a7a5e0464e9a0a3a5a3d6a2a4b";
/// Another one.
pub(crate) const OTHER: &str = "2a8f16a7a5e0464e9a0a3a5a3d6a2a4b";

/// What was asked: method, path with query, body.
pub(crate) type Asked = (String, String, Value);

#[derive(Default)]
struct State {
    units: BTreeMap<String, Value>,
    asked: Vec<Asked>,
    /// Answers for a method and path, instead of the rules; the last one stays.
    scripted: BTreeMap<String, VecDeque<(u16, String)>>,
    /// What systemd says of units that are launched.
    active: String,
    /// Nothing is placed.
    is_stuck: bool,
}

/// A server that runs, and a folder for its socket and for units' files.
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    pub(crate) folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let state = Arc::new(Mutex::new(State {
            active: "active".to_owned(),
            ..State::default()
        }));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let path = folder.path().join("fleet.sock");
        // A listener belongs to a runtime from the first.
        let listener = runtime.block_on(async { UnixListener::bind(path) });
        runtime.spawn(serve(listener.expect("a socket"), state.clone()));
        Self {
            state,
            folder,
            _runtime: runtime,
        }
    }

    /// `unix://` and the socket.
    pub(crate) fn endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("fleet.sock")
    }

    /// Runs fleetctl in the folder.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command().args(words).output().expect("fleetctl runs")
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleetctl"));
        command
            .env("FLEETCTL_ENDPOINT", self.endpoint())
            // The machine is busy.
            .env("FLEETCTL_REQUEST_TIMEOUT", "60")
            .env("HOME", self.folder.path())
            .current_dir(self.folder.path());
        command
    }

    /// Runs fleetctl, which must succeed, and returns its standard output.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        text(&output.stdout)
    }

    /// Runs fleetctl, which must exit with a code, and returns its standard error.
    pub(crate) fn fails(&self, words: &[&str], code: i32) -> String {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
        text(&output.stderr)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("a folder");
        std::fs::write(path, text).expect("written");
    }

    /// Gives the cluster a unit.
    pub(crate) fn unit(&self, unit: Value) {
        let name = unit["name"].as_str().expect("a name").to_owned();
        self.state
            .lock()
            .expect("no panic")
            .units
            .insert(name, unit);
    }

    pub(crate) fn units(&self) -> BTreeMap<String, Value> {
        self.state.lock().expect("no panic").units.clone()
    }

    /// The next answer to a method and path.
    pub(crate) fn answer(&self, request: &str, status: u16, body: &impl ToString) {
        let mut state = self.state.lock().expect("no panic");
        let answers = state.scripted.entry(request.to_owned()).or_default();
        answers.push_back((status, body.to_string()));
    }

    /// What systemd says of every unit.
    pub(crate) fn set_active(&self, active: &str) {
        active.clone_into(&mut self.state.lock().expect("no panic").active);
    }

    /// No machine takes a unit any more.
    pub(crate) fn get_stuck(&self) {
        self.state.lock().expect("no panic").is_stuck = true;
    }

    /// Requests that changed something, without what was read.
    pub(crate) fn changes(&self) -> Vec<Asked> {
        let state = self.state.lock().expect("no panic");
        let changes = state.asked.iter().filter(|(method, ..)| method != "GET");
        changes.cloned().collect()
    }

    /// Every path that was read.
    pub(crate) fn read(&self) -> Vec<String> {
        let state = self.state.lock().expect("no panic");
        let read = state.asked.iter().filter(|(method, ..)| method == "GET");
        read.map(|(_, path, _)| path.clone()).collect()
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn serve(listener: UnixListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        let service = service_fn(move |request| answer(request, state.clone()));
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new();
            let _ended = connection
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let bytes = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes);
    let body: Value = serde_json::from_slice(&bytes.unwrap_or_default()).unwrap_or(Value::Null);
    let path = parts.uri.to_string();
    let mut state = state.lock().expect("no panic");
    let method = parts.method.to_string();
    state
        .asked
        .push((method.clone(), path.clone(), body.clone()));
    let (status, text) = match state.scripted.get_mut(&format!("{method} {path}")) {
        Some(answers) if answers.len() > 1 => answers.pop_front().expect("two at least"),
        Some(answers) => answers.front().cloned().expect("one at least"),
        None => state.rules(&parts.method, &path, &body),
    };
    let mut response = Response::builder()
        .status(status)
        .header("Content-Type", "application/json");
    if status == 503 {
        response = response.header("Retry-After", "1");
    }
    Ok(response.body(Full::new(text.into())).expect("a response"))
}

impl State {
    fn rules(&mut self, method: &Method, path: &str, body: &Value) -> (u16, String) {
        let path = path.strip_prefix("/fleet/v1/").unwrap_or(path);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let words: Vec<&str> = path.split('/').collect();
        match (method.as_str(), words.as_slice()) {
            ("GET", ["units"]) => {
                let units: Vec<&Value> = self.units.values().collect();
                (200, json!({"units": units}).to_string())
            }
            ("GET", ["units", name]) => match self.units.get(*name) {
                Some(unit) => (200, unit.to_string()),
                None => not_found("unit does not exist"),
            },
            ("PUT", ["units", name]) => self.put(name, body),
            ("DELETE", ["units", name]) => match self.units.remove(*name) {
                Some(_) => (204, String::new()),
                None => not_found("unit does not exist"),
            },
            ("GET", ["state"]) => (200, self.states(query)),
            ("GET", ["machines"]) => {
                let machines = json!([
                    {"id": MACHINE, "primaryIP": "172.17.8.103", "metadata": {"region": "us", "disk": "ssd"}},
                    {"id": OTHER},
                ]);
                (200, json!({"machines": machines}).to_string())
            }
            _ => not_found("not found"),
        }
    }

    fn put(&mut self, name: &str, body: &Value) -> (u16, String) {
        let is_new = !self.units.contains_key(name);
        if is_new && body["options"].is_null() {
            let text = json!({"error": {"code": 409, "message": "unit does not exist and options field empty"}});
            return (409, text.to_string());
        }
        let unit = self
            .units
            .entry(name.to_owned())
            .or_insert_with(|| json!({"name": name}));
        for key in ["options", "dropIns", "desiredState"] {
            if !body[key].is_null() {
                unit[key] = body[key].clone();
            }
        }
        if !self.is_stuck {
            unit["currentState"] = unit["desiredState"].clone();
            if unit["desiredState"] == "inactive" {
                unit.as_object_mut().expect("an object").remove("machineID");
            } else {
                unit["machineID"] = json!(MACHINE);
            }
        } else if is_new {
            unit["currentState"] = json!("inactive");
        }
        (if is_new { 201 } else { 204 }, String::new())
    }

    fn states(&self, query: &str) -> String {
        let asked = query
            .strip_prefix("unitName=")
            .map(|name| name.replace("%40", "@"));
        let placed = self.units.values().filter(|unit| {
            !unit["machineID"].is_null()
                && asked
                    .as_ref()
                    .is_none_or(|name| unit["name"] == name.as_str())
        });
        let states: Vec<Value> = placed
            .map(|unit| {
                let is_launched = unit["currentState"] == "launched";
                let active = if is_launched {
                    &self.active
                } else {
                    "inactive"
                };
                json!({
                    "name": unit["name"],
                    "machineID": unit["machineID"],
                    "systemdLoadState": "loaded",
                    "systemdActiveState": active,
                    "systemdSubState": if is_launched { "running" } else { "dead" },
                })
            })
            .collect();
        json!({"states": states}).to_string()
    }
}

fn not_found(message: &str) -> (u16, String) {
    let failure = json!({"error": {"code": 404, "message": message}});
    (404, failure.to_string())
}
