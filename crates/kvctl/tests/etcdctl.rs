//! The same commands given to kvctl and to Debian's etcdctl, each with an etcd of its own.
//!
//! Output and exit codes must be equal, but for ids, times and ports; and one
//! thing that the last test here is about.
#[path = "../../kv-client/tests/support/mod.rs"]
mod support;

use std::process::{Command, Stdio};

use support::{Etcd, dead_port};

/// What a command gave.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    out: String,
    error: String,
    code: Option<i32>,
}

fn run(program: &str, server: &str, arguments: &[&str]) -> Outcome {
    let mut command = Command::new(program);
    // A busy machine may take long; nothing here is about time.
    command.args(["--timeout", "60s", "--total-timeout", "120s"]);
    command.args(arguments).stdin(Stdio::null()).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
        .env("ETCDCTL_API", "2")
        .env("ETCDCTL_ENDPOINTS", server);
    let output = command
        .output()
        .expect("the program runs (Debian's etcd-client)");
    let text = |bytes: &[u8]| masked(&String::from_utf8_lossy(bytes));
    Outcome {
        out: text(&output.stdout),
        error: text(&output.stderr),
        code: output.status.code(),
    }
}

/// Hides what differs from run to run: ports, ids, times, the program's name; and empty lines.
fn masked(text: &str) -> String {
    let lines: Vec<String> = text
        .lines()
        .filter(|line| !line.is_empty())
        .map(masked_line)
        .collect();
    lines.join("\n")
}

fn masked_line(line: &str) -> String {
    let mut masked = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let word = rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        let (token, after) = rest.split_at(word.max(first.len_utf8()));
        // Leading zeros of ids are not written.
        let is_id =
            (11..=16).contains(&token.len()) && token.chars().all(|c| c.is_ascii_hexdigit());
        let is_port = masked.ends_with("127.0.0.1:");
        masked.push_str(if is_id {
            "ID"
        } else if is_port {
            "PORT"
        } else {
            token
        });
        rest = after;
    }
    if let Some(start) = masked.find("\"expiration\":\"") {
        let start = start + "\"expiration\":\"".len();
        let end = start + masked[start..].find('"').unwrap_or_default();
        masked.replace_range(start..end, "TIME");
    }
    masked
        .replace("etcdctl", "kvctl")
        .replace("Roles:  ", "Roles: ")
}

fn sort_members(outcome: &mut Outcome) {
    let mut lines: Vec<String> = outcome
        .out
        .lines()
        .map(|line| {
            let mut parts: Vec<&str> = line.split(['=', ',', '"']).collect();
            if line.starts_with("ETCD_INITIAL_CLUSTER=") {
                parts.sort_unstable();
                parts.join(" ")
            } else {
                line.to_owned()
            }
        })
        .collect();
    lines.sort();
    outcome.out = lines.join("\n");
}

