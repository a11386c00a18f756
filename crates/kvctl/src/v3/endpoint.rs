//! `endpoint`: what each endpoint says of itself.
//!
//! An endpoint that does not answer stands in the answer with the reason, or is told on standard error.
use std::time::{Duration, Instant};

use etcd_client::{Client as EtcdClient, GetOptions};
use kv_client::v3::{Client, Error};
use serde::Serialize;

use crate::v3::arguments::{EndpointCommand, Everywhere, Global};
use crate::v3::failure::{Failure, exit_status};
use crate::v3::member::client_urls;
use crate::v3::message::{Header, header_fields, is_zero};
use crate::v3::output::{Report, Style, Table, Text, show};
use crate::v3::quote::quote;
use crate::v3::session;

/// Read by health checks; nobody needs to have written it.
const HEALTH_KEY: &str = "health";

#[derive(Debug, Serialize)]
#[allow(clippy::struct_field_names)] // etcdctl's names
struct Health {
    endpoint: String,
    health: bool,
    took: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

#[derive(Debug, Serialize)]
struct Status {
    #[serde(rename = "Endpoint")]
    endpoint: String,
    #[serde(rename = "Status")]
    status: StatusAnswer,
}

#[derive(Debug, Serialize)]
struct StatusAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    #[serde(rename = "dbSize", skip_serializing_if = "is_zero")]
    db_size: i64,
    #[serde(skip_serializing_if = "is_zero")]
    leader: u64,
    #[serde(rename = "raftIndex", skip_serializing_if = "is_zero")]
    raft_index: u64,
    #[serde(rename = "raftTerm", skip_serializing_if = "is_zero")]
    raft_term: u64,
    #[serde(rename = "raftAppliedIndex", skip_serializing_if = "is_zero")]
    raft_applied_index: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<String>,
    #[serde(rename = "dbSizeInUse", skip_serializing_if = "is_zero")]
    db_size_in_use: i64,
    #[serde(rename = "isLearner", skip_serializing_if = "is_zero")]
    is_learner: bool,
}

#[derive(Debug, Serialize)]
struct Hash {
    #[serde(rename = "Endpoint")]
    endpoint: String,
    #[serde(rename = "HashKV")]
    hash: HashAnswer,
}

#[derive(Debug, Serialize)]
struct HashAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "is_zero")]
    hash: u32,
    #[serde(skip_serializing_if = "is_zero")]
    compact_revision: i64,
}

impl Report for Vec<Health> {
    fn simple(&self, _: Style, text: &mut Text) {
        for Health {
            endpoint,
            health,
            took,
            error,
        } in self
        {
            text.line(if *health {
                format!("{endpoint} is healthy: successfully committed proposal: took = {took}")
            } else {
                format!("{endpoint} is unhealthy: failed to commit proposal: {error}")
            });
        }
    }

    fn fields(&self, text: &mut Text) -> bool {
        for one in self {
            text.line(format!("\"Endpoint\" : {}", quote(one.endpoint.as_bytes())));
            text.line(format!("\"Health\" : {}", one.health));
            text.line(format!("\"Took\" : {}", one.took));
            text.line(format!("\"Error\" : {}", one.error));
            text.line("");
        }
        true
    }

    fn table(&self) -> Option<Table> {
        let row = |one: &Health| {
            let health = one.health.to_string();
            vec![
                one.endpoint.clone(),
                health,
                one.took.clone(),
                one.error.clone(),
            ]
        };
        Some(Table {
            header: vec!["endpoint", "health", "took", "error"],
            rows: self.iter().map(row).collect(),
        })
    }
}

impl Report for Vec<Status> {
    fn simple(&self, _: Style, text: &mut Text) {
        statuses(self).lines(text);
    }

    fn fields(&self, text: &mut Text) -> bool {
        for one in self {
            let status = &one.status;
            header_fields(status.header.as_ref(), text);
            text.line(format!(
                "\"Version\" : {}",
                quote(status.version.as_bytes())
            ));
            text.line(format!("\"DBSize\" : {}", status.db_size));
            text.line(format!("\"Leader\" : {}", status.leader));
            text.line(format!("\"IsLearner\" : {}", status.is_learner));
            text.line(format!("\"RaftIndex\" : {}", status.raft_index));
            text.line(format!("\"RaftTerm\" : {}", status.raft_term));
            text.line(format!(
                "\"RaftAppliedIndex\" : {}",
                status.raft_applied_index
            ));
            text.line(format!("\"Errors\" : [{}]", status.errors.join(" ")));
            text.line(format!("\"Endpoint\" : {}", quote(one.endpoint.as_bytes())));
            text.line("");
        }
        true
    }

