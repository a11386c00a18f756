//! The same requests to two servers: their answers must be equal.
//!
//! Requests are random, from a seed, with scripted ones between them. A difference is reported with
//! the requests before it. Not compared: how far history reaches back, the formulation of refusals of
//! what is no HTTP, counters, roles that were deleted or never existed but are granted, the order of
//! a user's roles, the many indexes that changes of users take, times to live beyond the year 2262,
//! and what a user may do at a path with a slash at its end, which etcd takes for part of the name.

use std::collections::VecDeque;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};

use crate::altering_proxy::AlteringProxy;
use crate::answer::{Answer, RawAnswer, Side, Watch};
use crate::generator::{Generator, ROOT, Step};
use crate::request::{Comparison, Request, index_of};
use crate::script;
use crate::server::Server;

/// Random requests of one seed.
const REQUESTS: usize = 800;
/// After so many, watches that still wait are ended.
const BATCH: usize = 60;
/// So many requests before a difference are reported.
const CONTEXT: usize = 12;

/// A watch on both servers.
struct Pending {
    request: Request,
    path: &'static str,
    stream: bool,
    watches: [Watch; 2],
}

/// Two servers that get the same requests.
struct Pair {
    sides: [Side; 2],
    recent: VecDeque<String>,
    pending: Vec<Pending>,
    /// Differences after which it could go on.
    differences: Vec<String>,
}

impl Pair {
    fn connect(addresses: [SocketAddr; 2], peer_urls: [String; 2]) -> Result<Self> {
        let [one, other] = addresses;
        let [one_peer, other_peer] = peer_urls;
        let mut pair = Self {
            sides: [
                Side::connect(one, one_peer)?,
                Side::connect(other, other_peer)?,
            ],
            recent: VecDeque::new(),
            pending: Vec::new(),
            differences: Vec::new(),
        };
        // From here on, every index is known as one of ours or after one.
        pair.step(&Request::new("PUT", "/v2/keys/first"))?;
        Ok(pair)
    }

    /// Sends one request to both; says whether it wrote.
    fn step(&mut self, request: &Request) -> Result<bool> {
        self.note(request);
        self.exchange(request).with_context(|| self.report())
    }

    fn exchange(&mut self, request: &Request) -> Result<bool> {
        for side in &mut self.sides {
            side.send(request)?;
        }
        if request.comparison == Comparison::Refusal {
            for side in &mut self.sides {
                side.receive_refusal()?;
            }
            return Ok(false);
        }
        let [one, other] = &mut self.sides;
        let answers = [one.receive(request)?, other.receive(request)?];
        let written = answers.each_ref().map(RawAnswer::written_index);
        let wrote = match written {
            [Some(index), Some(other_index)] if request.is_write() => {
                one.indexes.push(index);
                other.indexes.push(other_index);
                true
            }
            _ => false,
        };
        let listing = request.listing();
        let [answer, other_answer] = &answers;
        let answers = [
            one.normalize(answer, listing),
            other.normalize(other_answer, listing),
        ];
        compare(&answers)?;
        Ok(wrote)
    }

