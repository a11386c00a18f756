//! A client of the API: one method for each address.
//!
//! It asks one server and repeats nothing that may have been done: only a request that was certainly
//! not sent goes out a second time, and, for whoever has [`Patience`], one of which the server says that it did
//! nothing.

mod connection;
mod connector;
mod endpoint;
mod error;
mod lines;
mod patience;
mod tls;

use std::time::Duration;

use fleet_model::State;
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;

use connection::{Answer, Connections, Request};
pub use connector::{Connector, Stream};
pub use endpoint::{Endpoint, EndpointError};
pub use error::ApiError;
pub use lines::Lines;
pub use patience::Patience;
pub use tls::{Tls, TlsError};

use crate::event::EventRecord;
use crate::explanation::Explanation;
use crate::failure::Failure;
use crate::journal::{JournalQuery, JournalRecord};
use crate::machine::{Availability, AvailabilityRequest, Machine};
use crate::page::{MachinePage, StatePage, UnitPage};
use crate::patch::{MachinePatch, PatchOperation};
use crate::path;
use crate::status::StatusPage;
use crate::unit::{MoveRequest, Unit};
use crate::unit_state::UnitState;
use crate::usage::UsagePage;

/// The stream of `GET /events`.
pub type Events = Lines<EventRecord>;
/// The stream of `GET /units/NAME/journal`.
pub type Journal = Lines<JournalRecord>;

/// A client. Connections that are idle are used again.
pub struct Client {
    connections: Connections,
    timeout: Duration,
    patience: Patience,
}

impl Client {
    /// A client of what a connector reaches. `timeout` is for each request, to connect included; for a
    /// stream it is until the stream begins.
    pub fn new(connector: Connector, timeout: Duration) -> Self {
        Self {
            connections: Connections::new(connector),
            timeout,
            patience: Patience::none(),
        }
    }

    /// A client that asks again while the server says that it cannot serve now and has done nothing.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Every unit, by name.
    pub async fn units(&self) -> Result<Vec<Unit>, ApiError> {
        let mut units = Vec::new();
        let mut token = String::new();
        loop {
            let page: UnitPage = self.page(&["units"], &[], &token).await?;
            units.extend(page.units);
            token = page.next_page_token;
            if token.is_empty() {
                return Ok(units);
            }
        }
    }

    /// A unit, or nothing if there is none of that name.
    pub async fn unit(&self, name: &str) -> Result<Option<Unit>, ApiError> {
        self.get_one(&["units", name]).await
    }

    /// Creates a unit, or replaces its options and desired state; what is sent is only what
    /// the API takes.
    pub async fn put_unit(&self, unit: &Unit) -> Result<(), ApiError> {
        let sent = Unit {
            current_state: None,
            machine_id: String::new(),
            ..unit.clone()
        };
        let path = path::of(&["units", &unit.name]);
        self.send(Request::with_json(Method::PUT, path, &sent))
            .await
            .map(drop)
    }

    /// Says what is wanted of a unit that exists.
    pub async fn set_desired_state(&self, name: &str, state: State) -> Result<(), ApiError> {
        let unit = Unit {
            name: name.to_owned(),
            desired_state: Some(state),
            ..Unit::default()
        };
        self.put_unit(&unit).await
    }

