//! Debian's etcdctl, API 2, driven against kvd as its users drive it.
//!
//! What it prints is compared with what it prints for etcd; it is not itself under test.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::server::Server;

/// etcdctl with what it needs to reach a server.
struct Etcdctl {
    words: Vec<String>,
}

impl Etcdctl {
    fn new(words: &[&str]) -> Self {
        let words = words.iter().map(ToString::to_string).collect();
        Self { words }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("etcdctl");
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().to_ascii_lowercase();
            if text.starts_with("etcd") || text.ends_with("_proxy") {
                command.env_remove(&name);
            }
        }
        command
            .env("ETCDCTL_API", "2")
            .args(&self.words)
            .args(words);
        command.stdin(Stdio::null());
        command
    }

    /// What it prints, if it succeeds.
    fn run(&self, words: &[&str]) -> Result<String> {
        let output = self.command(words).output().context("start etcdctl")?;
        let [stdout, stderr] = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let status = output.status;
        ensure!(
            status.success(),
            "etcdctl {words:?}: {status}\n{stdout}{stderr}"
        );
        Ok(stdout)
    }

    /// Its code and what it says, if it fails.
    fn fail(&self, words: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.command(words).output().context("start etcdctl")?;
        ensure!(!output.status.success(), "etcdctl {words:?} succeeds");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok((output.status.code(), said))
    }

    fn start(&self, words: &[&str], output: &Path) -> Result<Ended> {
        let output = std::fs::File::create(output)?;
        let mut command = self.command(words);
        Ok(Ended(
            command.stdout(output.try_clone()?).stderr(output).spawn()?,
        ))
    }

    fn prints(&self, words: &[&str], expected: &str) -> Result<()> {
        let printed = self.run(words)?;
        ensure!(
            printed.trim_end() == expected,
            "etcdctl {words:?}: {printed:?}, not {expected:?}"
        );
        Ok(())
    }
}

/// A process that ends with this.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().unwrap_or_default();
        drop(self.0.wait());
    }
}

/// Waits until a file has a text; `again` is done each time until then.
fn wait_for(path: &Path, text: &str, mut again: impl FnMut() -> Result<()>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        again()?;
        let found = std::fs::read_to_string(path).unwrap_or_default();
        if found.contains(text) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{text:?} does not come: {found:?}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn keys(etcdctl: &Etcdctl) -> Result<()> {
    etcdctl.prints(&["set", "/a/b", "one"], "one")?;
    etcdctl.prints(&["get", "/a/b"], "one")?;
    etcdctl.prints(&["get", "--quorum", "/a/b"], "one")?;
    etcdctl.prints(&["update", "/a/b", "two"], "two")?;
    etcdctl.prints(&["mk", "/a/c", "three"], "three")?;
    etcdctl.run(&["mkdir", "/a/d"])?;
    etcdctl.run(&["set", "--ttl", "100", "/a/d/e", "x"])?;
    etcdctl.prints(&["ls", "--sort", "/a"], "/a/b\n/a/c\n/a/d")?;
    etcdctl.prints(
        &["ls", "--sort", "--recursive", "-p", "/a"],
        "/a/b\n/a/c\n/a/d/\n/a/d/e",
    )?;
    etcdctl.run(&["set", "--swap-with-value", "two", "/a/b", "four"])?;
    let (code, said) = etcdctl.fail(&["set", "--swap-with-value", "two", "/a/b", "five"])?;
    ensure!(
        code == Some(4) && said.contains("101: Compare failed"),
        "{code:?} {said}"
    );
    let (code, said) = etcdctl.fail(&["mk", "/a/c", "again"])?;
    ensure!(
        code == Some(4) && said.contains("105: Key already exists"),
        "{code:?} {said}"
    );
    let (code, said) = etcdctl.fail(&["get", "/none"])?;
    ensure!(
        code == Some(4) && said.contains("100: Key not found"),
        "{code:?} {said}"
    );
    etcdctl.prints(&["rm", "/a/b"], "PrevNode.Value: four")?;
    let (_, said) = etcdctl.fail(&["rmdir", "/a"])?;
    ensure!(said.contains("108: Directory not empty"), "{said}");
    etcdctl.run(&["rm", "--recursive", "/a"])?;
    etcdctl.prints(&["ls", "/"], "")
}

fn watches(etcdctl: &Etcdctl) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let once = folder.path().join("once");
    let _watch = etcdctl.start(&["watch", "--recursive", "/w"], &once)?;
    let set = || etcdctl.run(&["set", "/w/k", "seen"]).map(drop);
    wait_for(&once, "seen", set)?;
    let executed = folder.path().join("executed");
    let words = ["exec-watch", "--recursive", "/w", "--", "sh", "-c"];
    let show = "echo $ETCD_WATCH_ACTION $ETCD_WATCH_KEY $ETCD_WATCH_VALUE";
    let _watch = etcdctl.start(&[&words[..], &[show]].concat(), &executed)?;
    wait_for(&executed, "set /w/k seen", set)?;
    // From the past.
    let index = etcdctl.run(&["-o", "extended", "get", "/w/k"])?;
    let index = index
        .lines()
        .find_map(|line| line.strip_prefix("Modified-Index: "));
    let index: u64 = index.context("no index is printed")?.parse()?;
    let after = (index - 1).to_string();
    etcdctl.prints(&["watch", "--after-index", &after, "/w/k"], "seen")
}

