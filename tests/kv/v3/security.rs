//! v3 over TLS, and users whom a certificate names: etcdctl, API 3.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::etcdctl::certificates;
use crate::server::Server;

/// kvd with TLS, and the files that clients need.
struct Secured {
    server: Server,
    folder: tempfile::TempDir,
}

impl Secured {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        certificates(folder.path())?;
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let [ca, certificate, key] = ["ca.pem", "server.pem", "server.key"].map(path);
        let server = Server::kvd_with_tls(&[
            "--cert-file",
            &certificate,
            "--key-file",
            &key,
            "--trusted-ca-file",
            &ca,
            "--client-cert-auth",
        ])?;
        Ok(Self { server, folder })
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    /// What etcdctl prints with a certificate, or without one, trusting an authority.
    fn etcdctl(&self, who: Option<&str>, authority: &str, words: &[&str]) -> Result<String> {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").stdin(Stdio::null());
        command.args(["--endpoints", &format!("https://{}", self.server.address)]);
        command.args(["--dial-timeout=2s", "--command-timeout=5s"]);
        command.args(["--cacert", &self.path(&format!("{authority}.pem"))]);
        if let Some(who) = who {
            command.args(["--cert", &self.path(&format!("{who}.pem"))]);
            command.args(["--key", &self.path(&format!("{who}.key"))]);
        }
        let output = command.args(words).output().context("start etcdctl")?;
        let texts = [output.stdout, output.stderr];
        Ok(texts
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .concat())
    }

    fn prints(&self, who: Option<&str>, words: &[&str], wanted: &str) -> Result<()> {
        let said = self.etcdctl(who, "ca", words)?;
        ensure!(said.contains(wanted), "etcdctl {who:?} {words:?}: {said}");
        Ok(())
    }
}

#[test]
fn a_certificates_name_is_a_user() -> Result<()> {
    let secured = Secured::start()?;
    let client = Some("client");
    secured.prints(client, &["put", "open", "1"], "OK")?;
    for (words, wanted) in [
        (&["user", "add", "root:r"][..], "User root created"),
        (
            &["user", "add", "client", "--no-password"],
            "User client created",
        ),
        (&["role", "add", "r"], "Role r created"),
        (
            &[
                "role",
                "grant-permission",
                "r",
                "readwrite",
                "/r/",
                "--prefix",
            ],
            "Role r updated",
        ),
        (&["user", "grant-role", "client", "r"], "is granted"),
        (&["auth", "enable"], "Authentication Enabled"),
    ] {
        secured.prints(client, words, wanted)?;
    }
    secured.prints(client, &["put", "/r/k", "mine"], "OK")?;
    secured.prints(client, &["get", "/r/k"], "mine")?;
    secured.prints(client, &["put", "open", "2"], "permission denied")?;
    secured.prints(client, &["user", "list"], "permission denied")?;
    secured.prints(client, &["user", "get", "client"], "Roles: r")?;
    secured.prints(client, &["watch", "open"], "permission denied")?;
    // A password says more than a certificate.
    let root = ["--user", "root:r"];
    let as_root = |words: &[&'static str]| [&root[..], words].concat();
    secured.prints(client, &as_root(&["get", "open"]), "1")?;
    secured.prints(
        client,
        &["--user", "client:x", "get", "/r/k"],
        "authentication failed",
    )?;
    // Of a certificate that names no user.
    secured.prints(Some("server"), &["get", "/r/k"], "permission denied")?;
    secured.prints(
        client,
        &as_root(&["user", "revoke-role", "client", "r"]),
        "revoked",
    )?;
    secured.prints(client, &["get", "/r/k"], "permission denied")
}

#[test]
fn strangers_are_not_served() -> Result<()> {
    let secured = Secured::start()?;
    for who in [None, Some("stranger")] {
        let said = secured.etcdctl(who, "ca", &["put", "k", "v"])?;
        ensure!(!said.contains("OK"), "{who:?}: {said}");
    }
    let said = secured.etcdctl(Some("client"), "other", &["put", "k", "v"])?;
    ensure!(!said.contains("OK"), "the server is no stranger's: {said}");
    Ok(())
}

#[test]
fn a_new_certificate_is_shown_without_a_restart() -> Result<()> {
    let secured = Secured::start()?;
    secured.prints(Some("client"), &["put", "k", "v"], "OK")?;
    let folder = secured.folder.path();
    for end in ["key", "pem"] {
        let new = Path::new(folder).join(format!("stranger.{end}"));
        std::fs::rename(new, folder.join(format!("server.{end}")))?;
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        let said = secured.etcdctl(Some("client"), "other", &["get", "k"])?;
        if said.contains('v') && said.starts_with('k') {
            return Ok(());
        }
    }
    bail!("the old certificate is shown still")
}
