//! What every command has: the flags, a client of the API, and what was asked already.
//!
//! Nothing is connected before a command asks.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use fleet_api::{Client, Connector, Endpoint, Machine, Patience, Stream, Tls, Unit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::arguments::Global;
use crate::failure::Failure;
use crate::names::mangle;
use crate::output::Output;
use crate::ssh::Ssh;

/// How long a fleet whose store cannot serve is asked again: a store that lost its leader has another one in
/// less, even on slow machines.
const STORE_PATIENCE: Duration = Duration::from_secs(15);

/// One run of fleetctl.
pub(crate) struct Session<'a> {
    pub(crate) global: &'a Global,
    client: OnceCell<Client>,
    machines: RefCell<Option<BTreeMap<String, Machine>>>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(global: &'a Global) -> Self {
        Self {
            global,
            client: OnceCell::new(),
            machines: RefCell::new(None),
        }
    }

    /// Text or JSON.
    pub(crate) fn output(&self) -> Output {
        if self.global.json {
            Output::Json
        } else {
            Output::Text
        }
    }

    /// For `--debug`.
    pub(crate) fn debug(&self, text: impl FnOnce() -> String) {
        if self.global.debug {
            eprintln!("DEBUG {}", text());
        }
    }

    /// The client, made once.
    pub(crate) fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = client(self.global)
            .map_err(|reason| Failure::new(format!("Unable to initialize client: {reason}")))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// The machine of an id, if it is alive. The list is asked for once; without it nothing is known.
    pub(crate) async fn machine(&self, id: &str) -> Option<Machine> {
        if self.machines.borrow().is_none() {
            let list = self.client().ok()?.machines().await.unwrap_or_default();
            let by_id = list
                .into_iter()
                .map(|machine| (machine.id.clone(), machine));
            *self.machines.borrow_mut() = Some(by_id.collect());
        }
        let machines = self.machines.borrow();
        machines.as_ref()?.get(id).cloned()
    }

    /// How a machine is shown: its short id and its address.
    pub(crate) async fn machine_legend(&self, id: &str, full: bool) -> String {
        match self.machine(id).await {
            Some(machine) => legend(&machine, full),
            None => id_legend(id, full),
        }
    }

    /// The machine whose id begins so.
    pub(crate) async fn find_machine(&self, beginning: &str) -> Result<Machine, Failure> {
        let machines = self.client()?.machines().await;
        let machines = machines.map_err(Failure::on("Error retrieving list of active machines"))?;
        let mut found = machines
            .into_iter()
            .filter(|machine| !beginning.is_empty() && machine.id.starts_with(beginning));
        match (found.next(), found.next()) {
            (Some(machine), None) => Ok(machine),
            (None, _) => Err(Failure::new(format!(
                "machine {beginning} does not exist; list-machines --full shows those that do"
            ))),
            (Some(_), Some(_)) => Err(Failure::new(format!(
                "found more than one machine whose id begins with {beginning}"
            ))),
        }
    }

    /// A unit that must exist.
    pub(crate) async fn existing_unit(&self, given: &str) -> Result<Unit, Failure> {
        let name = mangle(given);
        let unit = self.client()?.unit(&name).await;
        let unit = unit.map_err(Failure::on(format!("Error retrieving Unit {name}")))?;
        unit.ok_or_else(|| Failure::new(format!("Unit {name} does not exist.")))
    }
}

/// `113f16a7.../172.17.8.103`
pub(crate) fn legend(machine: &Machine, full: bool) -> String {
    let id = id_legend(&machine.id, full);
    if machine.primary_ip.is_empty() {
        id
    } else {
        format!("{id}/{}", machine.primary_ip)
    }
}

/// `113f16a7...`
pub(crate) fn id_legend(id: &str, full: bool) -> String {
    match id.get(..fleet_model::machine::SHORT_LENGTH) {
        Some(short) if !full => format!("{short}..."),
        _ => id.to_owned(),
    }
}

