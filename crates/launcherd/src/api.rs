//! From a request to whoever answers it.

use std::sync::Arc;

use bytes::Bytes;
use engine_api::query::Query;
use engine_api::route::{ContainerRoute, ExecRoute, ImageRoute, NetworkRoute};
use engine_api::version::{self, NEWEST};
use engine_api::{ApiError, Route};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Request, Response};

use crate::answer::{self, Answer, Body};
use crate::engine::Engine;
use crate::{
    attach, containers, exec, files, images, load, login, logs, networks, processes, pull, save,
    stats, system, volumes, wait,
};

/// No description of a container is longer.
const BODY_MAX: usize = 4 * 1024 * 1024;

/// Answers a request.
pub(crate) async fn answer(engine: &Arc<Engine>, mut request: Request<Incoming>) -> Response<Body> {
    let what = format!("{} {}", request.method(), request.uri().path());
    let route = route(&request);
    if !route.as_ref().is_ok_and(wants_body) {
        drain(request.body_mut()).await;
    }
    let answered = match route {
        Ok(route) => dispatch(engine, route, request).await,
        Err(error) => Err(error),
    };
    let mut response = answered.unwrap_or_else(|error| {
        tracing::debug!("{what}: {} {error}", error.status);
        answer::error(&error)
    });
    let headers = response.headers_mut();
    headers.insert("api-version", HeaderValue::from_static(NEWEST));
    headers.insert("ostype", HeaderValue::from_static("linux"));
    let server = concat!("launcherd/", env!("CARGO_PKG_VERSION"));
    headers.insert("server", HeaderValue::from_static(server));
    response
}

fn route(request: &Request<Incoming>) -> Result<Route, ApiError> {
    let path = version::strip(request.uri().path())?;
    Route::parse(request.method().as_str(), path)
}

/// Whether what a request brings is read, or the connection becomes another.
fn wants_body(route: &Route) -> bool {
    matches!(
        route,
        Route::Auth
            | Route::ContainerCreate
            | Route::ImageLoad
            | Route::VolumeCreate
            | Route::NetworkCreate
            | Route::Network(_, NetworkRoute::Connect | NetworkRoute::Disconnect)
            | Route::Container(
                _,
                ContainerRoute::Update
                    | ContainerRoute::Attach
                    | ContainerRoute::AttachWebSocket
                    | ContainerRoute::ArchivePut
                    | ContainerRoute::Exec
            )
            | Route::Exec(_, ExecRoute::Start)
    )
}

/// Reads what nobody wants: a client that is answered while it still writes sees a broken pipe instead.
async fn drain(body: &mut Incoming) {
    let _unwanted = Limited::new(body, BODY_MAX).collect().await;
}

async fn dispatch(engine: &Arc<Engine>, route: Route, request: Request<Incoming>) -> Answer {
    let query = Query::parse(request.uri().query().unwrap_or_default());
    match route {
        Route::Ping => system::ping(),
        Route::Version => system::version(),
        Route::Info => system::info(engine).await,
        Route::Events => system::events(engine, &query),
        Route::DiskUsage => system::disk_usage(engine).await,
        Route::Auth => login::log_in(&body(request).await?).await,
        Route::ContainerList => containers::list(engine, &query).await,
        Route::ContainerCreate => containers::create(engine, &query, &body(request).await?).await,
        Route::ContainerPrune => containers::prune(engine, &query).await,
        Route::Container(id, to) => container(engine, &id, to, &query, request).await,
        Route::Exec(id, to) => match to {
            ExecRoute::Start => exec::start(engine, &id, request).await,
            ExecRoute::Resize => exec::resize(engine, &id, &query).await,
            ExecRoute::Inspect => exec::inspect(engine, &id),
        },
        Route::ImageList => images::list(engine, &query).await,
        Route::ImageCreate => pull::create(engine, &query, request.headers()).await,
        Route::ImageLoad => load::load(engine, request.into_body()).await,
        Route::ImagesSave => save::save(engine, &query.texts("names")).await,
        Route::ImagePrune => images::prune(engine, &query).await,
        Route::ImageSearch => Err(ApiError::not_implemented("searching registries")),
        Route::Image(name, to) => image(engine, &name, to, &query).await,
        Route::VolumeList => volumes::list(engine, &query),
        Route::VolumeCreate => volumes::create(engine, &body(request).await?),
        Route::VolumePrune => volumes::prune(engine, &query),
        Route::Volume(name, to) => volumes::one(engine, &name, to),
        Route::NetworkList => networks::list(&query),
        Route::NetworkCreate => networks::create(engine, &body(request).await?),
        Route::NetworkPrune => networks::prune(&query),
        Route::Network(name, to) => {
            let body = match to {
                NetworkRoute::Connect | NetworkRoute::Disconnect => body(request).await?,
                NetworkRoute::Inspect | NetworkRoute::Delete => Bytes::new(),
            };
            networks::one(engine, &name, to, &body).await
        }
        Route::Swarm => Err(ApiError {
            status: 503,
            message: "This node is not a swarm manager: launcherd does not support swarm"
                .to_owned(),
        }),
        Route::Missing(what) => Err(ApiError::not_implemented(what)),
    }
}

