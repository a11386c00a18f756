//! What Docker's clients send becomes options, and what cannot is refused by name.

use serde_json::json;

use super::*;

/// What `docker run --rm busybox echo hi` of version 28 sends, shortened by nothing that means something.
fn sent_by_docker() -> Value {
    let text = r#"{
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": true,
        "AttachStderr": true, "Tty": false, "OpenStdin": false, "StdinOnce": false, "Env": null,
        "Cmd": ["echo", "hi"], "Image": "busybox", "Volumes": {}, "WorkingDir": "",
        "Entrypoint": null, "OnBuild": null, "Labels": {},
        "HostConfig": {
            "Binds": null, "ContainerIDFile": "", "LogConfig": {"Type": "", "Config": {}},
            "NetworkMode": "none", "PortBindings": {},
            "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "AutoRemove": true,
            "VolumeDriver": "", "VolumesFrom": null, "ConsoleSize": [24, 80], "CapAdd": null,
            "CapDrop": null, "CgroupnsMode": "", "Dns": [], "DnsOptions": [], "DnsSearch": [],
            "ExtraHosts": null, "GroupAdd": null, "IpcMode": "", "Cgroup": "", "Links": null,
            "OomScoreAdj": 0, "PidMode": "", "Privileged": false, "PublishAllPorts": false,
            "ReadonlyRootfs": false, "SecurityOpt": null, "UTSMode": "", "UsernsMode": "",
            "ShmSize": 0, "Isolation": "", "CpuShares": 0, "Memory": 0, "NanoCpus": 0,
            "CgroupParent": "", "BlkioWeight": 0, "BlkioWeightDevice": [], "CpuPeriod": 0,
            "CpuQuota": 0, "CpusetCpus": "", "CpusetMems": "", "Devices": [],
            "DeviceCgroupRules": null, "DeviceRequests": null, "MemoryReservation": 0,
            "MemorySwap": 0, "MemorySwappiness": -1, "OomKillDisable": false, "PidsLimit": 0,
            "Ulimits": [], "CpuCount": 0, "CpuPercent": 0, "IOMaximumIOps": 0,
            "IOMaximumBandwidth": 0, "MaskedPaths": null, "ReadonlyPaths": null
        },
        "NetworkingConfig": {"EndpointsConfig": {"none": {
            "IPAMConfig": null, "Links": null, "Aliases": null, "MacAddress": "",
            "DriverOpts": null, "NetworkID": "", "GwPriority": 0, "IPPrefixLen": 0
        }}}
    }"#;
    serde_json::from_str(text).unwrap()
}

fn parse(value: &Value) -> Result<Creation, ApiError> {
    Creation::parse(&serde_json::to_vec(value).unwrap())
}

fn with(path: &[&str], value: Value) -> Value {
    let mut body = sent_by_docker();
    let mut at = &mut body;
    for name in path {
        at = &mut at[*name];
    }
    *at = value;
    body
}

#[test]
fn what_docker_sends_is_understood() {
    let creation = parse(&sent_by_docker()).unwrap();
    assert_eq!(creation.image, "busybox");
    assert_eq!(creation.arguments, ["echo", "hi"]);
    let expected = ["--network=none", "--security-opt=no-new-privileges=false"];
    assert_eq!(creation.options, expected);
    assert!(creation.is_removed_at_end && !creation.has_terminal);
    assert_eq!(creation.restart, RestartPolicy::No);
    assert_eq!(creation.stop_timeout, 10);
}

#[test]
fn fields_become_options() {
    let cases: &[(&[&str], Value, &str)] = &[
        (&["Env"], json!(["A=b c"]), "--env=A=b c"),
        (
            &["Entrypoint"],
            json!(["sh", "-c"]),
            "--entrypoint=[\"sh\",\"-c\"]",
        ),
        (&["WorkingDir"], json!("/srv"), "--workdir=/srv"),
        (&["User"], json!("web"), "--user=web"),
        (&["Labels"], json!({"a": "b"}), "--label=a=b"),
        (
            &["HostConfig", "Binds"],
            json!(["/a:/b:ro"]),
            "--volume=/a:/b:ro",
        ),
        (
            &["HostConfig", "Tmpfs"],
            json!({"/t": "size=1m"}),
            "--tmpfs=/t:size=1m",
        ),
        (
            &["HostConfig", "Memory"],
            json!(67_108_864),
            "--memory=67108864",
        ),
        (&["HostConfig", "MemorySwap"], json!(-1), "--memory-swap=-1"),
        (
            &["HostConfig", "NanoCpus"],
            json!(1_500_000_000),
            "--cpus=1.5",
        ),
        (&["HostConfig", "PidsLimit"], json!(10), "--pids-limit=10"),
        (
            &["HostConfig", "CapAdd"],
            json!(["NET_ADMIN"]),
            "--cap-add=NET_ADMIN",
        ),
        (
            &["HostConfig", "ReadonlyRootfs"],
            json!(true),
            "--read-only",
        ),
        (
            &["HostConfig", "Ulimits"],
            json!([{"Name": "nofile", "Soft": 5, "Hard": 9}]),
            "--ulimit=nofile=5:9",
        ),
        (
            &["HostConfig", "Mounts"],
            json!([{"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": true}]),
            "--mount=type=bind,source=/a,target=/b,readonly",
        ),
    ];
    for (path, value, word) in cases {
        let creation = parse(&with(path, value.clone()));
        let creation = creation.unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert!(
            creation.options.iter().any(|option| option == word),
            "{path:?}: {:?}",
            creation.options
        );
    }
}