/// Runs a table, one command a line, words separated by blanks (`_` in a word is a blank).
fn compare(table: &str) {
    let (ours, theirs) = (Etcd::start(), Etcd::start());
    let mut differences = Vec::new();
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<String> = line.split(' ').map(|word| word.replace('_', " ")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut expected = run("etcdctl", &theirs.url, &words);
        let mut found = run(env!("CARGO_BIN_EXE_kvctl"), &ours.url, &words);
        if words[0] == "member" {
            // Servers list members by their ids, which are random.
            sort_members(&mut expected);
            sort_members(&mut found);
        }
        if found != expected {
            differences.push(format!(
                "{line}\n  etcdctl: {expected:?}\n  kvctl:   {found:?}"
            ));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn keys_are_as_with_etcdctl() {
    compare(
        "set a 1
        set
        set a
        -o extended set a 2
        -o json set a <&3>
        get a
        get nope
        -o extended get a
        -o json get a
        --output json get --quorum a
        -output=json get -quorum=true a
        -o json mk --ttl 100 b 1
        -o extended mk --ttl 100 b2 1
        mk a 1
        mk
        mk --in-order q x
        -o json mk --in-order q x
        update a 2
        update nope 2
        -o json update a 3
        -o extended update a 4
        update a
        set --swap-with-value 2 a 5
        set --swap-with-value 4 a 5
        set --swap-with-index 1 a 5
        rm --with-value 1 a
        rm --with-value 5 a
        set a b c
        set a_b/ä ü_$
        get a_b/ä
        set -- a -b
        -o extended rm a
        set a 1
        -o json rm a
        rm a
        rm
        set a 1
        rm a
        set a 1
        update --ttl 100 a 2
        -o json get a
        watch --after-index 4 a
        -o json watch --after-index 4 a
        -o extended watch --after-index 4 --recursive /
        watch -recursive -after-index 5 /
        watch",
    );
}

#[test]
fn directories_are_as_with_etcdctl() {
    compare(
        "mkdir d
        mkdir d
        mkdir
        -o json mkdir d2
        -o extended mkdir d3
        mkdir --ttl 100 d4
        set d/a 1
        set d/e/b 2
        ls --sort
        ls -p --sort
        ls --recursive --sort -p
        ls -r --sort --quorum d
        ls d/a
        ls nope
        get d
        set d 1
        -o json ls d/e
        rm d
        rm --dir d
        rmdir d
        rmdir d2
        rmdir
        -o json rmdir d3
        rm --recursive d
        rm --recursive d
        setdir s
        setdir s
        -o json setdir s2
        updatedir s
        updatedir --ttl 100 s
        updatedir nope
        -o json updatedir s
        -o json rm -r s
        ls --sort",
    );
}

/// A second member that does not run takes the majority away, so it is added at the very end.
#[test]
fn members_and_access_are_as_with_etcdctl() {
    compare(
        "member list
        member list x
        member add x
        member update zzz http://127.0.0.1:1
        member remove zzz
        cluster-health
        user list
        user add root:pw
        user get root
        user get x
        user add u:p
        role add r
        role add r
        role list
        role get r
        role get x
        user grant --roles r u
        user grant u --roles r
        user get u
        user grant u
        user get
        user revoke --roles r u
        user get u
        user list
        role grant --path /a --read r
        role grant --path /a --read r
        role grant r
        role grant --path a --read r
        role grant --path /x r
        role grant --path /x/* --rw r
        role get r
        role revoke --path /a --read r
        role revoke --path /a --readwrite r
        role get r
        role remove r
        role remove r
        user remove u
        user remove u
        role list x
        auth enable
        auth enable
        -u root:pw auth enable
        -u root:pw user list
        user list
        -u root:pw set x y
        -u root:bad set x y
        -u root:pw auth disable
        auth disable
        member add x http://127.0.0.1:5",
    );
}

#[test]
fn requests_are_shown_as_with_etcdctl() {
    compare(
        "--debug set a b
        --debug --no-sync get a
        --debug --no-sync set --ttl 100 --swap-with-value b a c
        --debug --no-sync mk --in-order q x_y
        --debug --no-sync rm a
        --debug --no-sync mkdir zz",
    );
}

/// Only the exit code is compared: the texts name the cause in other words.
#[test]
fn exit_codes_are_etcdctls() {
    let etcd = Etcd::start();
    let dead = format!("http://127.0.0.1:{}", dead_port());
    let both = format!("{dead},{}", etcd.url);
    for (server, line) in [
        (&dead, "get a"),
        (&dead, "--no-sync get a"),
        (&dead, "cluster-health"),
        (&dead, "member list"),
        (&both, "set a b"),
        (&both, "get a"),
        (&etcd.url, "bogus"),
        (&etcd.url, "--bogus"),
        (&etcd.url, "set --bogus a b"),
        (&etcd.url, "set --ttl x a b"),
        (&etcd.url, "--timeout 1 get a"),
        (&etcd.url, "--ca-file /nope get a"),
        (&etcd.url, "-o bogus get a"),
        (&etcd.url, "exec-watch a"),
        (&etcd.url, "member"),
        (&etcd.url, "user"),
        (&etcd.url, "--help"),
        (&etcd.url, "help set"),
        (&etcd.url, "--version"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let expected = run("etcdctl", server, &words);
        let found = run(env!("CARGO_BIN_EXE_kvctl"), server, &words);
        assert_eq!(found.code, expected.code, "{line}: {expected:?} {found:?}");
    }
}

/// etcdctl says nothing and changes the password: a mistyped command must not do that.
#[test]
fn users_that_exist_are_not_added_again() {
    let etcd = Etcd::start();
    let add = |argument| {
        run(
            env!("CARGO_BIN_EXE_kvctl"),
            &etcd.url,
            &["user", "add", argument],
        )
    };
    assert_eq!(add("u:p").code, Some(0));
    let again = add("u:other");
    assert_eq!(
        (again.code, again.error.as_str()),
        (Some(1), "User u already exists")
    );
}
