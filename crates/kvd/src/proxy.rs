//! `kvd --proxy`: on machines that are no members, clients' requests are forwarded to the members.
//!
//! The list of members is refreshed from `/v2/members` and remembered on disk. It holds no data: an
//! answer is always a member's.

mod forward;
mod members;
mod relay;

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;

use crate::configuration::{Bootstrap, ProxyOptions};
use crate::data_folder::{DataFolder, PROXY_MEMBERS};
use crate::discovery;
use crate::listener::Arrival;
use crate::outbound::Asker;
use crate::tls::ClientTls;
use forward::Forwarder;
use members::{Directory, KnownMembers};

/// Clients that take longer to send their headers are let go.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks while no member is known.
const SEARCH_PAUSE: Duration = Duration::from_secs(1);

/// A proxy at work. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Proxy {
    forwarder: Arc<Forwarder>,
    stop: watch::Receiver<bool>,
}

impl Proxy {
    /// Starts with the members that the disk remembers, and looks for the present ones.
    pub(crate) fn start(
        options: ProxyOptions,
        request_bytes_max: usize,
        folder: DataFolder,
        asker: Asker,
        tls: Arc<ClientTls>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let known = folder.read(PROXY_MEMBERS);
        let known = known.and_then(|text| KnownMembers::from_json(&text));
        let directory = Arc::new(Directory::new(
            known.unwrap_or_default(),
            options.failure_wait,
        ));
        let follow = follow_members(options.clone(), folder, asker, Arc::clone(&directory));
        tokio::spawn(follow);
        let forwarder = Forwarder::new(options, request_bytes_max, directory, tls);
        Self {
            forwarder: Arc::new(forwarder),
            stop,
        }
    }

    /// Serves a client's connection to its end.
    pub(crate) async fn serve(self, arrival: Arrival) {
        let address = arrival.address.map(|address| address.ip());
        let service = service_fn(|request| {
            let forwarder = Arc::clone(&self.forwarder);
            async move { Ok::<_, std::convert::Infallible>(forwarder.answer(request, address).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(arrival.stream), service);
        let mut connection = std::pin::pin!(connection);
        let mut stop = self.stop.clone();
        // Errors are the client's affair: it went away.
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }
}

/// Keeps the directory up to date for as long as the process lives.
async fn follow_members(
    options: ProxyOptions,
    folder: DataFolder,
    asker: Asker,
    directory: Arc<Directory>,
) {
    let mut written = directory.known();
    let mut said_why = false;
    loop {
        match find_members(&options.bootstrap, &asker, &directory.known()).await {
            Ok(found) => {
                said_why = false;
                directory.replace(found.clone());
                if written != found {
                    tracing::info!("members: {}", found.client_urls().join(" "));
                    if let Err(error) = folder.write(PROXY_MEMBERS, &found.to_json()) {
                        let path = folder.path().display();
                        tracing::warn!("the members cannot be remembered in {path}: {error}");
                    }
                    written = found;
                }
            }
            Err(reason) if !said_why => {
                said_why = true;
                tracing::warn!("the list of members cannot be refreshed: {reason}");
            }
            Err(_) => {}
        }
        let pause = if directory.is_empty() {
            SEARCH_PAUSE
        } else {
            options.refresh_interval
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = directory.all_failed() => tokio::time::sleep(SEARCH_PAUSE).await,
        }
    }
}

/// Asks known members; if none answers, those that the cluster began with.
async fn find_members(
    bootstrap: &Bootstrap,
    asker: &Asker,
    known: &KnownMembers,
) -> Result<KnownMembers, String> {
    let mut last = String::from("no member is known");
    let clients = known.client_urls().into_iter();
    let peers = known.peer_urls().into_iter();
    let mut places: Vec<String> = clients
        .map(|url| format!("{url}/v2/members"))
        .chain(peers.map(|url| format!("{url}/members")))
        .collect();
    for attempt in 0..2 {
        for place in &places {
            match asker.ask(Method::GET, place, None).await {
                Ok(answer) => match KnownMembers::from_members(&answer.body) {
                    Some(found) => return Ok(found),
                    None => last = format!("{place} answered {}, not members", answer.status),
                },
                Err(error) => last = error.to_string(),
            }
        }
        if attempt == 0 {
            let first = first_members(bootstrap, asker).await?;
            let urls = first.into_iter().flat_map(|(_, urls)| urls);
            places = urls.map(|url| format!("{url}/members")).collect();
        }
    }
    Err(last)
}

async fn first_members(
    bootstrap: &Bootstrap,
    asker: &Asker,
) -> Result<Vec<(String, Vec<String>)>, String> {
    match bootstrap {
        Bootstrap::Alone => Ok(Vec::new()),
        Bootstrap::Static(members) => Ok(members.clone()),
        Bootstrap::Discovery { url, .. } => discovery::members_at(asker, url)
            .await
            .map_err(|error| error.to_string()),
        Bootstrap::DnsSrv { domain, suffix } => {
            let found = discovery::find_by_dns(domain, suffix, &[]).await;
            found
                .map(|found| found.members)
                .map_err(|error| error.to_string())
        }
    }
}

#[cfg(test)]
mod tests;