#[test]
fn checks_of_health_become_options() {
    let cases = [
        (
            json!({"Test": ["CMD", "probe", "a b"]}),
            "--health-cmd=[\"probe\",\"a b\"]",
        ),
        (
            json!({"Test": ["CMD-SHELL", "none"], "Interval": 1_500_000_000}),
            "--health-cmd=[\"/bin/sh\",\"-c\",\"none\"]",
        ),
        (
            json!({"Interval": 1_500_000_000, "Retries": 2}),
            "--health-interval=1500000000ns",
        ),
        (json!({"Test": ["NONE"]}), "--no-healthcheck"),
    ];
    for (check, word) in cases {
        let creation = parse(&with(&["Healthcheck"], check)).unwrap();
        assert!(
            creation.options.iter().any(|option| option == word),
            "{word}: {:?}",
            creation.options
        );
    }
}

#[test]
fn networks_are_the_mode_and_the_endpoints() {
    let networks = |mode: &str, endpoints: Value| {
        let mut body = with(&["HostConfig", "NetworkMode"], json!(mode));
        body["NetworkingConfig"]["EndpointsConfig"] = endpoints;
        let creation = parse(&body)?;
        let words = creation.options.iter();
        let words = words.filter_map(|word| word.strip_prefix("--network="));
        Ok::<_, ApiError>(words.collect::<Vec<_>>().join(" "))
    };
    let two = || json!({"a": {"Aliases": ["x"]}, "b": {"IPAMConfig": {"IPv4Address": "10.0.0.9"}}});
    let cases = [
        ("default", json!({}), "bridge"),
        ("b", json!({}), "b"),
        ("a", two(), "a:alias=x b:ip=10.0.0.9"),
        ("b", two(), "b:ip=10.0.0.9 a:alias=x"),
        ("c", two(), "c a:alias=x b:ip=10.0.0.9"),
        ("bridge", two(), "a:alias=x b:ip=10.0.0.9"),
        ("default", json!({"default": {}, "a": null}), "bridge a"),
    ];
    for (mode, endpoints, expected) in cases {
        assert_eq!(networks(mode, endpoints), Ok(expected.to_owned()), "{mode}");
    }
    let error = networks("host", two()).unwrap_err();
    assert_eq!(error.status, 400);
    assert!(error.message.contains("`host` alone"), "{error}");
}

#[test]
fn ports_are_published() {
    let mut body = with(&["HostConfig", "NetworkMode"], json!("bridge"));
    // As the client sends it.
    body["NetworkingConfig"] = json!({"EndpointsConfig": {"bridge": {}}});
    body["HostConfig"]["PortBindings"] = json!({
        "80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "::1", "HostPort": "81"}],
        "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}],
    });
    let creation = parse(&body).unwrap();
    for word in [
        "--publish=8080:80/tcp",
        "--publish=[::1]:81:80/tcp",
        "--publish=127.0.0.1:53:53/udp",
    ] {
        assert!(
            creation.options.iter().any(|option| option == word),
            "{:?}",
            creation.options
        );
    }
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let cases: &[(&[&str], Value, &str)] = &[
        (
            &["HostConfig", "PidMode"],
            json!("host"),
            "HostConfig.PidMode",
        ),
        (
            &["HostConfig", "VolumesFrom"],
            json!(["a"]),
            "HostConfig.VolumesFrom",
        ),
        (
            &["HostConfig", "IpcMode"],
            json!("host"),
            "HostConfig.IpcMode",
        ),
        (
            &["HostConfig", "LogConfig", "Type"],
            json!("syslog"),
            "HostConfig.LogConfig.Type",
        ),
        (
            &["HostConfig", "Inventory"],
            json!("x"),
            "HostConfig.Inventory",
        ),
        (&["HostConfig", "Memory"], json!(1), "HostConfig.Memory"),
        (
            &["HostConfig", "RestartPolicy", "Name"],
            json!("always"),
            "HostConfig.AutoRemove",
        ),
        (
            &["NetworkingConfig", "EndpointsConfig", "none", "Aliases"],
            json!(["a"]),
            "NetworkingConfig.EndpointsConfig.none.Aliases",
        ),
        (
            &["Healthcheck"],
            json!({"Test": ["true"]}),
            "Healthcheck.Test",
        ),
        (
            &["Healthcheck"],
            json!({"Interval": 5}),
            "Healthcheck.Interval",
        ),
        (&["Domainname"], json!("a"), "Domainname"),
        (&["Image"], json!(""), "Image"),
        (&["StopTimeout"], json!(-2), "StopTimeout"),
    ];
    for (path, value, name) in cases {
        let error = parse(&with(path, value.clone())).expect_err(name);
        assert_eq!(error.status, 400);
        assert!(error.message.starts_with(name), "{path:?}: {error}");
    }
}
