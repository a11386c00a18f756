//! `bench`: load on a server, with as little work of our own as possible.
//!
//! One thread drives all connections, so that little is taken from a server on the same machine; how
//! much it took is reported. Requests are made once and changed in place; of answers only the status
//! and the length are read. HTTP without TLS only.
mod fan_out;
mod grpc;
mod load;
mod report;
mod wire;

use std::process::ExitCode;
use std::time::Duration;

use kv_client::{Config, Endpoint};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::LocalSet;

use crate::arguments::{BenchArguments, BenchKind, Global, Output};
use crate::failure::Failure;
use crate::{print, session};

/// How long without `--duration` and `--requests`.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);

/// When to stop.
#[derive(Debug, Clone, Copy)]
enum Limit {
    Duration(Duration),
    Requests(u64),
}

/// What all kinds of load share.
struct Target {
    endpoints: Vec<Endpoint>,
    authorization: Option<String>,
    directory: String,
}

impl Target {
    fn new(config: &Config, prefix: &str) -> Result<Self, Failure> {
        if let Some(endpoint) = config.endpoints.iter().find(|one| one.is_secure()) {
            let text = format!("bench speaks no TLS, but {endpoint} wants it");
            return Err(Failure::Plain(text));
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
        if !prefix.chars().all(is_plain) || prefix.trim_matches('/').is_empty() {
            let text = "--prefix must be a path of letters, digits, - and _";
            return Err(Failure::Plain(text.to_owned()));
        }
        let authorization = config
            .credentials
            .as_ref()
            .map(kv_client::Credentials::authorization);
        Ok(Self {
            endpoints: config.endpoints.clone(),
            authorization: authorization.transpose().map_err(Failure::plain)?,
            directory: format!("/{}", prefix.trim_matches('/')),
        })
    }

    /// Connections are spread over the endpoints.
    fn endpoint(&self, connection: u32) -> &Endpoint {
        let place = usize::try_from(connection).unwrap_or_default() % self.endpoints.len();
        &self.endpoints[place]
    }
}

pub(crate) async fn run(global: &Global, wanted: &BenchArguments) -> Result<ExitCode, Failure> {
    let mut config = session::config(global)?;
    if config.endpoints.len() == 2 && global.endpoints.is_none() {
        // The second default is etcd's port of old; nobody is there, and it would get half the load.
        config.endpoints.truncate(1);
    }
    let target = Target::new(&config, &wanted.prefix)?;
    raise_file_limit(wanted.connections)?;
    let limit = match (wanted.requests, wanted.duration) {
        (Some(requests), _) => Limit::Requests(requests),
        (None, duration) => Limit::Duration(duration.unwrap_or(DURATION_DEFAULT)),
    };
    let local = LocalSet::new();
    let text = local
        .run_until(async {
            let is_json = global.output() == Output::Json;
            match wanted.kind {
                BenchKind::Put | BenchKind::Get => {
                    let report = load::run(&target, wanted, limit).await?;
                    Ok::<_, Failure>(report.show(is_json))
                }
                BenchKind::GrpcPut | BenchKind::GrpcRange | BenchKind::GrpcTxn => {
                    let report = grpc::run(&target, wanted, limit).await?;
                    Ok(report.show(is_json))
                }
                BenchKind::GrpcWatch => {
                    let report = grpc::watch(&target, wanted, limit).await?;
                    Ok(report.show(is_json))
                }
                BenchKind::Watch => {
                    let report = fan_out::run(&target, wanted, limit).await?;
                    Ok(report.show(is_json))
                }
            }
        })
        .await?;
    print::line(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A connection is a file, and often only 1024 are allowed at first.
fn raise_file_limit(connections: u32) -> Result<(), Failure> {
    let needed = u64::from(connections) + 64;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(limit.maximum.map_or(needed, |maximum| maximum.min(needed))),
        maximum: limit.maximum,
    };
    let is_enough = limit.maximum.is_none_or(|maximum| maximum >= needed);
    if is_enough && setrlimit(Resource::Nofile, raised).is_ok() {
        return Ok(());
    }
    let text = format!("{connections} connections need {needed} open files; raise `ulimit -n`");
    Err(Failure::Plain(text))
}
