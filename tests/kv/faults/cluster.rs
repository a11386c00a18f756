//! Members as processes, each in a network of its own.
//!
//! What clients do to them is elsewhere.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::client::{Answer, request};
use super::network::{Network, address};
use crate::server::program_beside_tests;

/// So long may it take until there is a leader, or a member serves.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(50);

/// Members, running or not. All end with this.
pub(crate) struct Cluster {
    /// Where they meet.
    pub(crate) network: Network,
    running: BTreeMap<u8, Child>,
    /// Flags that tell members started from now on who else there is.
    beginning: Vec<String>,
    folder: TempDir,
    flags: Vec<String>,
}

impl Cluster {
    /// Starts members 1 to `count` and waits until all serve; there is room for two more.
    pub(crate) fn start(count: u8) -> Result<Self> {
        let mut cluster = Self::prepare(count, &[])?;
        cluster.spawn_all(count)?;
        Ok(cluster)
    }

    /// Starts members 1 to `count` and waits until all serve.
    pub(crate) fn spawn_all(&mut self, count: u8) -> Result<()> {
        for number in 1..=count {
            self.spawn(number)?;
        }
        self.wait_until_all_serve()
    }

    /// Members that do not run yet, with flags for each of them.
    pub(crate) fn prepare(count: u8, flags: &[&str]) -> Result<Self> {
        let members: Vec<String> = (1..=count).map(initial_member).collect();
        let cluster = Self {
            network: Network::new(count + 2)?,
            running: BTreeMap::new(),
            beginning: vec![format!("--initial-cluster={}", members.join(","))],
            folder: tempfile::tempdir()?,
            flags: flags.iter().map(ToString::to_string).collect(),
        };
        Ok(cluster)
    }

    /// Members started from now on find the others by these flags.
    pub(crate) fn begin_with(&mut self, flags: &[&str]) {
        self.beginning = flags.iter().map(ToString::to_string).collect();
    }

    /// Numbers of those that run.
    pub(crate) fn members(&self) -> Vec<u8> {
        self.running.keys().copied().collect()
    }

    /// Where a member keeps its data.
    pub(crate) fn data_folder(&self, number: u8) -> PathBuf {
        self.folder.path().join(format!("data{number}"))
    }

    /// Starts a member that does not run.
    pub(crate) fn spawn(&mut self, number: u8) -> Result<()> {
        self.spawn_with(number, &[])
    }

    /// Starts a member that does not run, with more flags, this once.
    pub(crate) fn spawn_with(&mut self, number: u8, more: &[&str]) -> Result<()> {
        let at = address(number);
        let [client, peer] = [2379, 2380].map(|port| format!("http://{at}:{port}"));
        let log = File::options();
        let log = log
            .clone()
            .append(true)
            .create(true)
            .open(self.log(number))?;
        let program = program_beside_tests("kvd")?;
        let process = Command::new("nsenter")
            .arg(format!("--net=/run/netns/m{number}"))
            .arg("--")
            .arg(program)
            .args(["--name", &format!("m{number}")])
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args(&self.beginning)
            .args(&self.flags)
            .args(more)
            .arg("--data-dir")
            .arg(self.data_folder(number))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let before = self.running.insert(number, process);
        ensure!(before.is_none(), "m{number} ran already");
        Ok(())
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, number: u8) -> Result<()> {
        let mut process = self.running.remove(&number).context("it does not run")?;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// `kill -9` of all, at once.
    pub(crate) fn kill_all(&mut self) -> Result<Vec<u8>> {
        let numbers = self.members();
        for process in self.running.values_mut() {
            process.kill()?;
        }
        for process in std::mem::take(&mut self.running).values_mut() {
            process.wait()?;
        }
        Ok(numbers)
    }

    /// A clean stop.
    pub(crate) fn stop(&mut self, number: u8) -> Result<()> {
        self.signal(number, Signal::TERM)?;
        let status = self.wait_until_ended(number)?;
        ensure!(status.success(), "m{number}: {status}\n{}", self.report());
        Ok(())
    }

    /// Waits for a member to end by itself.
    pub(crate) fn wait_until_ended(&mut self, number: u8) -> Result<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        let process = self.running.get_mut(&number).context("it does not run")?;
        loop {
            if let Some(status) = process.try_wait()? {
                self.running.remove(&number);
                return Ok(status);
            }
            ensure!(Instant::now() < deadline, "m{number} does not end");
            std::thread::sleep(PAUSE);
        }
    }

