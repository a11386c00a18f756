//! Outages: names that do not resolve for a while, mirrors that never can be reached.

use super::*;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use crate::lock::{ArchiveKind, TREE_ROOT};

const CONTENTS: &[u8] = b"a package";
/// Two tries in addition to the first, at once.
const PAUSES: [Duration; 2] = [Duration::ZERO; 2];

/// A name service that is out of order for the first questions.
#[derive(Debug)]
struct Failing {
    questions: Arc<AtomicUsize>,
    failures: usize,
    address: SocketAddr,
}

impl Resolver for Failing {
    fn resolve(
        &self,
        _uri: &ureq::http::Uri,
        _config: &ureq::config::Config,
        _timeout: NextTimeout,
    ) -> std::result::Result<ResolvedSocketAddrs, ureq::Error> {
        if self.questions.fetch_add(1, Ordering::Relaxed) < self.failures {
            let reason = "Temporary failure in name resolution";
            return Err(ureq::Error::Io(std::io::Error::other(reason)));
        }
        let mut found = self.empty();
        found.push(self.address);
        Ok(found)
    }
}

/// Answers every connection with the package.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.expect("a connection");
            let mut line = String::from("-");
            let mut request = BufReader::new(connection.try_clone().expect("cloned"));
            while !line.trim_end().is_empty() {
                line.clear();
                request.read_line(&mut line).expect("a request");
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                CONTENTS.len()
            );
            connection.write_all(head.as_bytes()).expect("sent");
            connection.write_all(CONTENTS).expect("sent");
        }
    });
    address
}

fn package() -> LockedPackage {
    LockedPackage {
        tree: TREE_ROOT.to_owned(),
        name: "hostname".to_owned(),
        version: "1".to_owned(),
        archive: ArchiveKind::Main,
        path: "pool/hostname.deb".to_owned(),
        size: CONTENTS.len() as u64,
        sha256: Digest(Sha256::digest(CONTENTS).into()).to_string(),
    }
}

/// What fetching the package comes to, how often its name was asked for, and the notices.
fn fetch_through(failures: usize, address: SocketAddr) -> (Result<Fetched>, usize, Vec<String>) {
    let directory = tempfile::tempdir().expect("a directory");
    let cache = PackageCache::new(directory.path().to_owned());
    let mirrors = Mirrors::find(Some("http://mirror.test/debian"), None).expect("given");
    let (package, questions) = (package(), Arc::new(AtomicUsize::new(0)));
    let missing = [&package];
    let notices = Mutex::new(Vec::new());
    let report = |event: Event<'_>| {
        if let Event::Notice { text } = event {
            notices.lock().expect("alone").push(text.to_owned());
        }
    };
    let resolver = Failing {
        questions: Arc::clone(&questions),
        failures,
        address,
    };
    let mut downloads = Downloads::new(&cache, &mirrors, &missing, &report);
    downloads.agent =
        ureq::Agent::with_parts(agent_config(), DefaultConnector::default(), resolver);
    downloads.outage_pauses = &PAUSES;
    downloads.work();
    let result = downloads.finish();
    assert_eq!(cache.path(&package).exists(), result.is_ok());
    let asked = questions.load(Ordering::Relaxed);
    (result, asked, notices.into_inner().expect("alone"))
}

#[test]
fn a_name_that_does_not_resolve_for_a_moment_is_asked_for_again() {
    let (result, asked, notices) = fetch_through(2, server());
    let fetched = result.expect("the third try reaches the server");
    assert_eq!((fetched.bytes, asked), (CONTENTS.len() as u64, 3));
    assert_eq!(notices.len(), 1, "told once: {notices:?}");
    assert!(notices[0].contains("name resolution"), "{notices:?}");
}

#[test]
fn an_outage_that_lasts_ends_in_an_error() {
    let (result, asked, _) = fetch_through(usize::MAX, server());
    let error = result.expect_err("no name is ever found");
    assert!(error.to_string().contains("cannot fetch"), "{error}");
    assert_eq!(asked, 1 + PAUSES.len());
}

#[test]
fn a_machine_that_refuses_connections_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = listener.local_addr().expect("bound");
    drop(listener);
    let (result, asked, notices) = fetch_through(0, closed);
    result.expect_err("nobody listens");
    assert_eq!((asked, notices), (1, vec![]));
}