fn members(etcdctl: &Etcdctl) -> Result<()> {
    let health = etcdctl.run(&["cluster-health"])?;
    ensure!(health.contains("cluster is healthy"), "{health}");
    let list = etcdctl.run(&["member", "list"])?;
    ensure!(
        list.contains("name=default") && list.contains("isLeader=true"),
        "{list}"
    );
    // Nobody is there: it stays a learner without a vote, and the cluster goes on.
    let added = etcdctl.run(&["member", "add", "second", "http://127.0.0.1:1"])?;
    ensure!(added.contains("Added member named second"), "{added}");
    let list = etcdctl.run(&["member", "list"])?;
    let line = list
        .lines()
        .find(|line| line.contains("http://127.0.0.1:1"));
    let id = line
        .and_then(|line| line.split(['[', ':']).next())
        .context("it is not listed")?;
    etcdctl.run(&["member", "update", id, "http://127.0.0.1:2"])?;
    let list = etcdctl.run(&["member", "list"])?;
    ensure!(list.contains("http://127.0.0.1:2"), "{list}");
    etcdctl.run(&["set", "/with-a-learner", "works"])?;
    let removed = etcdctl.run(&["member", "remove", id])?;
    ensure!(removed.contains("Removed member"), "{removed}");
    let list = etcdctl.run(&["member", "list"])?;
    ensure!(list.lines().count() == 1, "{list}");
    Ok(())
}

fn users(etcdctl: &Etcdctl) -> Result<()> {
    etcdctl.run(&["user", "add", "root:secret"])?;
    etcdctl.run(&["user", "add", "ann:word"])?;
    etcdctl.run(&["role", "add", "reader"])?;
    etcdctl.run(&["role", "grant", "reader", "--path", "/open/*", "--read"])?;
    etcdctl.run(&["user", "grant", "ann", "--roles", "reader"])?;
    etcdctl.run(&["set", "/open/k", "v"])?;
    etcdctl.run(&["auth", "enable"])?;
    let root = ["--username", "root:secret"];
    etcdctl.run(
        &[
            &root[..],
            &["role", "revoke", "guest", "--path", "/*", "--readwrite"],
        ]
        .concat(),
    )?;
    let ann = ["--username", "ann:word"];
    etcdctl.prints(&[&ann[..], &["get", "/open/k"]].concat(), "v")?;
    for refused in [
        &[&ann[..], &["set", "/open/k", "w"]].concat()[..],
        &["get", "/open/k"],
    ] {
        let (_, said) = etcdctl.fail(refused)?;
        ensure!(
            said.contains("110: The request requires user authentication"),
            "{said}"
        );
    }
    let listed = etcdctl.run(&[&root[..], &["user", "list"]].concat())?;
    ensure!(listed.split_whitespace().eq(["ann", "root"]), "{listed}");
    let shown = etcdctl.run(&[&root[..], &["user", "get", "ann"]].concat())?;
    ensure!(shown.contains("reader"), "{shown}");
    let shown = etcdctl.run(&[&root[..], &["role", "get", "reader"]].concat())?;
    ensure!(shown.contains("/open/*"), "{shown}");
    etcdctl.run(&[&root[..], &["user", "remove", "ann"]].concat())?;
    etcdctl.run(&[&root[..], &["role", "remove", "reader"]].concat())?;
    etcdctl.run(&[&root[..], &["auth", "disable"]].concat())?;
    etcdctl.prints(&["get", "/open/k"], "v")
}

fn everything(etcdctl: &Etcdctl) -> Result<()> {
    keys(etcdctl)?;
    watches(etcdctl)?;
    members(etcdctl)?;
    users(etcdctl)
}

#[test]
fn etcdctl_works() -> Result<()> {
    let server = Server::kvd()?;
    let url = format!("http://{}", server.address);
    everything(&Etcdctl::new(&["--endpoints", &url]))
}

#[test]
fn etcdctl_works_over_tls_with_client_certificates() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    certificates(folder.path())?;
    let [ca, certificate, key] = ["ca.pem", "server.pem", "server.key"].map(path);
    let flags = [
        "--cert-file",
        &certificate,
        "--key-file",
        &key,
        "--trusted-ca-file",
        &ca,
        "--client-cert-auth",
    ];
    let server = Server::kvd_with_tls(&flags)?;
    let url = format!("https://{}", server.address);
    let [certificate, key] = ["client.pem", "client.key"].map(path);
    let reach = ["--endpoints", &url, "--ca-file", &ca];
    let with_certificate = [
        &reach[..],
        &["--cert-file", &certificate, "--key-file", &key],
    ]
    .concat();
    everything(&Etcdctl::new(&with_certificate))?;
    // Without one, or with one of another authority, there is no answer.
    Etcdctl::new(&reach).fail(&["get", "/open/k"])?;
    let [certificate, key] = ["stranger.pem", "stranger.key"].map(path);
    let strange = [
        &reach[..],
        &["--cert-file", &certificate, "--key-file", &key],
    ]
    .concat();
    Etcdctl::new(&strange).fail(&["get", "/open/k"])?;
    Ok(())
}

/// An authority, a server's and a client's certificate of it, and a stranger's.
pub(crate) fn certificates(folder: &Path) -> Result<()> {
    let script = r"
        set -e
        authority() { openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=$1 -keyout $1.key -out $1.pem; }
        certify() {
            openssl req -newkey rsa:2048 -nodes -subj /CN=$1 -keyout $1.key -out $1.csr
            printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' >$1.ext
            openssl x509 -req -days 2 -in $1.csr -CA $2.pem -CAkey $2.key -CAcreateserial -extfile $1.ext -out $1.pem
        }
        authority ca; authority other
        certify server ca; certify client ca; certify stranger other
    ";
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(folder)
        .output()?;
    ensure!(
        output.status.success(),
        "openssl: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
