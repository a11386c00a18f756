//! `status`: a table of the members, each asked by itself.
//!
//! A member that does not answer stands in the table with the reason.
use std::process::ExitCode;
use std::time::Instant;

use kv_client::{Client, Endpoint, Error, Member};
use serde::Serialize;

use crate::arguments::{Global, Output};
use crate::failure::{Failure, exit_status};
use crate::{print, session};

/// What one member says.
#[derive(Serialize)]
struct Row {
    id: String,
    name: String,
    endpoint: String,
    #[serde(flatten)]
    state: State,
}

#[derive(Serialize)]
#[serde(untagged)]
enum State {
    Reached(Figures),
    Unreached { error: String },
}

#[derive(Serialize)]
struct Figures {
    is_leader: bool,
    leader: String,
    version: String,
    index: u64,
    db_bytes: Option<u64>,
    latency_microseconds: u64,
}

pub(crate) async fn run(global: &Global) -> Result<ExitCode, Failure> {
    let client = session::open_without_sync(global)?;
    let members = client.members().await;
    let members = members.map_err(|error| {
        if error.is_connection() {
            Failure::Connection(error)
        } else {
            Failure::Request(error)
        }
    })?;
    let mut rows = Vec::new();
    for member in members {
        rows.push(ask(&client, member).await);
    }
    let text = if global.output() == Output::Json {
        serde_json::to_string(&rows).map_err(Failure::plain)?
    } else {
        table(&rows)
    };
    print::line(&text)?;
    let is_whole = rows
        .iter()
        .all(|row| matches!(row.state, State::Reached(_)));
    Ok(if is_whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit_status::UNHEALTHY)
    })
}

async fn ask(client: &Client, member: Member) -> Row {
    let mut endpoint = String::new();
    let mut state = State::Unreached {
        error: "it has published no endpoint for clients".to_owned(),
    };
    for url in member.client_urls {
        state = match url.parse() {
            Ok(parsed) => match figures(client, &parsed).await {
                Ok(figures) => State::Reached(figures),
                Err(error) => State::Unreached {
                    error: error.to_string(),
                },
            },
            Err(error) => State::Unreached {
                error: error.to_string(),
            },
        };
        endpoint = url;
        if matches!(state, State::Reached(_)) {
            break;
        }
    }
    Row {
        id: member.id,
        name: member.name,
        endpoint,
        state,
    }
}

async fn figures(client: &Client, endpoint: &Endpoint) -> Result<Figures, Error> {
    let status = client.status_of(endpoint).await?;
    // The first request opened the connection; this one measures the answer.
    let begun = Instant::now();
    let version = client.version_of(endpoint).await?.server;
    let latency = begun.elapsed();
    let size = client
        .metric_of(endpoint, "etcd_mvcc_db_total_size_in_bytes")
        .await?;
    Ok(Figures {
        is_leader: status.is_leader,
        leader: status.leader,
        version,
        index: client.index_of(endpoint).await?,
        db_bytes: size.map(whole),
        latency_microseconds: u64::try_from(latency.as_micros()).unwrap_or(u64::MAX),
    })
}

/// A figure of bytes, which metrics write as a floating-point number.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates, which is right here
fn whole(bytes: f64) -> u64 {
    bytes as u64
}

fn table(rows: &[Row]) -> String {
    let mut cells = vec![
        [
            "ENDPOINT", "ID", "NAME", "LEADER", "VERSION", "INDEX", "DB SIZE", "LATENCY",
        ]
        .map(ToOwned::to_owned)
        .to_vec(),
    ];
    for row in rows {
        let mut line = vec![row.endpoint.clone(), row.id.clone(), row.name.clone()];
        match &row.state {
            State::Reached(figures) => line.extend([
                figures.is_leader.to_string(),
                figures.version.clone(),
                figures.index.to_string(),
                figures.db_bytes.map_or_else(|| "-".to_owned(), show_bytes),
                show_latency(figures.latency_microseconds),
            ]),
            State::Unreached { error } => line.push(error.clone()),
        }
        cells.push(line);
    }
    align(&cells)
}

fn align(cells: &[Vec<String>]) -> String {
    let columns = cells.iter().map(Vec::len).max().unwrap_or_default();
    // The last cell of a line is not filled up, so a long reason widens no column.
    let width = |column: usize| {
        let inner = cells.iter().filter(|line| line.len() > column + 1);
        inner
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let lines: Vec<String> = cells
        .iter()
        .map(|line| {
            let cells = line.iter().zip(&widths);
            let padded: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            padded.join("  ").trim_end().to_owned()
        })
        .collect();
    lines.join("\n")
}

fn show_bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

fn show_latency(microseconds: u64) -> String {
    format!("{}.{:03} ms", microseconds / 1000, microseconds % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown() {
        assert_eq!(show_bytes(20), "20 B");
        assert_eq!(show_bytes(20_480), "20.0 KiB");
        assert_eq!(show_bytes(1_600_000_000), "1.4 GiB");
        assert_eq!(show_latency(1_203), "1.203 ms");
    }

    #[test]
    fn columns_are_aligned_and_reasons_widen_none() {
        let cells = [
            vec!["A".to_owned(), "B".to_owned(), "C".to_owned()],
            vec!["long".to_owned(), "a long reason".to_owned()],
        ];
        assert_eq!(align(&cells), "A     B  C\nlong  a long reason");
    }
}
