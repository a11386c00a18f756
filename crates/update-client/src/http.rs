//! Release directories on web servers: several mirrors of one, with patience.
//!
//! A transfer that breaks goes on where it was, at the next mirror; one that crawls counts as broken.
//! Proxies are taken from the environment or given. Nothing that comes is trusted.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::{Response, header};

use crate::error::{ClientError, Result};
use crate::source::Source;
use crate::throttle::{Throttle, Throttled};

/// How a mirror is dealt with that does not answer as it should.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often a transfer is tried before it fails; it begins anew after each MiB that came.
    pub attempts: usize,
    /// Pause before the second attempt; it doubles from there.
    pub first_pause: Duration,
    /// Longest pause.
    pub longest_pause: Duration,
    /// A server that sends nothing for so long has stalled.
    pub stall: Duration,
    /// Fewer bytes per second, over a time of `stall`, count as stalled too.
    pub least_bytes_per_second: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 6,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30),
            stall: Duration::from_secs(20),
            least_bytes_per_second: 512,
        }
    }
}

/// Bytes after which a transfer that broke before gets all its attempts again.
const PROGRESS_BYTES: u64 = 1 << 20;

/// What an HTTP source is made of.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// URLs of the release directory, the preferred one first.
    pub mirrors: Vec<String>,
    /// A proxy's URL; without one `http_proxy`, `https_proxy` and `no_proxy` of the environment hold.
    pub proxy: Option<String>,
    /// Limit in bytes per second; 0 is none.
    pub bytes_per_second: u64,
    /// When to give up.
    pub patience: Patience,
}

/// A release directory on one or several web servers.
#[derive(Clone, Debug)]
pub struct HttpSource {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    agent: Agent,
    mirrors: Vec<String>,
    /// Counts up; the mirror in use is the remainder.
    current: AtomicUsize,
    /// Mirrors that gave wrong bytes, by number.
    distrusted: Mutex<Vec<usize>>,
    throttle: Arc<Throttle>,
    patience: Patience,
}

impl HttpSource {
    /// # Errors
    /// If there is no mirror, or the proxy's URL is none.
    pub fn new(options: &HttpOptions) -> Result<Self> {
        if options.mirrors.is_empty() {
            return Err(setup("HTTP", "no URL of a release directory is given"));
        }
        let proxy = match &options.proxy {
            Some(url) => Some(ureq::Proxy::new(url).map_err(|e| setup("the proxy", e))?),
            None => ureq::Proxy::try_from_env(),
        };
        let mirrors = options.mirrors.iter();
        Ok(Self {
            shared: Arc::new(Shared {
                agent: agent(proxy, options.patience.stall),
                mirrors: mirrors
                    .map(|url| url.trim_end_matches('/').to_owned())
                    .collect(),
                current: AtomicUsize::new(0),
                distrusted: Mutex::default(),
                throttle: Throttle::new(options.bytes_per_second),
                patience: options.patience,
            }),
        })
    }
}

fn setup<E>(what: &'static str, source: E) -> ClientError
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    ClientError::Setup {
        what,
        source: source.into(),
    }
}

