//! Clients that note what they asked, when, and what came back.
//!
//! An answer that leaves it open whether a write was made is noted as such, and nothing is tried again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use fastrand::Rng;

use super::cluster::client_address;
use super::gateway;
use super::history::{Asked, Operation, Outcome};
use crate::json::Json;
use crate::raw_http::Connection;

/// A client waits so long for an answer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);
/// Keys change after so many operations, so that the history of each stays small.
const OPERATIONS_PER_GROUP: u64 = 120;
/// No workload comes to so many; a value must fit 32 bits.
const OPERATIONS_MAX: u64 = 10_000_000;
/// Keys that are used at one time.
const KEYS_IN_GROUP: u64 = 3;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// `X-Etcd-Index`.
    pub(crate) index: Option<u64>,
    /// The body.
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Option<Json> {
        Json::read(&self.body).map(|(json, _)| json)
    }

    fn node_field(&self, name: &str) -> Option<u64> {
        let json = self.json()?;
        let text = json.field("node")?.field(name)?.to_string();
        text.trim_matches('"').parse().ok()
    }
}

/// One request on a connection of its own; a body is a form.
pub(crate) fn request(to: SocketAddr, method: &str, target: &str, form: &str) -> Result<Answer> {
    exchange(
        &mut Connection::open_within(to, TIMEOUT)?,
        method,
        target,
        form,
    )
}

/// One request on a connection.
pub(crate) fn exchange(
    connection: &mut Connection,
    method: &str,
    target: &str,
    form: &str,
) -> Result<Answer> {
    send(connection, method, target, form)?;
    receive(connection)
}

/// Sends a request.
pub(crate) fn send(
    connection: &mut Connection,
    method: &str,
    target: &str,
    form: &str,
) -> Result<()> {
    let length = form.len();
    connection.send(
        format!(
            "{method} {target} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}"
        )
        .as_bytes(),
    )
}

