//! Defaults, and one-line refusals, as tables.

use super::*;
use crate::command_line::{Request, parse};

fn configure(words: &[&str]) -> Result<Configuration, UsageError> {
    let words = words.iter().map(std::ffi::OsString::from);
    let Request::Serve(layer) = parse(words).unwrap() else {
        panic!("not a request to serve");
    };
    Configuration::new(&Settings::merge(vec![layer])?, None)
}

fn member(words: &[&str]) -> MemberOptions {
    match configure(words).unwrap().mode {
        Mode::Member(member) => member,
        Mode::Proxy(proxy) => panic!("{proxy:?}"),
    }
}

#[test]
fn without_any_setting_it_is_one_member_on_loopback() {
    let configuration = configure(&[]).unwrap();
    assert_eq!(configuration.data_folder, PathBuf::from("default.kvd"));
    let client = ["http://127.0.0.1:2379".parse().unwrap()];
    assert_eq!(configuration.listen_client, client);
    let member = member(&[]);
    assert_eq!(member.advertise_peer, ["http://127.0.0.1:2380"]);
    assert_eq!(member.bootstrap, Bootstrap::Alone);
    assert!(!member.force_new_cluster);
}

#[test]
fn data_goes_where_it_is_told_then_to_the_service_then_beside() {
    let folder = |words: &[&str], state: Option<&str>| {
        let words = words.iter().map(std::ffi::OsString::from);
        let Ok(Request::Serve(layer)) = parse(words) else {
            panic!("not a request to serve");
        };
        let settings = Settings::merge(vec![layer]).unwrap();
        Configuration::new(&settings, state.map(PathBuf::from))
            .unwrap()
            .data_folder
    };
    let given = folder(&["--data-dir=/d"], Some("/state"));
    assert_eq!(given, PathBuf::from("/d"));
    assert_eq!(
        folder(&["--name=a"], Some("/state")),
        PathBuf::from("/state")
    );
    assert_eq!(folder(&["--name=a"], None), PathBuf::from("a.kvd"));
}

#[test]
fn a_static_cluster_is_read_with_several_urls_a_name() {
    let member = member(&[
        "--name=b",
        "--listen-peer-urls=http://0.0.0.0:2380",
        "--initial-advertise-peer-urls=http://b:2380,http://b2:2380",
        "--initial-cluster=a=http://a:2380,b=http://b2:2380,b=http://b:2380",
    ]);
    let pair = |name: &str, urls: &[&str]| {
        let urls = urls.iter().map(|&url| url.to_owned()).collect();
        (name.to_owned(), urls)
    };
    let expected = vec![
        pair("a", &["http://a:2380"]),
        pair("b", &["http://b2:2380", "http://b:2380"]),
    ];
    assert_eq!(member.bootstrap, Bootstrap::Static(expected));
}

/// etcd 3.4.23 was seen to refuse a client without a certificate when only the CAs are given.
#[test]
fn certificates_are_required_where_there_are_authorities() {
    let tls = |flags: &[&'static str]| {
        let first = [
            "--listen-client-urls=https://a:1",
            "--cert-file=c",
            "--key-file=k",
        ];
        configure(&[&first[..], flags].concat()).unwrap().client_tls
    };
    let plain = tls(&[]);
    assert_eq!(plain.client_certificates, ClientCertificates::NotAsked);
    let authorities = tls(&["--trusted-ca-file=ca", "--client-cert-auth=false"]);
    let required = authorities.client_certificates;
    assert!(matches!(required, ClientCertificates::Required { .. }));
    assert!(!authorities.names_users);
    assert!(tls(&["--trusted-ca-file=ca", "--client-cert-auth"]).names_users);
}

#[test]
fn mistakes_are_refused_in_one_line_that_names_the_flag() {
    for (words, part) in [
        (&["--name="][..], "--name="),
        (&["--name=a,b"], "--name=a,b"),
        (&["--proxy=maybe"], "--proxy=maybe"),
        (&["--proxy=on"], "--initial-cluster"),
        (
            &["--listen-client-urls=127.0.0.1:1"],
            "--listen-client-urls",
        ),
        (&["--listen-client-urls="], "--listen-client-urls"),
        (&["--listen-peer-urls=unix://a"], "http and https only"),
        (
            &["--listen-client-urls=http://0.0.0.0:1"],
            "--advertise-client-urls",
        ),
        (
            &["--listen-peer-urls=http://[::]:1"],
            "--initial-advertise-peer-urls",
        ),
        (
            &["--initial-cluster=b=http://b:1"],
            "\"default\", is not listed",
        ),
        (&["--initial-cluster=default=http://b:1"], "advertises"),
        (&["--initial-cluster=default"], "NAME=URL"),
        (
            &["--initial-cluster=a=http://a:1,b=http://a:1"],
            "\"a\" and for \"b\"",
        ),
        (
            &["--initial-cluster=a=http://a:1", "--discovery-srv=d"],
            "choose one",
        ),
        (&["--initial-cluster-state=old"], "new or existing"),
        (&["--initial-cluster-state=existing"], "--initial-cluster"),
        (&["--heartbeat-interval=0"], "--heartbeat-interval=0"),
        (&["--election-timeout=400"], "five heartbeats"),
        (&["--election-timeout=60000"], "50000"),
        (&["--cert-file=c"], "--key-file is missing"),
        (&["--key-file=c"], "--cert-file is missing"),
        (&["--cert-file=c", "--key-file=k"], "protect nothing"),
        (&["--listen-client-urls=https://a:1"], "--cert-file"),
        (&["--listen-peer-urls=https://a:1"], "--peer-cert-file"),
        (&["--client-cert-auth"], "--trusted-ca-file"),
        (
            &["--client-cert-auth", "--trusted-ca-file=c"],
            "--cert-file",
        ),
        (&["--client-crl-file=r"], "--trusted-ca-file"),
        (&["--tls-min-version=TLS1.1"], "TLS1.2 or TLS1.3"),
        (
            &["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
            "--tls-min-version",
        ),
        (&["--log-level=loud"], "--log-level=loud"),
        (&["--snapshot-count=0"], "above zero"),
        (
            &["--discovery=http://d:1/t", "--discovery-fallback=wait"],
            "proxy or exit",
        ),
    ] {
        let Err(UsageError(message)) = configure(words) else {
            panic!("{words:?} is accepted");
        };
        assert!(message.contains(part), "{words:?}: {message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn how_much_of_the_past_is_kept_is_read_as_etcd_reads_it() {
    let compaction = |mode: &str, retention: &str| {
        let mode = format!("--auto-compaction-mode={mode}");
        let retention = format!("--auto-compaction-retention={retention}");
        configure(&[&mode, &retention]).map(|configuration| match configuration.mode {
            Mode::Member(member) => member.compaction,
            Mode::Proxy(proxy) => panic!("{proxy:?}"),
        })
    };
    assert_eq!(member(&[]).compaction, Compaction::Manual);
    let minutes = |minutes| Compaction::Age(Duration::from_mins(minutes));
    for (mode, retention, wanted) in [
        ("periodic", "0", Compaction::Manual),
        ("periodic", "8", minutes(480)),
        ("periodic", "30m", minutes(30)),
        ("revision", "0", Compaction::Manual),
        ("revision", "1000", Compaction::Revisions(1000)),
    ] {
        assert_eq!(compaction(mode, retention).unwrap(), wanted);
    }
    for (mode, retention) in [("revision", "8h"), ("periodic", "-1"), ("hourly", "1")] {
        assert!(compaction(mode, retention).is_err(), "{mode} {retention}");
    }
}
