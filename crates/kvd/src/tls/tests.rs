//! Handshakes on loopback: who is let in, and what follows its files.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::configuration::TlsVersions;
use crate::testing::Authority;

fn options(folder: &Path, file: &str, ca: &str) -> TlsOptions {
    TlsOptions {
        credentials: Credentials::Files {
            certificates: folder.join(format!("{file}.pem")),
            key: folder.join(format!("{file}.key")),
        },
        client_certificates: ClientCertificates::NotAsked,
        names_users: true,
        authorities: Some(folder.join(format!("{ca}.ca.pem"))),
        versions: TlsVersions {
            version_1_2: true,
            version_1_3: true,
        },
        cipher_suites: Vec::new(),
    }
}

fn required(folder: &Path, ca: &str) -> ClientCertificates {
    ClientCertificates::Required {
        authorities: folder.join(format!("{ca}.ca.pem")),
        revoked: None,
        common_name: None,
        host_name: None,
    }
}

/// Shakes hands in memory; the client's CN as the server sees it, or why not.
async fn shake(server: &ServerTls, client: &ClientTls) -> Result<Option<String>, String> {
    let (near, far) = duplex(64 << 10);
    let acceptor = TlsAcceptor::from(server.current());
    let serve = async {
        let mut stream = acceptor.accept(far).await.map_err(|e| e.to_string())?;
        stream.write_all(b"x").await.map_err(|e| e.to_string())?;
        let certificates = stream.get_ref().1.peer_certificates();
        Ok(certificates.and_then(|all| common_name(&all[0])))
    };
    let connector = TlsConnector::from(client.current());
    let ask = async {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut stream = connector
            .connect(name, near)
            .await
            .map_err(|e| e.to_string())?;
        // A refused certificate shows with the first byte in TLS 1.3.
        stream.read_u8().await.map_err(|e| e.to_string())
    };
    let (common_name, answer) = tokio::join!(serve, ask);
    answer?;
    common_name
}

struct Fixture {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "a");
        authority.sign("server", "kv.example.com", 1);
        authority.sign("alice", "alice", 2);
        Self { folder, authority }
    }

    fn server(&self, change: impl FnOnce(&mut TlsOptions)) -> ServerTls {
        let mut options = options(self.folder.path(), "server", "a");
        change(&mut options);
        server("for tests", &options, SERVE_CLIENTS, Vec::new())
            .unwrap()
            .unwrap()
    }

    fn client(&self, file: &str) -> ClientTls {
        let options = options(self.folder.path(), file, "a");
        client("for tests", &options, ASK_HTTP).unwrap()
    }
}

#[tokio::test]
async fn a_certificate_of_the_authority_names_its_user() {
    let fixture = Fixture::new();
    let folder = fixture.folder.path();
    let server = fixture.server(|options| options.client_certificates = required(folder, "a"));
    let alice = shake(&server, &fixture.client("alice")).await;
    assert_eq!(alice, Ok(Some("alice".to_owned())));
    let other = Authority::new(folder, "b");
    other.sign("mallory", "alice", 3);
    assert!(shake(&server, &fixture.client("mallory")).await.is_err());
    let mut nobody = options(folder, "alice", "a");
    nobody.credentials = Credentials::None;
    let nobody = client("for tests", &nobody, ASK_HTTP).unwrap();
    assert!(shake(&server, &nobody).await.is_err());
}

#[tokio::test]
async fn names_and_revocations_are_checked() {
    let fixture = Fixture::new();
    let folder = fixture.folder.path();
    fixture.authority.sign("bob", "bob", 4);
    fixture.authority.revoke("list", 4);
    let ask =
        |change: fn(&mut Option<String>, &mut Option<String>, &mut Option<PathBuf>, &Path)| {
            fixture.server(|options| {
                let (mut name, mut host, mut list) = (None, None, None);
                change(&mut name, &mut host, &mut list, folder);
                options.client_certificates = ClientCertificates::Required {
                    authorities: folder.join("a.ca.pem"),
                    revoked: list,
                    common_name: name,
                    host_name: host,
                };
            })
        };
    let by_name = ask(|name, _, _, _| *name = Some("alice".to_owned()));
    let by_host = ask(|_, host, _, _| *host = Some("localhost".to_owned()));
    let by_other_host = ask(|_, host, _, _| *host = Some("example.com".to_owned()));
    let by_list = ask(|_, _, list, folder| *list = Some(folder.join("list.crl")));
    let (alice, bob) = (fixture.client("alice"), fixture.client("bob"));
    for (server, client, lets_in) in [
        (&by_name, &alice, true),
        (&by_name, &bob, false),
        (&by_host, &alice, true),
        (&by_other_host, &alice, false),
        (&by_list, &alice, true),
        (&by_list, &bob, false),
    ] {
        assert_eq!(shake(server, client).await.is_ok(), lets_in);
    }
}

