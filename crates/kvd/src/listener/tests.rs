//! Sockets on loopback and in a folder: opened, taken again, refused, served up to the limit.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Semaphore, watch};

use super::*;
use crate::configuration::{ClientCertificates, Credentials, TlsOptions, TlsVersions};
use crate::testing::free_ports;
use crate::tls::{self, SERVE_CLIENTS};

fn open_one(url: &str) -> Result<Listener, ListenError> {
    let endpoints = [url.parse().unwrap()];
    open("listen-client-urls", &endpoints).map(|mut all| all.remove(0))
}

fn acceptor(connections: usize, stop: &watch::Sender<bool>) -> Acceptor {
    Acceptor {
        tls: None,
        speaks: Speaks::Http1,
        names_users: false,
        connections: Arc::new(Semaphore::new(connections)),
        stop: stop.subscribe(),
    }
}

/// Says a byte and holds the connection until the other end goes.
async fn greet_and_hold(mut arrival: Arrival) {
    let from = if arrival.address.is_some() {
        b"t"
    } else {
        b"u"
    };
    arrival.stream.write_all(from).await.unwrap();
    let _ = arrival.stream.read(&mut [0]).await;
}

#[tokio::test]
async fn clients_are_served_over_tcp_and_unix_until_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let [port] = free_ports();
    let stop = watch::Sender::new(false);
    let unix = format!("unix://{}", path.display());
    let mut tasks = Vec::new();
    for url in [format!("http://127.0.0.1:{port}"), unix] {
        let served = serve(open_one(&url).unwrap(), acceptor(10, &stop), greet_and_hold);
        tasks.push(tokio::spawn(served));
    }
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    assert_eq!(tcp.read_u8().await.unwrap(), b't');
    let mut unix = UnixStream::connect(&path).await.unwrap();
    assert_eq!(unix.read_u8().await.unwrap(), b'u');
    stop.send_replace(true);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
}

#[tokio::test]
async fn beyond_the_limit_clients_wait_their_turn() {
    let [port] = free_ports();
    let stop = watch::Sender::new(false);
    let listener = open_one(&format!("http://127.0.0.1:{port}")).unwrap();
    tokio::spawn(serve(listener, acceptor(1, &stop), greet_and_hold));
    let mut first = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    assert_eq!(first.read_u8().await.unwrap(), b't');
    let mut second = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut byte = [0];
    let early = second.try_read(&mut byte);
    assert!(early.is_err(), "nobody has spoken to the second yet");
    drop(first);
    assert_eq!(second.read_u8().await.unwrap(), b't');
}

#[tokio::test]
async fn plain_http_where_tls_is_spoken_is_told_so() {
    let options = TlsOptions {
        credentials: Credentials::SelfSigned,
        client_certificates: ClientCertificates::NotAsked,
        names_users: false,
        authorities: None,
        versions: TlsVersions {
            version_1_2: true,
            version_1_3: true,
        },
        cipher_suites: Vec::new(),
    };
    let tls = tls::server("for tests", &options, SERVE_CLIENTS, Vec::new()).unwrap();
    let [port] = free_ports();
    let stop = watch::Sender::new(false);
    let acceptor = Acceptor {
        tls: tls.map(Arc::new),
        ..acceptor(10, &stop)
    };
    let listener = open_one(&format!("https://127.0.0.1:{port}")).unwrap();
    tokio::spawn(serve(listener, acceptor, greet_and_hold));
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.0 400"), "{text}");
    assert!(text.contains("HTTPS server"), "{text}");
}

#[test]
fn a_port_in_use_is_named_with_its_flag() {
    let [port] = free_ports();
    let url = format!("http://127.0.0.1:{port}");
    let _first = open_one(&url).unwrap();
    let message = open_one(&url).unwrap_err().to_string();
    assert!(message.contains(&url), "{message}");
    assert!(message.contains("--listen-client-urls"), "{message}");
}

#[test]
fn a_dead_process_s_socket_is_replaced_a_living_one_s_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("unix://{}", folder.path().join("socket").display());
    drop(open_one(&url).unwrap());
    let living = open_one(&url).unwrap();
    assert!(open_one(&url).is_err());
    drop(living);
    let file = folder.path().join("file");
    std::fs::write(&file, "kept").unwrap();
    assert!(open_one(&format!("unix://{}", file.display())).is_err());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
}

#[test]
fn sockets_of_systemd_are_taken_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let tcp = StdTcpListener::bind("127.0.0.1:0").unwrap();
    let unix = StdUnixListener::bind(folder.path().join("socket")).unwrap();
    let adopted = adopt(vec![tcp.into(), unix.into()], true).unwrap();
    assert!(matches!(adopted[0].socket, Listening::Tcp(_)));
    assert!(matches!(adopted[1].socket, Listening::Unix(_)));
    assert!(adopted.iter().all(|one| one.tls));
}
