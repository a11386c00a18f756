//! `cluster-health`: asks every member how it is.
//!
//! One healthy member makes a healthy cluster, since it could not be without a majority.
use std::process::ExitCode;
use std::time::Duration;

use kv_client::{Client, Endpoint, Health, Member};

use crate::arguments::Global;
use crate::failure::{Failure, exit_status};
use crate::signals::Stop;
use crate::{print, session};

pub(crate) async fn run(global: &Global, forever: bool) -> Result<ExitCode, Failure> {
    let client = session::open_without_sync(global)?;
    let members = match client.members().await {
        Ok(members) => members,
        Err(error) => {
            print::line("cluster may be unhealthy: failed to list members")?;
            return Err(error.into());
        }
    };
    let mut stop = Stop::new()?;
    loop {
        let is_healthy = check(&client, &members).await?;
        print::line(if is_healthy {
            "cluster is healthy"
        } else {
            "cluster is unhealthy"
        })?;
        if !forever {
            return Ok(if is_healthy {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(exit_status::UNHEALTHY)
            });
        }
        print::line("\nnext check after 10 second...\n")?;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(10)) => {}
            () = stop.wanted() => return Ok(ExitCode::SUCCESS),
        }
    }
}

async fn check(client: &Client, members: &[Member]) -> Result<bool, Failure> {
    let mut is_healthy = false;
    for member in members {
        is_healthy |= check_member(client, member).await?;
    }
    Ok(is_healthy)
}

async fn check_member(client: &Client, member: &Member) -> Result<bool, Failure> {
    let id = &member.id;
    if member.client_urls.is_empty() {
        let text = format!("member {id} is unreachable: no available published client urls");
        print::line(&text)?;
        return Ok(false);
    }
    for url in &member.client_urls {
        let health = match url.parse::<Endpoint>() {
            Ok(endpoint) => client
                .health_of(&endpoint)
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match health {
            Ok(Health::Healthy) => {
                print::line(&format!(
                    "member {id} is healthy: got healthy result from {url}"
                ))?;
                return Ok(true);
            }
            Ok(Health::Unhealthy) => {
                let text = format!("member {id} is unhealthy: got unhealthy result from {url}");
                print::line(&text)?;
                return Ok(false);
            }
            Err(error) => print::line(&format!(
                "failed to check the health of member {id} on {url}: {error}"
            ))?,
        }
    }
    let urls = member.client_urls.join(" ");
    print::line(&format!(
        "member {id} is unreachable: [{urls}] are all unreachable"
    ))?;
    Ok(false)
}