    fn table(&self) -> Option<Table> {
        Some(statuses(self))
    }
}

fn statuses(found: &[Status]) -> Table {
    let row = |one: &Status| {
        let status = &one.status;
        let id = status.header.as_ref().map_or(0, |header| header.member_id);
        vec![
            one.endpoint.clone(),
            format!("{id:x}"),
            status.version.clone(),
            size(status.db_size),
            (status.leader == id).to_string(),
            status.is_learner.to_string(),
            status.raft_term.to_string(),
            status.raft_index.to_string(),
            status.raft_applied_index.to_string(),
            status.errors.join(", "),
        ]
    };
    Table {
        header: vec![
            "endpoint",
            "ID",
            "version",
            "db size",
            "is leader",
            "is learner",
            "raft term",
            "raft index",
            "raft applied index",
            "errors",
        ],
        rows: found.iter().map(row).collect(),
    }
}

/// Bytes as people read them, in thousands: `20 kB`, `1.5 MB`.
fn size(bytes: i64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 10 {
        return format!("{} B", bytes.max(0));
    }
    let (mut divisor, mut unit) = (1_i64, 0);
    while bytes / divisor >= 1000 {
        divisor *= 1000;
        unit += 1;
    }
    // Tenths, rounded.
    let tenths = i128::from(bytes) * 10 + i128::from(divisor) / 2;
    let tenths = tenths / i128::from(divisor);
    let name = UNITS[unit];
    if tenths < 100 {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        // Go rounds a half to the even number.
        let (whole, rest) = (tenths / 10, tenths % 10);
        let is_up = rest > 5 || rest == 5 && whole % 2 == 1;
        format!("{} {name}", whole + i128::from(is_up))
    }
}

impl Report for Vec<Hash> {
    fn simple(&self, _: Style, text: &mut Text) {
        hashes(self).lines(text);
    }

    fn fields(&self, text: &mut Text) -> bool {
        for one in self {
            header_fields(one.hash.header.as_ref(), text);
            text.line(format!("\"Endpoint\" : {}", quote(one.endpoint.as_bytes())));
            text.line(format!("\"Hash\" : {}", one.hash.hash));
            text.line("");
        }
        true
    }

    fn table(&self) -> Option<Table> {
        Some(hashes(self))
    }
}

fn hashes(found: &[Hash]) -> Table {
    let row = |one: &Hash| vec![one.endpoint.clone(), one.hash.hash.to_string()];
    Table {
        header: vec!["endpoint", "hash"],
        rows: found.iter().map(row).collect(),
    }
}

/// The endpoints that are asked one by one.
pub(crate) async fn wanted(global: &Global, cluster: bool) -> Result<Vec<String>, Failure> {
    if cluster {
        return client_urls(&session::open(global).await?).await;
    }
    session::endpoints(global)
}

pub(crate) async fn run(
    global: &Global,
    style: Style,
    command: EndpointCommand,
) -> Result<(), Failure> {
    match command {
        EndpointCommand::Health(everywhere) => health(global, style, everywhere).await,
        EndpointCommand::Status(everywhere) => status(global, style, everywhere).await,
        EndpointCommand::Hashkv { everywhere, rev } => hash(global, style, everywhere, rev).await,
    }
}

/// A duration in Go's words.
fn go_duration(duration: Duration) -> String {
    let trimmed = |text: String| {
        let text = text.trim_end_matches('0').trim_end_matches('.');
        text.to_owned()
    };
    let nanoseconds = duration.as_nanos();
    if nanoseconds >= 1_000_000_000 {
        trimmed(format!(
            "{}.{:09}",
            duration.as_secs(),
            duration.subsec_nanos()
        )) + "s"
    } else if nanoseconds >= 1_000_000 {
        trimmed(format!(
            "{}.{:06}",
            nanoseconds / 1_000_000,
            nanoseconds % 1_000_000
        )) + "ms"
    } else {
        trimmed(format!(
            "{}.{:03}",
            nanoseconds / 1_000,
            nanoseconds % 1_000
        )) + "µs"
    }
}