/// Status codes are answers, not errors, and nothing waits for ever.
pub fn agent(proxy: Option<ureq::Proxy>, stall: Duration) -> Agent {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ureq::tls::TlsConfig::builder()
        .root_certs(ureq::tls::RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .proxy(proxy)
        .http_status_as_error(false)
        .accept_encoding("identity")
        .timeout_connect(Some(stall))
        .timeout_recv_response(Some(stall))
        .timeout_per_read(Some(stall))
        .user_agent(concat!("keelson/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

impl Source for HttpSource {
    fn open(&self, path: &str, range: Option<Range<u64>>) -> io::Result<Box<dyn Read + Send>> {
        let mut transfer = Transfer {
            shared: Arc::clone(&self.shared),
            path: path.to_owned(),
            position: range.as_ref().map_or(0, |range| range.start),
            end: range.map(|range| range.end),
            failures: 0,
            failed_at: 0,
            body: Body::Closed,
        };
        transfer.failed_at = transfer.position;
        transfer.reopen()?;
        let throttle = Arc::clone(&self.shared.throttle);
        Ok(Box::new(Throttled::new(transfer, throttle)))
    }

    fn distrust(&self) -> bool {
        let shared = &self.shared;
        let number = shared.current_mirror();
        let mut distrusted = shared
            .distrusted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !distrusted.contains(&number) {
            distrusted.push(number);
        }
        let others = (0..shared.mirrors.len()).find(|mirror| !distrusted.contains(mirror));
        if let Some(other) = others {
            shared.current.store(other, Ordering::Relaxed);
        }
        others.is_some()
    }

    fn name(&self) -> String {
        self.shared.mirrors.join(", ")
    }
}

impl Shared {
    fn current_mirror(&self) -> usize {
        self.current.load(Ordering::Relaxed) % self.mirrors.len()
    }

    /// The next mirror that is not distrusted, if there is one.
    fn next_mirror(&self) {
        let distrusted = self
            .distrusted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = self.mirrors.len();
        let current = self.current_mirror();
        let next = (1..count)
            .map(|step| (current + step) % count)
            .find(|mirror| !distrusted.contains(mirror));
        if let Some(next) = next {
            self.current.store(next, Ordering::Relaxed);
        }
    }

    /// Before the attempt after so many failures; a whole round of mirrors is tried without a pause.
    fn pause(&self, failures: usize) {
        let rounds = failures / self.mirrors.len();
        if !failures.is_multiple_of(self.mirrors.len()) {
            return;
        }
        let doublings = u32::try_from(rounds.saturating_sub(1))
            .unwrap_or(u32::MAX)
            .min(16);
        let pause = self.patience.first_pause * 2_u32.pow(doublings);
        std::thread::sleep(pause.min(self.patience.longest_pause));
    }
}

/// One file, or part of one, as it comes; opened again where it breaks.
struct Transfer {
    shared: Arc<Shared>,
    path: String,
    position: u64,
    end: Option<u64>,
    failures: usize,
    /// The position at the last failure.
    failed_at: u64,
    body: Body,
}

enum Body {
    Closed,
    Open {
        reader: ureq::BodyReader<'static>,
        pace: Pace,
    },
}

/// How fast a body comes.
struct Pace {
    since: Instant,
    bytes: u64,
}

impl Transfer {
    /// Opens at the position, at mirror after mirror.
    fn reopen(&mut self) -> io::Result<()> {
        loop {
            match self.request() {
                Ok(reader) => {
                    let pace = Pace {
                        since: Instant::now(),
                        bytes: 0,
                    };
                    self.body = Body::Open { reader, pace };
                    return Ok(());
                }
                Err(error) => self.failed(error)?,
            }
        }
    }

    /// Counts a failure and waits; gives the error back when patience is at its end.
    fn failed(&mut self, error: io::Error) -> io::Result<()> {
        self.body = Body::Closed;
        if self.position - self.failed_at >= PROGRESS_BYTES {
            self.failures = 0;
        }
        self.failed_at = self.position;
        self.failures += 1;
        let is_missing = error.kind() == io::ErrorKind::NotFound;
        // What no mirror has will not come by waiting.
        let limit = if is_missing {
            self.shared.mirrors.len()
        } else {
            self.shared.patience.attempts
        };
        if self.failures >= limit {
            return Err(error);
        }
        self.shared.pause(self.failures);
        self.shared.next_mirror();
        Ok(())
    }

    fn request(&self) -> io::Result<ureq::BodyReader<'static>> {
        let mirror = &self.shared.mirrors[self.shared.current_mirror()];
        // The only character of a path that a URL cannot have.
        let url = format!("{mirror}/{}", self.path.replace('^', "%5E"));
        let mut request = self.shared.agent.get(&url);
        let is_part = self.end.is_some() || self.position > 0;
        if is_part {
            request = request.header(header::RANGE, range_header(self.position, self.end));
        }
        let response = request.call().map_err(|error| other(&url, error))?;
        match response.status().as_u16() {
            206 if begins_at(&response, self.position) => {}
            206 => {
                return Err(other(
                    &url,
                    "the server sent another range than was asked for",
                ));
            }
            200 if self.position == 0 => {}
            200 => return Err(other(&url, "the server cannot send a part of a file")),
            404 | 410 => return Err(io::Error::new(io::ErrorKind::NotFound, url)),
            status => return Err(other(&url, format!("the server answers {status}"))),
        }
        Ok(response.into_body().into_reader())
    }

    /// Some bytes of the open body; an early end is an error.
    fn read_body(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let patience = self.shared.patience;
        let Body::Open { reader, pace } = &mut self.body else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let count = reader.read(buffer)?;
        if count == 0 && self.end.is_some() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        pace.check(count, &patience)?;
        Ok(count)
    }
}

impl Pace {
    fn check(&mut self, count: usize, patience: &Patience) -> io::Result<()> {
        self.bytes += count as u64;
        let elapsed = self.since.elapsed();
        if elapsed < patience.stall || count == 0 {
            return Ok(());
        }
        let seconds = elapsed.as_secs_f64();
        // Both are far below 2^52.
        #[allow(clippy::cast_precision_loss)]
        let (bytes, least) = (self.bytes as f64, patience.least_bytes_per_second as f64);
        if bytes < least * seconds {
            let text = format!("{bytes} bytes in {seconds:.1} s are too slow");
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        (self.since, self.bytes) = (Instant::now(), 0);
        Ok(())
    }
}

impl Read for Transfer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self
            .end
            .map_or(u64::MAX, |end| end.saturating_sub(self.position));
        let length = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if length == 0 {
            return Ok(0);
        }
        loop {
            match self.read_body(&mut buffer[..length]) {
                Ok(count) => {
                    self.position += count as u64;
                    return Ok(count);
                }
                // Without a length nobody knows whether what is there now is the same file.
                Err(error) if self.end.is_none() => return Err(error),
                Err(error) => {
                    self.failed(error)?;
                    self.reopen()?;
                }
            }
        }
    }
}

/// `bytes=FIRST-LAST`, both included.
fn range_header(position: u64, end: Option<u64>) -> String {
    match end {
        Some(end) => format!("bytes={position}-{}", end.saturating_sub(1)),
        None => format!("bytes={position}-"),
    }
}

/// Whether `Content-Range: bytes FIRST-LAST/LENGTH` begins where it was asked to.
fn begins_at(response: &Response<ureq::Body>, position: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE);
    range
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok())
        == Some(position)
}

fn other(url: &str, error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{url}: {error}"))
}
