//! The arguments of the `ssh` program.
//!
//! Hosts are verified by ssh itself, with the user's file of known hosts; nothing here sees a key.

use std::path::{Path, PathBuf};

use crate::arguments::Global;

/// Where an SSH server is, and how it is reached.
#[derive(Debug, Clone)]
pub(crate) struct Ssh {
    destination: Destination,
    options: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Destination {
    host: String,
    port: u16,
}

impl Ssh {
    /// To the host of `--tunnel`.
    pub(crate) fn to_tunnel(global: &Global) -> Result<Self, String> {
        Ok(Self {
            destination: parse_destination(&global.tunnel)?,
            options: common_options(global)?,
        })
    }

    /// To a machine, through the tunnel if there is one.
    pub(crate) fn to_machine(
        global: &Global,
        host: &str,
        port: u16,
        forward_agent: bool,
    ) -> Result<Self, String> {
        let mut options = common_options(global)?;
        if !global.tunnel.is_empty() {
            let tunnel = Self::to_tunnel(global)?;
            let mut words = vec!["ssh".to_owned()];
            words.extend(tunnel.arguments_with(&["-W", "%h:%p"]));
            let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
            options.extend([
                "-o".to_owned(),
                format!("ProxyCommand={}", quoted.join(" ")),
            ]);
        }
        if forward_agent {
            options.push("-A".to_owned());
        }
        let host = host.to_owned();
        Ok(Self {
            destination: Destination { host, port },
            options,
        })
    }

    /// Runs a command there, in words of its shell.
    pub(crate) fn command(&self, command: &str) -> Vec<String> {
        let mut words = self.arguments_with(&["-T"]);
        words.extend(["--".to_owned(), command.to_owned()]);
        words
    }

    /// Opens a shell there.
    pub(crate) fn shell(&self) -> Vec<String> {
        self.arguments_with(&["-t"])
    }

    /// Joins standard input and output to a port, as seen from there.
    pub(crate) fn forward(&self, host: &str, port: u16) -> Vec<String> {
        let target = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        self.arguments_with(&["-W", &target])
    }

    /// Options and the host.
    fn arguments_with(&self, more: &[&str]) -> Vec<String> {
        let mut words = self.options.clone();
        words.extend(more.iter().map(|&word| word.to_owned()));
        words.extend(["-p".to_owned(), self.destination.port.to_string()]);
        words.push(self.destination.host.clone());
        words
    }
}

fn common_options(global: &Global) -> Result<Vec<String>, String> {
    let seconds = global.ssh_timeout.as_secs_f64().ceil().max(1.0);
    let mut options = vec![
        format!("ConnectTimeout={seconds}"),
        format!("User={}", global.ssh_username),
    ];
    if global.strict_host_key_checking {
        let file = known_hosts(&global.known_hosts_file)?;
        options.push("StrictHostKeyChecking=ask".to_owned());
        options.push(format!("UserKnownHostsFile={}", quote_path(&file)?));
        options.push("GlobalKnownHostsFile=/dev/null".to_owned());
        options.push("UpdateHostKeys=no".to_owned());
        // One file of plain names, as fleetctl kept it.
        options.push("HashKnownHosts=no".to_owned());
    } else {
        options.push("StrictHostKeyChecking=no".to_owned());
        options.push("UserKnownHostsFile=/dev/null".to_owned());
        options.push("LogLevel=ERROR".to_owned());
    }
    Ok(options
        .into_iter()
        .flat_map(|option| ["-o".to_owned(), option])
        .collect())
}

/// The file, whose folder is made if it is not there.
fn known_hosts(given: &str) -> Result<PathBuf, String> {
    let path = match given.strip_prefix("~/") {
        Some(rest) => {
            let home = std::env::var_os("HOME")
                .ok_or("HOME is not set: say --known-hosts-file with a whole path")?;
            Path::new(&home).join(rest)
        }
        None => PathBuf::from(given),
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    if !folder.as_os_str().is_empty() && !folder.exists() {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    }
    Ok(path)
}

/// As ssh reads file names in its options.
fn quote_path(path: &Path) -> Result<String, String> {
    let text = path.to_string_lossy();
    if text.contains('"') {
        return Err(format!("{text}: ssh takes no file name with a quote"));
    }
    Ok(if text.contains(' ') {
        format!("\"{text}\"")
    } else {
        text.into_owned()
    })
}

/// `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`.
fn parse_destination(text: &str) -> Result<Destination, String> {
    let error = || format!("--tunnel {text}: write it like 10.0.0.1 or 10.0.0.1:22");
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(error)?;
            (host, after.strip_prefix(':'))
        }
        // More than one colon is an IPv6 address without a port.
        None if text.matches(':').count() == 1 => {
            let (host, port) = text.split_once(':').ok_or_else(error)?;
            (host, Some(port))
        }
        None => (text, None),
    };
    let port = match port {
        Some(port) => port.parse().map_err(|_| error())?,
        None => 22,
    };
    // It must not be taken for an option.
    if host.is_empty() || host.starts_with('-') {
        return Err(error());
    }
    let host = host.to_owned();
    Ok(Destination { host, port })
}

