//! One or three servers of one program on loopback, their processes watched, their data thrown away.
//!
//! It makes no requests but the one that tells whether a server answers.
use std::fmt;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

const FIRST_PORT: u16 = 24_790;
const START_TIME_OUT: Duration = Duration::from_mins(1);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Which server.
#[derive(Debug, Clone)]
pub(crate) enum Program {
    /// Ours, at this path.
    Kvd(PathBuf),
    /// Debian's etcd 3.4 with its v2 API.
    Etcd,
}

impl fmt::Display for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Kvd(_) => "kvd",
            Self::Etcd => "etcd",
        })
    }
}

impl Program {
    fn command(&self) -> Command {
        match self {
            Self::Kvd(path) => Command::new(path),
            Self::Etcd => {
                let mut command = Command::new("etcd");
                command.args(["--enable-v2=true", "--logger=zap", "--log-level=error"]);
                command
            }
        }
    }
}

/// Running servers; ended when dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    program: Program,
    folder: tempfile::TempDir,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    number: u16,
    child: Child,
}

impl Cluster {
    /// Starts them below `folder`, which decides the disk, and waits until all answer.
    pub(crate) fn start(program: &Program, members: usize, folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut cluster = Self {
            program: program.clone(),
            folder: tempfile::tempdir_in(folder)?,
            members: Vec::new(),
        };
        let numbers = 0..u16::try_from(members)?;
        for number in numbers.clone() {
            let child = cluster.spawn(number, numbers.end)?;
            cluster.members.push(Member { number, child });
        }
        cluster.wait()?;
        Ok(cluster)
    }

    fn spawn(&self, number: u16, members: u16) -> anyhow::Result<Child> {
        let peers: Vec<String> = (0..members)
            .map(|number| format!("m{number}={}", peer_url(number)))
            .collect();
        let log = fs::File::create(self.folder.path().join(format!("m{number}.log")))?;
        let client = client_url(number);
        let mut command = self.program.command();
        command
            .args(["--name", &format!("m{number}")])
            .arg("--data-dir")
            .arg(self.folder.path().join(format!("m{number}")))
            .args(["--listen-client-urls", &client])
            .args(["--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer_url(number)])
            .args(["--initial-advertise-peer-urls", &peer_url(number)])
            .args(["--initial-cluster", &peers.join(",")])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let program = &self.program;
        command
            .spawn()
            .with_context(|| format!("cannot run {program}"))
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        for member in &mut self.members {
            while !answers(client_address(member.number)) {
                let log = self.folder.path().join(format!("m{}.log", member.number));
                if let Some(status) = member.child.try_wait()? {
                    let log = fs::read_to_string(log).unwrap_or_default();
                    bail!("{} ended ({status}):\n{log}", self.program);
                }
                if begun.elapsed() > START_TIME_OUT {
                    let log = fs::read_to_string(log).unwrap_or_default();
                    bail!("{} does not answer:\n{log}", self.program);
                }
                thread::sleep(LOOK_INTERVAL);
            }
        }
        Ok(())
    }

    /// Where clients go: the first member.
    pub(crate) fn client_url(&self) -> String {
        client_url(self.members[0].number)
    }

    /// Kills the first member and starts it again; how long until it answers.
    pub(crate) fn restart(&mut self) -> anyhow::Result<Duration> {
        let members = u16::try_from(self.members.len())?;
        end(&mut self.members[0].child, Signal::KILL);
        let begun = Instant::now();
        self.members[0].child = self.spawn(0, members)?;
        self.wait()?;
        Ok(begun.elapsed())
    }

    /// User and system time of all members so far.
    pub(crate) fn processor_seconds(&self) -> anyhow::Result<f64> {
        self.members
            .iter()
            .map(|member| processor_seconds(member.child.id()))
            .sum()
    }

    /// Resident memory of all members, in millions of bytes.
    pub(crate) fn resident_megabytes(&self) -> anyhow::Result<f64> {
        self.megabytes("VmRSS:")
    }

    /// The same at its highest so far.
    pub(crate) fn peak_megabytes(&self) -> anyhow::Result<f64> {
        self.megabytes("VmHWM:")
    }

    /// What the first member's `/metrics` says, by a name without labels.
    pub(crate) fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let mut stream = TcpStream::connect(client_address(self.members[0].number))?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let mut values = text
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = values
            .next()
            .with_context(|| format!("no {name} in /metrics"))?;
        Ok(value.trim().parse()?)
    }

    fn megabytes(&self, field: &str) -> anyhow::Result<f64> {
        let all = self.members.iter();
        all.map(|member| megabytes(member.child.id(), field)).sum()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            end(&mut member.child, Signal::KILL);
        }
    }
}

fn end(child: &mut Child, signal: Signal) {
    // One that has ended meanwhile needs no signal.
    let _ = kill_process(Pid::from_child(child), signal);
    let _ = child.wait();
}

fn client_address(number: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, FIRST_PORT + 2 * number).into()
}

fn client_url(number: u16) -> String {
    format!("http://{}", client_address(number))
}

fn peer_url(number: u16) -> String {
    format!(
        "http://{}:{}",
        Ipv4Addr::LOCALHOST,
        FIRST_PORT + 2 * number + 1
    )
}

/// Whether a linearizable read is answered: there is a leader, and the log has been read.
fn answers(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(
            b"GET /v2/keys/?quorum=true HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}

/// User and system time of a process so far.
pub(crate) fn processor_seconds(process: u32) -> anyhow::Result<f64> {
    processor_seconds_in(Path::new(&format!("/proc/{process}")))
}

/// The same of a process with this folder, in whichever `/proc`.
pub(crate) fn processor_seconds_in(folder: &Path) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(folder.join("stat"))?;
    // After the name, which may hold spaces, the 12th and 13th field are user and system time.
    let fields = stat
        .rsplit_once(") ")
        .context("unknown format of /proc/PID/stat")?
        .1;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |index: usize| -> anyhow::Result<f64> { Ok(fields[index].parse()?) };
    // sysconf(_SC_CLK_TCK) is 100 on every Linux that this runs on.
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

/// A field of a process' status, in millions of bytes.
pub(crate) fn megabytes(process: u32, field: &str) -> anyhow::Result<f64> {
    megabytes_in(Path::new(&format!("/proc/{process}")), field)
}

/// The same of a process with this folder, in whichever `/proc`.
pub(crate) fn megabytes_in(folder: &Path, field: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(folder.join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let words = line.with_context(|| format!("no {field} in /proc/PID/status"))?;
    let kibibytes: f64 = words.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1_024.0 / 1e6)
}
