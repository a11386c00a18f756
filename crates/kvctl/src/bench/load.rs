//! Reads and writes: each connection sends its next request when the last was answered.
//!
//! So the load is closed: a slow server is asked less, and latencies do not show requests that would
//! have queued up elsewhere.
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use kv_client::Endpoint;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::report::{Latencies, LoadReport, own_cpu};
use super::wire::Wire;
use super::{Limit, Target};
use crate::arguments::{BenchArguments, BenchKind};
use crate::failure::Failure;

/// Digits of a key's name.
const KEY_DIGITS: usize = 8;
/// How long requests that are under way at the end may take; then they count as errors.
const GRACE: Duration = Duration::from_secs(15);
/// The pause after a connection broke.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// What to send, how often.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) kind: BenchKind,
    pub(super) connections: u32,
    pub(super) value_bytes: u32,
    pub(super) keys: u32,
    pub(super) quorum: bool,
    pub(super) sequential: bool,
}

/// What all connections share; one thread runs them.
pub(super) struct Shared {
    latencies: RefCell<Latencies>,
    errors: Cell<u64>,
    first_error: RefCell<Option<String>>,
    remaining: Cell<u64>,
    until: Option<Instant>,
    next_key: Cell<u32>,
    random: Cell<u64>,
}

/// A request as bytes, with the place of the key's digits.
struct Template {
    bytes: Vec<u8>,
    digits: Range<usize>,
}

pub(super) async fn run(
    target: &Target,
    wanted: &BenchArguments,
    limit: Limit,
) -> Result<LoadReport, Failure> {
    let plan = plan(wanted);
    if wanted.kind == BenchKind::Get && !wanted.prepared {
        write_all_keys(target, plan).await?;
    }
    let cpu_before = own_cpu();
    let begun = Instant::now();
    let shared = drive(target, plan, limit).await?;
    let kind = if plan.kind == BenchKind::Put {
        "put"
    } else {
        "get"
    };
    Ok(shared.report(kind, target, plan, begun, cpu_before))
}

/// What the flags ask for.
pub(super) fn plan(wanted: &BenchArguments) -> Plan {
    Plan {
        kind: wanted.kind,
        connections: wanted.connections,
        value_bytes: wanted.value_bytes,
        keys: wanted.keys,
        quorum: wanted.quorum,
        sequential: wanted.sequential,
    }
}

/// Reads shall find something.
async fn write_all_keys(target: &Target, plan: Plan) -> Result<(), Failure> {
    let writes = Plan {
        kind: BenchKind::Put,
        connections: plan.keys.min(64),
        sequential: true,
        ..plan
    };
    let shared = drive(target, writes, Limit::Requests(plan.keys.into())).await?;
    shared.require_success("cannot write the keys to read")
}

async fn drive(target: &Target, plan: Plan, limit: Limit) -> Result<Rc<Shared>, Failure> {
    // All connect before the first request, so that connecting is not measured.
    let mut wires = Vec::new();
    for number in 0..plan.connections {
        let endpoint = target.endpoint(number);
        let wire = Wire::connect(endpoint).await;
        wires.push(wire.map_err(|error| Failure::Plain(format!("{endpoint}: {error}")))?);
    }
    let shared = Rc::new(Shared::new(limit)?);
    let mut tasks = JoinSet::new();
    for (number, wire) in (0..).zip(wires) {
        let endpoint = target.endpoint(number).clone();
        let template = Template::new(target, &endpoint, plan);
        let work = send_all(wire, endpoint, template, plan, Rc::clone(&shared));
        tasks.spawn_local(work);
    }
    wait_for(&mut tasks, limit, &shared).await;
    Ok(shared)
}

/// Waits for all connections; requests that hang are counted and given up.
pub(super) async fn wait_for(tasks: &mut JoinSet<()>, limit: Limit, shared: &Shared) {
    let all = async { while tasks.join_next().await.is_some() {} };
    if let Limit::Duration(duration) = limit {
        let _hung = timeout(duration + GRACE, all).await;
    } else {
        tokio::select! {
            () = all => {}
            () = silence(shared) => {}
        }
    }
    for _ in 0..tasks.len() {
        shared.fail("a request was not answered in time".to_owned());
    }
    tasks.abort_all();
}

/// Without an end in time, a server that answers nothing at all for a while is given up.
async fn silence(shared: &Shared) {
    let mut before = u64::MAX;
    loop {
        let now = shared.latencies.borrow().count() + shared.errors.get();
        if now == before {
            return;
        }
        before = now;
        sleep(GRACE).await;
    }
}