    fn begin_watch(&mut self, step: (Request, &'static str, bool)) -> Result<()> {
        let (request, path, stream) = step;
        self.note(&request);
        let [one, other] = &self.sides;
        let watches = [one.watch(&request)?, other.watch(&request)?];
        let begun = [watches[0].begin(one), watches[1].begin(other)];
        compare(&begun).with_context(|| self.report())?;
        self.pending.push(Pending {
            request,
            path,
            stream,
            watches,
        });
        Ok(())
    }

    /// Makes every watch that still waits see an event of its own, and compares what they saw.
    fn end_watches(&mut self) -> Result<()> {
        let paths: Vec<&str> = self.pending.iter().map(|watch| watch.path).collect();
        for path in paths {
            self.clear()?;
            // A watch may begin a few indexes in the future.
            for _ in 0..4 {
                self.release(path)?;
            }
        }
        self.clear()?;
        for mut watch in std::mem::take(&mut self.pending) {
            let seen = self.read_watch(&mut watch);
            let seen = seen.with_context(|| format!("a watch: {}", watch.request.line));
            let [one, other] = seen.with_context(|| self.report())?;
            if one != other {
                let line = &watch.request.line;
                let report = self.report();
                bail!("{report}\nwatches differ: {line}\n--- one\n{one}\n--- other\n{other}");
            }
        }
        Ok(())
    }

    fn read_watch(&self, watch: &mut Pending) -> Result<[String; 2]> {
        let stream = watch.stream;
        let read = |watch: &mut Watch, side: &Side| match watch.begin(side) {
            Answer::Full(200, ..) if stream => watch.events_until(LAST_VALUE, side),
            _ => watch.rest(side),
        };
        let [one, other] = &mut watch.watches;
        Ok([read(one, &self.sides[0])?, read(other, &self.sides[1])?])
    }

    /// Writes to a path that nothing is in the way of.
    fn release(&mut self, path: &str) -> Result<()> {
        let target = format!("{ROOT}{path}");
        let request = Request::new("PUT", &target).form(format!("value={LAST_VALUE}"));
        ensure!(self.step(&request)?, "something was in the way of {target}");
        Ok(())
    }

    /// Removes everything.
    fn clear(&mut self) -> Result<()> {
        let request = Request::new("DELETE", &format!("{ROOT}?recursive=true"));
        self.step(&request).map(drop)
    }

    fn run_script(&mut self, requests: Vec<Request>) -> Result<()> {
        for request in requests {
            let result = self.step(&request).map(drop);
            self.go_on(result)?;
        }
        // Users and roles take indexes, of which servers may use different numbers.
        self.step(&Request::new("PUT", &format!("{ROOT}/between")))
            .map(drop)
    }

    fn run_random(&mut self, seed: u64, requests: usize) -> Result<()> {
        self.clear()?;
        self.run_generated(seed, requests)
            .with_context(|| format!("seed {seed}"))
    }

    fn run_generated(&mut self, seed: u64, requests: usize) -> Result<()> {
        let mut generator = Generator::new(seed);
        generator.go_on_after(self.sides[0].indexes.len());
        for number in 1..=requests {
            match generator.next() {
                Step::Request(request) => {
                    if self.step(&request)? {
                        generator.wrote(self.sides[0].indexes.len() - 1);
                    }
                }
                Step::Watch {
                    request,
                    path,
                    stream,
                } => self.begin_watch((request, path, stream))?,
            }
            if number % BATCH == 0 {
                self.end_watches()?;
                // Ending them wrote too; a watch must not begin before that.
                generator.go_on_after(self.sides[0].indexes.len());
            }
        }
        self.end_watches()
    }

    /// A key whose time is up when it is written: it is there for the answer, then it expires.
    fn run_expiration_at_once(&mut self) -> Result<()> {
        let request = Request::new("PUT", &format!("{ROOT}/none")).form("value=x&ttl=0");
        ensure!(self.step(&request)?, "it is new");
        let next = index_of(self.sides[0].indexes.len());
        let line = format!("{ROOT}/none?wait=true&waitIndex={next}");
        let request = Request::new("GET", &line);
        let [one, other] = &self.sides;
        // Whether the watch or the expiration comes first is chance, so its headers do not count.
        let watches = [one.watch(&request)?, other.watch(&request)?];
        self.compare_expiration(watches)
    }

    /// Keys and directories whose time is up after a while.
    fn run_expirations(&mut self) -> Result<()> {
        self.clear()?;
        self.run_expiration_at_once()?;
        self.run_script(Vec::new())?;
        for (path, parameters) in [
            ("/short", "value=x&ttl=2"),
            ("/directory", "dir=true&ttl=2"),
            ("/directory/k", "value=x"),
        ] {
            let request = Request::new("PUT", &format!("{ROOT}{path}")).form(parameters);
            ensure!(self.step(&request)?, "{path} is new");
            let request = Request::new("GET", &format!("{ROOT}{path}?wait=true"));
            self.begin_watch((request, path, false))?;
        }
        for watch in std::mem::take(&mut self.pending) {
            self.compare_expiration(watch.watches)?;
        }
        self.run_script(Vec::new())?;
        let request = Request::new("GET", &format!("{ROOT}?recursive=true&sorted=true"));
        self.step(&request).map(drop)
    }

    fn compare_expiration(&self, mut watches: [Watch; 2]) -> Result<()> {
        let [one, other] = &mut watches;
        let [one, other] = [one.rest(&self.sides[0])?, other.rest(&self.sides[1])?];
        ensure!(
            one == other && one.contains("\"expire\""),
            "expirations differ\n--- one\n{one}\n--- other\n{other}"
        );
        Ok(())
    }

    fn run_everything(&mut self, seeds: std::ops::Range<u64>) -> Result<()> {
        self.run_script(script::endpoints())?;
        self.run_script(script::malformed())?;
        self.run_script(script::members())?;
        self.run_script(script::users_and_roles())?;
        self.run_script(script::with_authentication())?;
        let result = self.run_expirations();
        self.go_on(result)?;
        for seed in seeds {
            let result = self.run_random(seed, REQUESTS);
            self.go_on(result)?;
        }
        if !self.differences.is_empty() {
            bail!("{}", self.differences.join("\n\n"));
        }
        Ok(())
    }

    /// Keeps a difference for the end; any other error ends the run.
    fn go_on(&mut self, result: Result<()>) -> Result<()> {
        let Err(error) = result else {
            return Ok(());
        };
        let report = format!("{error:#}");
        let is_difference = report.contains("differ");
        self.differences.push(report);
        self.pending.clear();
        if !is_difference {
            bail!("{}", self.differences.join("\n\n"));
        }
        Ok(())
    }

    fn note(&mut self, request: &Request) {
        if self.recent.len() == CONTEXT {
            self.recent.pop_front();
        }
        let bytes = request.render(&self.sides[0].indexes, "PEER");
        self.recent.push_back(bytes.escape_ascii().to_string());
    }

    fn report(&self) -> String {
        let recent: Vec<&str> = self.recent.iter().map(String::as_str).collect();
        format!("after these requests:\n{}", recent.join("\n"))
    }
}

/// The value by which a stream is known to have seen all.
const LAST_VALUE: &str = "the-last-one";

fn compare(answers: &[Answer; 2]) -> Result<()> {
    let [one, other] = answers;
    if one != other {
        bail!("answers differ\n--- one\n{one:?}\n--- other\n{other:?}");
    }
    Ok(())
}

/// Seeds; another beginning can be given to look further.
fn seeds() -> Result<std::ops::Range<u64>> {
    let first = match std::env::var("KEELSON_KV_SEED") {
        Ok(seed) => seed.parse().context("KEELSON_KV_SEED is no number")?,
        Err(_) => 1,
    };
    Ok(first..first + 3)
}

#[test]
fn etcd_answers_as_etcd_does() -> Result<()> {
    let servers = [Server::etcd()?, Server::etcd()?];
    let addresses = servers.each_ref().map(|server| server.address);
    let peer_urls = servers.each_ref().map(Server::peer_url);
    Pair::connect(addresses, peer_urls)?.run_everything(seeds()?)
}

#[test]
fn kvd_answers_as_etcd_does() -> Result<()> {
    let (etcd, kvd) = (Server::etcd()?, Server::kvd()?);
    let peer_urls = [etcd.peer_url(), kvd.peer_url()];
    Pair::connect([etcd.address, kvd.address], peer_urls)?.run_everything(seeds()?)
}

#[test]
fn one_altered_answer_is_seen() -> Result<()> {
    let servers = [Server::etcd()?, Server::etcd()?];
    for (from, to) in [
        ("compareAndSwap", "compareAndSwop"),
        ("HTTP/1.1 201 Created", "HTTP/1.1 200 Created"),
        ("X-Raft-Term: ", "X-Rafd-Term: "),
        ("\"Key already exists\"", "\"Key already exisTs\""),
        ("\"dir\":true,\"nodes\"", "\"dir\":fals,\"nodes\""),
        ("\\u003ca\\u003e", "\\u003cb\\u003e"),
    ] {
        let proxy = AlteringProxy::start(servers[1].address, from, to)?;
        let peer_urls = servers.each_ref().map(Server::peer_url);
        let addresses = [servers[0].address, proxy.address];
        let result =
            Pair::connect(addresses, peer_urls).and_then(|mut pair| pair.run_random(7, REQUESTS));
        ensure!(proxy.has_altered(), "{from} never came");
        let error = result
            .err()
            .with_context(|| format!("{from} -> {to} was not seen"))?;
        let report = format!("{error:#}");
        ensure!(report.contains("differ"), "it failed otherwise: {report}");
    }
    Ok(())
}