    /// Removes a unit. Whether there was one.
    pub async fn delete_unit(&self, name: &str) -> Result<bool, ApiError> {
        let path = path::of(&["units", name]);
        match self.send(Request::new(Method::DELETE, path)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The states of one unit or of all, by name and machine.
    pub async fn states(&self, unit_name: Option<&str>) -> Result<Vec<UnitState>, ApiError> {
        let filter: Vec<(&str, &str)> = unit_name
            .map(|name| ("unitName", name))
            .into_iter()
            .collect();
        let mut states = Vec::new();
        let mut token = String::new();
        loop {
            let page: StatePage = self.page(&["state"], &filter, &token).await?;
            states.extend(page.states);
            token = page.next_page_token;
            if token.is_empty() {
                return Ok(states);
            }
        }
    }

    /// Every machine that is alive, by id.
    pub async fn machines(&self) -> Result<Vec<Machine>, ApiError> {
        let mut machines = Vec::new();
        let mut token = String::new();
        loop {
            let page: MachinePage = self.page(&["machines"], &[], &token).await?;
            machines.extend(page.machines);
            token = page.next_page_token;
            if token.is_empty() {
                return Ok(machines);
            }
        }
    }

    /// Changes machines' metadata.
    pub async fn patch_machines(&self, patches: Vec<MachinePatch>) -> Result<(), ApiError> {
        let operations: Vec<PatchOperation> = patches.into_iter().map(Into::into).collect();
        let path = path::of(&["machines"]);
        self.send(Request::with_json(Method::PATCH, path, &operations))
            .await
            .map(drop)
    }

    /// Opens, cordons or drains a machine.
    pub async fn set_availability(
        &self,
        machine_id: &str,
        availability: Availability,
    ) -> Result<(), ApiError> {
        let path = path::of(&["machines", machine_id, "availability"]);
        let body = AvailabilityRequest { availability };
        self.send(Request::with_json(Method::PUT, path, &body))
            .await
            .map(drop)
    }

    /// Where a unit could run, or nothing if there is none of that name.
    pub async fn explain(&self, name: &str) -> Result<Option<Explanation>, ApiError> {
        self.get_one(&["units", name, "explain"]).await
    }

    /// Where a unit could run that is not stored.
    pub async fn explain_unstored(&self, unit: &Unit) -> Result<Explanation, ApiError> {
        let request = Request::with_json(Method::POST, path::of(&["explain"]), unit);
        self.send(request).await?.json()
    }

    /// Takes a unit from its machine, for another or for the one that is named.
    pub async fn move_unit(&self, name: &str, to: Option<&str>) -> Result<(), ApiError> {
        let path = path::of(&["units", name, "move"]);
        let body = MoveRequest {
            machine_id: to.unwrap_or_default().to_owned(),
        };
        self.send(Request::with_json(Method::POST, path, &body))
            .await
            .map(drop)
    }

    /// What `systemctl status` says on every machine that has the unit, or nothing if there is no such unit.
    pub async fn status(&self, name: &str) -> Result<Option<StatusPage>, ApiError> {
        self.get_one(&["units", name, "status"]).await
    }

    /// The same from one machine alone.
    pub async fn status_on(
        &self,
        name: &str,
        machine_id: &str,
    ) -> Result<Option<StatusPage>, ApiError> {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("machineID", machine_id)
            .finish();
        let path = path::of(&["units", name, "status"]);
        let path = format!("{path}?{query}");
        match self.send(Request::new(Method::GET, path)).await {
            Ok(answer) => answer.json().map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What machines use, or one of them alone; nothing if there is no such machine.
    pub async fn usage(&self, machine_id: Option<&str>) -> Result<Option<UsagePage>, ApiError> {
        let mut path = path::of(&["usage"]);
        if let Some(machine_id) = machine_id {
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair("machineID", machine_id)
                .finish();
            path = format!("{path}?{query}");
        }
        match self.send(Request::new(Method::GET, path)).await {
            Ok(answer) => answer.json().map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A unit's journal.
    pub async fn journal(&self, name: &str, query: &JournalQuery) -> Result<Journal, ApiError> {
        let path = path::of(&["units", name, "journal"]);
        let path = format!("{path}?{}", query.to_query());
        self.stream(path).await
    }

    /// What is there, and what changes.
    pub async fn events(&self) -> Result<Events, ApiError> {
        self.stream(path::of(&["events"])).await
    }

    async fn page<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        filter: &[(&str, &str)],
        token: &str,
    ) -> Result<T, ApiError> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(filter);
        if !token.is_empty() {
            query.append_pair("nextPageToken", token);
        }
        let query = query.finish();
        let mut path = path::of(segments);
        if !query.is_empty() {
            path = format!("{path}?{query}");
        }
        self.send(Request::new(Method::GET, path)).await?.json()
    }

    async fn get_one<T: DeserializeOwned>(&self, segments: &[&str]) -> Result<Option<T>, ApiError> {
        let request = Request::new(Method::GET, path::of(segments));
        match self.send(request).await {
            Ok(answer) => answer.json().map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn stream<T: DeserializeOwned>(&self, path: String) -> Result<Lines<T>, ApiError> {
        let request = Request::new(Method::GET, path);
        self.patience.ask(|| self.stream_once(&request)).await
    }

    async fn stream_once<T: DeserializeOwned>(
        &self,
        request: &Request,
    ) -> Result<Lines<T>, ApiError> {
        let head = self.timed(self.connections.send(request)).await?;
        if head.status.is_success() {
            return Ok(Lines::new(head));
        }
        let answer = self.timed(self.connections.finish(head)).await?;
        Err(refused(&answer))
    }

    async fn send(&self, request: Request) -> Result<Answer, ApiError> {
        self.patience.ask(|| self.send_once(&request)).await
    }

    async fn send_once(&self, request: &Request) -> Result<Answer, ApiError> {
        let work = async {
            let head = self.connections.send(request).await?;
            self.connections.finish(head).await
        };
        let answer = self.timed(work).await?;
        if answer.status.is_success() {
            Ok(answer)
        } else {
            Err(refused(&answer))
        }
    }

    async fn timed<T>(
        &self,
        work: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let late = |_| ApiError::Timeout {
            endpoint: self.connections.name().to_owned(),
            timeout: self.timeout,
        };
        tokio::time::timeout(self.timeout, work)
            .await
            .map_err(late)?
    }
}

/// The server's own words, if it has any.
fn refused(answer: &Answer) -> ApiError {
    let message = match serde_json::from_slice::<Failure>(&answer.body) {
        Ok(failure) if !failure.error.message.is_empty() => failure.error.message,
        _ => plain_text(answer.status, &answer.body),
    };
    match answer.retry_after {
        Some(retry_after) if answer.status == StatusCode::SERVICE_UNAVAILABLE => {
            ApiError::Unavailable {
                message,
                retry_after,
            }
        }
        _ => ApiError::Refused {
            status: answer.status.as_u16(),
            message,
        },
    }
}

fn plain_text(status: StatusCode, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text: String = text.trim().chars().take(300).collect();
    if text.is_empty() {
        status.to_string()
    } else {
        format!("{status}: {text}")
    }
}
