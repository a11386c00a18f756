//! Many watchers on one key: from a write to each notification.
//!
//! A write is sent only when every watcher has got the beginning of its answer, so that all of them
//! are known to wait. The watchers' own reading is part of what is measured: one thread does it.
use std::io;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::load::{common_headers, form_headers, form_value};
use super::report::{FanOutReport, Latencies, own_cpu};
use super::wire::Wire;
use super::{Limit, Target};
use crate::arguments::BenchArguments;
use crate::failure::Failure;

/// How long watchers may take to begin, and notifications to arrive.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a watcher tells.
enum Report {
    Waiting,
    Notified(Instant),
    Broken(String),
}

/// What has been told so far.
#[derive(Default)]
struct Round {
    waiting: u32,
    notified: Vec<Instant>,
    broken: u64,
    first_error: Option<String>,
}

impl Round {
    /// Takes reports until enough have come, or for too long.
    async fn collect(
        &mut self,
        reports: &mut mpsc::Receiver<Report>,
        enough: impl Fn(&Self) -> bool,
    ) -> bool {
        let work = async {
            while !enough(self) {
                match reports.recv().await {
                    Some(Report::Waiting) => self.waiting += 1,
                    Some(Report::Notified(at)) => self.notified.push(at),
                    Some(Report::Broken(reason)) => {
                        self.broken += 1;
                        self.first_error.get_or_insert(reason);
                    }
                    None => return,
                }
            }
        };
        timeout(PATIENCE, work).await.is_ok() && enough(self)
    }
}

pub(super) async fn run(
    target: &Target,
    wanted: &BenchArguments,
    limit: Limit,
) -> Result<FanOutReport, Failure> {
    let watchers = wanted.connections;
    let put = put_request(target, wanted);
    let mut writer = connect(target, 0).await?;
    // The key exists before anybody watches, so that each event has the same shape.
    write(&mut writer, &put).await?;
    let (mut tasks, mut reports) = start_watchers(target, watchers).await?;
    let mut figures = Figures::new()?;
    let mut round = Round::default();
    let cpu_before = own_cpu();
    let begun = Instant::now();
    while figures.goes_on(limit, begun) {
        let all_wait = |round: &Round| u64::from(round.waiting) + round.broken >= watchers.into();
        if !round.collect(&mut reports, all_wait).await || round.waiting == 0 {
            let reason = round
                .first_error
                .unwrap_or("they got no beginning of an answer".into());
            return Err(Failure::Plain(format!(
                "the watchers cannot begin: {reason}"
            )));
        }
        let expected = usize::try_from(round.waiting).unwrap_or_default();
        round.waiting = 0;
        let sent = Instant::now();
        write(&mut writer, &put).await?;
        figures.put.record(sent.elapsed());
        let all_told = |round: &Round| round.notified.len() >= expected;
        if !round.collect(&mut reports, all_told).await {
            let missing = expected - round.notified.len();
            round
                .first_error
                .get_or_insert(format!("{missing} watchers were not notified"));
            round.broken += missing as u64;
        }
        figures.take(sent, &mut round.notified);
        if round.broken > 0 && round.broken >= watchers.into() {
            break;
        }
    }
    let cpu = own_cpu()
        .zip(cpu_before)
        .map(|(now, before)| now.saturating_sub(before));
    tasks.abort_all();
    Ok(FanOutReport {
        kind: "watch",
        endpoints: target.endpoints.iter().map(ToString::to_string).collect(),
        watchers,
        value_bytes: wanted.value_bytes,
        rounds: figures.last.count(),
        errors: round.broken,
        first_error: round.first_error,
        put_microseconds: figures.put.summary(),
        notification_microseconds: figures.notification.summary(),
        last_microseconds: figures.last.summary(),
        own_cpu_seconds: cpu.map(|cpu| cpu.as_secs_f64()),
    })
}

async fn start_watchers(
    target: &Target,
    watchers: u32,
) -> Result<(JoinSet<()>, mpsc::Receiver<Report>), Failure> {
    let (sender, reports) = mpsc::channel(1024);
    let mut tasks = JoinSet::new();
    for number in 0..watchers {
        let wire = connect(target, number).await?;
        tasks.spawn_local(keep_watching(
            wire,
            watch_request(target, number),
            sender.clone(),
        ));
    }
    Ok((tasks, reports))
}

/// What all rounds gave.
pub(super) struct Figures {
    pub(super) put: Latencies,
    pub(super) notification: Latencies,
    pub(super) last: Latencies,
}

impl Figures {
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Self {
            put: Latencies::new()?,
            notification: Latencies::new()?,
            last: Latencies::new()?,
        })
    }

    pub(super) fn goes_on(&self, limit: Limit, begun: Instant) -> bool {
        match limit {
            Limit::Requests(rounds) => self.put.count() < rounds,
            Limit::Duration(duration) => begun.elapsed() < duration,
        }
    }

    pub(super) fn take(&mut self, sent: Instant, notified: &mut Vec<Instant>) {
        let last = notified.iter().max().copied();
        if let Some(last) = last {
            self.last.record(last - sent);
        }
        for at in notified.drain(..) {
            self.notification.record(at - sent);
        }
    }
}

async fn connect(target: &Target, number: u32) -> Result<Wire, Failure> {
    let endpoint = target.endpoint(number);
    Wire::connect(endpoint)
        .await
        .map_err(|error| Failure::Plain(format!("{endpoint}: {error}")))
}

async fn write(writer: &mut Wire, put: &[u8]) -> Result<(), Failure> {
    match writer.round_trip(put).await {
        Ok(200 | 201) => Ok(()),
        Ok(status) => {
            let line = writer.last_line();
            Err(Failure::Plain(format!(
                "the write failed with status {status}: {line}"
            )))
        }
        Err(error) => Err(Failure::Plain(format!("the write failed: {error}"))),
    }
}

async fn keep_watching(mut wire: Wire, request: Vec<u8>, reports: mpsc::Sender<Report>) {
    loop {
        let reason = match watch_once(&mut wire, &request, &reports).await {
            Ok(200) => continue,
            Ok(status) => format!("status {status}: {}", wire.last_line()),
            Err(error) => error.to_string(),
        };
        // Nobody listens at the end.
        let _told = reports.send(Report::Broken(reason)).await;
        return;
    }
}

async fn watch_once(
    wire: &mut Wire,
    request: &[u8],
    reports: &mpsc::Sender<Report>,
) -> io::Result<u16> {
    let gone = |_| io::Error::from(io::ErrorKind::Interrupted);
    wire.send(request).await?;
    if wire.head().await? == 200 {
        reports.send(Report::Waiting).await.map_err(gone)?;
    }
    let status = wire.finish().await?;
    if status == 200 {
        let now = Instant::now();
        reports.send(Report::Notified(now)).await.map_err(gone)?;
    }
    Ok(status)
}

fn put_request(target: &Target, wanted: &BenchArguments) -> Vec<u8> {
    let body = form_value(wanted.value_bytes);
    format!(
        "PUT /v2/keys{}/watched HTTP/1.1\r\n{}{}\r\n{body}",
        target.directory,
        common_headers(target, target.endpoint(0)),
        form_headers(&body)
    )
    .into_bytes()
}

fn watch_request(target: &Target, number: u32) -> Vec<u8> {
    format!(
        "GET /v2/keys{}/watched?wait=true HTTP/1.1\r\n{}\r\n",
        target.directory,
        common_headers(target, target.endpoint(number))
    )
    .into_bytes()
}
