//! Status and journal of a unit, from every machine that has it.
//!
//! This machine is asked directly, the others' fleetds by mutual TLS. What is asked of one machine
//! alone is never passed on twice.

use bytes::Bytes;
use fleet_api::status::StatusReport;
use fleet_api::{JournalQuery, JournalRecord, StatusPage, UnitStatus};
use fleet_model::MachineId;
use fleet_store::Store;
use hyper::StatusCode;
use systemd_unit::UnitName;
use tokio::sync::{mpsc, watch};

use super::answer::{Answer, Refused, json, line, lines};
use super::api::Api;
use super::events::KEEP_ALIVE;
use super::peers::Peers;
use super::query::Query;
use super::units::{existing_name, no_unit};

/// A machine to ask.
#[derive(Debug, Clone)]
struct Place {
    machine: MachineId,
    /// What hinders it, as the store has it.
    problem: String,
    /// Nothing on this machine.
    elsewhere: Option<Elsewhere>,
}

/// How another machine is reached.
#[derive(Debug, Clone)]
struct Elsewhere {
    peers: Peers,
    address: Option<String>,
}

impl<S: Store> Api<S> {
    /// `GET /units/NAME/status`
    pub(super) async fn unit_status(&self, name: &str, query: &Query) -> Result<Answer, Refused> {
        let (name, places) = self.places(name, query.get("machineID")).await?;
        let asked: Vec<_> = places.iter().map(|place| place.status(&name)).collect();
        let mut statuses: Vec<UnitStatus> = futures::future::join_all(asked).await;
        statuses.sort_by(|a, b| a.machine_id.cmp(&b.machine_id));
        Ok(json(StatusCode::OK, &StatusPage { statuses }))
    }

    /// `GET /units/NAME/journal`
    pub(super) async fn unit_journal(&self, name: &str, query: &str) -> Result<Answer, Refused> {
        let query =
            JournalQuery::parse(query).map_err(|error| Refused::bad_request(error.to_string()))?;
        let (name, places) = self.places(name, query.machine_id.as_deref()).await?;
        let (sender, answer) = lines();
        tokio::spawn(tell_all(places, name, query, sender, self.stop.clone()));
        Ok(answer)
    }

    /// The machines that have a unit, or the one of them that is asked for.
    async fn places(
        &self,
        name: &str,
        only: Option<&str>,
    ) -> Result<(UnitName, Vec<Place>), Refused> {
        let name = existing_name(name)?;
        // What runs here is told without the store.
        if only == Some(self.machine.as_str()) {
            let machine = self.machine.clone();
            let place = Place {
                machine,
                problem: String::new(),
                elsewhere: None,
            };
            return Ok((name, vec![place]));
        }
        let copy = self.copy().await?;
        let records = copy.records.read();
        if records.unit_without_options(&name).is_none() {
            return Err(no_unit());
        }
        let mut machines = records.machines_of(&name);
        machines.retain(|id| only.is_none_or(|only| id.as_str() == only));
        if let (Some(only), true) = (only, machines.is_empty()) {
            let text = format!("unit {name} is not on machine {only}");
            return Err(Refused::not_found(text));
        }
        let place = |machine: MachineId| {
            let entry = records.machines.get(&machine);
            let record = entry.and_then(|entry| entry.record.as_ref());
            let elsewhere = (machine != self.machine).then(|| Elsewhere {
                peers: self.peers.clone(),
                address: record.and_then(|record| record.api_address.clone()),
            });
            Place {
                problem: records.problem(&machine, &name),
                machine,
                elsewhere,
            }
        };
        let places = machines.into_iter().map(place).collect();
        Ok((name, places))
    }
}

impl Place {
    async fn status(&self, name: &UnitName) -> UnitStatus {
        let report = match &self.elsewhere {
            None => Ok(fleet_agent::status(name).await),
            Some(elsewhere) => elsewhere.status(name, &self.machine).await,
        };
        UnitStatus {
            machine_id: self.machine.to_string(),
            problem: self.problem.clone(),
            report: report.unwrap_or_else(|message| StatusReport::Unreachable { message }),
        }
    }

    /// Sends what a machine's journal has, and why it is told no longer.
    async fn tell(&self, name: &UnitName, query: &JournalQuery, sender: &mpsc::Sender<Bytes>) {
        let told = match &self.elsewhere {
            None => {
                tell_here(&self.machine, name, query, sender).await;
                Ok(())
            }
            Some(elsewhere) => elsewhere.tell(name, &self.machine, query, sender).await,
        };
        if let Err(message) = told {
            let record = JournalRecord::Unreachable {
                machine_id: self.machine.to_string(),
                message,
            };
            // The client may be gone.
            let _ = sender.send(line(&record)).await;
        }
    }
}

async fn tell_here(
    machine: &MachineId,
    name: &UnitName,
    query: &JournalQuery,
    sender: &mpsc::Sender<Bytes>,
) {
    let mut journal = fleet_agent::journal(machine, name, query);
    while let Some(record) = journal.next().await {
        if sender.send(line(&record)).await.is_err() {
            return;
        }
    }
}

impl Elsewhere {
    async fn status(&self, name: &UnitName, machine: &MachineId) -> Result<StatusReport, String> {
        let client = self.peers.client(self.address.as_deref())?;
        let page = client.status_on(name.as_str(), machine.as_str()).await;
        let page = page.map_err(|error| error.to_string())?;
        let statuses = page.map(|page| page.statuses).unwrap_or_default();
        let own = statuses
            .into_iter()
            .find(|status| status.machine_id == machine.as_str());
        let own = own.ok_or("it tells nothing of the unit")?;
        Ok(own.report)
    }

    async fn tell(
        &self,
        name: &UnitName,
        machine: &MachineId,
        query: &JournalQuery,
        sender: &mpsc::Sender<Bytes>,
    ) -> Result<(), String> {
        let client = self.peers.client(self.address.as_deref())?;
        let query = JournalQuery {
            machine_id: Some(machine.to_string()),
            ..query.clone()
        };
        let opened = client.journal(name.as_str(), &query).await;
        let mut journal = opened.map_err(|error| error.to_string())?;
        while let Some(record) = journal.next().await {
            let record = record.map_err(|error| error.to_string())?;
            if sender.send(line(&record)).await.is_err() {
                return Ok(());
            }
        }
        if query.follow {
            return Err("its journal is told no longer".to_owned());
        }
        Ok(())
    }
}

/// One machine after the other, or all at once if it has no end.
async fn tell_all(
    places: Vec<Place>,
    name: UnitName,
    query: JournalQuery,
    sender: mpsc::Sender<Bytes>,
    mut stop: watch::Receiver<bool>,
) {
    let tells: Vec<_> = places
        .iter()
        .map(|place| place.tell(&name, &query, &sender))
        .collect();
    let all = async {
        if query.follow {
            futures::future::join_all(tells).await;
            return;
        }
        for tell in tells {
            tell.await;
        }
    };
    tokio::select! {
        () = all => {}
        () = keep_alive(&sender) => {}
        () = sender.closed() => {}
        _ = stop.wait_for(|stops| *stops) => {}
    }
}

/// Says that a connection is alive while nothing is logged.
async fn keep_alive(sender: &mpsc::Sender<Bytes>) {
    loop {
        tokio::time::sleep(KEEP_ALIVE).await;
        if sender.send(Bytes::from_static(b"\n")).await.is_err() {
            return;
        }
    }
}