fn client(global: &Global) -> Result<Client, String> {
    if !global.driver.is_empty() && !global.driver.eq_ignore_ascii_case("api") {
        return Err(format!(
            "unrecognized driver \"{}\": API is the only one, the store is fleetd's own affair",
            global.driver
        ));
    }
    let mut endpoints = global.endpoint.split(',');
    let first = endpoints.next().unwrap_or_default();
    if endpoints.next().is_some() {
        eprintln!("WARNING: multiple endpoints provided but only the first ({first}) is used");
    }
    let endpoint: Endpoint = first.parse().map_err(|error| format!("{error}"))?;
    let connector = if global.tunnel.is_empty() {
        Connector::new(&endpoint, &tls(global)).map_err(|error| error.to_string())?
    } else {
        tunnelled(global, &endpoint)?
    };
    let patience = Patience::new(STORE_PATIENCE, |why| {
        let seconds = STORE_PATIENCE.as_secs();
        eprintln!("WARNING: {why}; asking again for up to {seconds} s");
    });
    Ok(Client::new(connector, global.request_timeout).with_patience(patience))
}

fn tls(global: &Global) -> Tls {
    let file = |path: &String| (!path.is_empty()).then(|| PathBuf::from(path));
    Tls {
        authorities: file(&global.ca_file),
        certificate: file(&global.cert_file),
        key: file(&global.key_file),
    }
}

/// Each connection is an `ssh` that ends at the socket, or at the port, as seen from there.
fn tunnelled(global: &Global, endpoint: &Endpoint) -> Result<Connector, String> {
    let ssh = Ssh::to_tunnel(global)?;
    let words = match endpoint {
        Endpoint::Unix(path) => ssh.command(&format!(
            "fleetctl fd-forward {}",
            crate::ssh::quote(&path.to_string_lossy())
        )),
        Endpoint::Tcp { secure: true, .. } => {
            return Err(
                "https and --tunnel do not go together: the tunnel is encrypted, and its far end \
                 reaches fleetd's socket; leave --endpoint out"
                    .to_owned(),
            );
        }
        Endpoint::Tcp { host, port, .. } => ssh.forward(host, *port),
    };
    let name = format!("{endpoint} through {}", global.tunnel);
    Ok(Connector::custom(name, move || {
        let words = words.clone();
        async move { spawn(&words) }
    }))
}

fn spawn(words: &[String]) -> io::Result<Box<dyn Stream>> {
    let mut child = tokio::process::Command::new("ssh")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("cannot start ssh: {error}")))?;
    let gone = || io::Error::other("ssh has no standard input or output");
    Ok(Box::new(ChildStream {
        input: child.stdin.take().ok_or_else(gone)?,
        output: child.stdout.take().ok_or_else(gone)?,
        end: Some(Box::pin(end_of(child))),
    }))
}

/// Waits for ssh, which has told the user itself why it failed.
async fn end_of(mut child: Child) -> io::Result<()> {
    let status = child.wait().await?;
    if status.success() {
        return Ok(());
    }
    let text = format!("ssh failed with {status}; what it says is above");
    Err(io::Error::other(text))
}

/// A process as a stream: its standard input and output. It dies with it. Its failure is the stream's.
struct ChildStream {
    input: ChildStdin,
    output: ChildStdout,
    /// Nothing once it has ended.
    end: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send>>>,
}

impl ChildStream {
    /// How the process ended, told once.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(end) = &mut self.end else {
            return Poll::Ready(Ok(()));
        };
        let ended = ready!(end.as_mut().poll(context));
        self.end = None;
        Poll::Ready(ended)
    }
}

impl AsyncRead for ChildStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.output).poll_read(context, buffer))?;
        let is_end = buffer.filled().len() == before && buffer.remaining() > 0;
        if is_end {
            ready!(self.poll_end(context))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ChildStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.input).poll_write(context, bytes));
        // Nobody reads any more: why it ended says more than a broken pipe.
        if matches!(&written, Err(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            ready!(self.poll_end(context))?;
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_shown_as_fleetctl_did() {
        let mut machine = Machine {
            id: "113f16a7a5e0464e9a0a3a5a3d6a2a4b".to_owned(),
            primary_ip: "172.17.8.103".to_owned(),
            ..Machine::default()
        };
        assert_eq!(legend(&machine, false), "113f16a7.../172.17.8.103");
        assert_eq!(
            legend(&machine, true),
            "113f16a7a5e0464e9a0a3a5a3d6a2a4b/172.17.8.103"
        );
        machine.primary_ip.clear();
        assert_eq!(legend(&machine, false), "113f16a7...");
    }
}
