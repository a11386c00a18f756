//! Debian's etcdctl, API 3, driven against kvd as its users drive it, and against etcd beside it.
//!
//! It is not itself under test.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::normal::Numbers;
use crate::server::Server;

/// etcdctl for one server.
pub(super) struct Etcdctl {
    endpoint: String,
    numbers: Numbers,
}

impl Etcdctl {
    pub(super) fn new(server: &Server) -> Result<Self> {
        let mut etcdctl = Self {
            endpoint: server.address.to_string(),
            numbers: Numbers::since(0),
        };
        let put = etcdctl.say(&["put", "first", "", "-w", "json"], "")?;
        let revision = put
            .split("\"revision\":")
            .nth(1)
            .and_then(|rest| rest.split(',').next());
        let revision = revision.and_then(|revision| revision.strip_prefix('@'));
        let revision = revision.context("no revision is printed")?.parse()?;
        etcdctl.numbers = Numbers::since(revision);
        Ok(etcdctl)
    }

    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("etcdctl");
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().to_ascii_lowercase();
            if text.starts_with("etcd") || text.ends_with("_proxy") {
                command.env_remove(&name);
            }
        }
        command.env("ETCDCTL_API", "3");
        command.args(["--endpoints", &self.endpoint]).args(words);
        command
    }

    /// What it prints, errors too, without its client's log.
    pub(super) fn say(&self, words: &[&str], input: &str) -> Result<String> {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.stderr(Stdio::piped()).spawn()?;
        let mut stdin = process.stdin.take().context("no input")?;
        stdin.write_all(input.as_bytes())?;
        drop(stdin);
        let output = process.wait_with_output()?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let errors = errors.lines().filter(|line| !line.starts_with('{'));
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = errors.collect::<Vec<_>>().join("\n");
        Ok(self.numbers.normalize(&format!("{printed}{errors}")))
    }
}

/// The same of two servers; each must print the same.
pub(super) fn compare(script: &[(&[&str], &str)]) -> Result<()> {
    let servers = [Server::etcd()?, Server::kvd()?];
    let [etcd, kvd] = [Etcdctl::new(&servers[0])?, Etcdctl::new(&servers[1])?];
    for (words, input) in script {
        let (wanted, got) = (etcd.say(words, input)?, kvd.say(words, input)?);
        ensure!(
            wanted == got,
            "etcdctl {words:?} {input:?}\netcd: {wanted}\nkvd:  {got}"
        );
    }
    Ok(())
}

#[test]
fn keys_and_transactions_are_printed_as_with_etcd() -> Result<()> {
    let txn =
        "value(\"a\") = \"2\"\nmod(\"/x/y\") > \"0\"\n\nput a 3\nget a --prefix\n\ndel none\n\n";
    compare(&[
        (&["put", "a", "1"], ""),
        (&["put", "a", "2", "--prev-kv"], ""),
        (&["put", "ab", "2", "-w", "json"], ""),
        (&["put", "/x/y", "3", "-w", "fields"], ""),
        (&["get", "a"], ""),
        (&["get", "a", "-w", "json"], ""),
        (&["get", "a", "--prefix", "--keys-only"], ""),
        (&["get", "", "--prefix", "--limit", "2", "-w", "json"], ""),
        (
            &[
                "get",
                "",
                "--from-key",
                "--order",
                "DESCEND",
                "--sort-by",
                "VERSION",
            ],
            "",
        ),
        (&["get", "a", "z", "--print-value-only"], ""),
        (&["get", "none", "-w", "json"], ""),
        (&["get", "a", "--rev", "1000000"], ""),
        (&["txn", "-w", "json"], txn),
        (&["txn", "-w", "json"], txn),
        (&["txn"], txn),
        (&["put", "none", "--ignore-value"], ""),
        (&["put", "a", "v", "--lease", "123"], ""),
        (&["del", "a", "--prefix", "--prev-kv"], ""),
        (&["del", "none", "-w", "json"], ""),
        (&["compaction", "1000000"], ""),
    ])
}

/// What `etcdctl watch` prints of changes made by etcdctl, and how it ends what has no past.
fn watched(server: &Server) -> Result<String> {
    let etcdctl = Etcdctl::new(server)?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("watch");
    let output = std::fs::File::create(&path)?;
    let from = (etcdctl.numbers.base() + 1).to_string();
    let words = ["watch", "", "--prefix", "--prev-kv", "--rev", &from];
    let mut watch = etcdctl.command(&words);
    let watch = watch.stdin(Stdio::null()).stdout(output.try_clone()?);
    let mut watch = Ended(watch.stderr(output).spawn()?);
    etcdctl.say(&["put", "a", "1"], "")?;
    etcdctl.say(&["txn"], "\nput a 2\nput b 3\n\n\n")?;
    etcdctl.say(&["del", "", "--prefix"], "")?;
    etcdctl.say(&["put", "the-end", "1"], "")?;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let printed = std::fs::read_to_string(&path)?;
        if printed.contains("the-end\n1\n") {
            return Ok(printed);
        }
        let ended = watch.0.try_wait()?;
        ensure!(ended.is_none() && Instant::now() < deadline, "{printed}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn watches_are_printed_as_with_etcd() -> Result<()> {
    let (wanted, got) = (watched(&Server::etcd()?)?, watched(&Server::kvd()?)?);
    ensure!(wanted == got, "etcd: {wanted}\nkvd:  {got}");
    Ok(())
}

#[test]
fn leases_members_and_figures_are_printed() -> Result<()> {
    let server = Server::kvd()?;
    let etcdctl = Etcdctl::new(&server)?;
    let granted = etcdctl.say(&["lease", "grant", "60"], "")?;
    let id = granted
        .split_whitespace()
        .nth(1)
        .context("no lease is printed")?;
    ensure!(granted.contains("granted with TTL(60s)"), "{granted}");
    etcdctl.say(&["put", "k", "v", "--lease", id], "")?;
    let told = etcdctl.say(&["lease", "timetolive", id, "--keys"], "")?;
    ensure!(
        told.contains("granted with TTL(60s)") && told.contains("attached keys([k])"),
        "{told}"
    );
    let kept = etcdctl.say(&["lease", "keep-alive", "--once", id], "")?;
    ensure!(kept.contains("keepalived with TTL(60)"), "{kept}");
    let listed = etcdctl.say(&["lease", "list"], "")?;
    ensure!(listed.contains(id), "{listed}");
    let revoked = etcdctl.say(&["lease", "revoke", id], "")?;
    ensure!(revoked.contains("revoked"), "{revoked}");
    ensure!(etcdctl.say(&["get", "k"], "")?.is_empty());
    let health = etcdctl.say(&["endpoint", "health"], "")?;
    ensure!(health.contains("is healthy"), "{health}");
    let status = etcdctl.say(&["endpoint", "status", "-w", "json"], "")?;
    ensure!(
        status.contains("\"version\":\"3.4.23\"") && status.contains("\"leader\":"),
        "{status}"
    );
    let members = etcdctl.say(&["member", "list"], "")?;
    ensure!(members.contains("started, default, http://"), "{members}");
    ensure!(etcdctl.say(&["alarm", "list"], "")?.is_empty());
    let done = etcdctl.say(&["defrag"], "")?;
    ensure!(done.contains("Finished defragmenting"), "{done}");
    Ok(())
}

/// A process that ends with this.
pub(super) struct Ended(pub(super) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().unwrap_or_default();
        drop(self.0.wait());
    }
}
