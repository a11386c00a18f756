//! `member`: who belongs to the cluster.
//!
//! It changes nothing on the machines of members.
use etcd_client::{Client as EtcdClient, Member as EtcdMember, MemberAddOptions};
use kv_client::v3::Client;
use serde::Serialize;

use crate::v3::arguments::{Global, MemberCommand};
use crate::v3::failure::Failure;
use crate::v3::message::{Header, header_fields, is_zero};
use crate::v3::output::{Format, Report, Style, Table, Text, show};
use crate::v3::quote::quote;
use crate::v3::session;

#[derive(Debug, Clone, Serialize)]
struct Member {
    #[serde(rename = "ID", skip_serializing_if = "is_zero")]
    id: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(rename = "peerURLs", skip_serializing_if = "Vec::is_empty")]
    peer_urls: Vec<String>,
    #[serde(rename = "clientURLs", skip_serializing_if = "Vec::is_empty")]
    client_urls: Vec<String>,
    #[serde(rename = "isLearner", skip_serializing_if = "is_zero")]
    is_learner: bool,
}

impl From<&EtcdMember> for Member {
    fn from(member: &EtcdMember) -> Self {
        Self {
            id: member.id(),
            name: member.name().to_owned(),
            peer_urls: member.peer_urls().to_vec(),
            client_urls: member.client_urls().to_vec(),
            is_learner: member.is_learner(),
        }
    }
}

/// The members there are.
#[derive(Debug, Serialize)]
struct List {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    members: Vec<Member>,
}

/// A change of one member, and the members after it.
#[derive(Debug, Serialize)]
struct Changed {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<Member>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    members: Vec<Member>,
    #[serde(skip)]
    id: u64,
    #[serde(skip)]
    what: &'static str,
}

impl Report for List {
    fn simple(&self, _: Style, text: &mut Text) {
        self.rows().lines(text);
    }

    fn fields(&self, text: &mut Text) -> bool {
        header_fields(self.header.as_ref(), text);
        for member in &self.members {
            text.line(format!("\"ID\" : {}", member.id));
            text.line(format!("\"Name\" : {}", quote(member.name.as_bytes())));
            for url in &member.peer_urls {
                text.line(format!("\"PeerURL\" : {}", quote(url.as_bytes())));
            }
            for url in &member.client_urls {
                text.line(format!("\"ClientURL\" : {}", quote(url.as_bytes())));
            }
            text.line(format!("\"IsLearner\" : {}", member.is_learner));
            text.line("");
        }
        true
    }

    fn table(&self) -> Option<Table> {
        Some(self.rows())
    }
}

impl List {
    fn rows(&self) -> Table {
        let row = |member: &Member| {
            let status = if member.name.is_empty() {
                "unstarted"
            } else {
                "started"
            };
            vec![
                format!("{:x}", member.id),
                status.to_owned(),
                member.name.clone(),
                member.peer_urls.join(","),
                member.client_urls.join(","),
                member.is_learner.to_string(),
            ]
        };
        Table {
            header: vec![
                "ID",
                "Status",
                "Name",
                "Peer Addrs",
                "Client Addrs",
                "Is Learner",
            ],
            rows: self.members.iter().map(row).collect(),
        }
    }
}

impl Report for Changed {
    fn simple(&self, _: Style, text: &mut Text) {
        let Self { id, what, .. } = self;
        let cluster = self.header.as_ref().map_or(0, |header| header.cluster_id);
        text.line(format!("Member {id:>16x} {what} cluster {cluster:>16x}"));
    }
}

/// What a new member is started with.
#[derive(Debug, Serialize)]
struct Settings {
    name: String,
    cluster: String,
    peer_urls: String,
}

impl Settings {
    fn print(&self) -> Result<(), Failure> {
        let quoted = |text: &str| quote(text.as_bytes());
        let mut text = Text::default();
        text.line("");
        text.line(format!("ETCD_NAME={}", quoted(&self.name)));
        text.line(format!("ETCD_INITIAL_CLUSTER={}", quoted(&self.cluster)));
        let urls = quoted(&self.peer_urls);
        text.line(format!("ETCD_INITIAL_ADVERTISE_PEER_URLS={urls}"));
        text.line("ETCD_INITIAL_CLUSTER_STATE=\"existing\"");
        text.print()
    }
}

/// The members, as the cluster knows them.
pub(crate) async fn client_urls(client: &Client) -> Result<Vec<String>, Failure> {
    let ask = |mut etcd: EtcdClient| async move { etcd.member_list().await };
    let found = client.harmless(ask).await?;
    let urls = found.members().iter().flat_map(EtcdMember::client_urls);
    Ok(urls.cloned().collect())
}

