//! `member`: who belongs to the cluster.
//!
//! What a new member needs is printed, not done.
mod replacement;

use std::process::ExitCode;

use kv_client::{Client, Member};

use crate::arguments::{Global, MemberCommand};
use crate::failure::Failure;
use crate::{print, session};

fn refused(text: &str) -> Failure {
    Failure::Plain(text.to_owned())
}

pub(crate) async fn run(global: &Global, command: &MemberCommand) -> Result<ExitCode, Failure> {
    match command {
        MemberCommand::List { ignored } if ignored.is_empty() => {
            list(&session::open(global).await?).await?;
        }
        MemberCommand::List { .. } => return Err(refused("No arguments accepted")),
        MemberCommand::Add { arguments } => {
            let [name, url] = arguments.as_slice() else {
                return Err(refused("Provide a name and a single member peerURL"));
            };
            add(&session::open(global).await?, name, url).await?;
        }
        MemberCommand::Remove { arguments } => {
            let [id] = arguments.as_slice() else {
                return Err(refused("Provide a single member ID"));
            };
            remove(&session::open(global).await?, id).await?;
        }
        MemberCommand::Replace { arguments } => {
            let (id, name, url) = match arguments.as_slice() {
                [id, url] => (id, None, url),
                [id, name, url] => (id, Some(name.as_str()), url),
                _ => {
                    return Err(refused(
                        "Provide a member ID, a name if it changes, and a peerURL",
                    ));
                }
            };
            replacement::run(&session::open(global).await?, global, (id, name, url)).await?;
        }
        MemberCommand::Update { arguments } => {
            let [id, urls] = arguments.as_slice() else {
                let text = "Provide an ID and a list of comma separated peerURL (0xabcd http://example.com,http://example1.com)";
                return Err(refused(text));
            };
            let client = session::open(global).await?;
            let urls: Vec<String> = urls.split(',').map(ToOwned::to_owned).collect();
            client
                .update_member(id, &urls)
                .await
                .map_err(Failure::plain)?;
            print::line(&format!("Updated member with ID {id} in cluster"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &Client) -> Result<(), Failure> {
    let members = client.members().await.map_err(Failure::plain)?;
    let leader = client
        .leader()
        .await
        .map_err(|error| Failure::Plain(format!("Failed to get leader:  {error}")))?;
    for member in members {
        let Member {
            id,
            name,
            peer_urls,
            client_urls,
        } = &member;
        let peers = peer_urls.join(",");
        if name.is_empty() {
            print::line(&format!("{id}[unstarted]: peerURLs={peers}"))?;
        } else {
            let clients = client_urls.join(",");
            let is_leader = *id == leader.id;
            print::line(&format!(
                "{id}: name={name} peerURLs={peers} clientURLs={clients} isLeader={is_leader}"
            ))?;
        }
    }
    Ok(())
}

async fn add(client: &Client, name: &str, url: &str) -> Result<(), Failure> {
    let added = client
        .add_member(&[url.to_owned()])
        .await
        .map_err(Failure::plain)?;
    print::line(&format!(
        "Added member named {name} with ID {} to cluster",
        added.id
    ))?;
    let members = client.members().await.map_err(Failure::plain)?;
    print_environment(name, &initial_cluster(&members, &added.id, name))
}

/// What a new member is told of the cluster it joins; the members do not know its name yet.
fn initial_cluster(members: &[Member], new_id: &str, new_name: &str) -> String {
    let pairs = members.iter().flat_map(|member| {
        let is_new = member.id == new_id;
        let name = if is_new { new_name } else { &member.name };
        let urls = member.peer_urls.iter();
        urls.map(move |url| format!("{name}={url}"))
    });
    pairs.collect::<Vec<_>>().join(",")
}

fn print_environment(name: &str, initial_cluster: &str) -> Result<(), Failure> {
    print::line(&format!("\nETCD_NAME={name:?}"))?;
    print::line(&format!("ETCD_INITIAL_CLUSTER={initial_cluster:?}"))?;
    print::line("ETCD_INITIAL_CLUSTER_STATE=\"existing\"")
}

async fn remove(client: &Client, id: &str) -> Result<(), Failure> {
    let members = client.members().await.map_err(|error| {
        Failure::Plain(format!(
            "Error while verifying ID against known members: {error}"
        ))
    })?;
    for member in members.iter().filter(|member| member.name == id) {
        eprintln!(
            "Found a member named {}; if this is correct, please use its ID, eg:\n\tkvctl member remove {}",
            member.name, member.id
        );
    }
    if !members.iter().any(|member| member.id == id) {
        let text = format!("Couldn't find a member in the cluster with an ID of {id}.");
        return Err(Failure::Plain(text));
    }
    client.remove_member(id).await.map_err(|error| {
        Failure::Plain(format!(
            "Received an error trying to remove member {id}: {error}"
        ))
    })?;
    print::line(&format!("Removed member {id} from cluster"))
}
