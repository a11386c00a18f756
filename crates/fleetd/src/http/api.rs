//! The API: who may ask what, and who answers it.
//!
//! Addresses are those of [`fleet_api::path`]. Rules of the fleet are not here: they are the engine's
//! and the model's.

use std::sync::Arc;
use std::time::Duration;

use fleet_model::MachineId;
use fleet_store::{Keys, Layout, Store, StoreError};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::{CONTENT_TYPE, HOST, ORIGIN};
use hyper::{Method, Request, StatusCode};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::answer::{Answer, Refused};
use super::listener::Handle;
use super::metrics::Metrics;
use super::peers::Peers;
use super::query::Query;
use super::role::{Caller, Need};
use super::route::{Route, route};
use super::{discovery, page};
use crate::mirror::{Copy, Mirror};

/// The longest body: a unit with all its drop-ins as JSON.
const BODY_BYTES_MAX: usize = 2 << 20;
/// A client that takes longer to send its body is let go.
const BODY_TIMEOUT: Duration = Duration::from_mins(1);

/// Whether this fleetd can serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Readiness {
    Serving,
    /// Why every request is refused.
    Refusing(String),
}

/// What the handlers share.
pub(crate) struct Api<S> {
    pub(super) store: S,
    pub(super) layout: Layout,
    pub(super) mirror: Mirror<S>,
    /// This machine.
    pub(super) machine: MachineId,
    pub(super) page_limit: u16,
    pub(super) peers: Peers,
    pub(super) metrics: Arc<Metrics>,
    pub(super) readiness: watch::Receiver<Readiness>,
    /// Turns true when streams shall end.
    pub(super) stop: watch::Receiver<bool>,
}

/// What an API is made of.
pub(crate) struct Parts<S> {
    pub(crate) store: S,
    pub(crate) layout: Layout,
    pub(crate) machine: MachineId,
    pub(crate) page_limit: u16,
    pub(crate) peers: Peers,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) readiness: watch::Receiver<Readiness>,
    pub(crate) stop: watch::Receiver<bool>,
}

/// A store's failure, as fleet told it.
pub(super) fn store_failed(error: &StoreError) -> Refused {
    match error {
        StoreError::Unavailable(_) => {
            let text = format!("fleet server unable to communicate with etcd: {error}");
            Refused::not_now(text)
        }
        _ => Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

impl<S: Store> Api<S> {
    pub(crate) fn new(parts: Parts<S>) -> Self {
        Self {
            mirror: Mirror::new(parts.store.clone(), parts.layout.clone()),
            store: parts.store,
            layout: parts.layout,
            machine: parts.machine,
            page_limit: parts.page_limit,
            peers: parts.peers,
            metrics: parts.metrics,
            readiness: parts.readiness,
            stop: parts.stop,
        }
    }

    /// The copy of the store, if the store answers now: what was read long ago is told to nobody.
    pub(super) async fn copy(&self) -> Result<Arc<Copy>, Refused> {
        let alive = self.store.range(Keys::One(self.layout.leader())).await;
        alive.map_err(|error| store_failed(&error))?;
        let copy = self.mirror.copy().await;
        copy.map_err(|error| store_failed(&error))
    }

    /// Why every request is refused, if it is.
    fn refuses(&self) -> Option<String> {
        match &*self.readiness.borrow() {
            Readiness::Serving => None,
            Readiness::Refusing(why) => Some(why.clone()),
        }
    }

    /// Answers a request.
    pub(super) async fn answer<B>(self: &Arc<Self>, caller: &Caller, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let answered = self.dispatch(caller, request).await;
        let answer = answered.unwrap_or_else(|refused| refused.answer());
        self.metrics.answered(answer.status());
        answer
    }

    async fn dispatch<B>(
        self: &Arc<Self>,
        caller: &Caller,
        request: Request<B>,
    ) -> Result<Answer, Refused>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let route = route(head.uri.path());
        let query = Query::parse(head.uri.query().unwrap_or_default());
        let need = need(&route, &head.method, &query, &self.machine)?;
        permit(caller, need)?;
        // The page changes nothing: whatever a browser sends to change something comes from another one.
        if !head.method.is_safe() && head.headers.contains_key(ORIGIN) {
            let text = "changes are not taken from web pages";
            return Err(Refused::new(StatusCode::FORBIDDEN, text));
        }
        let is_local_look = matches!(route, Route::Page(_) | Route::Metrics | Route::Discovery);
        if let Some(why) = self.refuses().filter(|_| !is_local_look) {
            return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, why));
        }
        if head.method == Method::GET || head.method == Method::HEAD {
            let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
            return self
                .get(caller, route, &query, head.uri.query(), host)
                .await;
        }
        let content_type: Vec<&str> = head
            .headers
            .get_all(CONTENT_TYPE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        if matches!(route, Route::Unit(_)) && head.method == Method::PUT {
            check_content_type(&content_type)?;
        }
        let body = read_body(body).await?;
        self.change(caller, route, &head.method, &body).await
    }

    async fn get(
        self: &Arc<Self>,
        caller: &Caller,
        route: Route,
        query: &Query,
        query_text: Option<&str>,
        host: Option<&str>,
    ) -> Result<Answer, Refused> {
        match route {
            Route::Page(file) => page::file(&file),
            Route::Metrics => Ok(self.metrics.answer()),
            Route::Discovery => Ok(discovery::document(host, caller)),
            Route::Units => self.list_units(query).await,
            Route::Unit(name) => self.get_unit(&name).await,
            Route::UnitExplanation(name) => self.explain_unit(&name).await,
            Route::UnitStatus(name) => self.unit_status(&name, query).await,
            Route::UnitJournal(name) => {
                self.unit_journal(&name, query_text.unwrap_or_default())
                    .await
            }
            Route::States => self.list_states(query).await,
            Route::State(name) => self.get_state(&name).await,
            Route::Machines => self.list_machines(query).await,
            Route::Usage => self.usage(query).await,
            Route::Events => self.events().await,
            Route::UnitMove(_) | Route::Explanation | Route::Availability(_) | Route::Nothing => {
                Err(not_found())
            }
        }
    }

    async fn change(
        &self,
        caller: &Caller,
        route: Route,
        method: &Method,
        body: &[u8],
    ) -> Result<Answer, Refused> {
        match (route, method.as_str()) {
            (Route::Unit(name), "PUT") => {
                let unit: fleet_api::Unit = parse(body)?;
                // Starting and stopping what others created is less than creating.
                if !unit.options.is_empty() {
                    permit(caller, Need::Admin)?;
                }
                self.put_unit(&name, unit).await
            }
            (Route::Unit(name), "DELETE") => self.delete_unit(&name).await,
            (Route::Machines, "PATCH") => self.patch_machines(parse(body)?).await,
            (Route::UnitMove(name), "POST") => {
                let sent = if body.trim_ascii().is_empty() {
                    fleet_api::MoveRequest::default()
                } else {
                    parse(body)?
                };
                self.move_unit(&name, sent).await
            }
            (Route::Explanation, "POST") => self.explain_unstored(parse(body)?).await,
            (Route::Availability(id), "PUT") => self.put_availability(&id, parse(body)?).await,
            _ => Err(not_found()),
        }
    }
}

