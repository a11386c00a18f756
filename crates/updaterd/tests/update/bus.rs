//! What the D-Bus object tells while an update goes on, over a socket without a bus.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::{Instant, timeout_at};
use updaterd::service::{PATH, Service};
use zbus::Proxy;
use zbus::connection::Builder;

use crate::fixture::{Build, Releases};
use crate::machine::TestMachine;

const INTERFACE: &str = "org.keelson.Update1.Manager";
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn progress_and_state_are_told_as_they_change() {
    let releases = Releases::new();
    releases.release(&Build::new("2"), false);
    let machine = TestMachine::new(&Build::new("1"), &releases);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let from = releases.folder().display().to_string();
    runtime.block_on(follow(&machine, &from));
}

async fn follow(machine: &TestMachine, from: &str) {
    let (ours, theirs) = UnixStream::pair().expect("sockets");
    let server = Builder::unix_stream(theirs)
        .server(zbus::Guid::generate())
        .p2p();
    let client = Builder::unix_stream(ours).p2p().build();
    let (service, client) = tokio::join!(Service::offer(&machine.root, server), client);
    let (_service, client) = (service.expect("a server"), client.expect("a client"));
    let proxy = Proxy::new(&client, "org.keelson.Update1", PATH, INTERFACE)
        .await
        .expect("a proxy");
    let before: (String, String) = proxy.get_property("State").await.expect("a state");
    assert_eq!(before, ("idle".to_owned(), String::new()));
    let mut states = proxy.receive_property_changed("State").await;
    let mut phases = proxy.receive_property_changed("Progress").await;
    let order = ("install", from, false, false);
    let done = proxy.call::<_, _, String>("Update", &order);
    let mut done = std::pin::pin!(done);
    let (mut seen, mut told, mut text) = (Vec::new(), 0_u32, String::new());
    let (begin, end) = (Instant::now(), Instant::now() + PATIENCE);
    // The state's last signal comes up to a period after the answer.
    while text.is_empty() || seen.last() != Some(&("staged".to_owned(), "2".to_owned())) {
        let next = async {
            tokio::select! {
                answer = &mut done, if text.is_empty() => text = answer.expect("it works"),
                Some(change) = states.next() => {
                    let state: (String, String) = change.get().await.expect("a state");
                    seen.push(state);
                }
                Some(change) = phases.next() => {
                    let _: (String, u64, u64) = change.get().await.expect("progress");
                    told += 1;
                }
            }
        };
        timeout_at(end, next)
            .await
            .unwrap_or_else(|_| panic!("{text:?} after {seen:?}"));
    }
    assert_eq!(text, "2 is installed: `systemctl reboot` boots it");
    assert!(told > 0, "no progress was told");
    let periods = begin.elapsed().as_millis() / 250 + 2;
    assert!(
        u128::from(told) <= periods,
        "{told} signals in {periods} periods"
    );
}
