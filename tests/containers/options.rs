//! What options of `launch run` do in a container.

use crate::fixture::{Node, SERVICE};

/// Options, a script, and what it says.
type Case = (&'static [&'static str], &'static str, &'static str);

const CASES: &[Case] = &[
    (
        &["--env=A=1", "--env-file=/var/vars", "--env=BOTH=option"],
        "echo $A $FROM $BOTH $OF",
        "1 file option image\n",
    ),
    (&["--workdir=/srv"], "pwd", "/srv\n"),
    (
        &["--user=web"],
        "id -u; id -g; id -G; echo $HOME",
        "33\n34\n34 40\n/srv\n",
    ),
    (
        &["--user=7:8", "--group-add=extra"],
        "id -u; id -G",
        "7\n8 40\n",
    ),
    (
        &["--hostname=h1"],
        "hostname; cat /etc/hostname",
        "h1\nh1\n",
    ),
    (
        &["--add-host=db:10.0.0.1"],
        "grep db /etc/hosts",
        "10.0.0.1\tdb\n",
    ),
    (
        &["--dns=9.9.9.9"],
        "cat /etc/resolv.conf",
        "nameserver 9.9.9.9\n",
    ),
    (
        &["--read-only"],
        "touch /srv/a 2>/dev/null || echo refused",
        "refused\n",
    ),
    (
        &["--read-only", "--read-only-tmpfs"],
        "touch /tmp/a && echo made",
        "made\n",
    ),
    (
        &["--tmpfs=/srv:size=1m"],
        "grep -c 'tmpfs /srv tmpfs' /proc/mounts",
        "1\n",
    ),
    (
        &["--volume=/var/in:/srv:ro"],
        "cat /srv/file; touch /srv/a 2>/dev/null || echo refused",
        "seen\nrefused\n",
    ),
    (&["--volume=data:/srv"], "echo kept >/srv/file", ""),
    (
        &["--mount=type=volume,source=data,target=/srv,ro"],
        "cat /srv/file",
        "kept\n",
    ),
    (
        &["--ulimit=nofile=100:200"],
        "ulimit -n; ulimit -Hn",
        "100\n200\n",
    ),
    (
        &["--sysctl=net.ipv4.ip_unprivileged_port_start=80"],
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
        "80\n",
    ),
    (&["--entrypoint=echo"], "x", "sh -c x\n"),
    (
        &["--cap-drop=ALL"],
        "grep CapEff /proc/self/status",
        "CapEff:\t0000000000000000\n",
    ),
    (
        &[],
        "grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status",
        "CapEff:\t00000000a80425fb\nNoNewPrivs:\t1\nSeccomp:\t2\n",
    ),
    (
        &[
            "--security-opt=no-new-privileges=false",
            "--security-opt=seccomp=unconfined",
        ],
        "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status",
        "NoNewPrivs:\t0\nSeccomp:\t0\n",
    ),
    (
        &["--init"],
        "echo $$; readlink /proc/1/exe",
        "2\n/run/keelson-init\n",
    ),
    (
        &[],
        "ls /sys/class/net; head -c 1 /proc/kcore | wc -c; echo $$",
        "lo\n0\n1\n",
    ),
];

#[test]
fn options_are_what_the_payload_sees() {
    let node = Node::with_image(
        "c6",
        &[
            ("/var/vars", "FROM=file\nBOTH=file\n"),
            ("/var/in/file", "seen\n"),
        ],
    );
    for (options, script, expected) in CASES {
        assert_eq!(
            node.shell(options, script),
            *expected,
            "{options:?}: {script}"
        );
    }
    node.assert_nothing_left();
}

#[test]
fn credentials_are_secrets_and_sockets_are_passed() {
    let script = "cat /run/secrets/key /srv/key; echo; echo $LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES; readlink /proc/self/fd/3 | grep -o socket; id -u";
    let service = format!(
        "[Service]\n{SERVICE}Environment=CREDENTIALS_DIRECTORY=/var/credentials\nExecStart=/usr/bin/launch run --network=host --user=33 \
         --secret=key,uid=33,mode=0400 --secret=key,target=/srv/key busybox:saved sh -c '{}'\n",
        script.replace('$', "$$")
    );
    let socket = "[Socket]\nListenStream=127.0.0.1:8080\nFileDescriptorName=web\n";
    let node = Node::with_image(
        "c7",
        &[
            ("/etc/systemd/system/web.service", &service),
            ("/etc/systemd/system/web.socket", socket),
            // systemd cannot mount credentials in a machine without a kernel of its own.
            ("/var/credentials/key", "hidden"),
        ],
    );
    node.run(&["systemctl", "start", "web.socket"]);
    node.run(&["systemctl", "start", "web.service"]);
    let journal = [
        "journalctl",
        "--unit=web.service",
        "--output=cat",
        "CONTAINER_NAME=web",
    ];
    let text = node.wait(&journal, "33");
    assert_eq!(text, "hiddenhidden\n1 1 web\nsocket\n33\n");
}
