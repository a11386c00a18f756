//! Fetching packages into a cache of files named by their SHA-256.
//!
//! A file stands under its name only after its hash was checked. Several are fetched at once, and what
//! may pass is tried again; what was fetched before a failure stays for the next build.

use sha2::{Digest as _, Sha256};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::cache::{Event, Report};
use crate::digest::Digest;
use crate::error::{BuildError, Result, create, make_directory, rename};
use crate::lock::LockedPackage;
use crate::mirror::Mirrors;
use crate::staging::list_files;

/// Downloads at once: enough to hide latency, few enough to be polite to a mirror.
const DOWNLOADS_AT_ONCE: usize = 6;
/// A server that sends nothing for so long has stalled.
const STALL_LIMIT: Duration = Duration::from_secs(20);
/// Longest time for one package, however slowly it comes.
const DOWNLOAD_LIMIT: Duration = Duration::from_hours(1);
/// Before it is tried again after something that may pass: a broken connection, a server in trouble.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// Before a mirror is tried again that could not be reached: names that do not resolve for a moment and
/// routes that are gone for one are common on laptops and build machines.
const OUTAGE_PAUSES: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(15),
    Duration::from_secs(30),
];
/// What a server says that is in trouble.
const TROUBLE: [u16; 5] = [429, 500, 502, 503, 504];
/// Extension of the file that a download goes to.
const PARTIAL: &str = "part";

/// Fetched package files, by hash.
#[derive(Debug, Clone)]
pub struct PackageCache {
    directory: PathBuf,
}

/// What a round of fetching did.
#[derive(Debug, Default)]
pub struct Fetched {
    /// Bytes that came over the network.
    pub bytes: u64,
    /// Packages the archive no longer has.
    pub vanished: Vec<LockedPackage>,
}

impl PackageCache {
    /// A cache in a directory, which is made when first needed.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Where a package's file is or will be.
    pub fn path(&self, package: &LockedPackage) -> PathBuf {
        self.directory.join(format!("{}.deb", package.sha256))
    }

    /// The packages that are not here yet, each file once.
    pub fn missing<'a>(&self, packages: &[&'a LockedPackage]) -> Vec<&'a LockedPackage> {
        let mut missing: Vec<&LockedPackage> = packages
            .iter()
            .copied()
            .filter(|package| !self.path(package).exists())
            .collect();
        missing.sort_by(|a, b| a.sha256.cmp(&b.sha256));
        missing.dedup_by(|a, b| a.sha256 == b.sha256);
        missing
    }

    /// Removes what a killed build had not finished; the step cache's lock keeps other builds out.
    fn remove_partial(&self) -> Result<()> {
        for path in list_files(&self.directory)? {
            if path
                .extension()
                .is_some_and(|extension| extension == PARTIAL)
            {
                std::fs::remove_file(&path).map_err(|e| BuildError::io("remove", &path, e))?;
            }
        }
        Ok(())
    }

    /// Fetches what is missing, reporting progress and outages. A package that vanished is in the result,
    /// everything else that goes wrong is an error.
    pub fn fetch(
        &self,
        packages: &[&LockedPackage],
        mirrors: &Mirrors,
        report: Report<'_>,
    ) -> Result<Fetched> {
        let missing = self.missing(packages);
        if missing.is_empty() {
            return Ok(Fetched::default());
        }
        make_directory(&self.directory)?;
        self.remove_partial()?;
        let downloads = Downloads::new(self, mirrors, &missing, report);
        std::thread::scope(|scope| {
            for _ in 0..DOWNLOADS_AT_ONCE.min(missing.len()) {
                scope.spawn(|| downloads.work());
            }
        });
        downloads.finish()
    }
}

/// The state that the downloading threads share.
struct Downloads<'a> {
    cache: &'a PackageCache,
    mirrors: &'a Mirrors,
    missing: &'a [&'a LockedPackage],
    report: Report<'a>,
    agent: ureq::Agent,
    outage_pauses: &'a [Duration],
    outage_told: AtomicBool,
    next: AtomicUsize,
    bytes: AtomicU64,
    bytes_in_all: u64,
    vanished: Mutex<Vec<LockedPackage>>,
    error: Mutex<Option<BuildError>>,
}

/// Why an attempt failed.
enum Failure {
    /// The mirror could not be reached; that often takes a minute to pass.
    Outage(BuildError),
    /// The next one may go better.
    Passing(BuildError),
    /// So would every other.
    Lasting(BuildError),
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        Self::Lasting(error)
    }
}

