//! Each service against a mock of it, and against servers that answer wrongly.

use std::time::{Duration, Instant};

use super::*;
use crate::mock_server::{Answer, MockServer};
use crate::patience::Patience;
use crate::platform::Seed;

/// Nobody waits in a test.
pub(super) const PACE: Pace = Pace {
    patience: Patience {
        total: Duration::from_millis(1_500),
        first_pause: Duration::from_millis(10),
        longest_pause: Duration::from_millis(50),
    },
    answer: Duration::from_millis(300),
};
const KEY: &str = "ssh-ed25519 AAAA a@example.com";

fn ask(platform: &Platform, server: &MockServer) -> Result<Metadata, String> {
    let client = Client::new(&server.url(), PACE, &|_| {});
    read(platform, &client).map_err(|error| error.to_string())
}

fn fact(metadata: &Metadata, fact: Fact) -> &str {
    metadata.facts.get(&fact).map_or("", String::as_str)
}

/// EC2's, whose answers take the token that it gave.
fn ec2() -> MockServer {
    MockServer::start(|request| {
        if request.line == "PUT /latest/api/token" {
            let seconds = request.header("x-aws-ec2-metadata-token-ttl-seconds");
            assert_eq!(seconds, Some("600"));
            return Answer::text("tok+en==\n");
        }
        if request.header("x-aws-ec2-metadata-token") != Some("tok+en==") {
            return Answer::status("401 Unauthorized");
        }
        match request.line.as_str() {
            "GET /latest/user-data" => Answer::text("hostname = 'a'\n"),
            "GET /latest/meta-data/hostname" => Answer::text("ip-10-0-0-1.ec2.internal"),
            "GET /latest/meta-data/public-keys/" => Answer::text("0=mine\n1=other"),
            "GET /latest/meta-data/public-keys/0/openssh-key" => Answer::text(KEY),
            "GET /latest/meta-data/public-keys/1/openssh-key" => Answer::text("ssh-rsa AAAB\n"),
            "GET /latest/meta-data/instance-id" => Answer::text("i-1"),
            "GET /latest/meta-data/placement/region" => Answer::text("eu-west-1"),
            _ => Answer::status("404 Not Found"),
        }
    })
}

#[test]
fn ec2_gives_all_to_who_has_its_token() {
    let metadata = ask(&Platform::Ec2, &ec2()).unwrap();
    assert_eq!(
        metadata.user_data.as_deref(),
        Some(&b"hostname = 'a'\n"[..])
    );
    assert_eq!(
        metadata.hostname.as_deref(),
        Some("ip-10-0-0-1.ec2.internal")
    );
    assert_eq!(metadata.ssh_keys, [KEY, "ssh-rsa AAAB"]);
    assert_eq!(fact(&metadata, Fact::InstanceId), "i-1");
    assert_eq!(fact(&metadata, Fact::Region), "eu-west-1");
    assert_eq!(fact(&metadata, Fact::PublicIpv4), "");
}

#[test]
fn ec2_without_a_token_or_with_a_wrong_one_is_refused() {
    let old = MockServer::start(|_| Answer::status("404 Not Found"));
    let error = ask(&Platform::Ec2, &old).unwrap_err();
    assert!(
        error.ends_with("/latest/api/token: the service gives no token"),
        "{error}"
    );
    let odd = MockServer::start(|_| Answer::text("two words"));
    let error = ask(&Platform::Ec2, &odd).unwrap_err();
    assert!(
        error.ends_with("what the service gives is no token"),
        "{error}"
    );
    let other = MockServer::start(|request| match request.line.as_str() {
        "PUT /latest/api/token" => Answer::text("wrong"),
        _ => Answer::status("401 Unauthorized"),
    });
    let error = ask(&Platform::Ec2, &other).unwrap_err();
    assert!(
        error.contains("/latest/user-data: the server answers 401"),
        "{error}"
    );
    assert_eq!(other.requests().len(), 2, "a refusal is not tried again");
}

fn gce(flavor: &'static str) -> MockServer {
    MockServer::start(move |request| {
        if request.header("metadata-flavor") != Some("Google") {
            return Answer::status("403 Forbidden");
        }
        let path = request.line.strip_prefix("GET /computeMetadata/v1/");
        let answer = match path.unwrap_or_default() {
            "instance/attributes/user-data" => Answer::text("#cloud-config\n"),
            "instance/hostname" => Answer::text("node.c.project.internal"),
            "instance/attributes/ssh-keys" => Answer::text("a:ssh-ed25519 AAAA a@example.com"),
            "instance/attributes/block-project-ssh-keys" => Answer::text("TRUE"),
            "project/attributes/ssh-keys" => Answer::text("b:ssh-rsa AAAB"),
            "instance/zone" => Answer::text("projects/1/zones/europe-west1-b"),
            _ => Answer::status("404 Not Found"),
        };
        answer.with_header("Metadata-Flavor", flavor)
    })
}