impl<S: Store> Handle for Arc<Api<S>> {
    async fn handle(&self, caller: &Caller, request: Request<hyper::body::Incoming>) -> Answer {
        self.answer(caller, request).await
    }
}

/// What a request needs, before its body is read; or that the address takes no such method.
fn need(
    route: &Route,
    method: &Method,
    query: &Query,
    machine: &MachineId,
) -> Result<Need, Refused> {
    let (methods, need): (&[Method], Need) = match route {
        Route::Nothing => return Err(not_found()),
        Route::Discovery if method != Method::GET => {
            let text = "only HTTP GET supported against this resource";
            return Err(Refused::bad_request(text));
        }
        // With options it needs more.
        Route::Unit(_) if method == Method::PUT => (&[Method::PUT], Need::Operate),
        Route::Unit(_) if method == Method::DELETE => (&[Method::DELETE], Need::Admin),
        Route::Machines if method == Method::PATCH => (&[Method::PATCH], Need::Admin),
        Route::UnitMove(_) => (&[Method::POST], Need::Operate),
        Route::Explanation => (&[Method::POST], Need::Read),
        Route::Availability(_) => (&[Method::PUT], Need::Operate),
        Route::UnitStatus(_) | Route::UnitJournal(_) | Route::Usage
            if query.get("machineID") == Some(machine.as_str()) =>
        {
            (&[Method::GET], Need::ReadHere)
        }
        _ => (&[Method::GET, Method::HEAD], Need::Read),
    };
    if methods.contains(method) {
        return Ok(need);
    }
    let text = format!("{method} is not supported against this resource");
    Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, text))
}

fn permit(caller: &Caller, need: Need) -> Result<(), Refused> {
    match caller.refusal(need) {
        None => Ok(()),
        Some(why) => Err(Refused::new(StatusCode::FORBIDDEN, why)),
    }
}

fn not_found() -> Refused {
    Refused::not_found("there is no such resource")
}

fn check_content_type(given: &[&str]) -> Result<(), Refused> {
    let is_json = |text: &str| {
        let kind = text.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/json")
    };
    match given {
        [one] if is_json(one) => Ok(()),
        _ => {
            let text = "only one Content-Type, application/json, is accepted";
            Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
        }
    }
}

async fn read_body<B>(body: B) -> Result<Bytes, Refused>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let collected = Limited::new(body, BODY_BYTES_MAX).collect();
    match tokio::time::timeout(BODY_TIMEOUT, collected).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let text = format!("the body is longer than {BODY_BYTES_MAX} bytes");
            Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, text))
        }
        Ok(Err(error)) => Err(Refused::bad_request(format!(
            "cannot read the body: {error}"
        ))),
        Err(_) => {
            let text = "the body did not come in time";
            Err(Refused::new(StatusCode::REQUEST_TIMEOUT, text))
        }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    let parsed = serde_json::from_slice(body);
    parsed.map_err(|error| Refused::bad_request(format!("unable to decode body: {error}")))
}
