//! Servers of etcd's v2 API as processes with a folder of their own.
//!
//! One member each; they end with the value that stands for them.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::raw_http::Connection;

const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A running member.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where it serves clients.
    pub(crate) address: SocketAddr,
    peer_address: SocketAddr,
    /// Where it tells its health without TLS.
    health_address: SocketAddr,
    process: Child,
    folder: TempDir,
    /// How it is started.
    program: PathBuf,
    arguments: Vec<String>,
}

/// Who a member is, and where.
struct Place<'a> {
    /// For clients, for members, and for its health.
    addresses: [SocketAddr; 3],
    name: &'a str,
    /// All members.
    cluster: String,
}

impl Server {
    /// Starts the etcd of the system.
    pub(crate) fn etcd() -> Result<Self> {
        Self::start(Path::new("etcd"), "http", &["--enable-v2=true"])
    }

    /// Starts kvd.
    pub(crate) fn kvd() -> Result<Self> {
        let program = program_beside_tests("kvd")?;
        Self::start(&program, "http", &[])
    }

    /// Starts kvd with these flags.
    pub(crate) fn kvd_with(flags: &[&str]) -> Result<Self> {
        Self::start(&program_beside_tests("kvd")?, "http", flags)
    }

    /// Starts kvd with these flags, serving clients by TLS.
    pub(crate) fn kvd_with_tls(flags: &[&str]) -> Result<Self> {
        Self::start(&program_beside_tests("kvd")?, "https", flags)
    }

    /// Starts kvd on what `kvd restore` makes of a backup.
    pub(crate) fn kvd_restored(backup: &Path) -> Result<Self> {
        let program = program_beside_tests("kvd")?;
        let folder = tempfile::tempdir()?;
        let mut restore = Command::new(&program);
        restore.arg("restore").arg(backup);
        restore.arg("--data-dir").arg(folder.path().join("data"));
        let output = restore.output().context("kvd restore")?;
        if !output.status.success() {
            bail!("kvd restore: {}", String::from_utf8_lossy(&output.stderr));
        }
        Self::start_in(folder, &program, "http", &[])
    }

    /// Starts kvd as a member that was announced to a cluster: its name, where the others will reach
    /// it, and the cluster's list with itself.
    pub(crate) fn kvd_joining(name: &str, peer: SocketAddr, cluster: &str) -> Result<Self> {
        let flags = ["--initial-cluster-state", "existing"];
        let program = program_beside_tests("kvd")?;
        let [address, _, health_address] = free_addresses()?;
        let place = Place {
            addresses: [address, peer, health_address],
            name,
            cluster: cluster.to_owned(),
        };
        Self::launch(tempfile::tempdir()?, &program, "http", &flags, &place)
    }

    fn start(program: &Path, scheme: &str, flags: &[&str]) -> Result<Self> {
        Self::start_in(tempfile::tempdir()?, program, scheme, flags)
    }

    fn start_in(folder: TempDir, program: &Path, scheme: &str, flags: &[&str]) -> Result<Self> {
        let addresses = free_addresses()?;
        let place = Place {
            addresses,
            name: "default",
            cluster: format!("default=http://{}", addresses[1]),
        };
        Self::launch(folder, program, scheme, flags, &place)
    }

    fn launch(
        folder: TempDir,
        program: &Path,
        scheme: &str,
        flags: &[&str],
        place: &Place<'_>,
    ) -> Result<Self> {
        let [address, peer_address, health_address] = place.addresses;
        let client_url = format!("{scheme}://{address}");
        let [peer_url, health_url] = [peer_address, health_address].map(|a| format!("http://{a}"));
        let named = [
            ["--name", place.name],
            ["--listen-client-urls", &client_url],
            ["--advertise-client-urls", &client_url],
            ["--listen-peer-urls", &peer_url],
            ["--initial-advertise-peer-urls", &peer_url],
            ["--initial-cluster", &place.cluster],
            ["--listen-metrics-urls", &health_url],
        ];
        let arguments = flags.iter().chain(named.as_flattened());
        let arguments: Vec<String> = arguments.map(ToString::to_string).collect();
        let mut server = Self {
            address,
            peer_address,
            health_address,
            process: spawn(program, &arguments, &folder)?,
            folder,
            program: program.to_owned(),
            arguments,
        };
        server.wait_until_healthy()?;
        Ok(server)
    }

    /// Kills it as a power cut would; nobody serves then.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Starts it again with its data and addresses, after [`Self::kill`].
    pub(crate) fn start_again(&mut self) -> Result<()> {
        self.process = spawn(&self.program, &self.arguments, &self.folder)?;
        self.wait_until_healthy()
    }

    /// Where the other members reach it.
    pub(crate) fn peer_url(&self) -> String {
        format!("http://{}", self.peer_address)
    }

    /// The memory that it holds.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path)?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = resident.and_then(|text| text.split_whitespace().next());
        let kibibytes: u64 = kibibytes.context("no VmRSS")?.parse()?;
        Ok(kibibytes << 10)
    }

    /// Ends it, and starts kvd anew on what it left.
    pub(crate) fn kvd_restarted(mut self) -> Result<Self> {
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir()?);
        drop(self);
        Self::start_in(folder, &program_beside_tests("kvd")?, "http", &[])
    }

    fn wait_until_healthy(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while !is_healthy(self.health_address) {
            let ended = self.process.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(self.folder.path().join("log"))?;
                bail!("it does not serve ({ended:?}); its log:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which its own test tells better.
        self.process.kill().unwrap_or_default();
        drop(self.process.wait());
    }
}

fn spawn(program: &Path, arguments: &[String], folder: &TempDir) -> Result<Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.path().join("log"))?;
    Command::new(program)
        .args(arguments)
        .arg("--data-dir")
        .arg(folder.path().join("data"))
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("start {}", program.display()))
}

fn is_healthy(address: SocketAddr) -> bool {
    let ask = || -> Result<u16> {
        let mut connection = Connection::open(address)?;
        connection.send(b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n")?;
        Ok(connection.read_head()?.status)
    };
    ask().is_ok_and(|status| status == 200)
}

/// An address that nobody listens at.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(free_addresses()?[0])
}

fn free_addresses() -> Result<[SocketAddr; 3]> {
    // All are held until all are known.
    let [one, two, three] = [(); 3].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    Ok([one?.local_addr()?, two?.local_addr()?, three?.local_addr()?])
}

/// A program that was built together with this test, or the one in `KEELSON_KVD` instead of kvd.
pub(crate) fn program_beside_tests(name: &str) -> Result<PathBuf> {
    if let Some(program) = std::env::var_os("KEELSON_KVD").filter(|_| name == "kvd") {
        return Ok(program.into());
    }
    // Tests are in `deps` below the programs.
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(Path::parent);
    let program = folder
        .context("this test lies in no build folder")?
        .join(name);
    if !program.exists() {
        let program = program.display();
        bail!("{program} is missing: build it with `cargo build --release -p {name}`");
    }
    Ok(program)
}