/// A word for a POSIX shell.
pub(crate) fn quote(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=%+,[]".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::Arguments;

    fn global(words: &[&str]) -> Global {
        let all = ["fleetctl"].iter().chain(words).chain(&["version"]);
        Arguments::try_parse_from(all).expect("arguments").global
    }

    #[test]
    fn destinations_are_read() {
        for (text, host, port) in [
            ("10.0.0.1", "10.0.0.1", 22),
            ("host:2222", "host", 2222),
            ("[::1]:2222", "::1", 2222),
            ("fe80::1", "fe80::1", 22),
        ] {
            let host = host.to_owned();
            assert_eq!(parse_destination(text), Ok(Destination { host, port }));
        }
        for text in ["", "host:", "host:x", "-oProxyCommand=x", "[::1"] {
            assert!(parse_destination(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_tunnels_command_has_the_users_options() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("new/known_hosts");
        let file = file.to_string_lossy();
        let global = global(&[
            "--tunnel=10.0.0.1:2222",
            "--ssh-username=me",
            "--ssh-timeout=2.5",
            "--known-hosts-file",
            &file,
        ]);
        let ssh = Ssh::to_tunnel(&global).expect("good");
        let words = ssh.command("fleetctl fd-forward /run/fleet.sock");
        let expected = format!(
            "-o ConnectTimeout=3 -o User=me -o StrictHostKeyChecking=ask -o UserKnownHostsFile={file} \
             -o GlobalKnownHostsFile=/dev/null -o UpdateHostKeys=no -o HashKnownHosts=no -T -p 2222 10.0.0.1 -- \
             fleetctl fd-forward /run/fleet.sock"
        );
        assert_eq!(words.join(" "), expected);
        assert!(folder.path().join("new").exists());
    }

    #[test]
    fn machines_are_reached_through_the_tunnel() {
        let global = global(&["--tunnel=10.0.0.1", "--strict-host-key-checking=false"]);
        let ssh = Ssh::to_machine(&global, "10.0.0.2", 22, true).expect("good");
        let words = ssh.shell();
        let proxy = words.iter().find(|word| word.starts_with("ProxyCommand="));
        let proxy = proxy.expect("a proxy");
        assert!(proxy.ends_with("-W %h:%p -p 22 10.0.0.1"), "{proxy}");
        assert!(words.contains(&"-A".to_owned()));
        assert_eq!(words.last().map(String::as_str), Some("10.0.0.2"));
        assert!(words.contains(&"StrictHostKeyChecking=no".to_owned()));
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quote("/run/fleet.sock"), "/run/fleet.sock");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }
}