async fn container(
    engine: &Arc<Engine>,
    id: &str,
    to: ContainerRoute,
    query: &Query,
    request: Request<Incoming>,
) -> Answer {
    use ContainerRoute as To;
    let record = engine.records.find(id)?;
    let done = match to {
        To::Inspect => return containers::inspect(engine, &record).await,
        To::Wait => return wait::wait(engine, record, query),
        To::Logs => {
            let is_named = version::names_multiplexed(request.uri().path());
            return logs::logs(engine, record, query, is_named);
        }
        To::Start => containers::start(engine, &record).await,
        To::Stop => containers::stop(engine, &record, query).await,
        To::Restart => containers::restart(engine, &record, query).await,
        To::Kill => containers::kill(engine, &record, query).await,
        To::Rename => containers::rename(engine, record, query).await,
        To::Delete => containers::delete(engine, &record, query).await,
        To::Update => {
            containers::update(engine, record, &body(request).await?).await?;
            return answer::json(&serde_json::json!({"Warnings": []}));
        }
        To::Attach | To::AttachWebSocket => {
            let by_websocket = to == To::AttachWebSocket;
            return attach::attach(engine, record, query, request, by_websocket).await;
        }
        To::Resize => {
            attach::resize(&record, query).await?;
            return Ok(answer::bytes(hyper::StatusCode::OK, "text/plain", ""));
        }
        To::Pause => containers::pause(engine, &record).await,
        To::Unpause => containers::unpause(engine, &record).await,
        To::Exec => return exec::create(engine, &record, &body(request).await?).await,
        To::Stats => return stats::stats(engine, record, query).await,
        To::Top => return processes::top(&record, query),
        To::Changes => return files::changes(engine, &record).await,
        To::Export => return files::export(engine, &record).await,
        To::ArchiveFacts => return files::facts(engine, &record, query).await,
        To::ArchiveGet => return files::get(engine, &record, query).await,
        To::ArchivePut => return files::put(engine, &record, query, request.into_body()).await,
    };
    done?;
    answer::no_content()
}

async fn image(engine: &Engine, name: &str, to: ImageRoute, query: &Query) -> Answer {
    match to {
        ImageRoute::Inspect => answer::json(&images::find(engine, name).await?.facts.inspect()),
        ImageRoute::History => answer::json(&images::find(engine, name).await?.facts.history()),
        ImageRoute::Tag => images::tag(engine, name, query).await,
        ImageRoute::Delete => images::delete(engine, name, query).await,
        ImageRoute::Save => save::save(engine, &[name]).await,
    }
}

/// A body that is read as a whole.
pub(crate) async fn body(request: Request<Incoming>) -> Result<Bytes, ApiError> {
    let read = Limited::new(request.into_body(), BODY_MAX).collect().await;
    let read = read.map_err(|error| ApiError::bad_request(format!("the body: {error}")))?;
    let bytes = read.to_bytes();
    // Clients leave it out where everything is as usual.
    Ok(if bytes.is_empty() {
        Bytes::from_static(b"{}")
    } else {
        bytes
    })
}
