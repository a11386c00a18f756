//! Members find each other by SRV records of a real DNS server.
//!
//! The records name hosts, the members' flags addresses, as etcd's guide allows.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::client::request;
use super::cluster::{Cluster, client_address, kvctl};
use super::network::{address, test_address};
use super::round::LIMIT;
use crate::isolation::{isolated, run};

const PATIENCE: Duration = Duration::from_secs(10);

/// What DNS says of members 1 to 3 in `example.com`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Records {
    /// Their addresses.
    Hosts,
    /// And that they are the cluster.
    HostsAndServices,
}

/// dnsmasq. It is asked after [`use_own_server`].
struct NameServer {
    process: Child,
    _folder: TempDir,
}

impl NameServer {
    fn start(records: Records) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let at = test_address();
        let mut server = Command::new("dnsmasq");
        server.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-hosts",
        ]);
        server.args(["--no-resolv", "--user=root", "--bind-interfaces"]);
        server.arg(format!("--listen-address={at}"));
        server.arg(format!(
            "--pid-file={}",
            folder.path().join("pid").display()
        ));
        for number in 1..=3 {
            let host = format!("m{number}.example.com");
            server.arg(format!("--address=/{host}/{}", address(number)));
            if records == Records::HostsAndServices {
                server.arg(format!(
                    "--srv-host=_etcd-server._tcp.example.com,{host},2380"
                ));
            }
        }
        let process = server.stdin(Stdio::null()).spawn();
        let process = process.context("start dnsmasq (package dnsmasq-base)")?;
        let this = Self {
            process,
            _folder: folder,
        };
        wait_for_answers()?;
        Ok(this)
    }
}

fn wait_for_answers() -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while run("getent", &["ahostsv4", "m1.example.com"]).is_err() {
        ensure!(Instant::now() < deadline, "dnsmasq does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

impl Drop for NameServer {
    fn drop(&mut self) {
        // It may have ended by itself, which the test tells better.
        self.process.kill().unwrap_or_default();
        drop(self.process.wait());
    }
}

/// Has this test's processes ask its own server, by another `resolv.conf` over the system's.
fn use_own_server() -> Result<()> {
    let file = "/run/resolv.conf";
    std::fs::write(file, format!("nameserver {}\n", test_address()))?;
    let target = std::fs::canonicalize("/etc/resolv.conf")?;
    run(
        "mount",
        &["--bind".as_ref(), file.as_ref(), target.as_os_str()],
    )?;
    Ok(())
}

/// Waits until a member knows all members by the URLs of their records. They tell where clients reach
/// them a moment after they serve, and kvctl wants to know that.
fn wait_until_listed(at: u8) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let listed = kvctl(at, ["member", "list"].into_iter());
        let has = |number| {
            let url = format!("peerURLs=http://m{number}.example.com:2380 ");
            listed.as_ref().is_ok_and(|members| members.contains(&url))
        };
        if (1..=3).all(has) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{listed:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn members_find_each_other_by_dns() {
    isolated("faults::dns::members_find_each_other_by_dns", LIMIT, || {
        let mut cluster = Cluster::prepare(3, &[])?;
        use_own_server()?;
        let names = NameServer::start(Records::HostsAndServices)?;
        cluster.begin_with(&["--discovery-srv=example.com"]);
        cluster.spawn_all(3)?;
        let written = request(client_address(1), "PUT", "/v2/keys/a", "value=1")?;
        ensure!(written.status == 201, "{written:?}");
        let read = request(client_address(3), "GET", "/v2/keys/a?quorum=true", "")?;
        ensure!(read.body.contains("\"value\":\"1\""), "{read:?}");
        wait_until_listed(2)?;
        // A member that is a member already asks for no records.
        cluster.kill(2)?;
        drop(names);
        let _names = NameServer::start(Records::Hosts)?;
        cluster.spawn(2)?;
        cluster.wait_until_all_serve()
    });
}

#[test]
fn a_member_without_a_record_is_refused() {
    isolated(
        "faults::dns::a_member_without_a_record_is_refused",
        LIMIT,
        || {
            let mut cluster = Cluster::prepare(4, &[])?;
            use_own_server()?;
            let _names = NameServer::start(Records::HostsAndServices)?;
            cluster.begin_with(&["--discovery-srv=example.com"]);
            cluster.spawn(4)?;
            let status = cluster.wait_until_ended(4)?;
            let said = std::fs::read_to_string(cluster.log(4))?;
            ensure!(!status.success(), "it started: {said}");
            let reason = format!("no record points to http://{}:2380", address(4));
            ensure!(said.contains(&reason), "{said}");
            Ok(())
        },
    );
}