    /// Stops or continues a member's process.
    pub(crate) fn signal(&self, number: u8, signal: Signal) -> Result<()> {
        let process = self.running.get(&number).context("it does not run")?;
        Ok(kill_process(Pid::from_child(process), signal)?)
    }

    /// From now on members are started to join a cluster of these members.
    pub(crate) fn join_with(&mut self, initial_cluster: &str) {
        self.beginning = vec![
            format!("--initial-cluster={initial_cluster}"),
            "--initial-cluster-state=existing".to_owned(),
        ];
    }

    /// Waits until some member among these is the leader, and all of them follow it.
    pub(crate) fn wait_for_leader(&mut self, among: &[u8]) -> Result<u8> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.none_has_ended()?;
            let states = among.iter().map(|number| state(*number));
            let states: Option<Vec<_>> = states.collect();
            if let Some(states) = &states {
                let mut leaders = states.iter().filter(|state| state.contains("StateLeader"));
                if let (Some(leader), None) = (leaders.next(), leaders.next()) {
                    let at = states.iter().position(|state| state == leader);
                    return Ok(among[at.context("it was found there")?]);
                }
            }
            if Instant::now() > deadline {
                bail!("no leader among {among:?}: {states:?}\n{}", self.report());
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits until every running member answers a quorum read.
    pub(crate) fn wait_until_all_serve(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for number in self.members() {
            while !serves(number) {
                self.none_has_ended()?;
                if Instant::now() > deadline {
                    bail!("m{number} does not serve\n{}", self.report());
                }
                std::thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    /// Fails if a member has ended by itself.
    pub(crate) fn none_has_ended(&mut self) -> Result<()> {
        let mut ended = None;
        for (number, process) in &mut self.running {
            if let Some(status) = process.try_wait()? {
                ended = Some((*number, status));
            }
        }
        if let Some((number, status)) = ended {
            bail!("m{number} ended by itself, {status}\n{}", self.report());
        }
        Ok(())
    }

    /// The ends of the members' logs.
    pub(crate) fn report(&self) -> String {
        let tail = |number| {
            let log = std::fs::read_to_string(self.log(number)).ok()?;
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(25)..].join("\n");
            Some(format!("--- log of m{number}\n{tail}\n"))
        };
        (1..=9).filter_map(tail).collect()
    }

    /// A member's log.
    pub(crate) fn log(&self, number: u8) -> PathBuf {
        self.folder.path().join(format!("log{number}"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in self.running.values_mut() {
            // It may have ended by itself, which the test tells better.
            process.kill().unwrap_or_default();
            drop(process.wait());
        }
    }
}

/// Runs kvctl at one member; what it prints.
pub(crate) fn kvctl<'a>(at: u8, words: impl Iterator<Item = &'a str>) -> Result<String> {
    let endpoint = format!("http://{}", client_address(at));
    let output = Command::new(program_beside_tests("kvctl")?)
        .args(words)
        .env("KVCTL_ENDPOINTS", endpoint)
        .output()?;
    let [told, error] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    ensure!(
        output.status.success(),
        "kvctl: {}: {told}{error}",
        output.status
    );
    Ok(told)
}

/// The value of a variable that kvctl prints as `NAME="value"`.
pub(crate) fn variable<'a>(told: &'a str, name: &str) -> Result<&'a str> {
    let value = told
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let value = value.with_context(|| format!("no {name} in {told}"))?;
    Ok(value.trim_matches('"'))
}

/// Where a member serves clients.
pub(crate) fn client_address(number: u8) -> SocketAddr {
    SocketAddr::new(address(number), 2379)
}

/// A member's URL for other members.
pub(crate) fn peer_url(number: u8) -> String {
    format!("http://{}:2380", address(number))
}

fn initial_member(number: u8) -> String {
    format!("m{number}={}", peer_url(number))
}

fn state(number: u8) -> Option<String> {
    let answer = request(client_address(number), "GET", "/v2/stats/self", "");
    let answer = answer.ok().filter(|answer| answer.status == 200)?;
    Some(answer.json()?.field("state")?.to_string())
}

fn serves(number: u8) -> bool {
    let read = request(client_address(number), "GET", "/v2/keys/?quorum=true", "");
    matches!(read, Ok(Answer { status: 200, .. }))
}
