//! `lease`: times to live that keys share.
//!
//! Numbers of leases are hexadecimal, as etcdctl writes them.
use std::time::Duration;

use etcd_client::{Client as EtcdClient, LeaseTimeToLiveOptions};
use kv_client::v3::{Client, Error};
use serde::Serialize;
use tokio::time::sleep;

use crate::print;
use crate::v3::arguments::{Global, LeaseCommand};
use crate::v3::failure::{Failure, exit_status};
use crate::v3::keys::lease_id;
use crate::v3::message::{Bytes, Done, Header};
use crate::v3::output::{Report, Style, Text, show};
use crate::v3::quote::quote;
use crate::v3::session;

const NOT_FOUND: &str = "etcdserver: requested lease not found";

#[derive(Debug, Serialize)]
struct Granted {
    #[serde(flatten)]
    header: Header,
    #[serde(rename = "ID")]
    id: i64,
    #[serde(rename = "TTL")]
    ttl: i64,
    #[serde(rename = "Error")]
    error: String,
}

#[derive(Debug, Serialize)]
struct Kept {
    #[serde(flatten)]
    header: Header,
    #[serde(rename = "ID")]
    id: i64,
    #[serde(rename = "TTL")]
    ttl: i64,
}

#[derive(Debug, Serialize)]
struct TimeToLive {
    #[serde(flatten)]
    header: Header,
    id: i64,
    ttl: i64,
    #[serde(rename = "granted-ttl")]
    granted_ttl: i64,
    keys: Option<Vec<Bytes>>,
    #[serde(skip)]
    with_keys: bool,
}

#[derive(Debug, Serialize)]
struct Leases {
    #[serde(flatten)]
    header: Header,
    leases: Vec<Listed>,
}

#[derive(Debug, Serialize)]
struct Listed {
    id: i64,
}

fn id_and_ttl(header: &Header, id: i64, ttl: i64, text: &mut Text) -> bool {
    header.fields(text);
    text.line(format!("\"ID\" : {id}"));
    text.line(format!("\"TTL\" : {ttl}"));
    true
}

impl Report for Granted {
    fn simple(&self, _: Style, text: &mut Text) {
        let Self { id, ttl, .. } = self;
        text.line(format!("lease {id:016x} granted with TTL({ttl}s)"));
    }

    fn fields(&self, text: &mut Text) -> bool {
        id_and_ttl(&self.header, self.id, self.ttl, text)
    }
}

impl Report for Kept {
    fn simple(&self, _: Style, text: &mut Text) {
        let Self { id, ttl, .. } = self;
        text.line(format!("lease {id:016x} keepalived with TTL({ttl})"));
    }

    fn fields(&self, text: &mut Text) -> bool {
        id_and_ttl(&self.header, self.id, self.ttl, text)
    }
}

impl Report for TimeToLive {
    fn simple(&self, _: Style, text: &mut Text) {
        let Self { id, ttl, .. } = self;
        let granted = self.granted_ttl;
        if granted == 0 && *ttl == -1 {
            return text.line(format!("lease {id:016x} already expired"));
        }
        let mut line = format!("lease {id:016x} granted with TTL({granted}s), remaining({ttl}s)");
        if self.with_keys {
            let keys = self.keys.iter().flatten();
            let keys: Vec<_> = keys.map(|key| String::from_utf8_lossy(&key.0)).collect();
            line = format!("{line}, attached keys([{}])", keys.join(" "));
        }
        text.line(line);
    }

    fn fields(&self, text: &mut Text) -> bool {
        id_and_ttl(&self.header, self.id, self.ttl, text);
        text.line(format!("\"GrantedTTL\" : {}", self.granted_ttl));
        for key in self.keys.iter().flatten() {
            text.line(format!("\"Key\" : {}", quote(&key.0)));
        }
        true
    }
}

impl Report for Leases {
    fn simple(&self, _: Style, text: &mut Text) {
        text.line(format!("found {} leases", self.leases.len()));
        for lease in &self.leases {
            text.line(format!("{:016x}", lease.id));
        }
    }

    fn fields(&self, text: &mut Text) -> bool {
        self.header.fields(text);
        for lease in &self.leases {
            text.line(format!("\"ID\" : {}", lease.id));
        }
        true
    }
}

fn the_id(arguments: &[String], missing: &str) -> Result<i64, Failure> {
    let [id] = arguments else {
        return Err(Failure::arguments(missing));
    };
    lease_id(id).map_err(|reason| Failure::arguments(format!("bad lease ID arg {reason}")))
}

