//! Runs a test in namespaces of its own: its network, its mounts and its processes end with it, and
//! nothing outside is touched.
//!
//! It works as root, and as an ordinary user where user namespaces are allowed. Where it cannot be
//! done the test fails; it never skips.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// Set in the inner process.
const INSIDE: &str = "KEELSON_TEST_IS_ISOLATED";
/// The namespaces that are made. All processes end with the first one.
const NAMESPACES: [&str; 5] = ["--mount", "--net", "--pid", "--fork", "--kill-child"];
/// For an ordinary user, and for a root that may not do more.
const AS_USER: [&str; 2] = ["--user", "--map-root-user"];

/// Runs `scenario` isolated, and ends it after `limit`. `test` is the full name of the calling test:
/// the same program is started again with it, inside.
pub(crate) fn isolated(test: &str, limit: Duration, scenario: impl FnOnce() -> Result<()>) {
    let result = if std::env::var_os(INSIDE).is_some() {
        prepare().and_then(|()| scenario())
    } else {
        run_inside(test, limit)
    };
    if let Err(error) = result {
        panic!("{test}: {error:?}");
    }
}

/// Runs a program to its end; its output if it succeeded.
pub(crate) fn run(program: &str, words: &[impl AsRef<OsStr>]) -> Result<String> {
    let output = Command::new(program).args(words).output();
    let output = output.with_context(|| format!("start {program}"))?;
    ensure!(output.status.success(), "{program}: {}", text(&output));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn run_inside(name: &str, limit: Duration) -> Result<()> {
    let program = std::env::current_exe()?;
    let output = Command::new("timeout")
        .args(["--signal=KILL", &limit.as_secs().to_string(), "unshare"])
        .args(usable_namespaces()?)
        .arg("--")
        .arg(program)
        .args(["--exact", name, "--nocapture", "--include-ignored"])
        .env(INSIDE, "1")
        .output()
        .context("start timeout(1)")?;
    let said = text(&output);
    ensure!(
        output.status.code().is_some_and(|code| code != 137),
        "it was ended after {limit:?}:\n{said}"
    );
    ensure!(
        output.status.success() && said.contains("1 passed"),
        "inside its namespaces:\n{said}"
    );
    Ok(())
}

/// What `unshare` is told: as few new namespaces as it takes.
fn usable_namespaces() -> Result<Vec<&'static str>> {
    let mut refusals = Vec::new();
    for user in [&[][..], &AS_USER] {
        let words: Vec<&str> = user.iter().chain(&NAMESPACES).copied().collect();
        let probe = Command::new("unshare").args(&words).arg("true").output();
        let probe = probe.context("start unshare(1)")?;
        if probe.status.success() {
            return Ok(words);
        }
        refusals.push(text(&probe));
    }
    bail!(
        "this test makes networks of its own, and may not: run it as root, or allow user namespaces \
         (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns). {refusals:?}"
    )
}

fn text(output: &Output) -> String {
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{}\n{stdout}{stderr}", output.status)
}

/// A place for the names of networks, and a loopback device that is up.
fn prepare() -> Result<()> {
    run("mount", &["-t", "tmpfs", "none", "/run"])?;
    std::fs::create_dir(Path::new("/run/netns"))?;
    run("ip", &["link", "set", "lo", "up"])?;
    Ok(())
}

#[test]
fn isolation_is_real_and_failures_come_out() {
    isolated(
        "isolation::isolation_is_real_and_failures_come_out",
        Duration::from_secs(20),
        || {
            let links = run("ip", &["-oneline", "link"])?;
            ensure!(links.lines().count() == 1, "not alone: {links}");
            ensure!(std::process::id() == 1, "not the first process");
            Ok(())
        },
    );
    let absent = run_inside("isolation::no_such_test", Duration::from_secs(20));
    assert!(absent.is_err());
}