async fn health(global: &Global, style: Style, everywhere: Everywhere) -> Result<(), Failure> {
    let mut found = Vec::new();
    for endpoint in wanted(global, everywhere.cluster).await? {
        found.push(check(global, endpoint).await?);
    }
    show(&found, style)?;
    if found.iter().all(|one| one.health) {
        return Ok(());
    }
    Err(Failure::new(exit_status::ERROR, "unhealthy cluster"))
}

async fn check(global: &Global, endpoint: String) -> Result<Health, Failure> {
    let begun = Instant::now();
    let answer = match session::open_at(global, std::slice::from_ref(&endpoint)).await {
        Ok(client) => client.get(HEALTH_KEY, GetOptions::new()).await,
        Err(failure) if failure.status == exit_status::BAD_CONNECTION => {
            Err(Error::Unavailable(failure.text))
        }
        Err(failure) => return Err(failure),
    };
    let error = match answer {
        // Whoever may not read this key was answered by a healthy server.
        Err(error) if !error.to_string().contains("permission denied") => error.to_string(),
        _ => String::new(),
    };
    Ok(Health {
        endpoint,
        health: error.is_empty(),
        took: go_duration(begun.elapsed()),
        error,
    })
}

/// Asks each endpoint; what fails is told, and fails the command after all were asked.
async fn each<T>(
    global: &Global,
    everywhere: Everywhere,
    what: &str,
    ask: impl AsyncFn(&Client) -> Result<T, Error>,
) -> Result<(Vec<(String, T)>, bool), Failure> {
    let mut found = Vec::new();
    let mut is_whole = true;
    for endpoint in wanted(global, everywhere.cluster).await? {
        let client = session::open_at(global, std::slice::from_ref(&endpoint)).await;
        let answer = match client {
            Ok(client) => ask(&client).await.map_err(Failure::from),
            Err(failure) => Err(failure),
        };
        match answer {
            Ok(answer) => found.push((endpoint, answer)),
            Err(failure) => {
                is_whole = false;
                eprintln!(
                    "Failed to get the {what} of endpoint {endpoint} ({})",
                    failure.text
                );
            }
        }
    }
    Ok((found, is_whole))
}

fn told_already(is_whole: bool) -> Result<(), Failure> {
    if is_whole {
        return Ok(());
    }
    Err(Failure::new(exit_status::ERROR, ""))
}

async fn status(global: &Global, style: Style, everywhere: Everywhere) -> Result<(), Failure> {
    let ask = async |client: &Client| {
        let ask = |mut etcd: EtcdClient| async move { etcd.status().await };
        client.harmless(ask).await
    };
    let (found, is_whole) = each(global, everywhere, "status", ask).await?;
    let found = found.into_iter().map(|(endpoint, answer)| Status {
        endpoint,
        status: StatusAnswer {
            header: Header::of(answer.header()),
            version: answer.version().to_owned(),
            db_size: answer.db_size(),
            leader: answer.leader(),
            raft_index: answer.raft_index(),
            raft_term: answer.raft_term(),
            raft_applied_index: answer.raft_applied_index(),
            errors: answer.errors().to_vec(),
            db_size_in_use: answer.raft_used_db_size(),
            is_learner: answer.is_learner(),
        },
    });
    show(&found.collect::<Vec<_>>(), style)?;
    told_already(is_whole)
}

async fn hash(
    global: &Global,
    style: Style,
    everywhere: Everywhere,
    revision: i64,
) -> Result<(), Failure> {
    let ask = async |client: &Client| {
        let ask = |mut etcd: EtcdClient| async move { etcd.hash_kv(revision).await };
        client.harmless(ask).await
    };
    let (found, is_whole) = each(global, everywhere, "hash", ask).await?;
    let found = found.into_iter().map(|(endpoint, answer)| Hash {
        endpoint,
        hash: HashAnswer {
            header: Header::of(answer.header()),
            hash: answer.hash(),
            compact_revision: answer.compact_version(),
        },
    });
    show(&found.collect::<Vec<_>>(), style)?;
    told_already(is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_gos() {
        for (bytes, text) in [
            (0, "0 B"),
            (82, "82 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (20_480, "20 kB"),
            (1_550_000, "1.6 MB"),
            (82_854_982, "83 MB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        for (nanoseconds, text) in [
            (1_734_657, "1.734657ms"),
            (5_000_977_688, "5.000977688s"),
            (2_000_000, "2ms"),
            (950_100, "950.1µs"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(nanoseconds)), text);
        }
    }
}
