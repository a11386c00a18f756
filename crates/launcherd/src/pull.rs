//! `POST images/create`: an image from its registry, with Docker's lines of progress.
//!
//! What fails before there is anything to tell is answered with a status, all else in the last line. A client that
//! goes away ends its pull; what came stays for the next one.

mod progress;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use container_model::ImageReference;
use engine_api::ApiError;
use engine_api::image_answer::familiar;
use engine_api::query::Query;
use engine_api::registry_auth::{Credentials, HEADER};
use hyper::HeaderMap;
use image_registry::{Patience, RegistryError, Settings};
use image_store::pull::{Observer, PullEvent, PullOptions, Pulled};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::answer::{self, Answer, Pieces};
use crate::engine::Engine;
use crate::images;
use progress::Progress;

/// Between lines of what takes long: that the client is gone is seen by writing to it.
const TICK: Duration = Duration::from_secs(1);

/// A pull that goes on as long as this is asked.
type Pulling = Pin<Box<dyn Future<Output = image_store::Result<Pulled>> + Send>>;

/// Answers.
pub(crate) async fn create(engine: &Arc<Engine>, query: &Query, headers: &HeaderMap) -> Answer {
    let reference = wanted(query)?;
    images::is_allowed(&reference.to_string())?;
    let store = engine.store().await?.clone();
    let (events, mut seen) = unbounded_channel();
    let observer: Observer = Arc::new(move |event| {
        // Whoever is told may be gone; then the pull is, too.
        let _gone = events.send(event);
    });
    let options = PullOptions {
        settings: settings(headers)?,
        patience: Patience::default(),
        observer,
    };
    let image = reference.clone();
    let mut pulling: Pulling =
        Box::pin(async move { image_store::pull::pull(&store, &image, &options).await });
    let first = tokio::select! {
        biased;
        first = seen.recv() => first,
        pulled = &mut pulling => return Err(match pulled {
            Err(error) => refusal(error),
            Ok(_) => ApiError::internal("a pull that told nothing"),
        }),
    };
    let (pieces, response) = answer::streamed("application/json");
    let engine = Arc::clone(engine);
    tokio::spawn(async move {
        let telling = tell(&engine, &reference, (first, seen), pulling, &pieces);
        tokio::select! {
            () = telling => {}
            () = pieces.closed() => tracing::info!("{reference}: nobody waits for it any more"),
        }
    });
    Ok(response)
}

/// What is to be pulled; only images for this machine are.
fn wanted(query: &Query) -> Result<ImageReference, ApiError> {
    if query.text("fromSrc").is_some() {
        return Err(ApiError::not_implemented(
            "importing file systems as images",
        ));
    }
    let platform = query.text("platform");
    if platform.is_some_and(|platform| !images::is_here(platform)) {
        return Err(ApiError::not_implemented("images of other platforms"));
    }
    let name = query.text("fromImage");
    let name = name.ok_or_else(|| ApiError::bad_request("fromImage: an image is wanted"))?;
    let bad = |error: &dyn std::fmt::Display| {
        ApiError::bad_request(format!("invalid reference format: {name}: {error}"))
    };
    let text = match query.text("tag") {
        Some(digest) if digest.contains(':') => format!("{name}@{digest}"),
        Some(tag) => format!("{name}:{tag}"),
        None if has_version(name) => name.to_owned(),
        None => {
            return Err(ApiError::not_implemented(
                "pulling all tags of a repository: name one",
            ));
        }
    };
    text.parse::<ImageReference>().map_err(|error| bad(&error))
}

/// Whether a name ends with a tag or a digest.
fn has_version(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or_default();
    last.contains([':', '@'])
}

/// The machine's, with the client's login.
fn settings(headers: &HeaderMap) -> Result<Settings, ApiError> {
    let settings = Settings::read().map_err(|error| ApiError::internal(error.to_string()))?;
    let Some(header) = headers.get(HEADER) else {
        return Ok(settings);
    };
    let text = String::from_utf8_lossy(header.as_bytes());
    Ok(match Credentials::of_header(&text)? {
        Some(login) => settings.with_login(login),
        None => settings,
    })
}

/// As Docker has it: what may be a matter of logging in looks like what is not there. By 401 its client would
/// ask for a password instead of telling the reason.
fn refusal(error: image_store::Error) -> ApiError {
    let status = match error.registry() {
        Some(RegistryError::NotFound { .. } | RegistryError::Unauthorized { .. }) => 404,
        _ => 500,
    };
    let error = anyhow::Error::from(error);
    ApiError {
        status,
        message: format!("{error:#}").replace('\n', " "),
    }
}

/// Tells of all that happens until the end.
async fn tell(
    engine: &Engine,
    reference: &ImageReference,
    (first, mut seen): (Option<PullEvent>, UnboundedReceiver<PullEvent>),
    mut pulling: Pulling,
    pieces: &Pieces,
) {
    let mut progress = Progress::new(reference);
    let mut ticks = tokio::time::interval(TICK);
    let mut lines: Vec<Value> = first.map_or(Vec::new(), |event| progress.take(event));
    let pulled = loop {
        for line in lines.drain(..) {
            // If the client is gone, so is this.
            let _gone = pieces.send(answer::line(&line)).await;
        }
        tokio::select! {
            biased;
            Some(event) = seen.recv() => lines = progress.take(event),
            _ = ticks.tick() => lines = progress.tick(),
            pulled = &mut pulling => break pulled,
        }
    };
    while let Ok(event) = seen.try_recv() {
        lines.extend(progress.take(event));
    }
    lines.extend(last(engine, reference, pulled));
    for line in lines {
        let _gone = pieces.send(answer::line(&line)).await;
    }
}

/// How it ended.
fn last(
    engine: &Engine,
    reference: &ImageReference,
    pulled: image_store::Result<Pulled>,
) -> Vec<Value> {
    let name = familiar(&reference.to_string());
    match pulled {
        Ok(Pulled { image, is_new }) => {
            engine.tell_of("image", "pull", &image.name, &image.name);
            let news = if is_new {
                "Downloaded newer image for"
            } else {
                "Image is up to date for"
            };
            vec![
                json!({"status": format!("Digest: {}", image.digest)}),
                json!({"status": format!("Status: {news} {name}")}),
            ]
        }
        Err(error) => {
            let message = refusal(error).message;
            vec![json!({"errorDetail": {"message": message}, "error": message})]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted_of(query: &str) -> Result<String, ApiError> {
        wanted(&Query::parse(query)).map(|reference| reference.to_string())
    }

    #[test]
    fn names_come_in_one_or_two_parts() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (query, name) in [
            (
                "fromImage=busybox&tag=1",
                "docker.io/library/busybox:1".to_owned(),
            ),
            (
                "fromImage=localhost%3A5000/a%3A2",
                "localhost:5000/a:2".to_owned(),
            ),
            (
                &format!("fromImage=a/b&tag={digest}"),
                format!("docker.io/a/b@{digest}"),
            ),
            (
                &format!("fromImage=a/b@{digest}"),
                format!("docker.io/a/b@{digest}"),
            ),
        ] {
            assert_eq!(wanted_of(query), Ok(name), "{query}");
        }
        for (query, status) in [
            ("fromImage=localhost%3A5000/a", 501),
            ("fromImage=a&tag=1&platform=linux/s390x", 501),
            ("fromSrc=-", 501),
            ("tag=1", 400),
            ("fromImage=A&tag=1", 400),
        ] {
            assert_eq!(wanted_of(query).unwrap_err().status, status, "{query}");
        }
    }
}
