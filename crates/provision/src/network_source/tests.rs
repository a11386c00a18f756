//! What is chosen, and what comes of it, against servers on the loopback.

use std::io::Write as _;
use std::time::Duration;

use super::*;
use crate::http::Http;
use crate::mock_server::{Answer, MockServer};
use crate::patience::Patience;

const PACE: Pace = Pace {
    patience: Patience {
        total: Duration::from_secs(2),
        first_pause: Duration::from_millis(10),
        longest_pause: Duration::from_millis(50),
    },
    answer: Duration::from_secs(1),
};

fn choice(line: &str) -> Result<Choice, String> {
    // No firmware is shown there.
    Choice::make(line, Path::new("/nowhere")).map_err(|error| error.to_string())
}

fn look(line: &str) -> Result<(Found, Wishes), String> {
    let Ok(Choice::Source(source)) = choice(line) else {
        panic!("{line}");
    };
    let http = Http { tell: &|_| {} };
    let looked = source.look(&http, PACE, &|_| {});
    looked.map_err(|error| error.to_string())
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::fast();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_machine_on_no_cloud_asks_nobody() {
    assert_eq!(choice("console=ttyS0"), Ok(Choice::Nothing));
    assert!(choice("keelson.config=x").is_err());
    let Ok(Choice::Source(source)) = choice("keelson.platform=ec2") else {
        panic!("a source");
    };
    assert_eq!(source.address(), "http://169.254.169.254");
    assert_eq!(source.name(), "the metadata service of EC2");
}

#[test]
fn an_address_gives_its_bytes_packed_or_not_if_they_are_those() {
    let text = b"hostname = 'a'\n";
    for bytes in [text.to_vec(), packed(text)] {
        let server = MockServer::start(move |_| Answer::text(&bytes));
        let url = format!("{}/c", server.url());
        let (found, wishes) = look(&format!("keelson.config={url}")).unwrap();
        assert_eq!(
            (found.bytes.as_slice(), found.name),
            (&text[..], url.clone())
        );
        assert_eq!(wishes, Wishes::default());
        let digest = "0".repeat(64);
        let line = format!("keelson.config={url} keelson.config.digest=sha256-{digest}");
        let error = look(&line).unwrap_err();
        assert!(error.contains("/c: the contents are sha256-"), "{error}");
    }
}

#[test]
fn a_service_gives_user_data_over_its_own_wishes() {
    let server = MockServer::start(|request| match request.line.as_str() {
        "GET /hetzner/v1/userdata" => Answer::text(packed(b"hostname = 'mine'\n")),
        "GET /hetzner/v1/metadata/hostname" => Answer::text("theirs"),
        _ => Answer::status("404 Not Found"),
    });
    let line = format!(
        "keelson.platform=hetzner keelson.metadata={}/",
        server.url()
    );
    let (found, wishes) = look(&line).unwrap();
    assert_eq!(found.bytes, b"hostname = 'mine'\n");
    assert_eq!(found.source, "the metadata service of Hetzner (user data)");
    assert_eq!(wishes.plan.hostname.unwrap().value, "theirs");
}

#[test]
fn no_user_data_asks_for_nothing() {
    let server = MockServer::start(|request| match request.line.as_str() {
        "GET /meta-data" => Answer::text("local-hostname: n1\n"),
        _ => Answer::text("\n"),
    });
    let line = format!("ds=nocloud;s={}", server.url());
    let (found, wishes) = look(&line).unwrap();
    assert_eq!(found.bytes, b"");
    assert_eq!(
        found.source,
        "the metadata service of NoCloud (no user data)"
    );
    assert_eq!(wishes.plan.hostname.unwrap().value, "n1");
    let (_, plan) = provision_model::parse(&found.bytes).unwrap();
    assert_eq!(plan, provision_model::Plan::default());
}
