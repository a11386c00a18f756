//! The client against a real etcd: keys, fail-over, users, watches over cut connections.
//!
//! Nothing here depends on how long something takes.
mod support;

use std::ffi::OsStr;
use std::time::Duration;

use kv_client::{
    Access, AttemptError, Client, Config, Credentials, Endpoint, Error, EtcdError, ReadOptions,
    Start, Tls, WatchEvent, WatchOptions, Write,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use support::{Etcd, Proxy, dead_port};

/// A busy machine may take long; nothing here is about time.
fn patient(urls: &[&str]) -> Config {
    let mut config = Config::new(urls).expect("endpoints");
    config.connect_timeout = Duration::from_mins(1);
    config.request_timeout = Duration::from_mins(1);
    config.total_timeout = Duration::from_mins(2);
    config
}

fn client(urls: &[&str]) -> Client {
    Client::new(patient(urls)).expect("a client")
}

const QUORUM: ReadOptions = ReadOptions {
    recursive: true,
    sorted: true,
    quorum: true,
};

#[tokio::test]
async fn keys_are_written_and_read() {
    let etcd = Etcd::start();
    let client = client(&[&etcd.url]);
    let set = client
        .write(&Write::set("/a b/ä", "<1>"))
        .await
        .expect("set");
    assert_eq!(set.node.modified_index, set.index);
    let read = client.get("/a b/ä", QUORUM).await.expect("get");
    assert_eq!(read.node.value(), "<1>");

    let again = client.write(&Write::create("/a b/ä", "2")).await;
    assert_eq!(
        again.expect_err("it exists").code(),
        Some(EtcdError::KEY_EXISTS)
    );
    let swap = Write::set("/a b/ä", "2").if_index(set.index);
    let swapped = client.write(&swap).await.expect("a swap");
    assert_eq!(swapped.previous.expect("what was there").value(), "<1>");
    let again = client
        .write(&swap)
        .await
        .expect_err("the index has changed");
    assert_eq!(again.code(), Some(EtcdError::COMPARE_FAILED));

    let first = client
        .write(&Write::create_in_order("/q", "x").ttl_seconds(100))
        .await;
    let second = client
        .write(&Write::create_in_order("/q", "y"))
        .await
        .expect("in order");
    let first = first.expect("in order");
    assert!(first.node.key < second.node.key);
    assert_eq!(first.node.ttl, Some(100));
    let refreshed = client.write(&Write::refresh(&first.node.key, 200)).await;
    assert_eq!(refreshed.expect("a refresh").node.ttl, Some(200));

    let tree = client.get("/", QUORUM).await.expect("a listing");
    let values: Vec<&str> = tree.node.leaves().iter().map(|node| node.value()).collect();
    assert_eq!(values, ["2", "x", "y"]);
    let page = client
        .list_page("/", QUORUM, 2, None)
        .await
        .expect("a page");
    assert_eq!(
        page.continue_after, None,
        "etcd knows no pages and gives all"
    );

    client
        .write(&Write::delete("/q").recursive())
        .await
        .expect("a removal");
    let gone = client.get("/q", QUORUM).await.expect_err("it is gone");
    assert_eq!(gone.code(), Some(EtcdError::KEY_NOT_FOUND));
}

#[tokio::test]
async fn dead_endpoints_are_passed_over() {
    let etcd = Etcd::start();
    let dead = format!("http://127.0.0.1:{}", dead_port());
    let client = client(&[&dead, &etcd.url]);
    client
        .write(&Write::set("/a", "1"))
        .await
        .expect("nothing was sent to the dead one");
    client.sync().await.expect("the members");
    let known: Vec<String> = client.endpoints().iter().map(ToString::to_string).collect();
    assert_eq!(known, [etcd.url.as_str()]);
    drop(etcd);
    let error = client
        .write(&Write::set("/a", "2"))
        .await
        .expect_err("nobody is there");
    assert!(error.is_connection(), "{error}");
    assert_eq!(
        error.attempts().len(),
        2,
        "the first endpoints are tried as well: {error}"
    );
}

/// A server that takes each request and breaks the connection, or answers the same always.
fn fake_server(answer: &'static str) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut bytes = [0; 4096];
            // Whatever came was the request.
            let _read = std::io::Read::read(&mut stream, &mut bytes);
            let _written = std::io::Write::write_all(&mut stream, answer.as_bytes());
        }
    });
    port
}

