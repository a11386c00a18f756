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
/// netavark's, with nothing in it but rules for our containers.
const TABLE: [&str; 2] = ["inet", "netavark"];

/// Leaves no interface, rule or name of it, and no bridge that nobody else needs.
pub(crate) fn take_down(connection: &Connection, state: &Path) -> Result<(), Error> {
    remove_interface(connection)?;
    let stand_in = stand_in()?;
    let path = namespace::path(&stand_in);
    if netavark::run(Action::Teardown, &path, connection, state).is_ok() {
        return Ok(());
    }
    // Some of it was not there: the launcher was killed in between. What was there is gone by now, names too; bridge
    // and rules are made whole, and then taken down.
    remove_interface(connection)?;
    let mut nameless = connection.clone();
    nameless.network.settings.dns = false;
    let whole = namespace::create()?;
    let path = namespace::path(&whole);
    netavark::run(Action::Setup, &path, &nameless, state)?;
    netavark::run(Action::Teardown, &path, &nameless, state)
}

/// The machine's end; the container's goes with it.
fn remove_interface(connection: &Connection) -> Result<(), Error> {
    let name = connection.interface();
    if !Path::new("/sys/class/net").join(&name).exists() {
        return Ok(());
    }
    let output = run(Command::new(IP).args(["link", "delete", &name]))?;
    // It may have gone by itself meanwhile, with its namespace.
    let is_gone = !Path::new("/sys/class/net").join(&name).exists();
    if output.status.success() || is_gone {
        Ok(())
    } else {
        Err(failure(IP, &output))
    }
}

/// A namespace with an interface of the name that netavark looks for.
fn stand_in() -> Result<File, Error> {
    namespace::create_with(|| {
        let words = [
            "link", "add", "eth0", "type", "veth", "peer", "name", "eth1",
        ];
        let output = run(Command::new(IP).args(words)).map_err(io::Error::other)?;
        if output.status.success() {
            Ok(())
        } else {
            Err(io::Error::other(failure(IP, &output)))
        }
    })
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
