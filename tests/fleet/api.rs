//! The API from outside: fleet's cases 33 to 37 and 39 to 43 (its `functional/server_test.go` and others),
//! rewritten, and who may do what by TLS.

use crate::cluster::{Cluster, id, sleeper};

fn curl(cluster: &Cluster, arguments: &str, path: &str) -> (String, String) {
    let script = format!(
        "curl --silent --max-time 30 --write-out '\\n%{{http_code}}' --unix-socket /run/fleet.sock {arguments} 'http://fleet{path}'"
    );
    split(&cluster.sh(0, &script))
}

/// The body, and the status that curl writes after it.
fn split(text: &str) -> (String, String) {
    let (body, status) = text
        .trim_end()
        .rsplit_once('\n')
        .unwrap_or(("", text.trim()));
    (body.to_owned(), status.to_owned())
}

fn patch(cluster: &Cluster, body: &str) -> String {
    let arguments = format!("-X PATCH -H 'Content-Type: application/json' -d '{body}'");
    curl(cluster, &arguments, "/fleet/v1/machines").1
}

#[test]
fn cases_33_to_37_machines_and_their_metadata() {
    let cluster = Cluster::start(1, &[]);
    let (body, status) = curl(&cluster, "", "/fleet/v1/machines");
    assert_eq!(status, "200");
    assert!(
        body.contains(&id(0)) && body.contains("10.98.0.11"),
        "{body}"
    );
    let (_, status) = curl(&cluster, "", "/fleet/v1/machines?nextPageToken=EwBMLg==");
    assert_eq!(status, "400");
    let path = |key: &str| format!("/{}/metadata/{key}", id(0));
    let add = format!(r#"[{{"op":"add","path":"{}","value":"bar"}}]"#, path("foo"));
    assert_eq!(patch(&cluster, &add), "204");
    assert!(
        curl(&cluster, "", "/fleet/v1/machines")
            .0
            .contains(r#""foo":"bar""#)
    );
    let replace = format!(
        r#"[{{"op":"replace","path":"{}","value":{{"value":"baz"}}}}]"#,
        path("foo")
    );
    assert_eq!(patch(&cluster, &replace), "204");
    assert!(
        curl(&cluster, "", "/fleet/v1/machines")
            .0
            .contains(r#""foo":"baz""#)
    );
    let remove = format!(r#"[{{"op":"remove","path":"{}"}}]"#, path("foo"));
    assert_eq!(patch(&cluster, &remove), "204");
    assert!(!curl(&cluster, "", "/fleet/v1/machines").0.contains("foo"));
    for bad in [
        format!(
            r#"[{{"op":"noop","path":"{}","value":"bar"}}]"#,
            path("foo")
        ),
        r#"[{"op":"add","path":"/foo/bar","value":"bar"}]"#.to_owned(),
        format!(r#"[{{"op":"add","path":"{}"}}]"#, path("foo")),
        "{".to_owned(),
    ] {
        assert_eq!(patch(&cluster, &bad), "400", "{bad}");
    }
}

#[test]
fn case_39_fleetctl_takes_its_flags_from_the_environment() {
    let cluster = Cluster::start(1, &[]);
    let good = cluster.run(
        0,
        &[
            "env",
            "FLEETCTL_ENDPOINT=unix:///run/fleet.sock",
            "fleetctl",
            "list-machines",
        ],
    );
    assert_eq!(good.code, Some(0), "{good:?}");
    let bad = cluster.run(
        0,
        &[
            "env",
            "FLEETCTL_ENDPOINT=unix:///run/none.sock",
            "fleetctl",
            "list-machines",
        ],
    );
    assert_eq!(bad.code, Some(1), "{bad:?}");
}

#[test]
fn cases_41_to_43_version_and_help() {
    let cluster = Cluster::start(1, &[]);
    let version = cluster.ok("version");
    assert!(version.starts_with("fleetctl version "), "{version}");
    assert!(cluster.ok("help").contains("list-units"));
    assert_eq!(cluster.ok("--help"), cluster.ok("-h"));
    assert!(
        cluster
            .run(0, &["fleetd", "--version"])
            .stdout
            .starts_with("fleetd ")
    );
}

/// Certificates of each role, from another machine.
#[test]
fn tls_asks_for_a_certificate_and_its_role_counts() {
    let unit = sleeper("");
    let cluster = Cluster::start(2, &[("hello.service", unit.as_str())]);
    cluster.ok("submit hello.service");
    for role in ["fleet-read", "fleet-operate", "fleet-admin"] {
        let (certificate, key) = cluster.authority().issue(role, "10.98.0.99");
        let script = format!(
            "cat >/root/{role}.pem <<'END'\n{certificate}END\ncat >/root/{role}.key <<'END'\n{key}END\n"
        );
        cluster.sh(1, &script);
    }
    let ask = |role: &str, words: &str| {
        let script = format!(
            "fleetctl --endpoint https://10.98.0.11:49153 --request-timeout 30 --ca-file /etc/keelson/ca.pem --cert-file /root/{role}.pem --key-file /root/{role}.key {words}"
        );
        cluster.run(1, &["sh", "-c", &script])
    };
    assert!(
        ask("fleet-read", "list-unit-files")
            .stdout
            .contains("hello.service")
    );
    let refused = ask("fleet-read", "start hello.service");
    assert!(
        refused.code == Some(1) && refused.stderr.contains("fleet-operate"),
        "{refused:?}"
    );
    assert_eq!(ask("fleet-operate", "start hello.service").code, Some(0));
    let refused = ask("fleet-operate", "destroy hello.service");
    assert!(
        refused.code == Some(1) && refused.stderr.contains("fleet-admin"),
        "{refused:?}"
    );
    assert_eq!(ask("fleet-admin", "destroy hello.service").code, Some(0));
    let none = cluster.run(
        1,
        &[
            "curl",
            "--silent",
            "--show-error",
            "--cacert",
            "/etc/keelson/ca.pem",
            "https://10.98.0.11:49153/fleet/v1/machines",
        ],
    );
    assert_ne!(none.code, Some(0), "{none:?}");
    let plain = cluster.run(
        1,
        &[
            "curl",
            "--silent",
            "--show-error",
            "http://10.98.0.11:49153/fleet/v1/machines",
        ],
    );
    assert_ne!(plain.code, Some(0), "{plain:?}");
}