#[tokio::test]
async fn writes_that_may_have_been_made_are_not_repeated() {
    let etcd = Etcd::start();
    let broken = format!("http://127.0.0.1:{}", fake_server(""));
    let fresh = || client(&[&broken, &etcd.url]);
    let direct = client(&[&etcd.url]);

    let error = fresh()
        .write(&Write::set("/a", "1"))
        .await
        .expect_err("it was sent");
    let Error::OutcomeUnknown(attempts) = &error else {
        panic!("{error}");
    };
    assert!(matches!(attempts[..], [ref one] if matches!(one.error, AttemptError::Lost { .. })));
    let read = direct
        .get("/a", QUORUM)
        .await
        .expect_err("nothing reached etcd");
    assert_eq!(read.code(), Some(EtcdError::KEY_NOT_FOUND));

    // Reads and conditions are sent again.
    fresh()
        .write(&Write::create("/a", "1"))
        .await
        .expect("a condition");
    assert_eq!(
        fresh()
            .get("/a", QUORUM)
            .await
            .expect("a read")
            .node
            .value(),
        "1"
    );
    // But now the refusal may be due to our own first try.
    let error = fresh()
        .write(&Write::create("/a", "1"))
        .await
        .expect_err("it exists");
    assert!(matches!(error, Error::OutcomeUnknown(_)), "{error}");
}