/// Receives an answer.
pub(crate) fn receive(connection: &mut Connection) -> Result<Answer> {
    let head = connection.read_head()?;
    let body = connection.read_body(&head, false)?;
    Ok(Answer {
        status: head.status,
        index: head
            .header("x-etcd-index")
            .and_then(|text| text.parse().ok()),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// A read that the whole cluster answers for.
pub(crate) const QUORUM: &str = "?quorum=true";

/// The request for an operation: method, target, form.
pub(crate) fn render(key: u64, asked: Asked) -> (&'static str, String, String) {
    let path = format!("/v2/keys/registers/{key}");
    match asked {
        Asked::Read => ("GET", path + QUORUM, String::new()),
        Asked::Put { value } => ("PUT", path, format!("value={value}")),
        Asked::Swap { expected, value } => {
            ("PUT", path, format!("value={value}&prevValue={expected}"))
        }
        Asked::Delete { expected } => (
            "DELETE",
            format!("{path}?prevValue={expected}"),
            String::new(),
        ),
    }
}

/// What an answer says of an operation.
pub(crate) fn judge(asked: Asked, answer: Result<Answer>) -> Outcome {
    let Ok(answer) = answer else {
        return Outcome::Unknown;
    };
    match (answer.status, asked, answer.index) {
        (200, Asked::Read, Some(index)) => {
            let [value, modified] = ["value", "modifiedIndex"].map(|name| answer.node_field(name));
            match (value, modified) {
                (Some(value), Some(modified)) => Outcome::Read {
                    index,
                    found: Some((value, modified)),
                },
                _ => Outcome::Malformed(answer.body),
            }
        }
        (404, Asked::Read, Some(index)) => Outcome::Read { index, found: None },
        (200 | 201, _, Some(index)) if answer.node_field("modifiedIndex") == Some(index) => {
            Outcome::Written { revision: index }
        }
        (404 | 412, Asked::Swap { .. } | Asked::Delete { .. }, Some(index)) => {
            Outcome::Refused { index }
        }
        (500 | 503, ..) => Outcome::Unknown,
        _ => Outcome::Malformed(format!("{} {}", answer.status, answer.body)),
    }
}

/// How much a client leaves of the machine to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It pauses after each operation.
    Easy,
    /// It goes on at once.
    Hurried,
}

/// The protocol that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Face {
    V2,
    V3,
}

impl Face {
    fn render(self, key: u64, asked: Asked) -> (&'static str, String, String) {
        match self {
            Self::V2 => render(key, asked),
            Self::V3 => {
                let (path, message) = gateway::render(key, asked);
                ("POST", path.to_owned(), message)
            }
        }
    }

    fn judge(self, asked: Asked, answer: Result<Answer>) -> Outcome {
        match self {
            Self::V2 => judge(asked, answer),
            Self::V3 => gateway::judge(asked, answer),
        }
    }
}

/// Clients at work.
pub(crate) struct Workload {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Vec<Operation>>>,
}

struct Shared {
    members: Vec<u8>,
    pace: Pace,
    start: Instant,
    stop: AtomicBool,
    /// Of operations begun; a written value is its operation's number.
    begun: AtomicU64,
    /// Of operations that were done.
    done: AtomicU64,
}

impl Shared {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Workload {
    /// Starts so many clients of these members. Another seed means other keys and values.
    pub(crate) fn start(clients: u64, members: &[u8], seed: u64, pace: Pace) -> Self {
        let shared = Arc::new(Shared {
            members: members.to_vec(),
            pace,
            start: Instant::now(),
            stop: AtomicBool::new(false),
            begun: AtomicU64::new(1 + seed * OPERATIONS_MAX),
            done: AtomicU64::new(0),
        });
        let threads = (0..clients).map(|client| {
            let shared = Arc::clone(&shared);
            let random = Rng::with_seed(seed.wrapping_mul(1000).wrapping_add(client));
            std::thread::spawn(move || Client::new(client, shared, random).run())
        });
        let threads = threads.collect();
        Self { shared, threads }
    }

    /// Operations that were done so far.
    pub(crate) fn done(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// Waits until so many more operations were done.
    pub(crate) fn wait_for_progress(&self, operations: u64) -> Result<()> {
        let goal = self.done() + operations;
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.done() < goal {
            if Instant::now() > deadline {
                return Err(anyhow!("clients get no answers any more"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Does one operation among the clients' own at one member, with another way to read.
    pub(crate) fn observe(&self, key: u64, asked: Asked, to: u8, quorum: bool) -> Operation {
        let (method, mut target, form) = render(key, asked);
        if !quorum {
            target = target.replace(QUORUM, "");
        }
        let invoked = self.shared.now();
        let answer = request(client_address(to), method, &target, &form);
        let outcome = judge(asked, answer);
        Operation {
            key,
            asked,
            invoked,
            returned: self.shared.now(),
            outcome,
        }
    }

    /// Ends the clients; what they did, in no order.
    pub(crate) fn finish(self) -> Result<Vec<Operation>> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut operations = Vec::new();
        for thread in self.threads {
            let of_thread = thread.join().map_err(|_| anyhow!("a client panicked"))?;
            operations.extend(of_thread);
        }
        Ok(operations)
    }
}

struct Client {
    shared: Arc<Shared>,
    random: Rng,
    face: Face,
    member: usize,
    connection: Option<Connection>,
    /// The value that was seen or written last, for each key of the group.
    seen: std::collections::HashMap<u64, u64>,
}

impl Client {
    fn new(number: u64, shared: Arc<Shared>, random: Rng) -> Self {
        let number = usize::try_from(number).unwrap_or_default();
        let members = shared.members.len();
        // Each member has clients of both.
        let face = match (number / members) % 2 {
            0 => Face::V2,
            _ => Face::V3,
        };
        Self {
            face,
            member: number % members,
            shared,
            random,
            connection: None,
            seen: std::collections::HashMap::new(),
        }
    }

    fn run(mut self) -> Vec<Operation> {
        let mut operations = Vec::new();
        while !self.shared.stop.load(Ordering::Relaxed) {
            let operation = self.step();
            let is_unknown = operation.outcome == Outcome::Unknown;
            if is_unknown {
                self.connection = None;
                self.member = (self.member + 1) % self.shared.members.len();
                std::thread::sleep(Duration::from_millis(50));
            } else {
                self.shared.done.fetch_add(1, Ordering::Relaxed);
                if self.shared.pace == Pace::Easy {
                    std::thread::sleep(Duration::from_micros(self.random.u64(500..3000)));
                }
            }
            if !(is_unknown && operation.asked == Asked::Read) {
                operations.push(operation);
            }
        }
        operations
    }

    fn step(&mut self) -> Operation {
        let number = self.shared.begun.fetch_add(1, Ordering::Relaxed);
        let group = number / OPERATIONS_PER_GROUP;
        let key = group * KEYS_IN_GROUP + self.random.u64(..KEYS_IN_GROUP);
        let expected = self.seen.get(&key).copied().unwrap_or(u64::MAX >> 32);
        let asked = match self.random.u8(..10) {
            0..4 => Asked::Read,
            4..6 => Asked::Put { value: number },
            6..9 => Asked::Swap {
                expected,
                value: number,
            },
            _ => Asked::Delete { expected },
        };
        let (method, target, form) = self.face.render(key, asked);
        let invoked = self.shared.now();
        let answer = self.ask(method, &target, &form);
        let returned = self.shared.now();
        let outcome = self.face.judge(asked, answer);
        match (&outcome, asked) {
            (
                Outcome::Read {
                    found: Some((value, _)),
                    ..
                },
                _,
            ) => self.seen.insert(key, *value),
            (Outcome::Written { .. }, Asked::Put { value } | Asked::Swap { value, .. }) => {
                self.seen.insert(key, value)
            }
            _ => None,
        };
        Operation {
            key,
            asked,
            invoked,
            returned,
            outcome,
        }
    }

    fn ask(&mut self, method: &str, target: &str, form: &str) -> Result<Answer> {
        let address = client_address(self.shared.members[self.member]);
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(Connection::open_within(address, TIMEOUT)?),
        };
        exchange(connection, method, target, form)
    }
}