#[tokio::test]
async fn new_files_are_used_and_broken_ones_are_not() {
    let fixture = Fixture::new();
    let folder = fixture.folder.path();
    let server = fixture.server(|options| options.client_certificates = required(folder, "a"));
    let before = server.current();
    server.follow();
    assert!(Arc::ptr_eq(&before, &server.current()), "nothing changed");

    std::fs::write(folder.join("server.pem"), "broken").unwrap();
    server.follow();
    assert!(Arc::ptr_eq(&before, &server.current()), "the old one stays");
    assert!(shake(&server, &fixture.client("alice")).await.is_ok());

    fixture.authority.sign("server", "kv.example.com", 9);
    server.follow();
    assert!(
        !Arc::ptr_eq(&before, &server.current()),
        "the new one counts"
    );
    assert!(shake(&server, &fixture.client("alice")).await.is_ok());

    // The CAs follow too: what the new one did not sign is out, without a restart.
    let next = Authority::new(folder, "next");
    next.sign("carol", "carol", 5);
    std::fs::copy(folder.join("next.ca.pem"), folder.join("a.ca.pem")).unwrap();
    server.follow();
    let mut carol = options(folder, "carol", "a");
    // She knows the server's CA still.
    let old = fixture.authority.pem();
    std::fs::write(folder.join("old.ca.pem"), old).unwrap();
    carol.authorities = Some(folder.join("old.ca.pem"));
    let carol = client("for tests", &carol, ASK_HTTP).unwrap();
    let seen = shake(&server, &carol).await;
    assert_eq!(seen, Ok(Some("carol".to_owned())));
    let mut alice = options(folder, "alice", "old");
    alice.authorities = Some(folder.join("old.ca.pem"));
    let alice = client("for tests", &alice, ASK_HTTP).unwrap();
    assert!(shake(&server, &alice).await.is_err());
}

#[tokio::test]
async fn files_are_looked_at_once_a_second_without_being_told() {
    let fixture = Fixture::new();
    let server = fixture.server(|_| {});
    let before = server.current();
    fixture.authority.sign("server", "kv.example.com", 9);
    let mut looks = 0;
    while Arc::ptr_eq(&before, &server.current()) {
        looks += 1;
        assert!(looks < 200, "the new certificate is never seen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn versions_and_suites_can_be_narrowed() {
    let fixture = Fixture::new();
    let old = fixture.server(|options| options.versions.version_1_3 = false);
    let mut new_only = options(fixture.folder.path(), "alice", "a");
    new_only.versions.version_1_2 = false;
    let new_only = client("for tests", &new_only, ASK_HTTP).unwrap();
    assert!(shake(&old, &new_only).await.is_err());
    assert!(shake(&old, &fixture.client("alice")).await.is_ok());

    let mut narrow = options(fixture.folder.path(), "server", "a");
    // Go's names, of TLS 1.3 and of 1.2.
    narrow.cipher_suites = vec![
        "TLS_AES_128_GCM_SHA256".to_owned(),
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256".to_owned(),
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256".to_owned(),
    ];
    let names = provider(&narrow).unwrap().cipher_suites.len();
    assert_eq!(names, 3);
    narrow.cipher_suites = vec!["TLS_RSA_WITH_RC4_128_SHA".to_owned()];
    let error = provider(&narrow).unwrap_err().to_string();
    assert!(error.contains("RC4"), "{error}");
}

#[tokio::test]
async fn members_with_certificates_of_their_own_making_can_talk() {
    let mut options = options(Path::new("/"), "none", "none");
    options.credentials = Credentials::SelfSigned;
    options.authorities = None;
    let hosts = vec!["10.0.0.1".to_owned(), "kv.example.com".to_owned()];
    let server = server("for tests", &options, SERVE_MEMBERS, hosts).unwrap();
    let client = client("for tests", &options, ASK_MEMBERS).unwrap();
    assert!(shake(&server.unwrap(), &client).await.is_ok());
}

#[test]
fn unreadable_files_are_named() {
    let fixture = Fixture::new();
    let folder = fixture.folder.path();
    std::fs::write(folder.join("empty.pem"), "").unwrap();
    std::fs::copy(folder.join("alice.key"), folder.join("empty.key")).unwrap();
    std::fs::copy(folder.join("server.pem"), folder.join("mixed.pem")).unwrap();
    std::fs::copy(folder.join("alice.key"), folder.join("mixed.key")).unwrap();
    for (file, named) in [
        ("absent", "absent.pem"),
        ("empty", "empty.pem"),
        ("mixed", "mixed.pem"),
    ] {
        let options = options(folder, file, "a");
        let opened = server("for tests", &options, SERVE_CLIENTS, Vec::new());
        let Err(error) = opened else {
            panic!("{file} is taken");
        };
        assert!(error.to_string().contains(named), "{error}");
    }
}
