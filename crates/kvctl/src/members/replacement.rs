//! `member replace`: a new member in the place of one whose data are lost.
//!
//! The cluster is changed at once; the new member is started by whoever reads what is printed.
use kv_client::{Client, Error, Member};
use serde::Serialize;

use super::{initial_cluster, print_environment};
use crate::arguments::{Global, Output};
use crate::failure::Failure;
use crate::print;

/// As it is printed in JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replacement<'a> {
    /// The id that was removed.
    replaced: &'a str,
    /// The member that was announced.
    member: &'a Member,
    /// What `--name` must say.
    name: &'a str,
    /// What `--initial-cluster` must say.
    initial_cluster: &'a str,
    /// What `--initial-cluster-state` must say.
    initial_cluster_state: &'static str,
}

pub(super) async fn run(
    client: &Client,
    global: &Global,
    (id, name, url): (&str, Option<&str>, &str),
) -> Result<(), Failure> {
    let old = find(client, id).await?;
    let name = name.unwrap_or(&old.name);
    if name.is_empty() {
        let text =
            format!("Member {id} has never started and has no name: give the new one a NAME");
        return Err(Failure::Plain(text));
    }
    let member = client.replace_member(id, &[url.to_owned()]).await;
    let member = member.map_err(|error| not_replaced(id, name, url, &error))?;
    let members = client.members().await.map_err(Failure::plain)?;
    let initial_cluster = initial_cluster(&members, &member.id, name);
    if global.output() == Output::Json {
        return print_json(&Replacement {
            replaced: id,
            member: &member,
            name,
            initial_cluster: &initial_cluster,
            initial_cluster_state: "existing",
        });
    }
    print::line(&format!(
        "Replaced member {id} by member {} named {name}; start it with an empty data directory and",
        member.id
    ))?;
    print_environment(name, &initial_cluster)
}

/// The member, so that a mistyped id is told before anything is changed.
async fn find(client: &Client, id: &str) -> Result<Member, Failure> {
    let members = client.members().await.map_err(Failure::plain)?;
    let found = members.into_iter().find(|member| member.id == id);
    found.ok_or_else(|| {
        let text = format!(
            "Couldn't find a member in the cluster with an ID of {id}; see `kvctl member list`"
        );
        Failure::Plain(text)
    })
}

/// The old one may be gone already: then what is missing is the new one.
fn not_replaced(id: &str, name: &str, url: &str, error: &Error) -> Failure {
    let next = match error {
        Error::OutcomeUnknown(_) => format!(
            ". If `kvctl member list` shows neither {id} nor {url}, go on with `kvctl member add {name} {url}`"
        ),
        _ => String::new(),
    };
    Failure::Plain(format!("Cannot replace member {id}: {error}{next}"))
}

fn print_json(replacement: &Replacement<'_>) -> Result<(), Failure> {
    let text = serde_json::to_string(replacement)
        .map_err(|error| Failure::Plain(format!("cannot write JSON: {error}")))?;
    print::line(&text)
}
