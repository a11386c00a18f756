//! Taking down what was set up for a container, however far that had come and whoever is left of it.
//!
//! netavark wants the container's namespace, with its interface, which may be gone with the container. So the interface
//! is removed here, and netavark gets a namespace that stands in.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, Output};

use container_model::network::Connection;

use crate::closed_descriptors::close_descriptors;
use crate::error::Error;
use crate::namespace;
use crate::netavark::{self, Action};

const IP: &str = "/usr/sbin/ip";
const NFT: &str = "/usr/sbin/nft";
/// An interface that is there while another container of its network is taken down.
const PLACEHOLDER_PREFIX: &str = "kt-";
/// netavark's, with nothing in it but rules for our containers.
const TABLE: [&str; 2] = ["inet", "netavark"];

/// Leaves no interface, rule or name of it, and no bridge that nobody else needs. `is_last` says that nothing is written
/// down of another container in the network: only then may what all of them need go, too.
pub(crate) fn take_down(connection: &Connection, is_last: bool, state: &Path) -> Result<(), Error> {
    remove_interface(&connection.interface())?;
    let stand_in = stand_in(connection.inner_interface())?;
    if tear_down(connection, is_last, &stand_in, state).is_ok() {
        return Ok(());
    }
    // Some of it was not there: the launcher was killed in between. What was there is gone by now, names too; bridge
    // and rules are made whole, and then taken down.
    remove_interface(&connection.interface())?;
    let mut nameless = connection.clone();
    nameless.network.settings.dns = false;
    let whole = namespace::create()?;
    netavark::run(Action::Setup, &namespace::path(&whole), &nameless, state)?;
    tear_down(&nameless, is_last, &whole, state)
}

/// netavark removes what a network's containers share once the bridge has no interface. Those of containers that were
/// killed are gone, and their rules are not: with them it would fail. So one is there for them.
fn tear_down(
    connection: &Connection,
    is_last: bool,
    namespace: &File,
    state: &Path,
) -> Result<(), Error> {
    let path = namespace::path(namespace);
    if is_last {
        return netavark::run(Action::Teardown, &path, connection, state);
    }
    let name = format!(
        "{PLACEHOLDER_PREFIX}{}",
        &connection.interface()[PLACEHOLDER_PREFIX.len()..]
    );
    remove_interface(&name)?;
    let bridge = connection.network.bridge();
    let add = [
        "link", "add", &name, "type", "veth", "peer", "name", "other", "netns", &path,
    ];
    let done = ip(&add)
        .and_then(|()| ip(&["link", "set", &name, "master", &bridge]))
        .and_then(|()| netavark::run(Action::Teardown, &path, connection, state));
    remove_interface(&name)?;
    done
}

/// One of the machine's; its other end goes with it.
fn remove_interface(name: &str) -> Result<(), Error> {
    let path = Path::new("/sys/class/net").join(name);
    if !path.exists() {
        return Ok(());
    }
    let removed = ip(&["link", "delete", name]);
    // It may have gone by itself meanwhile, with its namespace.
    if path.exists() { removed } else { Ok(()) }
}

/// A namespace with an interface of the name that netavark looks for.
fn stand_in(interface: String) -> Result<File, Error> {
    namespace::create_with(move || {
        let words = [
            "link", "add", &interface, "type", "veth", "peer", "name", "peer",
        ];
        ip(&words).map_err(io::Error::other)
    })
}

fn ip(words: &[&str]) -> Result<(), Error> {
    let output = run(Command::new(IP).args(words))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(failure(IP, &output))
    }
}

/// Removes netavark's table, once nobody is in a network.
pub(crate) fn remove_rules() -> Result<(), Error> {
    let listed = run(Command::new(NFT).args(["list", "table"]).args(TABLE))?;
    if !listed.status.success() {
        // There is none.
        return Ok(());
    }
    let output = run(Command::new(NFT).args(["delete", "table"]).args(TABLE))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(failure(NFT, &output))
    }
}

fn run(command: &mut Command) -> Result<Output, Error> {
    let program = command.get_program().to_owned();
    let output = close_descriptors(command.stdin(std::process::Stdio::null())).output();
    output.map_err(Error::io(program))
}

fn failure(program: &str, output: &Output) -> Error {
    let text = String::from_utf8_lossy(&output.stderr)
        .trim()
        .replace('\n', "; ");
    Error::Io {
        path: program.into(),
        reason: io::Error::other(text),
    }
}
