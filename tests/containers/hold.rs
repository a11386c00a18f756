//! Payloads that are held until somebody is attached, as the protocol of monitors has it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use monitor_protocol::message::{FailureKind, FromMonitor};
use monitor_protocol::status::State;
use monitor_protocol::{Answer, Attach, CONTROL, Decoder, Event, FOLDER, Request};

use crate::fixture::{Node, unit};

/// A client of the test's own.
struct Client {
    stream: UnixStream,
    decoder: Decoder,
}

impl Client {
    fn connect(node: &Node, name: &str) -> Self {
        let root = format!("/proc/{}/root", node.process_id());
        let stream = UnixStream::connect(format!("{root}{FOLDER}/{name}/{CONTROL}"));
        let stream = stream.expect("a monitor");
        let patience = Some(Duration::from_secs(30));
        stream.set_read_timeout(patience).expect("set");
        Self {
            stream,
            decoder: Decoder::default(),
        }
    }

    /// The next message; none at the end.
    fn receive(&mut self) -> Option<FromMonitor> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(frame) = self.decoder.next_frame().expect("a frame") {
                return Some(frame.try_into().expect("a message"));
            }
            match self.stream.read(&mut buffer).expect("in time") {
                0 => return None,
                count => self.decoder.push(&buffer[..count]),
            }
        }
    }

    fn ask(&mut self, request: &Request) -> Answer {
        self.stream.write_all(&request.encode()).expect("sent");
        match self.receive() {
            Some(FromMonitor::Answer(answer)) => answer,
            other => panic!("{other:?}"),
        }
    }
}

/// One that watches, and one that was told that nothing can be killed yet.
fn clients_before_the_start(node: &Node) -> (Client, Client) {
    let mut watching = Client::connect(node, "held");
    let Answer::Status(status) = watching.ask(&Request::Watch) else {
        panic!("no status");
    };
    assert_eq!((status.state, status.ready), (State::Created, false));
    let mut other = Client::connect(node, "held");
    let Answer::Failed(failure) = other.ask(&Request::Kill { signal: 15 }) else {
        panic!("nothing can be killed yet");
    };
    assert_eq!(failure.kind, FailureKind::State);
    (watching, other)
}

#[test]
fn a_held_payload_begins_when_a_client_says_so() {
    let text = unit(
        "--hold=/run/hold",
        "busybox:saved",
        "sh -c 'echo first; exit 3'",
    );
    let node = Node::with_image("w1", &[("/etc/systemd/system/held.service", &text)]);
    let state = [
        "systemctl",
        "show",
        "--property=ActiveState",
        "held.service",
    ];
    let start = || {
        node.run(&["touch", "/run/hold"]);
        node.run(&["systemctl", "start", "--no-block", "held.service"]);
        node.wait(&["launch", "ps"], "   created   ");
    };
    start();
    assert_eq!(node.property("held.service", "ActiveState"), "activating");
    let (mut watching, mut other) = clients_before_the_start(&node);
    let mut client = Client::connect(&node, "held");
    let attach = |input| {
        Request::Attach(Attach {
            input,
            output: true,
            error: true,
            wait: true,
        })
    };
    assert!(
        matches!(client.ask(&attach(true)), Answer::Failed(_)),
        "it has no input"
    );
    assert_eq!(
        client.ask(&attach(false)),
        Answer::Attached { terminal: false }
    );
    node.run(&["rm", "/run/hold"]);
    assert_eq!(other.ask(&Request::Start), Answer::Done);
    assert_eq!(
        client.receive(),
        Some(FromMonitor::Output(b"first\n".to_vec()))
    );
    let Some(FromMonitor::Event(Event::Exited(exit))) = client.receive() else {
        panic!("no end");
    };
    assert_eq!((exit.code, exit.signal), (3, None));
    assert_eq!(client.receive(), None);
    let mut states = Vec::new();
    while let Some(FromMonitor::Event(event)) = watching.receive() {
        match event {
            Event::Status(told) => states.push(told.state),
            Event::Exited(told) => assert_eq!(told, exit),
            Event::Lost { .. } => panic!("it watches"),
        }
    }
    assert!(states.contains(&State::Running), "{states:?}");
    node.wait(&state, "=failed");

    // Nothing is held without the file, as when systemd starts it again.
    node.run(&["systemctl", "start", "held.service"]);
    node.wait(&state, "=failed");
    assert_eq!(node.property("held.service", "ExecMainStatus"), "3");
    // And one that is held can be stopped.
    start();
    node.run(&["systemctl", "stop", "held.service"]);
    assert_eq!(node.property("held.service", "Result"), "success");
    node.assert_nothing_left();
}

#[test]
fn what_is_no_request_is_refused_and_hurts_nobody() {
    let text = unit("", "busybox:saved", "sleep 1000");
    let node = Node::with_image("w2", &[("/etc/systemd/system/web.service", &text)]);
    node.run(&["systemctl", "start", "web.service"]);
    for bytes in [
        &b"\x09\0\0\0\0\0\0\0"[..],
        b"\x10\0\0\0\0\0\0\x02{}",
        b"\x01\0\0\0\xff\0\0\0",
    ] {
        let mut client = Client::connect(&node, "web");
        client.stream.write_all(bytes).expect("sent");
        let Some(FromMonitor::Answer(Answer::Failed(failure))) = client.receive() else {
            panic!("{bytes:?} was taken");
        };
        assert_eq!(failure.kind, FailureKind::Invalid);
        assert_eq!(client.receive(), None);
    }
    // More at once than are let in: they wait, and nobody else notices.
    let many: Vec<Client> = (0..100).map(|_| Client::connect(&node, "web")).collect();
    assert_eq!(node.property("web.service", "ActiveState"), "active");
    drop(many);
    assert!(node.run(&["launch", "ps"]).contains("   running   "));
}