/// A member's number in hexadecimal.
fn member_id(arguments: &[String]) -> Result<u64, Failure> {
    let [id] = arguments else {
        return Err(Failure::arguments("member ID is not provided"));
    };
    u64::from_str_radix(id, 16).map_err(|_| {
        let reason = format!("strconv.ParseUint: parsing {id:?}: invalid syntax");
        Failure::arguments(format!("bad member ID arg ({reason}), expecting ID in Hex"))
    })
}

fn urls(text: &str) -> Result<Vec<String>, Failure> {
    if text.is_empty() {
        return Err(Failure::arguments("member peer urls not provided"));
    }
    Ok(text.split(',').map(ToOwned::to_owned).collect())
}

pub(crate) async fn run(
    global: &Global,
    style: Style,
    command: &MemberCommand,
) -> Result<(), Failure> {
    match command {
        MemberCommand::List => {
            let client = session::open(global).await?;
            let ask = |mut etcd: EtcdClient| async move { etcd.member_list().await };
            let found = client.harmless(ask).await?;
            let list = List {
                header: Header::of(found.header()),
                members: found.members().iter().map(Member::from).collect(),
            };
            show(&list, style)
        }
        MemberCommand::Add {
            arguments,
            peer_urls,
            learner,
        } => {
            let [name] = arguments.as_slice() else {
                return Err(Failure::arguments("member name not provided"));
            };
            let urls = urls(peer_urls)?;
            let client = session::open(global).await?;
            add(&client, name, &urls, *learner, style).await
        }
        MemberCommand::Remove { arguments } => {
            let id = member_id(arguments)?;
            remove(&session::open(global).await?, id, style).await
        }
        MemberCommand::Update {
            arguments,
            peer_urls,
        } => {
            let id = member_id(arguments)?;
            let urls = urls(peer_urls)?;
            update(&session::open(global).await?, id, &urls, style).await
        }
        MemberCommand::Promote { arguments } => {
            let id = member_id(arguments)?;
            promote(&session::open(global).await?, id, style).await
        }
    }
}

async fn add(
    client: &Client,
    name: &str,
    urls: &[String],
    learner: bool,
    style: Style,
) -> Result<(), Failure> {
    let ask = |etcd: EtcdClient| async move {
        let options = MemberAddOptions::new();
        let options = if learner {
            options.with_is_learner()
        } else {
            options
        };
        let mut cluster = etcd.cluster_client();
        cluster.member_add(urls.to_vec(), Some(options)).await
    };
    let added = client.once(ask).await?;
    let id = added.member().map_or(0, EtcdMember::id);
    let members: Vec<Member> = added.member_list().iter().map(Member::from).collect();
    let report = Changed {
        header: Header::of(added.header()),
        member: added.member().map(Member::from),
        members: members.clone(),
        id,
        what: "added to",
    };
    show(&report, style)?;
    if style.format != Format::Simple {
        return Ok(());
    }
    let peers = members.iter().flat_map(|member| {
        let name = if member.id == id { name } else { &member.name };
        member
            .peer_urls
            .iter()
            .map(move |url| format!("{name}={url}"))
    });
    let settings = Settings {
        name: name.to_owned(),
        cluster: peers.collect::<Vec<_>>().join(","),
        peer_urls: urls.join(","),
    };
    settings.print()
}

async fn remove(client: &Client, id: u64, style: Style) -> Result<(), Failure> {
    let ask = |mut etcd: EtcdClient| async move { etcd.member_remove(id).await };
    let removed = client.once(ask).await?;
    let report = Changed {
        header: Header::of(removed.header()),
        member: None,
        members: removed.members().iter().map(Member::from).collect(),
        id,
        what: "removed from",
    };
    show(&report, style)
}

async fn update(client: &Client, id: u64, urls: &[String], style: Style) -> Result<(), Failure> {
    let ask = |mut etcd: EtcdClient| async move { etcd.member_update(id, urls).await };
    let updated = client.once(ask).await?;
    let report = Changed {
        header: Header::of(updated.header()),
        member: None,
        members: updated.members().iter().map(Member::from).collect(),
        id,
        what: "updated in",
    };
    show(&report, style)
}

async fn promote(client: &Client, id: u64, style: Style) -> Result<(), Failure> {
    let ask = |mut etcd: EtcdClient| async move { etcd.member_promote(id).await };
    let promoted = client.once(ask).await?;
    let report = Changed {
        header: Header::of(promoted.header()),
        member: None,
        members: promoted.members().iter().map(Member::from).collect(),
        id,
        what: "promoted in",
    };
    show(&report, style)
}
