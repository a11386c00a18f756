//! Many watchers of one prefix, by gRPC: from a write to each notification.
//!
//! Watchers are spread over connections, one stream each, as etcd's own client does it. Their reading is
//! part of what is measured: one thread does it.
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use etcd_v3::frame::{self, Frames};
use etcd_v3::proto::etcdserverpb::{
    PutRequest, WatchCreateRequest, WatchRequest, WatchResponse, watch_request,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connect;
use super::wire::Stream;
use crate::arguments::BenchArguments;
use crate::bench::fan_out::Figures;
use crate::bench::report::{FanOutReport, own_cpu};
use crate::bench::{Limit, Target};
use crate::failure::Failure;

/// How long watchers may take to begin, and notifications to arrive.
const PATIENCE: Duration = Duration::from_mins(1);
/// Far more than a notification has.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// What the watchers of one connection tell.
enum Report {
    Created(u32),
    Notified(Instant, u32),
    Broken(String),
}

/// Watchers that are waited for.
struct Watchers {
    reports: mpsc::UnboundedReceiver<Report>,
    notified: Vec<Instant>,
    created: u32,
}

impl Watchers {
    /// Takes reports until enough watchers have told something.
    async fn collect(&mut self, enough: impl Fn(&Self) -> bool) -> Result<(), String> {
        let work = async {
            while !enough(self) {
                match self.reports.recv().await {
                    Some(Report::Created(count)) => self.created += count,
                    Some(Report::Notified(at, count)) => {
                        self.notified.extend((0..count).map(|_| at));
                    }
                    Some(Report::Broken(reason)) => return Err(reason),
                    None => return Err("all connections ended".to_owned()),
                }
            }
            Ok(())
        };
        timeout(PATIENCE, work)
            .await
            .unwrap_or_else(|_| Err("not every watcher was told in time".to_owned()))
    }
}

pub(in crate::bench) async fn run(
    target: &Target,
    wanted: &BenchArguments,
    limit: Limit,
) -> Result<FanOutReport, Failure> {
    let count = wanted.watchers.unwrap_or(wanted.connections).max(1);
    let connections = wanted.connections.min(count);
    let (tasks, mut watchers) = start(target, connections, count).await?;
    let begin = watchers.collect(|all| all.created >= count).await;
    let cannot = |reason| Failure::Plain(format!("the watchers cannot begin: {reason}"));
    begin.map_err(cannot)?;
    let mut writer = connect(target, 0).await?;
    let value_bytes = usize::try_from(wanted.value_bytes).unwrap_or_default();
    let put = frame::write(&PutRequest {
        key: format!("{}/watched", target.directory).into(),
        value: vec![b'x'; value_bytes].into(),
        ..PutRequest::default()
    });
    let mut figures = Figures::new()?;
    let expected = usize::try_from(count).unwrap_or(usize::MAX);
    let cpu_before = own_cpu();
    let started = Instant::now();
    let mut first_error = None;
    while figures.goes_on(limit, started) {
        let sent = Instant::now();
        let written = writer.call("/etcdserverpb.KV/Put", put.clone()).await;
        written.map_err(|reason| Failure::Plain(format!("the write failed: {reason}")))?;
        figures.put.record(sent.elapsed());
        let all = watchers.collect(|all| all.notified.len() >= expected).await;
        figures.take(sent, &mut watchers.notified);
        if let Err(reason) = all {
            first_error = Some(reason);
            break;
        }
    }
    let cpu = own_cpu()
        .zip(cpu_before)
        .map(|(now, before)| now.saturating_sub(before));
    drop(tasks);
    Ok(FanOutReport {
        kind: "grpc-watch",
        endpoints: target.endpoints.iter().map(ToString::to_string).collect(),
        watchers: count,
        value_bytes: wanted.value_bytes,
        rounds: figures.last.count(),
        errors: u64::from(first_error.is_some()),
        first_error,
        put_microseconds: figures.put.summary(),
        notification_microseconds: figures.notification.summary(),
        last_microseconds: figures.last.summary(),
        own_cpu_seconds: cpu.map(|cpu| cpu.as_secs_f64()),
    })
}

/// Opens the connections; each has its share of the watchers.
async fn start(
    target: &Target,
    connections: u32,
    count: u32,
) -> Result<(JoinSet<()>, Watchers), Failure> {
    let (sender, reports) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for number in 0..connections {
        let share = count / connections + u32::from(number < count % connections);
        let mut wire = connect(target, number).await?;
        let requests = creates(&target.directory, share);
        let sender = sender.clone();
        tasks.spawn_local(async move {
            let reason = match wire.open("/etcdserverpb.Watch/Watch", requests).await {
                Ok(stream) => read_all(stream, &sender).await,
                Err(reason) => reason,
            };
            // Nobody listens at the end.
            let _told = sender.send(Report::Broken(reason));
        });
    }
    let watchers = Watchers {
        reports,
        notified: Vec::new(),
        created: 0,
    };
    Ok((tasks, watchers))
}

fn creates(directory: &str, count: u32) -> Bytes {
    let create = WatchCreateRequest {
        key: format!("{directory}/").into(),
        range_end: format!("{directory}0").into(),
        ..WatchCreateRequest::default()
    };
    let request = frame::write(&WatchRequest {
        request_union: Some(watch_request::RequestUnion::CreateRequest(create)),
    });
    let mut all = BytesMut::new();
    for _ in 0..count {
        all.extend_from_slice(&request);
    }
    all.freeze()
}

/// Tells what arrives until the connection breaks; gives the reason.
async fn read_all(mut stream: Stream, reports: &mpsc::UnboundedSender<Report>) -> String {
    let mut frames = Frames::new(MESSAGE_BYTES_MAX);
    while let Some(piece) = stream.receiving.data().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => return error.to_string(),
        };
        let released = stream
            .receiving
            .flow_control()
            .release_capacity(piece.len());
        if let Err(error) = released {
            return error.to_string();
        }
        let at = Instant::now();
        frames.push(piece);
        let (mut created, mut notified) = (0, 0);
        loop {
            match frames.take::<WatchResponse>() {
                Ok(Some(told)) if told.canceled => return told.cancel_reason,
                Ok(Some(told)) if told.created => created += 1,
                Ok(Some(told)) => notified += u32::from(!told.events.is_empty()),
                Ok(None) => break,
                Err(status) => return format!("{status:?}"),
            }
        }
        let _told = reports.send(Report::Created(created));
        if notified > 0 {
            let _told = reports.send(Report::Notified(at, notified));
        }
    }
    "the server ended a watch".to_owned()
}
