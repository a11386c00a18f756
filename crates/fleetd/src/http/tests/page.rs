//! The web page in a browser: headless Chromium, which `.ci/setup` installs.
//!
//! With `FLEET_PAGE_SCREENSHOT` set to a path it leaves a picture there: that of the README.

use super::*;
use crate::http::listener::Acceptor;

/// Serves the API on a port of its own, to whoever connects.
async fn served(fixture: &Fixture) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let address = listener.local_addr().expect("an address");
    let api = Arc::new(Arc::clone(&fixture.api));
    let acceptor = Acceptor::new(None, fixture.stop.subscribe());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, api) = (acceptor.clone(), Arc::clone(&api));
            tokio::spawn(async move { acceptor.talk(stream, Caller::Local, api).await });
        }
    });
    format!("http://{address}/")
}

async fn chromium(arguments: &[&str]) -> String {
    let mut command = tokio::process::Command::new("chromium");
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu"])
        .args(["--window-size=1000,720", "--virtual-time-budget=3000"])
        .args(arguments)
        .kill_on_drop(true);
    let patience = std::time::Duration::from_mins(2);
    let output = tokio::time::timeout(patience, command.output()).await;
    let output = output.expect("it ends in time");
    let output = output.expect("chromium is there: .ci/setup installs it");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn a_browser_shows_machines_units_and_where_they_run() {
    let fixture = Fixture::new();
    fixture.machine(HERE, &[("disk", "ssd")]);
    fixture.machine(THERE, &[("disk", "tape")]);
    for (name, machine) in [("web@1.service", HERE), ("web@2.service", THERE)] {
        let unit = json!({"options": hello(), "desiredState": "launched"});
        assert_eq!(fixture.put_unit(name, &unit).await, 201);
        fixture.run(name, machine, "x");
    }
    let address = served(&fixture).await;
    let mut page = String::new();
    // Its clock is a virtual one, which may run out before what it was sent is read.
    for _ in 0..10 {
        page = chromium(&["--dump-dom", &address]).await;
        if page.contains("live") {
            break;
        }
    }
    for shown in [
        "11111111",
        "22222222",
        "disk=tape",
        "web@1.service",
        "running",
        "live",
    ] {
        assert!(page.contains(shown), "{shown} is missing: {page}");
    }
    if let Some(path) = std::env::var_os("FLEET_PAGE_SCREENSHOT") {
        let path = path.to_string_lossy();
        chromium(&[&format!("--screenshot={path}"), &address]).await;
    }
}