#[test]
fn gce_gives_attributes_and_only_the_machines_own_keys_if_told() {
    let metadata = ask(&Platform::Gce, &gce("Google")).unwrap();
    assert_eq!(metadata.user_data.as_deref(), Some(&b"#cloud-config\n"[..]));
    assert_eq!(metadata.ssh_keys, [KEY]);
    assert_eq!(fact(&metadata, Fact::AvailabilityZone), "europe-west1-b");
    assert_eq!(fact(&metadata, Fact::Region), "europe-west1");
}

#[test]
fn gce_is_not_believed_without_its_header() {
    let error = ask(&Platform::Gce, &gce("none")).unwrap_err();
    assert!(error.contains("no Metadata-Flavor: Google"), "{error}");
}

#[test]
fn azure_gives_one_document() {
    let server = MockServer::start(|request| {
        if request.header("metadata") != Some("true") {
            return Answer::status("400 Bad Request");
        }
        assert_eq!(
            request.line,
            "GET /metadata/instance?api-version=2021-02-01"
        );
        Answer::text(
            r#"{"compute": {"name": "vm", "vmId": "7", "location": "westeurope", "zone": "",
                "osProfile": {"computerName": "node3"}, "userData": "I2Nsb3VkLWNvbmZpZwo=",
                "publicKeys": [{"keyData": "ssh-ed25519 AAAA a@example.com\r\n", "path": "x"}]},
                "network": {"interface": [{"ipv4": {"ipAddress":
                [{"privateIpAddress": "10.0.0.4", "publicIpAddress": ""}]}}]}}"#,
        )
    });
    let metadata = ask(&Platform::Azure, &server).unwrap();
    assert_eq!(metadata.user_data.as_deref(), Some(&b"#cloud-config\n"[..]));
    assert_eq!(metadata.hostname.as_deref(), Some("node3"));
    assert_eq!(metadata.ssh_keys, [KEY]);
    assert_eq!(fact(&metadata, Fact::LocalIpv4), "10.0.0.4");
    assert_eq!(metadata.facts.len(), 3);
    for wrong in ["no", r#"{"compute": {"userData": "%"}}"#] {
        let server = MockServer::start(move |_| Answer::text(wrong));
        let error = ask(&Platform::Azure, &server).unwrap_err();
        assert!(
            error.contains("not JSON") || error.contains("not base64"),
            "{error}"
        );
    }
}

#[test]
fn open_stack_gives_a_document_and_user_data_beside_it() {
    let server = MockServer::start(|request| match request.line.as_str() {
        "GET /openstack/latest/meta_data.json" => Answer::text(
            r#"{"uuid": "u-1", "name": "n", "hostname": "n.novalocal", "availability_zone": "az1",
                "public_keys": {"mine": "ssh-ed25519 AAAA a@example.com\n"}}"#,
        ),
        "GET /openstack/latest/user_data" => Answer::text("{}"),
        other => panic!("{other}"),
    });
    let metadata = ask(&Platform::OpenStack, &server).unwrap();
    assert_eq!(metadata.user_data.as_deref(), Some(&b"{}"[..]));
    assert_eq!(metadata.hostname.as_deref(), Some("n.novalocal"));
    assert_eq!(metadata.ssh_keys, [KEY]);
    assert_eq!(fact(&metadata, Fact::InstanceId), "u-1");
    let none = MockServer::start(|_| Answer::status("404 Not Found"));
    let error = ask(&Platform::OpenStack, &none).unwrap_err();
    assert!(error.contains("the service is not there"), "{error}");
}

#[test]
fn digital_ocean_gives_one_document() {
    let server = MockServer::start(|request| {
        assert_eq!(request.line, "GET /metadata/v1.json");
        Answer::text(
            r##"{"droplet_id": 2756294, "hostname": "drop", "region": "nyc3", "user_data": "#!/bin/sh\n",
                "public_keys": ["ssh-ed25519 AAAA a@example.com"],
                "interfaces": {"public": [{"ipv4": {"ip_address": "192.0.2.1"}}]}}"##,
        )
    });
    let metadata = ask(&Platform::DigitalOcean, &server).unwrap();
    assert_eq!(metadata.user_data.as_deref(), Some(&b"#!/bin/sh\n"[..]));
    assert_eq!(metadata.ssh_keys, [KEY]);
    assert_eq!(fact(&metadata, Fact::InstanceId), "2756294");
    assert_eq!(fact(&metadata, Fact::PublicIpv4), "192.0.2.1");
}