impl<'a> Downloads<'a> {
    fn new(
        cache: &'a PackageCache,
        mirrors: &'a Mirrors,
        missing: &'a [&'a LockedPackage],
        report: Report<'a>,
    ) -> Self {
        Self {
            cache,
            mirrors,
            missing,
            report,
            agent: ureq::Agent::new_with_config(agent_config()),
            outage_pauses: &OUTAGE_PAUSES,
            outage_told: AtomicBool::new(false),
            next: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
            bytes_in_all: missing.iter().map(|package| package.size).sum(),
            vanished: Mutex::default(),
            error: Mutex::default(),
        }
    }

    /// Takes packages off the list until it is empty or somebody failed.
    fn work(&self) {
        while self.error.lock().expect("no thread panicked").is_none() {
            let Some(package) = self.missing.get(self.next.fetch_add(1, Ordering::Relaxed)) else {
                return;
            };
            if let Err(error) = self.fetch_patiently(package) {
                self.error
                    .lock()
                    .expect("no thread panicked")
                    .get_or_insert(error);
            }
        }
    }

    fn fetch_patiently(&self, package: &LockedPackage) -> Result<()> {
        let (mut retry_pauses, mut outage_pauses) =
            (RETRY_PAUSES.iter(), self.outage_pauses.iter());
        loop {
            let (error, pause) = match self.fetch_one(package) {
                Ok(()) => return Ok(()),
                Err(Failure::Lasting(error)) => return Err(error),
                Err(Failure::Passing(error)) => (error, retry_pauses.next()),
                Err(Failure::Outage(error)) => {
                    self.tell_outage(&error);
                    (error, outage_pauses.next())
                }
            };
            let Some(pause) = pause else {
                return Err(error);
            };
            std::thread::sleep(*pause);
        }
    }

    /// Once in a round: several downloads meet the same outage.
    fn tell_outage(&self, error: &BuildError) {
        if !self.outage_told.swap(true, Ordering::Relaxed) {
            let reason =
                std::error::Error::source(error).map_or_else(String::new, |e| format!(" ({e})"));
            let limit: Duration = self.outage_pauses.iter().sum();
            let text = format!(
                "the mirror cannot be reached{reason}; trying again for {} s",
                limit.as_secs()
            );
            (self.report)(Event::Notice { text: &text });
        }
    }

    fn fetch_one(&self, package: &LockedPackage) -> std::result::Result<(), Failure> {
        let url = self.mirrors.url(package);
        let fetch_error = |source| BuildError::Fetch {
            url: url.clone(),
            source: Box::new(source),
        };
        let mut response = self.agent.get(&url).call().map_err(|error| {
            let passes = is_outage(&error);
            let error = fetch_error(error);
            if passes {
                Failure::Outage(error)
            } else {
                Failure::Lasting(error)
            }
        })?;
        match response.status().as_u16() {
            200 => self.store(package, &url, response.body_mut().as_reader()),
            404 | 410 => {
                self.vanished
                    .lock()
                    .expect("no thread panicked")
                    .push(package.clone());
                Ok(())
            }
            status => {
                let error = fetch_error(ureq::Error::StatusCode(status));
                Err(if TROUBLE.contains(&status) {
                    Failure::Passing(error)
                } else {
                    Failure::Lasting(error)
                })
            }
        }
    }

    fn store(
        &self,
        package: &LockedPackage,
        url: &str,
        body: impl Read,
    ) -> std::result::Result<(), Failure> {
        let target = self.cache.path(package);
        let partial = target.with_extension(PARTIAL);
        let mut received = 0;
        let result = self.copy_checked(package, url, body, &partial, &mut received);
        if result.is_err() {
            // Whatever came is of no use; the error that is returned matters more than this one.
            let _ = std::fs::remove_file(&partial);
            self.bytes.fetch_sub(received, Ordering::Relaxed);
        }
        result?;
        Ok(rename(&partial, &target)?)
    }

    fn copy_checked(
        &self,
        package: &LockedPackage,
        url: &str,
        body: impl Read,
        partial: &Path,
        received: &mut u64,
    ) -> std::result::Result<(), Failure> {
        let mut file = create(partial)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        // One byte more than expected is enough to know that it is wrong.
        let mut body = body.take(package.size + 1);
        loop {
            let count = body.read(&mut buffer).map_err(|e| {
                Failure::Passing(BuildError::Fetch {
                    url: url.to_owned(),
                    source: Box::new(ureq::Error::Io(e)),
                })
            })?;
            if count == 0 {
                break;
            }
            *received += count as u64;
            hasher.update(&buffer[..count]);
            file.write_all(&buffer[..count])
                .map_err(|e| BuildError::io("write", partial, e))?;
            let bytes = self.bytes.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
            (self.report)(Event::Progress {
                step: "fetch",
                bytes,
                bytes_in_all: self.bytes_in_all,
            });
        }
        let actual = Digest(hasher.finalize().into()).to_string();
        Ok(check(package, url, *received, actual)?)
    }

    fn finish(self) -> Result<Fetched> {
        if let Some(error) = self.error.into_inner().expect("no thread panicked") {
            return Err(error);
        }
        let mut vanished = self.vanished.into_inner().expect("no thread panicked");
        vanished.sort_by(|a, b| (&a.tree, &a.name).cmp(&(&b.tree, &b.name)));
        Ok(Fetched {
            bytes: self.bytes.into_inner(),
            vanished,
        })
    }
}

/// Whether what came is what the lock says.
fn check(package: &LockedPackage, url: &str, received: u64, actual: String) -> Result<()> {
    if received != package.size {
        let more = if received > package.size {
            "more than "
        } else {
            ""
        };
        return Err(BuildError::LengthMismatch {
            package: package.name.clone(),
            url: url.to_owned(),
            expected: package.size,
            actual: format!("{more}{}", received.min(package.size)),
        });
    }
    if actual == package.sha256 {
        return Ok(());
    }
    Err(BuildError::HashMismatch {
        package: package.name.clone(),
        url: url.to_owned(),
        expected: package.sha256.clone(),
        actual,
    })
}

/// Whether a mirror may be reached a little later: a name that did not resolve, a route that was missing, a
/// connection that broke or timed out. A machine that refuses the connection has no server, and waiting gives it none.
fn is_outage(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Io(error) => error.kind() != std::io::ErrorKind::ConnectionRefused,
        ureq::Error::HostNotFound | ureq::Error::Timeout(_) => true,
        _ => false,
    }
}

/// The HTTP client: status codes are answers, not errors, and nothing waits for ever.
fn agent_config() -> ureq::config::Config {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ureq::tls::TlsConfig::builder()
        .root_certs(ureq::tls::RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_mins(1)))
        .timeout_per_read(Some(STALL_LIMIT))
        .timeout_recv_body(Some(DOWNLOAD_LIMIT))
        .user_agent(concat!("keelson/", env!("CARGO_PKG_VERSION")))
        .build()
}

#[cfg(test)]
mod tests;
