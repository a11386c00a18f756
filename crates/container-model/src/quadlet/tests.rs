//! Tests of Quadlet files: the units that come out, and what is said of mistakes.

use super::*;

fn file(text: &str) -> QuadletFile {
    QuadletFile {
        name: "web.container".to_owned(),
        folder: "/etc/containers/systemd".to_owned(),
        text: text.to_owned(),
        drop_ins: Vec::new(),
    }
}

fn container(lines: &str) -> QuadletFile {
    file(&format!(
        "[Container]\nImage=busybox\nNetwork=host\n{lines}\n"
    ))
}

fn command(lines: &str) -> String {
    let unit = generate(&container(lines)).unwrap();
    let line = unit
        .text
        .lines()
        .find(|line| line.starts_with("ExecStart="));
    line.unwrap().to_owned()
}

fn problems(file: &QuadletFile) -> Vec<String> {
    let problems = generate(file).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_bare_file_is_a_whole_unit() {
    let unit = generate(&file(
        "[Container]\nImage=busybox\nNetwork=host\n\n[Install]\nWantedBy=multi-user.target\n",
    ))
    .unwrap();
    let expected = "\
[Unit]
SourcePath=/etc/containers/systemd/web.container
Wants=containerd.socket
After=containerd.socket
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
NotifyAccess=main
Delegate=yes
DelegateSubgroup=launch
KillMode=mixed
OOMPolicy=stop
SyslogIdentifier=%N
ExecStart=/usr/bin/launch run --network=host --security-opt=no-new-privileges=false --name=%N busybox
ExecStopPost=-/usr/bin/launch clean %N

[Install]
WantedBy=multi-user.target
";
    assert_eq!(unit.text, expected);
    assert_eq!(unit.name, "web.service");
    assert_eq!(unit.links, ["multi-user.target.wants/web.service"]);
}

#[test]
fn keys_become_options() {
    let cases = [
        (
            "AddCapability=NET_ADMIN SYS_TIME",
            "--cap-add=NET_ADMIN --cap-add=SYS_TIME",
        ),
        ("Environment=A=1 \"B=x y\"", "--env=A=1 \"--env=B=x y\""),
        ("Environment=A=$5", "--env=A=$$5"),
        (
            "EnvironmentFile=./web.env",
            "--env-file=/etc/containers/systemd/web.env",
        ),
        ("User=web\nGroup=www", "--user=web:www"),
        ("Volume=/srv/a:/a:ro", "--volume=/srv/a:/a:ro"),
        ("Volume=./a:/a", "--volume=/etc/containers/systemd/a:/a"),
        ("ReadOnly=yes", "--read-only --read-only-tmpfs"),
        ("ReadOnly=yes\nReadOnlyTmpfs=no", "--read-only "),
        ("Notify=true", "--notify=payload"),
        ("Unmask=ALL", "--security-opt=systempaths=unconfined"),
        (
            "NoNewPrivileges=true",
            "--security-opt=no-new-privileges=true",
        ),
        ("ContainerName=shop", "--name=shop"),
        ("Network=\nNetwork=none", "--network=none"),
        (
            "Network=\nNetwork=web\nIP=10.0.0.9\nNetworkAlias=www\nPublishPort=80:8080",
            "--ip=10.0.0.9 ",
        ),
        (
            "Mount=type=volume,source=a,target=/a",
            "--mount=type=volume,source=a,target=/a",
        ),
        ("Secret=key,target=/etc/key", "--secret=key,target=/etc/key"),
        ("Exec=sh -c \"echo $A %i\"", "busybox sh -c \"echo $A %i\""),
        ("DNS=1.1.1.1\nDNS=\nDNS=9.9.9.9", "--dns=9.9.9.9"),
        ("Memory=%i", "--memory=%i"),
    ];
    for (lines, expected) in cases {
        let command = command(lines);
        assert!(command.contains(expected), "{lines}: {command}");
    }
    assert!(!command("DNS=1.1.1.1\nDNS=").contains("--dns"));
    assert!(!command("ReadOnly=no").contains("read-only"));
    let health = command(
        "HealthCmd=curl -f http://a\nHealthInterval=1m\nHealthOnFailure=kill\nNotify=healthy",
    );
    for option in [
        " \"--health-cmd=curl -f http://a\" --health-interval=1m --health-on-failure=kill ",
        " --notify=healthy ",
    ] {
        assert!(health.contains(option), "{health}");
    }
}

/// Lines of [Container], and what is said of them.
const MISTAKES: &[(&str, &str)] = &[
    (
        "Imgae=a",
        "web.container:4: [Container] Imgae: there is no such key; `Image` is meant?",
    ),
    (
        "publishport=1",
        "web.container:4: [Container] publishport: there is no such key; `PublishPort` is meant?",
    ),
    (
        "HealthStartupCmd=a",
        "web.container:4: [Container] HealthStartupCmd: not supported: there is one check, whose failures do not count in `HealthStartPeriod=`",
    ),
    (
        "HealthInterval=5",
        "web.container:4: [Container] HealthInterval: `5` is no time: a time such as 1m30s, 500ms or 0 is wanted, at most a year",
    ),
    (
        "ReadOnly=perhaps",
        "web.container:4: [Container] ReadOnly: `perhaps` is neither yes nor no",
    ),
    (
        "Group=a",
        "web.container:4: [Container] Group: it needs `User=` beside it",
    ),
    (
        "Volume=a.volume:/a",
        "web.container:4: [Container] Volume: there is no file a.volume",
    ),
    (
        "[Service]\nKillMode=process",
        "web.container:5: [Service] KillMode: `process` is not possible here: mixed",
    ),
    (
        "[Service]\nExecStart=/bin/a",
        "web.container:5: [Service] ExecStart: it is made of [Container]",
    ),
    (
        "[Install]\nAlso=b.service",
        "web.container:5: [Install] Also: not supported here; Alias, WantedBy, RequiredBy, UpheldBy, DefaultInstance are",
    ),
    ("Exec", "web.container:4: no `=`, systemd ignores the line"),
];

#[test]
fn mistakes_are_told_with_file_line_and_key() {
    for (lines, expected) in MISTAKES {
        assert_eq!(problems(&container(lines)), [*expected], "{lines}");
    }
    let bad = problems(&container("Memory=1\n[Kube]\nA=b"));
    assert_eq!(bad.len(), 2, "{bad:?}");
    let alone = generate(&file("[Container]\nImage=a\n")).unwrap().text;
    assert!(!alone.contains("--network"), "the default one: {alone}");
    let nothing = problems(&file("[Container]\nNetwork=none\n"));
    assert_eq!(nothing, ["web.container: [Container] has no `Image=`"]);
    let values = [
        "Image=B",
        "AddCapability=FLY",
        "AddHost=x",
        "Mount=type=image",
        "Environment=\"A",
        "Network=container:a",
        "Network=none",
        "Network=a.network",
        "Network=a.network:ip=10.0.0.1",
        "Network=a:ip=fd00::1",
        "Network=a",
        "UserNS=keep-id",
        "UIDMap=0:1:2",
        "PublishPort=x",
        "IP=fd00::1",
        "Mount=type=volume,source=a.volume,target=/a",
        "StopSignal=WHAT",
        "Tmpfs=a",
        "Pull=newer",
        "LogDriver=none",
        "EnvironmentFile=-/a",
        "Notify=perhaps",
        "Sysctl=vm.swappiness=1",
        "Image=a.image",
        "Exec='",
        "WorkingDir=a",
        "CgroupsMode=disabled",
        "Unmask=/proc/a",
        "User=a:b:c",
    ];
    for line in values {
        let found = problems(&container(line));
        assert!(
            found[0].starts_with("web.container:4: [Container] "),
            "{line}: {found:?}"
        );
    }
}

#[test]
fn the_files_own_settings_count() {
    let text = "[Unit]\nAfter=db.service\n[Container]\nImage=a\nNetwork=host\nStopTimeout=5\n[Service]\nType=oneshot\nMemoryMax=1G\n[Quadlet]\nDefaultDependencies=no\n";
    let unit = generate(&file(text)).unwrap().text;
    for line in ["After=db.service", "TimeoutStopSec=35", "MemoryMax=1G"] {
        assert!(unit.lines().any(|found| found == line), "{line}: {unit}");
    }
    assert!(unit.contains("--stop-timeout=5"), "{unit}");
    let types: Vec<&str> = unit
        .lines()
        .filter(|line| line.starts_with("Type="))
        .collect();
    assert_eq!(types, ["Type=notify", "Type=oneshot"], "the last counts");
    assert!(!unit.contains("network-online"), "{unit}");
}

#[test]
fn bound_folders_are_mounted_before() {
    let unit = generate(&container("Volume=/srv/a b:/a\nVolume=data:/b")).unwrap();
    assert!(
        unit.text.contains("RequiresMountsFor=\"/srv/a b\"\n"),
        "{}",
        unit.text
    );
}

#[test]
fn drop_ins_add_and_are_named() {
    let mut file = container("Environment=A=1");
    let drop_in = |text: &str| DropInText {
        name: "web.container.d/10-more.conf".to_owned(),
        text: text.to_owned(),
    };
    file.drop_ins = vec![drop_in("[Container]\nImage=other\nEnvironment=B=2\n")];
    let unit = generate(&file).unwrap().text;
    assert!(
        unit.contains("--env=A=1 --env=B=2 ") && unit.contains(" other\n"),
        "{unit}"
    );
    file.drop_ins = vec![drop_in("\n[Container]\nPod=x\n")];
    assert_eq!(
        problems(&file),
        [
            "web.container.d/10-more.conf:3: [Container] Pod: `x` is no pod: the name of a file is wanted, `NAME.pod`"
        ]
    );
}

#[test]
fn templates_are_enabled_by_an_instance() {
    let mut file =
        file("[Container]\nImage=a\nNetwork=host\n[Install]\nWantedBy=multi-user.target\n");
    file.name = "web@.container".to_owned();
    let unit = generate(&file).unwrap();
    assert_eq!((unit.name.as_str(), unit.links.len()), ("web@.service", 0));
    file.text
        .push_str("DefaultInstance=one\nAlias=shop@.service\n");
    let unit = generate(&file).unwrap();
    assert_eq!(
        unit.links,
        ["multi-user.target.wants/web@one.service", "shop@.service"]
    );
    file.name = "web@.service".to_owned();
    assert_eq!(
        problems(&file),
        ["web@.service: the file's name must end with `.container`"]
    );
}

#[test]
fn other_types_are_refused_by_name() {
    assert!(
        refused_type("a.kube")
            .unwrap()
            .contains("`.kube` files are not supported")
    );
    for name in ["a.container", "a.image", "a.network", "a.pod", "a.volume"] {
        assert_eq!(refused_type(name), None);
        assert!(is_unit_source(name));
    }
    assert_eq!(refused_type("README"), None);
}

#[test]
fn every_key_has_its_place_in_the_table() {
    let names: Vec<&str> = keys::KEYS.iter().map(|(name, _)| *name).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(names, sorted, "sorted, each once");
}
