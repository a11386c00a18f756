//! `kvctl v3` beside etcdctl 3: the same commands print the same, on standard output and on standard
//! error, and end with the same code.
//!
//! Two fresh etcds get the same commands, one from each program. What kvd has is compared as well.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::server::{Server, program_beside_tests};

/// A command, and what it reads.
type Step<'a> = (&'a str, &'a str);

/// What stands in a command for the number of the last lease, or of the last member added.
const LEASE: &str = "LEASE";
const MEMBER: &str = "MEMBER";

/// One of both programs, with what it needs to reach a server.
struct Program {
    command: &'static [&'static str],
    path: std::path::PathBuf,
    endpoint: String,
    lease: String,
    member: String,
}

/// What a command did, without what is different from server to server.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    code: Option<i32>,
    output: String,
    errors: String,
}

impl Program {
    fn etcdctl(server: &Server) -> Self {
        Self::new(Path::new("etcdctl"), &[], server)
    }

    fn kvctl(server: &Server) -> Result<Self> {
        Ok(Self::new(
            &program_beside_tests("kvctl")?,
            &["--v3"],
            server,
        ))
    }

    fn new(path: &Path, command: &'static [&'static str], server: &Server) -> Self {
        Self {
            command,
            path: path.to_owned(),
            endpoint: server.address.to_string(),
            lease: String::new(),
            member: String::new(),
        }
    }

    fn run(&mut self, (line, input): Step<'_>) -> Result<Told> {
        let mut command = Command::new(&self.path);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().to_ascii_lowercase();
            if text.starts_with("etcd") || text.starts_with("kvctl") || text.ends_with("_proxy") {
                command.env_remove(&name);
            }
        }
        command.env("ETCDCTL_API", "3").args(self.command);
        command.args(["--command-timeout", "60s", "--endpoints", &self.endpoint]);
        for word in line.split(' ').filter(|word| !word.is_empty()) {
            command.arg(match word {
                LEASE => &self.lease,
                MEMBER => &self.member,
                "EMPTY" => "",
                other => other,
            });
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.stderr(Stdio::piped()).spawn()?;
        let mut stdin = process.stdin.take().context("no input")?;
        // A command that reads nothing may have ended.
        let _written = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = process.wait_with_output()?;
        let [printed, errors] = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        self.remember(&printed);
        // etcdctl's library writes a log there.
        let errors = errors.lines().filter(|line| !line.starts_with('{'));
        Ok(Told {
            code: output.status.code(),
            output: normal(&printed),
            errors: normal(&errors.collect::<Vec<_>>().join("\n")),
        })
    }

    fn remember(&mut self, printed: &str) {
        let words: Vec<&str> = printed.split_whitespace().collect();
        match words.as_slice() {
            ["lease", id, "granted", ..] => (*id).clone_into(&mut self.lease),
            ["Member", id, "added", ..] => (*id).clone_into(&mut self.member),
            _ => {}
        }
    }
}

