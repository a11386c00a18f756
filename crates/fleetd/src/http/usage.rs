//! What machines use: this one's kernel is asked, the others' fleetds by mutual TLS.
//!
//! What is asked of one machine alone is never passed on.

use fleet_api::usage::{MachineUsage, UsagePage, UsageReport};
use fleet_model::MachineId;
use fleet_store::Store;
use futures::StreamExt as _;
use hyper::StatusCode;
use machine_facts::system_root::SystemRoot;

use super::answer::{Answer, Refused, json};
use super::api::Api;
use super::peers::Peers;
use super::query::Query;

/// How many machines are asked at a time.
const PARALLEL: usize = 32;

impl<S: Store> Api<S> {
    /// `GET /usage`
    pub(super) async fn usage(&self, query: &Query) -> Result<Answer, Refused> {
        let machines = match query.get("machineID") {
            // Told without the store.
            Some(id) if id == self.machine.as_str() => vec![here(&self.machine)],
            only => self.usage_of_all(only).await?,
        };
        Ok(json(StatusCode::OK, &UsagePage { machines }))
    }

    async fn usage_of_all(&self, only: Option<&str>) -> Result<Vec<MachineUsage>, Refused> {
        let copy = self.copy().await?;
        let mut addresses: Vec<(MachineId, Option<String>)> = {
            let records = copy.records.read();
            let entries = records.machines.iter();
            let present = entries.filter_map(|(id, entry)| Some((id, entry.record.as_ref()?)));
            let asked = present.filter(|(id, _)| only.is_none_or(|only| id.as_str() == only));
            asked
                .map(|(id, record)| (id.clone(), record.api_address.clone()))
                .collect()
        };
        if let (Some(only), true) = (only, addresses.is_empty()) {
            return Err(Refused::not_found(format!("no machine {only}")));
        }
        addresses.sort();
        let asked = addresses.into_iter().map(|(id, address)| async move {
            if id == self.machine {
                here(&id)
            } else {
                there(&self.peers, id, address.as_deref()).await
            }
        });
        let asked: Vec<_> = asked.collect();
        Ok(futures::stream::iter(asked)
            .buffered(PARALLEL)
            .collect()
            .await)
    }
}

fn here(machine: &MachineId) -> MachineUsage {
    MachineUsage {
        machine_id: machine.to_string(),
        report: fleet_agent::usage(&SystemRoot::new("/")),
    }
}

async fn there(peers: &Peers, machine: MachineId, address: Option<&str>) -> MachineUsage {
    let report = ask(peers, &machine, address).await;
    MachineUsage {
        machine_id: machine.to_string(),
        report: report.unwrap_or_else(|message| UsageReport::Unreachable { message }),
    }
}

async fn ask(
    peers: &Peers,
    machine: &MachineId,
    address: Option<&str>,
) -> Result<UsageReport, String> {
    let client = peers.client(address)?;
    let page = client.usage(Some(machine.as_str())).await;
    let page = page.map_err(|error| error.to_string())?;
    let own = page.into_iter().flat_map(|page| page.machines);
    let own = own
        .into_iter()
        .find(|one| one.machine_id == machine.as_str());
    own.map(|one| one.report)
        .ok_or_else(|| "it does not tell what it uses: its fleetd is an older one".to_owned())
}