pub(crate) async fn run(
    global: &Global,
    style: Style,
    command: &LeaseCommand,
) -> Result<(), Failure> {
    match command {
        LeaseCommand::Grant { arguments } => {
            let [ttl] = arguments.as_slice() else {
                return Err(Failure::arguments("lease grant command needs TTL argument"));
            };
            let ttl = ttl.parse().map_err(|_| {
                let reason = format!("strconv.ParseInt: parsing {ttl:?}: invalid syntax");
                Failure::arguments(format!("bad TTL ({reason})"))
            })?;
            grant(&session::open(global).await?, ttl, style).await
        }
        LeaseCommand::Revoke { arguments } => {
            let id = the_id(arguments, "lease revoke command needs 1 argument")?;
            revoke(&session::open(global).await?, id, style).await
        }
        LeaseCommand::Timetolive { arguments, keys } => {
            let missing = "lease timetolive command needs lease ID as argument";
            let id = the_id(arguments, missing)?;
            time_to_live(&session::open(global).await?, id, *keys, style).await
        }
        LeaseCommand::List => list(&session::open(global).await?, style).await,
        LeaseCommand::KeepAlive { arguments, once } => {
            let missing = "lease keep-alive command needs lease ID as argument";
            let id = the_id(arguments, missing)?;
            let client = session::open(global).await?;
            if *once {
                return keep_once(&client, id, style).await;
            }
            keep(&client, id, style).await
        }
    }
}

async fn grant(client: &Client, ttl: i64, style: Style) -> Result<(), Failure> {
    let ask = |mut etcd: EtcdClient| async move { etcd.lease_grant(ttl, None).await };
    let granted = client.once(ask).await;
    let granted = granted.map_err(|error| prefixed("failed to grant lease", error))?;
    let report = Granted {
        header: Header::of(granted.header()).unwrap_or_default(),
        id: granted.id(),
        ttl: granted.ttl(),
        error: granted.error().to_owned(),
    };
    show(&report, style)
}

/// A refusal, with what was refused before it.
fn prefixed(what: &str, error: Error) -> Failure {
    let failure = Failure::from(error);
    Failure::new(failure.status, format!("{what} ({})", failure.text))
}

async fn revoke(client: &Client, id: i64, style: Style) -> Result<(), Failure> {
    let ask = |mut etcd: EtcdClient| async move { etcd.lease_revoke(id).await };
    let revoked = client.once(ask).await;
    let revoked = revoked.map_err(|error| prefixed("failed to revoke lease", error))?;
    show(
        &Done::new(revoked.header(), format!("lease {id:016x} revoked")),
        style,
    )
}

async fn time_to_live(
    client: &Client,
    id: i64,
    with_keys: bool,
    style: Style,
) -> Result<(), Failure> {
    let ask = |mut etcd: EtcdClient| async move {
        let options = LeaseTimeToLiveOptions::new();
        let options = if with_keys {
            options.with_keys()
        } else {
            options
        };
        etcd.lease_time_to_live(id, Some(options)).await
    };
    let found = client.harmless(ask).await?;
    let keys: Vec<Bytes> = found.keys().iter().cloned().map(Bytes).collect();
    let report = TimeToLive {
        header: Header::of(found.header()).unwrap_or_default(),
        id: found.id(),
        ttl: found.ttl(),
        granted_ttl: found.granted_ttl(),
        keys: Some(keys).filter(|keys| !keys.is_empty()),
        with_keys,
    };
    show(&report, style)
}

async fn list(client: &Client, style: Style) -> Result<(), Failure> {
    let ask = |mut etcd: EtcdClient| async move { etcd.leases().await };
    let found = client.harmless(ask).await?;
    let leases = found.leases().iter().map(|lease| Listed { id: lease.id() });
    let report = Leases {
        header: Header::of(found.header()).unwrap_or_default(),
        leases: leases.collect(),
    };
    show(&report, style)
}

/// Keeps it alive once; says what that gave, or nothing if there is no such lease.
async fn keep_alive(client: &Client, id: i64) -> Result<Option<Kept>, Failure> {
    let ask = |mut etcd: EtcdClient| async move {
        let (mut keeper, mut stream) = match etcd.lease_keep_alive(id).await {
            Ok(opened) => opened,
            Err(etcd_client::Error::LeaseKeepAliveError(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        // The library keeps the first answer to itself.
        keeper.keep_alive().await?;
        stream.message().await
    };
    let kept = client.harmless(ask).await?;
    Ok(kept.filter(|kept| kept.ttl() > 0).map(|kept| Kept {
        header: Header::of(kept.header()).unwrap_or_default(),
        id: kept.id(),
        ttl: kept.ttl(),
    }))
}

async fn keep_once(client: &Client, id: i64, style: Style) -> Result<(), Failure> {
    match keep_alive(client, id).await? {
        Some(kept) => show(&kept, style),
        None => Err(Failure::new(exit_status::BAD_CONNECTION, NOT_FOUND)),
    }
}

async fn keep(client: &Client, id: i64, style: Style) -> Result<(), Failure> {
    while let Some(kept) = keep_alive(client, id).await? {
        show(&kept, style)?;
        let seconds = u64::try_from(kept.ttl).unwrap_or_default();
        sleep(Duration::from_secs(seconds) / 3).await;
    }
    print::line(&format!("lease {id:016x} expired or revoked."))?;
    Ok(())
}