/// Without identifiers, times and the widths of columns.
fn normal(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !".µ".contains(c));
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        result.push_str(if is_variable(word) { "#" } else { word });
        let next = after.find(|c: char| c.is_ascii_alphanumeric() || ".µ".contains(c));
        let (gap, after) = after.split_at(next.unwrap_or(after.len()));
        result.push_str(gap);
        rest = after;
    }
    let lines = result.lines().map(|line| {
        let rule = line.starts_with("+-");
        let words = line.split(' ').filter(|word| !word.is_empty());
        let words = words.collect::<Vec<_>>().join(" ");
        if rule { "+-+".to_owned() } else { words }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Numbers of clusters, members, leases and ports, durations, hashes and sizes.
fn is_variable(word: &str) -> bool {
    let is_number = word.len() >= 5 && word.bytes().all(|byte| byte.is_ascii_digit());
    let is_hex = word.len() >= 14 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let duration = ["ms", "µs", "s"]
        .iter()
        .find_map(|unit| word.strip_suffix(unit));
    let is_duration =
        duration.is_some_and(|number| number.contains('.') && number.parse::<f64>().is_ok());
    is_number || is_hex || is_duration
}

/// Members come in the order of their numbers, which are drawn anew for each cluster.
fn in_any_order(text: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || "\",{}[]=|+".contains(c);
    let mut words: Vec<&str> = text.split(is_end).filter(|word| !word.is_empty()).collect();
    words.sort_unstable();
    words.join(" ")
}

/// How much of its file a server has used depends on when it is asked.
fn without_sizes(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let following = words.iter().skip(1).chain([&""]);
    let words = words.iter().zip(following);
    let words = words.map(|(word, next)| if next.starts_with("kB") { "#" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// Both programs, each on a server of its own.
fn compare(servers: &[Server; 2], script: &[Step<'_>]) -> Result<()> {
    let mut etcdctl = Program::etcdctl(&servers[0]);
    let mut kvctl = Program::kvctl(&servers[1])?;
    for step in script {
        let (mut wanted, mut got) = (etcdctl.run(*step)?, kvctl.run(*step)?);
        if step.0.starts_with("member") {
            wanted.output = in_any_order(&wanted.output);
            got.output = in_any_order(&got.output);
        }
        wanted.output = without_sizes(&wanted.output);
        got.output = without_sizes(&got.output);
        ensure!(
            wanted == got,
            "{step:?}\netcdctl: {wanted:#?}\nkvctl: {got:#?}"
        );
    }
    Ok(())
}

fn on_etcd(script: &[Step<'_>]) -> Result<()> {
    compare(&[Server::etcd()?, Server::etcd()?], script)
}

const KEYS: &[Step<'static>] = &[
    ("put a 1", ""),
    ("put a x<&>é --prev-kv -w json", ""),
    ("put b 2 --prev-kv -w fields", ""),
    ("put b 3 --prev-kv -w fields", ""),
    ("put b 3 -w table", ""),
    ("put /x/y EMPTY", ""),
    ("put piped", "from standard input\n"),
    ("put", ""),
    ("put a", ""),
    ("put a 1 --lease xyz", ""),
    ("put a 1 --lease 12", ""),
    ("put a v --ignore-value", ""),
    ("put nokey --ignore-value", ""),
    ("put a --ignore-value --prev-kv", ""),
    ("get a", ""),
    ("get a -w json", ""),
    ("get a -w fields", ""),
    ("get a -w table", ""),
    ("get a b --hex", ""),
    ("get EMPTY --prefix --keys-only", ""),
    ("get EMPTY --from-key --limit 2 -w json", ""),
    ("get a --prefix --sort-by MODIFY --order DESCEND", ""),
    ("get a --sort-by X", ""),
    ("get a --order X", ""),
    ("get a --consistency x", ""),
    ("get a --consistency s", ""),
    ("get a z --prefix", ""),
    ("get a --prefix --from-key", ""),
    ("get a --print-value-only", ""),
    ("get a --print-value-only -w json", ""),
    ("get a --rev 999999", ""),
    ("get", ""),
    ("del b --prev-kv -w fields", ""),
    ("del b -w json", ""),
    ("del a z --prev-kv", ""),
    ("del", ""),
    ("del a b --prefix", ""),
    ("compaction", ""),
    ("compaction 999999", ""),
];

#[test]
fn keys_are_printed_as_etcdctl_prints_them() -> Result<()> {
    let old = [
        ("put c 1", ""),
        ("put c 2", ""),
        ("get c --rev 2", ""),
        ("get a --rev 2 -w json", ""),
        ("compaction 4", ""),
        ("compaction 4", ""),
        ("compaction 5 --physical", ""),
        ("get a --rev 2", ""),
        ("watch a --rev 2", ""),
        ("watch -i", "foo\n"),
        ("watch a b --prefix", ""),
        ("watch", ""),
    ];
    on_etcd(&[KEYS, &old].concat())
}

const TRANSACTIONS: &[Step<'static>] = &{
    const PLAIN: &str = "mod(\"a\") > \"0\"\n\nput a \"1 \\n2\"\nget a\n\ndel a\nput a 1\n\n";
    const OLD: &str = "val(\"a\") = \"1\"\nver(\"a\") < \"9\"\nc(\"a\") != \"0\"\n\n\
        del a --prev-kv\nput b 'x y' --prev-kv\nget EMPTY --prefix\n\n\n";
    [
        ("txn", PLAIN),
        ("txn -w json", OLD),
        ("txn -w fields", PLAIN),
        ("txn -w json", PLAIN),
        ("txn -i", PLAIN),
        ("txn -w table", PLAIN),
        ("txn", "foo\n\n\n\n"),
        ("txn", "mod(\"a\") > 0\n\n\n\n"),
        ("txn", "ver(\"a\") < \"x\"\n\n\n\n"),
        ("txn", "bad(\"a\") < \"1\"\n\n\n\n"),
        ("txn", "\nfoo a 1\n\n\n"),
        ("txn", "\nput a\n\n\n"),
        ("txn", "\nput a 1\nput a 2\n\n\n"),
        ("txn a", ""),
        ("get EMPTY --prefix", ""),
    ]
};

#[test]
fn transactions_are_printed_as_etcdctl_prints_them() -> Result<()> {
    on_etcd(TRANSACTIONS)
}

const LEASES: &[Step<'static>] = &[
    ("lease grant 1000", ""),
    ("lease timetolive LEASE --keys -w table", ""),
    ("put k v --lease LEASE", ""),
    ("put k --ignore-lease w", ""),
    ("lease timetolive 12 -w json", ""),
    ("lease timetolive 12", ""),
    ("lease timetolive zz", ""),
    ("lease timetolive", ""),
    ("lease list", ""),
    ("lease list -w json", ""),
    ("lease list -w fields", ""),
    ("lease keep-alive LEASE --once", ""),
    ("lease keep-alive LEASE --once -w json", ""),
    ("lease keep-alive LEASE --once -w fields", ""),
    ("lease keep-alive 12 --once", ""),
    ("lease keep-alive 12", ""),
    ("lease revoke LEASE", ""),
    ("lease revoke LEASE", ""),
    ("get k", ""),
    ("lease grant", ""),
    ("lease grant x", ""),
    ("lease grant 100 -w json", ""),
    ("lease grant 100 -w fields", ""),
    ("lease grant 100 -w table", ""),
    ("lease revoke", ""),
];

#[test]
fn leases_are_printed_as_etcdctl_prints_them() -> Result<()> {
    on_etcd(LEASES)
}

#[test]
fn what_kvd_has_is_printed_as_etcdctl_prints_it() -> Result<()> {
    compare(
        &[Server::kvd()?, Server::kvd()?],
        &[KEYS, TRANSACTIONS, LEASES].concat(),
    )
}

#[test]
fn members_and_endpoints_are_printed_as_etcdctl_prints_them() -> Result<()> {
    on_etcd(&[
        ("member list", ""),
        ("member list -w json", ""),
        ("member list -w table", ""),
        ("member list -w fields", ""),
        ("member add", ""),
        ("member add x", ""),
        ("member add x --peer-urls http://127.0.0.1:1 --learner", ""),
        ("member list", ""),
        ("member list -w table", ""),
        ("member promote MEMBER", ""),
        ("member update MEMBER --peer-urls http://127.0.0.1:3", ""),
        ("member update MEMBER", ""),
        ("member update", ""),
        ("member remove MEMBER", ""),
        ("member remove MEMBER", ""),
        ("member remove zz", ""),
        ("member remove", ""),
        (
            "member add y --peer-urls http://127.0.0.1:5 --learner -w json",
            "",
        ),
        ("endpoint status -w json", ""),
        ("endpoint status -w table", ""),
        ("endpoint status -w fields", ""),
        ("endpoint status --cluster", ""),
        ("endpoint health -w json", ""),
        ("endpoint health -w fields", ""),
        ("endpoint hashkv -w json", ""),
        ("endpoint hashkv -w table", ""),
        ("endpoint hashkv", ""),
        ("move-leader abc", ""),
        ("move-leader zz", ""),
        ("move-leader", ""),
        ("alarm list", ""),
        ("alarm list -w json", ""),
        ("alarm disarm", ""),
        ("defrag", ""),
        ("defrag --cluster", ""),
        ("snapshot save", ""),
    ])
}

#[test]
fn users_and_roles_are_printed_as_etcdctl_prints_them() -> Result<()> {
    on_etcd(&[
        ("user add u:p", ""),
        ("user add u:p", ""),
        ("user add u2 --no-password", ""),
        ("user add u3 --new-user-password x", ""),
        ("user add u4 --interactive=false", "word\n"),
        ("user add", ""),
        ("user list", ""),
        ("user list -w json", ""),
        ("user list -w fields", ""),
        ("user get none", ""),
        ("role add ro", ""),
        ("role add ro", ""),
        ("role add ro2 -w json", ""),
        ("role add", ""),
        ("role grant-permission ro read k", ""),
        ("role grant-permission ro readwrite p --prefix", ""),
        ("role grant-permission ro write a b", ""),
        ("role grant-permission ro write f --from-key", ""),
        ("role grant-permission ro read EMPTY --prefix", ""),
        ("role grant-permission ro bogus k", ""),
        ("role grant-permission ro", ""),
        ("role get ro", ""),
        ("role get ro -w json", ""),
        ("role get ro -w fields", ""),
        ("role get none", ""),
        ("role list", ""),
        ("role list -w json", ""),
        ("role list -w fields", ""),
        ("user grant-role u ro", ""),
        ("user grant-role u none", ""),
        ("user get u", ""),
        ("user get u -w json", ""),
        ("user get u -w fields", ""),
        ("user get u --detail", ""),
        ("user revoke-role u ro", ""),
        ("user revoke-role u ro", ""),
        ("role revoke-permission ro k", ""),
        ("role revoke-permission ro p --prefix", ""),
        ("role revoke-permission ro a b", ""),
        ("role revoke-permission ro f --from-key", ""),
        ("role revoke-permission ro zz", ""),
        ("role delete ro", ""),
        ("role delete ro", ""),
        ("user passwd u --interactive=false", "np\n"),
        ("user delete u", ""),
        ("user delete u", ""),
        ("auth enable", ""),
        ("user add root:r", ""),
        ("user grant-role root root", ""),
        ("auth enable", ""),
        ("get a", ""),
        ("--user root:bad get a", ""),
        ("--user root:r put a 1", ""),
        ("--user root --password r get a", ""),
        ("--user root:r auth disable", ""),
        ("get a", ""),
    ])
}

#[test]
fn the_state_of_access_control_is_told() -> Result<()> {
    let server = Server::etcd()?;
    let mut kvctl = Program::kvctl(&server)?;
    let mut status = || Ok::<_, anyhow::Error>(kvctl.run(("auth status", ""))?.output);
    ensure!(status()? == "Authentication Status: false");
    let mut etcdctl = Program::etcdctl(&server);
    for line in [
        "user add root:r",
        "user grant-role root root",
        "auth enable",
    ] {
        etcdctl.run((line, ""))?;
    }
    ensure!(status()? == "Authentication Status: true");
    Ok(())
}

#[test]
fn counts_are_told_in_every_form() -> Result<()> {
    let server = Server::etcd()?;
    let mut kvctl = Program::kvctl(&server)?;
    for line in ["put a 1", "put ab 2"] {
        kvctl.run((line, ""))?;
    }
    let told = kvctl.run(("get a --prefix --count-only", ""))?;
    ensure!(told.output == "2", "{told:?}");
    let told = kvctl.run(("get a --prefix --count-only -w fields", ""))?;
    ensure!(told.output.ends_with("\"Count\" : 2"), "{told:?}");
    Ok(())
}

/// What a lock's holder is told, and how a command's end is told.
fn locks(program: &mut Program) -> Result<Vec<String>> {
    let mut told = Vec::new();
    for line in ["lock", "lock l -- true", "elect", "elect e"] {
        let ended = program.run((line, ""))?;
        told.push(format!("{ended:?}"));
    }
    let held = program.run(("lock l -- printenv ETCD_LOCK_KEY", ""))?;
    ensure!(held.output == "l/#" && held.code == Some(0), "{held:?}");
    Ok(told)
}

#[test]
fn locks_and_elections_are_held_as_by_etcdctl() -> Result<()> {
    let servers = [Server::etcd()?, Server::kvd()?];
    let wanted = locks(&mut Program::etcdctl(&servers[0]))?;
    for server in &servers {
        let got = locks(&mut Program::kvctl(server)?)?;
        ensure!(wanted == got, "etcdctl: {wanted:#?}\nkvctl: {got:#?}");
    }
    // etcdctl ends with 1, whatever the command says.
    let ended = Program::kvctl(&servers[1])?.run(("lock l -- false", ""))?;
    ensure!(ended.code.is_some_and(|code| code != 0), "{ended:?}");
    Ok(())
}

#[test]
fn a_snapshot_is_saved_whole() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::etcd()?;
    let path = folder.path().join("snapshot");
    let line = format!("snapshot save {}", path.display());
    let told = Program::kvctl(&server)?.run((&line, ""))?;
    ensure!(told.output.starts_with("Snapshot saved at"), "{told:?}");
    // etcdctl checks the sum that etcd appends.
    let data = folder.path().join("restored");
    let restored = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["snapshot", "restore"])
        .arg(&path)
        .arg("--data-dir")
        .arg(data)
        .output()?;
    ensure!(
        restored.status.success(),
        "{}",
        String::from_utf8_lossy(&restored.stderr)
    );
    Ok(())
}

/// What a watch prints until the end is written.
fn watched(program: &mut Program, writer: &mut Program, flags: &str) -> Result<String> {
    // The value that is written last, in the form that is printed last.
    let end = match flags {
        "-w json" => "ZW5k",
        _ if flags.starts_with("-w fields")
            || flags.starts_with("--") && flags.contains("printenv") =>
        {
            "\"end\""
        }
        _ => "end\n",
    };
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("watch");
    let output = std::fs::File::create(&path)?;
    for line in ["put w1 1", "put w1 2", "put w2 x", "del w1", "put w9 end"] {
        writer.run((line, ""))?;
    }
    let mut command = Command::new(&program.path);
    command.env("ETCDCTL_API", "3").args(program.command);
    command.args([
        "--endpoints",
        &program.endpoint,
        "watch",
        "w",
        "--prefix",
        "--rev",
        "2",
    ]);
    command
        .args(flags.split(' '))
        .stdin(Stdio::null())
        .stdout(output);
    let mut process = command.spawn()?;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let printed = loop {
        let printed = std::fs::read_to_string(&path)?;
        if printed.contains(end) {
            break printed;
        }
        if std::time::Instant::now() > deadline {
            break format!("in vain: {printed}");
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    process.kill()?;
    process.wait()?;
    Ok(normal(&printed))
}

#[test]
fn watches_are_printed_as_etcdctl_prints_them() -> Result<()> {
    for flags in [
        "--prev-kv",
        "-w json",
        "-w fields --prev-kv",
        "-- printenv ETCD_WATCH_EVENT_TYPE ETCD_WATCH_KEY ETCD_WATCH_VALUE",
    ] {
        let servers = [Server::etcd()?, Server::etcd()?];
        let mut etcdctl = [&servers[0], &servers[1]].map(Program::etcdctl);
        let mut kvctl = Program::kvctl(&servers[1])?;
        let [program, writer] = &mut etcdctl;
        let mut own = Program::etcdctl(&servers[0]);
        let wanted = watched(program, &mut own, flags)?;
        let got = watched(&mut kvctl, writer, flags)?;
        ensure!(
            wanted == got && !got.starts_with("in vain"),
            "{flags}\netcdctl: {wanted}\nkvctl: {got}"
        );
    }
    Ok(())
}

#[test]
fn endpoints_that_are_gone_are_passed_over_and_told() -> Result<()> {
    let server = Server::etcd()?;
    let mut kvctl = Program::kvctl(&server)?;
    kvctl.endpoint = format!("127.0.0.1:1,{}", server.address);
    let told = kvctl.run(("put a 1", ""))?;
    ensure!(told.output == "OK", "{told:?}");
    let told = kvctl.run(("endpoint health --command-timeout 1s", ""))?;
    let is_told = told.output.contains("127.0.0.1:1 is unhealthy");
    ensure!(is_told && told.code == Some(1), "{told:?}");
    kvctl.endpoint = "127.0.0.1:1".to_owned();
    let told = kvctl.run(("get a --command-timeout 1s", ""))?;
    ensure!(
        told.code == Some(2) && told.errors.contains("connection refused"),
        "{told:?}"
    );
    Ok(())
}
