//! Brings what is remote by HTTP and HTTPS, with patience that is told.
//!
//! The image's authorities are trusted, and those the configuration adds. Nothing is cached.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use provision_model::plan::{Fetching, Remote};
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::fetch::{Fetch, FetchError};
use crate::patience::{Attempt, Patience};
use crate::run::Network;

/// Longest wait for the head of an answer, if the configuration does not say.
const HEAD: Duration = Duration::from_secs(10);
/// Longest time for one address with all attempts, if the configuration does not say.
const TOTAL: Duration = Duration::from_mins(5);
/// A server that sends nothing for so long has stalled.
const STALL: Duration = Duration::from_secs(20);
/// The pause before the second attempt; it doubles from there.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Most bytes at an address.
const BYTES_MAX: u64 = 512 << 20;
/// What servers see of this program.
pub(crate) const USER_AGENT: &str = concat!("keelson-provision/", env!("CARGO_PKG_VERSION"));
/// Of the image.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// HTTP, telling of what is waited for.
pub struct Http<'a> {
    /// Is told of each attempt that failed.
    pub tell: &'a (dyn Fn(&str) + Sync),
}

/// One configuration's way of fetching.
struct Client {
    http: Agent,
    https: Agent,
    total: Duration,
    tell: Box<dyn Fn(&str)>,
}

impl Network for Http<'static> {
    fn open(
        &self,
        fetching: &Fetching,
        authorities: &[Vec<u8>],
    ) -> Result<Box<dyn Fetch>, FetchError> {
        let roots = roots(authorities)?;
        let agent = |proxy: Option<&String>| agent(fetching, roots.clone(), proxy);
        let tell = self.tell;
        Ok(Box::new(Client {
            http: agent(fetching.http_proxy.as_ref())?,
            https: agent(fetching.https_proxy.as_ref())?,
            total: seconds(fetching.total_seconds, TOTAL),
            tell: Box::new(tell),
        }))
    }
}

/// Ignition's 0 means without end, which no boot should wait for.
fn seconds(said: Option<u32>, usual: Duration) -> Duration {
    match said {
        None | Some(0) => usual,
        Some(seconds) => Duration::from_secs(seconds.into()),
    }
}

/// Authorities are added to the image's only if there are some: else its own way of finding them is better.
fn roots(authorities: &[Vec<u8>]) -> Result<RootCerts, FetchError> {
    if authorities.is_empty() {
        return Ok(RootCerts::PlatformVerifier);
    }
    let of_image = std::fs::read(AUTHORITIES).unwrap_or_default();
    let mut certificates: Vec<Certificate<'static>> = Vec::new();
    for pem in authorities.iter().chain([&of_image]) {
        for item in parse_pem(pem) {
            match item {
                Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
                Ok(_) => {}
                Err(error) => return Err(failure("the authorities", error)),
            }
        }
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

/// Of a connection that trusts these.
pub(crate) fn tls(roots: RootCerts) -> TlsConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    TlsConfig::builder()
        .root_certs(roots)
        .unversioned_rustls_crypto_provider(provider)
        .build()
}

fn failure(url: &str, reason: impl std::fmt::Display) -> FetchError {
    FetchError {
        url: url.to_owned(),
        reason: reason.to_string(),
    }
}

fn agent(
    fetching: &Fetching,
    roots: RootCerts,
    proxy: Option<&String>,
) -> Result<Agent, FetchError> {
    let proxy = match proxy {
        None => None,
        Some(url) => Some(ureq::Proxy::new(url).map_err(|error| failure(url, error))?),
    };
    let head = seconds(fetching.head_seconds, HEAD);
    let agent = Agent::config_builder()
        .tls_config(tls(roots))
        .proxy(proxy)
        .http_status_as_error(false)
        .accept_encoding("identity")
        .timeout_connect(Some(head))
        .timeout_recv_response(Some(head))
        .timeout_per_read(Some(STALL))
        .user_agent(USER_AGENT)
        .build();
    Ok(agent.into())
}

impl Fetch for Client {
    fn fetch(&self, remote: &Remote) -> Result<Vec<u8>, FetchError> {
        let patience = Patience {
            total: self.total,
            first_pause: FIRST_PAUSE,
            longest_pause: LONGEST_PAUSE,
        };
        let fetched = patience.persist(&remote.url, &self.tell, |left| self.attempt(remote, left));
        fetched.map_err(|reason| failure(&remote.url, reason))
    }
}

impl Client {
    fn attempt(&self, remote: &Remote, left: Duration) -> Result<Vec<u8>, Attempt> {
        let agent = if remote.url.starts_with("https:") {
            &self.https
        } else {
            &self.http
        };
        let mut request = agent.get(&remote.url);
        for (name, value) in remote.headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(name, value);
        }
        // A server that sends byte after byte must not have for ever, either.
        let request = request.config().timeout_global(Some(left)).build();
        let mut response = request.call().map_err(Attempt::lost)?;
        let status = response.status();
        if status != 200 {
            return Err(not_answered(status));
        }
        body(response.body_mut(), BYTES_MAX)
    }
}

/// What an answer that is none says of another attempt.
pub(crate) fn not_answered(status: ureq::http::StatusCode) -> Attempt {
    Attempt {
        reason: format!("the server answers {status}"),
        may_pass: status.is_server_error() || status == 429 || status == 408,
    }
}

/// All bytes of an answer, if they are not more than that.
pub(crate) fn body(body: &mut ureq::Body, most: u64) -> Result<Vec<u8>, Attempt> {
    let mut bytes = Vec::new();
    let read = body.as_reader().take(most + 1).read_to_end(&mut bytes);
    read.map_err(Attempt::lost)?;
    if bytes.len() as u64 > most {
        return Err(Attempt::refused(format!(
            "there are more than {most} bytes"
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// Answers one connection after the other; the requests' heads.
    fn serve(answers: Vec<String>) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/a", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let mut heads = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = String::new();
                let mut lines = BufReader::new(stream.try_clone().unwrap());
                while !head.ends_with("\r\n\r\n") && lines.read_line(&mut head).unwrap() > 0 {}
                stream.write_all(answer.as_bytes()).unwrap();
                heads.push(head);
            }
            heads
        });
        (url, server)
    }

    fn answer(status: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
    }

    fn client() -> Box<dyn Fetch> {
        let http = Http { tell: &|_| {} };
        http.open(&Fetching::default(), &[]).unwrap()
    }

    #[test]
    fn a_server_that_is_ill_is_asked_again() {
        let (url, server) = serve(vec![answer("503 Busy", ""), answer("200 OK", "hello")]);
        let headers = vec![("X-Key".to_owned(), "secret".to_owned())];
        let bytes = client().fetch(&Remote { url, headers }).unwrap();
        assert_eq!(bytes, b"hello");
        let heads = server.join().unwrap();
        assert!(
            heads[1].to_lowercase().contains("x-key: secret"),
            "{heads:?}"
        );
    }

    #[test]
    fn what_is_not_there_is_not_asked_for_again() {
        let (url, server) = serve(vec![answer("404 Not Found", "")]);
        let remote = Remote {
            url,
            headers: Vec::new(),
        };
        let error = client().fetch(&remote).unwrap_err().to_string();
        assert!(error.contains("/a: the server answers 404"), "{error}");
        server.join().unwrap();
    }

    #[test]
    fn zero_seconds_are_the_usual() {
        assert_eq!(seconds(Some(0), TOTAL), TOTAL);
        assert_eq!(seconds(None, TOTAL), TOTAL);
        assert_eq!(seconds(Some(3), TOTAL), Duration::from_secs(3));
    }
}