#[test]
fn hetzner_gives_one_answer_a_question() {
    let server = MockServer::start(|request| match request.line.as_str() {
        "GET /hetzner/v1/userdata" => Answer::text("#cloud-config\n"),
        "GET /hetzner/v1/metadata/hostname" => Answer::text("h1"),
        "GET /hetzner/v1/metadata/public-keys" => {
            Answer::text(r#"["ssh-ed25519 AAAA a@example.com"]"#)
        }
        "GET /hetzner/v1/metadata/instance-id" => Answer::text("42"),
        _ => Answer::status("404 Not Found"),
    });
    let metadata = ask(&Platform::Hetzner, &server).unwrap();
    assert_eq!(metadata.hostname.as_deref(), Some("h1"));
    assert_eq!(metadata.ssh_keys, [KEY]);
    assert_eq!(fact(&metadata, Fact::InstanceId), "42");
    let odd = MockServer::start(|request| match request.line.as_str() {
        "GET /hetzner/v1/metadata/public-keys" => Answer::text("{}"),
        _ => Answer::text("x"),
    });
    let error = ask(&Platform::Hetzner, &odd).unwrap_err();
    assert!(error.contains("no list of keys"), "{error}");
}

#[test]
fn no_cloud_is_any_web_server() {
    let server = MockServer::start(|request| match request.line.as_str() {
        "GET /user-data" => Answer::text("hostname = 'a'\n"),
        "GET /meta-data" => {
            Answer::text("instance-id: 7\nlocal-hostname: n1\npublic-keys:\n- ssh-rsa AAAB\n")
        }
        other => panic!("{other}"),
    });
    let client = Client::new(&format!("{}/", server.url()), PACE, &|_| {});
    let seed = Seed {
        hostname: Some("said".to_owned()),
        ..Seed::default()
    };
    let metadata = read(&Platform::NoCloud(seed), &client).unwrap();
    assert_eq!(metadata.hostname.as_deref(), Some("said"));
    assert_eq!(metadata.ssh_keys, ["ssh-rsa AAAB"]);
    assert_eq!(fact(&metadata, Fact::InstanceId), "7");
    let none = MockServer::start(|_| Answer::status("404 Not Found"));
    let client = Client::new(&format!("{}/", none.url()), PACE, &|_| {});
    let error = read(&Platform::NoCloud(Seed::default()), &client).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("neither user-data nor meta-data"), "{error}");
}

#[test]
fn a_service_that_is_ill_is_asked_again_and_that_is_told() {
    let server = MockServer::start(|request| match request.number {
        0 => Answer::status("500 Internal Server Error"),
        1 => Answer::status("503 Service Unavailable"),
        _ => Answer::text(r#"{"hostname": "n"}"#),
    });
    let told = std::cell::RefCell::new(Vec::new());
    let tell = |text: &str| told.borrow_mut().push(text.to_owned());
    let client = Client::new(&server.url(), PACE, &tell);
    let metadata = read(&Platform::DigitalOcean, &client).unwrap();
    assert_eq!(metadata.hostname.as_deref(), Some("n"));
    let told = told.borrow();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("answers 500") && told[1].contains("trying again in 0.0 s"),
        "{told:?}"
    );
}

#[test]
fn nobody_is_followed_elsewhere() {
    let elsewhere = MockServer::start(|_| Answer::text(r#"{"hostname": "evil"}"#));
    let target = format!("{}/metadata/v1.json", elsewhere.url());
    let server =
        MockServer::start(move |_| Answer::status("302 Found").with_header("Location", &target));
    let error = ask(&Platform::DigitalOcean, &server).unwrap_err();
    assert!(error.contains("sends nobody elsewhere"), "{error}");
    assert_eq!(elsewhere.requests(), Vec::<String>::new());
}

#[test]
fn who_does_not_answer_or_never_ends_is_given_up_in_time() {
    let begin = Instant::now();
    let slow = MockServer::start(|_| Answer::Silence);
    let error = ask(&Platform::DigitalOcean, &slow).unwrap_err();
    assert!(error.contains("timeout"), "{error}");
    // Byte after byte, each in time, and no end.
    let endless = MockServer::start(|_| Answer::Trickle);
    let error = ask(&Platform::DigitalOcean, &endless).unwrap_err();
    assert!(error.contains("timeout"), "{error}");
    let flood = MockServer::start(|_| Answer::Flood);
    let error = ask(&Platform::DigitalOcean, &flood).unwrap_err();
    assert!(
        error.contains("there are more than 16777216 bytes") || error.contains("timeout"),
        "{error}"
    );
    let nobody = Client::new("http://127.0.0.1:1", PACE, &|_| {});
    assert!(read(&Platform::Ec2, &nobody).is_err());
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "{:?}",
        begin.elapsed()
    );
}