async fn send_all(
    mut wire: Wire,
    endpoint: Endpoint,
    mut template: Template,
    plan: Plan,
    shared: Rc<Shared>,
) {
    while let Some(begun) = shared.begin() {
        template.set_key(shared.pick(plan));
        match wire.round_trip(&template.bytes).await {
            Ok(200 | 201) => shared.succeed(begun),
            Ok(status) => shared.fail(format!("status {status}: {}", wire.last_line())),
            Err(error) => {
                shared.fail(format!("{endpoint}: {error}"));
                loop {
                    sleep(PAUSE).await;
                    match Wire::connect(&endpoint).await {
                        Ok(again) => {
                            wire = again;
                            break;
                        }
                        Err(error) => {
                            shared.fail(format!("{endpoint}: {error}"));
                            if shared.begin().is_none() {
                                return;
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Shared {
    pub(super) fn new(limit: Limit) -> Result<Self, Failure> {
        let (remaining, duration) = match limit {
            Limit::Requests(requests) => (requests, None),
            Limit::Duration(duration) => (u64::MAX, Some(duration)),
        };
        Ok(Self {
            latencies: RefCell::new(Latencies::new()?),
            errors: Cell::new(0),
            first_error: RefCell::default(),
            remaining: Cell::new(remaining),
            until: duration.map(|duration| Instant::now() + duration),
            next_key: Cell::new(0),
            random: Cell::new(0x9E37_79B9_7F4A_7C15),
        })
    }

    /// What came of all requests since `begun`.
    pub(super) fn report(
        &self,
        kind: &'static str,
        target: &Target,
        plan: Plan,
        begun: Instant,
        cpu_before: Option<Duration>,
    ) -> LoadReport {
        let seconds = begun.elapsed().as_secs_f64();
        let cpu = own_cpu()
            .zip(cpu_before)
            .map(|(now, before)| now.saturating_sub(before));
        let latencies = self.latencies.borrow();
        let requests = latencies.count();
        #[allow(clippy::cast_precision_loss)] // requests are far below 2^52
        let requests_per_second = requests as f64 / seconds;
        LoadReport {
            kind,
            endpoints: target.endpoints.iter().map(ToString::to_string).collect(),
            connections: plan.connections,
            value_bytes: plan.value_bytes,
            keys: plan.keys,
            quorum: plan.quorum,
            sequential: plan.sequential,
            seconds,
            requests,
            errors: self.errors.get(),
            first_error: self.first_error.borrow().clone(),
            requests_per_second,
            latency_microseconds: latencies.summary(),
            own_cpu_seconds: cpu.map(|cpu| cpu.as_secs_f64()),
        }
    }

    /// Fails if a request did.
    pub(super) fn require_success(&self, what: &str) -> Result<(), Failure> {
        if self.errors.get() == 0 {
            return Ok(());
        }
        let first = self.first_error.borrow().clone().unwrap_or_default();
        Err(Failure::Plain(format!("{what}: {first}")))
    }

    pub(super) fn succeed(&self, begun: Instant) {
        self.latencies.borrow_mut().record(begun.elapsed());
    }

    /// The time at which the next request begins; nothing at the end.
    pub(super) fn begin(&self) -> Option<Instant> {
        let now = Instant::now();
        if self.until.is_some_and(|until| now >= until) {
            return None;
        }
        self.remaining.set(self.remaining.get().checked_sub(1)?);
        Some(now)
    }

    pub(super) fn fail(&self, reason: String) {
        self.errors.set(self.errors.get() + 1);
        self.first_error.borrow_mut().get_or_insert(reason);
    }

    pub(super) fn pick(&self, plan: Plan) -> u32 {
        if plan.sequential {
            let key = self.next_key.get();
            self.next_key.set((key + 1) % plan.keys);
            return key;
        }
        // xorshift64: any cheap one will do, and the same sequence in every run is welcome.
        let mut random = self.random.get();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        self.random.set(random);
        u32::try_from(random % u64::from(plan.keys)).unwrap_or_default()
    }
}

impl Template {
    fn new(target: &Target, endpoint: &Endpoint, plan: Plan) -> Self {
        let place = format!("/v2/keys{}/", target.directory);
        let key = "0".repeat(KEY_DIGITS);
        let (method, query, body) = if plan.kind == BenchKind::Put {
            ("PUT", "", form_value(plan.value_bytes))
        } else if plan.quorum {
            ("GET", "?quorum=true", String::new())
        } else {
            ("GET", "", String::new())
        };
        let mut head = format!("{method} {place}{key}{query} HTTP/1.1\r\n");
        let start = method.len() + 1 + place.len();
        head += &common_headers(target, endpoint);
        if plan.kind == BenchKind::Put {
            head += &form_headers(&body);
        }
        Self {
            bytes: format!("{head}\r\n{body}").into_bytes(),
            digits: start..start + KEY_DIGITS,
        }
    }

    fn set_key(&mut self, key: u32) {
        let mut rest = key;
        for digit in self.bytes[self.digits.clone()].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
    }
}

pub(super) fn common_headers(target: &Target, endpoint: &Endpoint) -> String {
    let authorization = target.authorization.as_ref();
    let authorization = authorization.map(|value| format!("Authorization: {value}\r\n"));
    format!(
        "Host: {}\r\n{}",
        endpoint.authority(),
        authorization.unwrap_or_default()
    )
}

pub(super) fn form_headers(body: &str) -> String {
    format!(
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
        body.len()
    )
}

/// A form with a value of so many bytes.
pub(super) fn form_value(bytes: u32) -> String {
    format!(
        "value={}",
        "x".repeat(usize::try_from(bytes).unwrap_or_default())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_what_they_seem() {
        let endpoint: Endpoint = "http://127.0.0.1:1".parse().expect("an endpoint");
        let target = Target {
            endpoints: vec![endpoint.clone()],
            authorization: None,
            directory: "/b".to_owned(),
        };
        let plan = Plan {
            kind: BenchKind::Put,
            connections: 1,
            value_bytes: 3,
            keys: 10,
            quorum: false,
            sequential: true,
        };
        let mut template = Template::new(&target, &endpoint, plan);
        template.set_key(1_234);
        assert_eq!(
            String::from_utf8_lossy(&template.bytes),
            "PUT /v2/keys/b/00001234 HTTP/1.1\r\nHost: 127.0.0.1:1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\nvalue=xxx"
        );
        let get = Plan {
            kind: BenchKind::Get,
            quorum: true,
            ..plan
        };
        let mut template = Template::new(&target, &endpoint, get);
        template.set_key(99_999_998);
        assert_eq!(
            String::from_utf8_lossy(&template.bytes),
            "GET /v2/keys/b/99999998?quorum=true HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n"
        );
    }
}