#[tokio::test]
async fn sick_servers_and_nonsense_are_told_apart() {
    let sick = fake_server(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 28\r\nConnection: close\r\n\r\n{\"message\":\"During election\"}",
    );
    let error = client(&[&format!("http://127.0.0.1:{sick}")])
        .members()
        .await;
    let error = error.expect_err("it is sick");
    assert!(!error.is_connection(), "{error}");
    assert!(
        error.to_string().contains("cannot serve (status 503)"),
        "{error}"
    );

    let odd = fake_server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]");
    let error = client(&[&format!("http://127.0.0.1:{odd}")])
        .get("/", QUORUM)
        .await;
    assert!(
        matches!(error, Err(Error::InvalidAnswer { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn long_answers_are_refused() {
    let etcd = Etcd::start();
    let value = "x".repeat(20_000);
    client(&[&etcd.url])
        .write(&Write::set("/a", &value))
        .await
        .expect("set");
    let mut config = patient(&[&etcd.url]);
    config.answer_bytes_max = 10_000;
    let error = Client::new(config)
        .expect("a client")
        .get("/a", QUORUM)
        .await;
    let error = error.expect_err("it is too long");
    assert!(
        error.to_string().contains("more than 10000 bytes"),
        "{error}"
    );
}

#[tokio::test]
async fn users_and_roles_work() {
    let etcd = Etcd::start();
    let guest = client(&[&etcd.url]);
    guest.add_user("root", "secret").await.expect("root");
    guest.add_role("reader").await.expect("a role");
    let role = guest
        .grant("reader", "/r/*", Access::Read)
        .await
        .expect("a grant");
    assert_eq!(
        (role.read, role.write),
        (vec!["/r/*".to_owned()], Vec::new())
    );
    guest.add_user("u", "p").await.expect("a user");
    guest
        .grant_roles("u", &["reader".to_owned()])
        .await
        .expect("a grant");
    assert_eq!(guest.user("u").await.expect("u").roles, ["reader"]);
    guest.enable_auth().await.expect("enable");

    let mut config = patient(&[&etcd.url]);
    config.credentials = Some(kv_client::Credentials {
        user: "u".to_owned(),
        password: "wrong".to_owned(),
    });
    let wrong = Client::new(config.clone()).expect("a client");
    let error = wrong
        .write(&Write::set("/x", "1"))
        .await
        .expect_err("a wrong password");
    assert_eq!(error.code(), Some(EtcdError::UNAUTHORIZED));
    assert!(guest.users().await.is_err(), "only root may see the users");
    config.credentials = Some(kv_client::Credentials {
        user: "root".to_owned(),
        password: "secret".to_owned(),
    });
    let root = Client::new(config).expect("a client");
    assert_eq!(root.users().await.expect("the users"), ["root", "u"]);
    assert!(root.is_auth_enabled().await.expect("a yes"));
    root.disable_auth().await.expect("disable");
}

/// Changes are made directly; the watch goes through a proxy that cuts it again and again: while it
/// waits, and with changes made before it is back.
#[tokio::test]
async fn watches_go_on_over_cut_connections() {
    const ROUNDS: usize = 40;
    const WRITES: usize = 5;
    let etcd = Etcd::start();
    let proxy = Proxy::start(etcd.port);
    let direct = client(&[&etcd.url]);
    let index = direct
        .write(&Write::set("/w/begin", ""))
        .await
        .expect("set")
        .index;
    let proxied: Endpoint = format!("http://127.0.0.1:{}", proxy.port)
        .parse()
        .expect("an endpoint");
    let through = client(&[&proxied.to_string()]);
    let options = WatchOptions {
        recursive: true,
        start: Start::After(index),
    };
    let mut watcher = through.watch("/w", options);
    let mut cuts = 0;
    for round in 0..ROUNDS {
        // After a failure it learns of the way around the proxy and takes it: turn it back.
        through.set_endpoints(vec![proxied.clone()]);
        let reading = async {
            for number in 0..WRITES {
                let event = watcher.next().await.expect("an event");
                let WatchEvent::Change(change) = event else {
                    panic!("the history reaches back far enough");
                };
                assert_eq!(change.node.value(), format!("{round} {number}"));
            }
        };
        let writing = async {
            // Time for the watch to be under way, mostly: both cases are to be seen.
            tokio::time::sleep(Duration::from_millis(10)).await;
            cuts += proxy.cut();
            for number in 0..WRITES {
                let value = format!("{round} {number}");
                direct
                    .write(&Write::set(&format!("/w/{number}"), &value))
                    .await
                    .expect("set");
                if number % 2 == 1 {
                    let elsewhere = direct.write(&Write::set("/elsewhere", "")).await;
                    elsewhere.expect("set");
                }
            }
        };
        tokio::join!(reading, writing);
    }
    assert!(cuts > 0, "nothing was cut");
    assert!(
        watcher.last_failure().is_some(),
        "the watch never noticed a cut"
    );
}

#[tokio::test]
async fn a_gap_is_told_with_what_is_there_now() {
    let etcd = Etcd::start();
    let client = client(&[&etcd.url]);
    let first = client
        .write(&Write::set("/w/a", "0"))
        .await
        .expect("set")
        .index;
    let writes = (0..8).map(|part| {
        let client = client.clone();
        tokio::spawn(async move {
            for number in 0..150 {
                let value = number.to_string();
                let write = Write::set(&format!("/w/{part}"), &value);
                client.write(&write).await.expect("set");
            }
        })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.expect("the writes");
    }
    let options = WatchOptions {
        recursive: true,
        start: Start::After(first),
    };
    let mut watcher = client.watch("/w", options);
    let WatchEvent::Reset { node, index } = watcher.next().await.expect("an event") else {
        panic!("etcd keeps 1000 events only");
    };
    assert_eq!(node.expect("a directory").leaves().len(), 9);
    assert_eq!(watcher.index(), Some(index));
    client
        .write(&Write::set("/w/b", "after"))
        .await
        .expect("set");
    let WatchEvent::Change(change) = watcher.next().await.expect("an event") else {
        panic!("a change follows");
    };
    assert_eq!(
        (change.node.value(), change.node.modified_index),
        ("after", index + 1)
    );
}

#[tokio::test]
async fn a_watch_that_is_refused_ends() {
    let etcd = Etcd::start();
    let options = WatchOptions {
        recursive: false,
        start: Start::Now,
    };
    let mut config = patient(&[&etcd.url]);
    config.credentials = Some(kv_client::Credentials {
        user: "nobody".to_owned(),
        password: "x".to_owned(),
    });
    let root = client(&[&etcd.url]);
    root.add_user("root", "secret").await.expect("root");
    root.enable_auth().await.expect("enable");
    let mut watcher = Client::new(config).expect("a client").watch("/a", options);
    let error = watcher.next().await.expect_err("nobody may");
    assert_eq!(error.code(), Some(EtcdError::UNAUTHORIZED));
}

/// Makes a CA, a server's and a client's certificate; gives their folder.
fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let save = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("a file");
    };
    let key = || KeyPair::generate().expect("a key");
    let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(parameters, key()).expect("a CA");
    save("ca.pem", &ca.pem());
    for (name, usage) in [
        ("server", ExtendedKeyUsagePurpose::ServerAuth),
        ("client", ExtendedKeyUsagePurpose::ClientAuth),
    ] {
        let mut parameters =
            CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
        parameters.distinguished_name.push(DnType::CommonName, name);
        // etcd's gateway to itself shows the server's certificate as a client's.
        parameters.extended_key_usages = vec![usage, ExtendedKeyUsagePurpose::ClientAuth];
        let key = key();
        let certificate = parameters.signed_by(&key, &ca).expect("a certificate");
        save(&format!("{name}.pem"), &certificate.pem());
        save(&format!("{name}.key"), &key.serialize_pem());
    }
    folder
}

#[tokio::test]
async fn tls_checks_both_sides() {
    let folder = certificates();
    let file = |name: &str| folder.path().join(name);
    let (ca, certificate, key) = (file("ca.pem"), file("server.pem"), file("server.key"));
    let flags: [&OsStr; 7] = [
        "--client-cert-auth".as_ref(),
        "--trusted-ca-file".as_ref(),
        ca.as_ref(),
        "--cert-file".as_ref(),
        certificate.as_ref(),
        "--key-file".as_ref(),
        key.as_ref(),
    ];
    let etcd = Etcd::start_secure(&flags);
    let mut config = patient(&[&etcd.url]);
    config.tls = Tls {
        trusted_ca_file: Some(ca.clone()),
        certificate_file: Some(file("client.pem")),
        key_file: Some(file("client.key")),
    };
    let client = Client::new(config.clone()).expect("a client");
    let mut answer = client.write(&Write::create("/a", "1")).await;
    for _ in 0..200 {
        if answer.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        answer = client.write(&Write::create("/a", "1")).await;
    }
    assert_eq!(answer.expect("etcd serves").node.value(), "1");

    config.tls.certificate_file = None;
    let half = Client::new(config.clone()).expect_err("a key without its certificate");
    assert!(half.to_string().contains("both"), "{half}");
    config.tls.key_file = None;
    let nobody = Client::new(config.clone()).expect("a client");
    assert!(
        nobody.get("/a", QUORUM).await.is_err(),
        "etcd wants a certificate"
    );
    config.tls.trusted_ca_file = None;
    let doubter = Client::new(config).expect("a client");
    let error = doubter
        .get("/a", QUORUM)
        .await
        .expect_err("the system does not know this CA");
    assert!(error.to_string().contains("TLS: "), "{error}");
}

#[cfg(feature = "v3")]
#[tokio::test]
async fn v3_checks_certificates_and_passwords_too() {
    use etcd_client::{GetOptions, PutOptions};
    use kv_client::v3::{self, Code, Leader};

    let folder = certificates();
    let file = |name: &str| folder.path().join(name);
    let [ca, certificate, key] = ["ca.pem", "server.pem", "server.key"].map(file);
    let flags: [&OsStr; 4] = [
        "--cert-file".as_ref(),
        certificate.as_ref(),
        "--key-file".as_ref(),
        key.as_ref(),
    ];
    let etcd = Etcd::start_secure(&flags);
    let mut config = patient(&[&etcd.url]);
    let connect = |config: &Config| v3::Client::connect(config.clone(), Leader::Required);
    config.tls.trusted_ca_file = Some(ca);
    let client = connect(&config).await.expect("a client");
    // It is tried until etcd serves.
    client.put("a", "1", PutOptions::new()).await.expect("put");
    for step in 0..3 {
        let ask = |mut etcd: etcd_client::Client| async move {
            match step {
                0 => etcd.user_add("root", "secret", None).await.map(drop),
                1 => etcd.user_grant_role("root", "root").await.map(drop),
                _ => etcd.auth_enable().await.map(drop),
            }
        };
        client.once(ask).await.expect("access control is prepared");
    }
    let refused = client
        .get("a", GetOptions::new())
        .await
        .expect_err("nobody asks");
    assert_eq!(refused.code(), Some(Code::InvalidArgument), "{refused}");
    config.credentials = Some(Credentials {
        user: "root".to_owned(),
        password: "wrong".to_owned(),
    });
    let refused = connect(&config).await.expect_err("a wrong password");
    assert!(
        refused.to_string().contains("authentication failed"),
        "{refused}"
    );
    if let Some(credentials) = &mut config.credentials {
        "secret".clone_into(&mut credentials.password);
    }
    let root = connect(&config).await.expect("root");
    let found = root
        .get("a", GetOptions::new())
        .await
        .expect("root may read");
    assert_eq!(found.kvs()[0].value(), b"1");
    config.credentials = None;
    config.tls.trusted_ca_file = None;
    config.total_timeout = Duration::from_secs(1);
    let doubter = connect(&config).await.expect("a client");
    let error = doubter
        .ready()
        .await
        .expect_err("the system does not know this CA");
    assert!(error.to_string().contains("TLS: "), "{error}");
}
