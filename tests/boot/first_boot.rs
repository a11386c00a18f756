//! A machine that gets its configuration: from QEMU's `fw_cfg`, once and again after a reset; from the ESP; and
//! one that gets a wrong one, and stops and says why instead of starting, until a metadata service has a right one.

use std::process::Command;

use keelson_qemu::ssh::{Ssh, SshKey};
use keelson_qemu::{Disk, Running};
use serde_json::{Value, json};

use crate::archive;
use crate::limits;
use crate::mock_server::{Answer, MockServer};
use crate::support::{
    BOOT_TIMEOUT, Bench, assert_clean, builder, checkout, image, output, power_off, wait_healthy,
};

/// What QEMU's network calls this host's loopback.
const HOST: &str = "10.0.2.2";
/// A name, a kernel setting and a unit: what is read again after the network stage.
const USER_DATA: &str = r"hostname = 'a'
sysctl = { 'vm.swappiness' = 7 }
[[units]]
name = 'hello.service'
enable = true
contents = '''
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/true
[Install]
WantedBy=multi-user.target
'''
";

/// The README's example, with this key and this place of the container's image; and more: a name, a file, a unit.
fn ignition(key: &str, archive: &str) -> String {
    let path = checkout().join("examples/first-boot/hello.ign");
    let text = std::fs::read_to_string(path).expect("the example is there");
    let mut value: Value = serde_json::from_str(&text).expect("JSON");
    value["passwd"]["users"][0]["sshAuthorizedKeys"] = json!([key.trim()]);
    let files = value["storage"]["files"].as_array_mut().expect("files");
    files[0]["contents"]["source"] = json!(archive);
    files.extend([
        json!({ "path": "/etc/hostname", "overwrite": true, "mode": 420, "contents": { "source": "data:,node7%0A" } }),
        json!({ "path": "/var/lib/app/token", "mode": 384, "user": { "name": "core" },
                "contents": { "source": "data:,hunter2" } }),
    ]);
    let unit = "[Service]\nType=oneshot\nRemainAfterExit=yes\nLoadCredential=app.token\n\
                ExecStart=/usr/bin/grep -q given.by.smbios %d/app.token\n\
                [Install]\nWantedBy=multi-user.target\n";
    let units = value["systemd"]["units"].as_array_mut().expect("units");
    units.push(json!({ "name": "app.service", "enabled": true, "contents": unit }));
    // The archive of the tests calls it so.
    value
        .to_string()
        .replace("host busybox sh", "host busybox:saved sh")
}

/// Where the machine finds an archive with busybox, as `docker save` writes it.
fn archive_server(bench: &Bench) -> (MockServer, String) {
    let path = bench.folder.path().join("busybox.tar");
    archive::docker_save(&path);
    let bytes = std::fs::read(path).expect("the archive was written");
    let server = MockServer::start(move |request| match request.line.as_str() {
        "GET /busybox.tar" => Answer::text(&bytes),
        _ => Answer::status("404 Not Found"),
    });
    let port = port(&server);
    (server, format!("http://{HOST}:{port}/busybox.tar"))
}

fn port(server: &MockServer) -> String {
    let url = server.url();
    let (_, port) = url.rsplit_once(':').expect("a port");
    port.to_owned()
}

fn provisioned(ssh: &Ssh) -> Value {
    let status = output(ssh, "osctl status --json");
    let status: Value = serde_json::from_str(&status).expect("JSON");
    status["provision"].clone()
}

#[test]
fn a_machine_becomes_what_its_configuration_says_and_again_after_a_reset() {
    let bench = Bench::new(&image());
    let folder = bench.folder.path().join("core");
    std::fs::create_dir(&folder).expect("a folder for the user's key");
    let key = SshKey::generate(&folder).expect("ssh-keygen works");
    let mut machine = bench.machine("first-boot-configuration", bench.firmware());
    let token = ("app.token".to_owned(), b"given-by-smbios".to_vec());
    machine.credentials.push(token);
    let (_server, archive) = archive_server(&bench);
    bench.configure(&mut machine, &ignition(key.public_line(), &archive));
    let running = bench.start(&machine);
    wait_healthy(&running, 0);
    is_configured(&bench, &running, &key);
    let text = running.console().text();
    assert!(
        text.contains("QEMU fw_cfg opt/org.keelson/config: "),
        "{text}"
    );
    assert!(text.contains("created user core (1000)"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    assert_clean(&running);

    let ssh = bench.ssh(&running);
    output(&ssh, "echo mine > /var/lib/app/token && sync");
    let before = running.console().last_line_number();
    // The connection ends with the machine, so its status says nothing.
    let _ = ssh.run("systemctl reboot");
    wait_healthy(&running, before);
    let ssh = bench.ssh(&running);
    assert_eq!(output(&ssh, "cat /var/lib/app/token"), "mine", "once only");
    let lines = running.console().lines();
    let later = lines.iter().filter(|line| line.number > before);
    let said = later.filter(|line| line.text.contains("provision: "));
    assert_eq!(said.count(), 0, "nothing on later boots");

    let before = running.console().last_line_number();
    let _ = ssh.run("osctl reset --yes --now");
    wait_healthy(&running, before);
    is_configured(&bench, &running, &key);
    assert_clean(&running);
    // Here, since the image is loaded; and last, since the kernel tells the console of what it kills.
    limits::are_held(&bench.ssh(&running));
    power_off(running);
}

fn is_configured(bench: &Bench, running: &Running, key: &SshKey) {
    let ssh = bench.ssh(running);
    assert_eq!(output(&ssh, "uname -n"), "node7");
    assert_eq!(output(&ssh, "cat /var/lib/app/token"), "hunter2");
    assert_eq!(
        output(&ssh, "stat -c '%a %U %G' /var/lib/app/token"),
        "600 core root"
    );
    for unit in ["hello.service", "app.service"] {
        assert_eq!(
            output(&ssh, &format!("systemctl is-active {unit}")),
            "active"
        );
        assert_eq!(
            output(&ssh, &format!("systemctl is-enabled {unit}")),
            "enabled"
        );
    }
    let answer = "curl -sS --retry 20 --retry-connrefused http://127.0.0.1:8080/";
    assert_eq!(output(&ssh, answer), "hello", "the container answers");
    let failed = output(&ssh, "systemctl list-units --failed --no-legend --plain");
    assert_eq!(failed, "");
    assert_eq!(
        output(&ssh, "getent passwd core | cut -d: -f1-4,7"),
        "core:x:1000:1000:/bin/bash"
    );
    let user = running.ssh(key, "core").expect("port 22 is forwarded");
    assert_eq!(output(&user, "id -un; cd; stat -c %U ."), "core\ncore");
    let state = provisioned(&ssh);
    assert_eq!(state["state"], "applied", "{state:#}");
    assert_eq!(
        state["source"], "QEMU fw_cfg opt/org.keelson/config",
        "{state:#}"
    );
    let steps = output(&ssh, "provision status");
    assert!(
        steps.contains("created file /var/lib/app/token (0600 core:root)"),
        "{steps}"
    );
    assert!(!steps.contains("hunter2"), "{steps}");
    is_secret(&ssh, &user);
}

/// Of the configuration and its secrets nothing is in the journal, and nothing can be read but by root.
fn is_secret(root: &Ssh, user: &Ssh) {
    let told = output(root, "journalctl -b --no-pager | grep -c hunter2 || true");
    assert_eq!(told, "0");
    let everywhere = "/run /etc /var/lib/keelson /sys/firmware /proc/cmdline";
    let search = |text| format!("grep -rlsa --devices=skip {text} {everywhere} || true");
    for text in ["hunter2", "given-by-smbios"] {
        assert_eq!(output(user, &search(text)), "");
    }
    let found = output(root, &search("hunter2"));
    assert!(found.contains("/sys/firmware/qemu_fw_cfg/"), "{found}");
}

/// A name, and a second disk with a file system and swap, mounted by units as Butane writes them.
fn ignition_with_disk() -> String {
    let mount = "[Unit]\nRequires=systemd-fsck@dev-disk-by\\x2dpartlabel-data.service\n\
                 After=systemd-fsck@dev-disk-by\\x2dpartlabel-data.service\n\
                 [Mount]\nWhere=/srv/data\nWhat=/dev/disk/by-partlabel/data\nType=ext4\n\
                 [Install]\nRequiredBy=local-fs.target\n";
    let swap = "[Swap]\nWhat=/dev/disk/by-partlabel/swap\n[Install]\nRequiredBy=swap.target\n";
    json!({
        "ignition": { "version": "3.4.0" },
        "storage": {
            "files": [{ "path": "/etc/hostname", "overwrite": true, "mode": 420,
                        "contents": { "source": "data:,from-esp%0A" } }],
            "disks": [{ "device": "/dev/vdb", "partitions": [
                { "label": "data", "sizeMiB": 512 }, { "label": "swap", "sizeMiB": 0 },
            ]}],
            "filesystems": [
                { "device": "/dev/disk/by-partlabel/data", "format": "ext4", "path": "/srv/data" },
                { "device": "/dev/disk/by-partlabel/swap", "format": "swap" },
            ],
        },
        "systemd": { "units": [
            { "name": "srv-data.mount", "enabled": true, "contents": mount },
            { "name": "dev-disk-by\\x2dpartlabel-swap.swap", "enabled": true, "contents": swap },
        ]},
    })
    .to_string()
}

/// Has the builder put a configuration into a copy of the disk, which becomes the machine's.
fn customize(bench: &Bench, text: &str) {
    let file = bench.folder.path().join("config");
    std::fs::write(&file, text).expect("the configuration is written");
    let output = bench.folder.path().join("customized.raw");
    let mut command = Command::new(builder());
    command.arg("customize").arg(&bench.disk);
    command
        .arg("--config")
        .arg(&file)
        .arg("--output")
        .arg(&output);
    let result = command.output().expect("the builder runs");
    assert!(
        result.status.success(),
        "{}",
        String::from_utf8_lossy(&result.stderr)
    );
    std::fs::rename(&output, &bench.disk).expect("it takes the disk's place");
}

#[test]
fn a_file_on_the_esp_configures_a_machine_and_is_erased_there() {
    let bench = Bench::new(&image());
    customize(&bench, &ignition_with_disk());
    let mut machine = bench.machine("configured-by-esp", bench.direct());
    let extra = bench.folder.path().join("extra.raw");
    let file = std::fs::File::create(&extra).expect("a second disk");
    file.set_len(1 << 30).expect("it can be that long");
    machine.disks.push(Disk::new(&extra));
    let running = bench.start(&machine);
    wait_healthy(&running, 0);
    let ssh = bench.ssh(&running);
    let is_configured = |ssh: &Ssh, source: &str| {
        assert_eq!(output(ssh, "uname -n"), "from-esp");
        assert_eq!(provisioned(ssh)["source"], source);
        assert_eq!(output(ssh, "ls /efi/keelson"), "", "it is erased");
        let show = "findmnt -n -o FSTYPE,SOURCE /srv/data | tr -s ' '";
        assert_eq!(output(ssh, show), "ext4 /dev/vdb1");
        assert_eq!(output(ssh, "swapon --show=NAME --noheadings"), "/dev/vdb2");
        let kept = "stat -c '%a %U' /var/lib/keelson/provision/given.json";
        assert_eq!(output(ssh, kept), "600 root");
    };
    is_configured(&ssh, "keelson/config.ign on the ESP");
    output(&ssh, "echo mine >/srv/data/file; sync");
    let file_systems = "lsblk --noheadings --output UUID,PARTUUID /dev/vdb";
    let made = output(&ssh, file_systems);
    let before = running.console().last_line_number();
    let _ = ssh.run("osctl reset --yes --now");
    wait_healthy(&running, before);
    let ssh = bench.ssh(&running);
    is_configured(
        &ssh,
        "keelson/config.ign on the ESP, before it was erased there",
    );
    assert_eq!(
        output(&ssh, "cat /srv/data/file"),
        "mine",
        "it is another disk"
    );
    assert_eq!(output(&ssh, file_systems), made, "nothing was made anew");
    output(&ssh, "echo more >>/srv/data/file; sync");
    power_off(running);
}

#[test]
fn a_wrong_configuration_stops_the_boot_and_says_why() {
    let bench = Bench::new(&image());
    stops_for_a_wrong_word(&bench);
    stops_for_a_wrong_configuration(&bench);

    // Corrected, the same machine comes up: nothing of the wrong one was applied.
    let server = metadata_service(bench.key.public_line().trim());
    let mut machine = bench.machine("configured-by-metadata", bench.direct());
    let port = port(&server);
    machine.kernel_command_line_extra =
        format!("keelson.soak=1 keelson.platform=ec2 keelson.metadata=http://{HOST}:{port}");
    let running = bench.start(&machine);
    wait_healthy(&running, 0);
    is_configured_by_metadata(&bench, &running);
    assert_clean(&running);
    power_off(running);
}

/// Another disk than the one that is meant is never taken, and a reboot would not mend the word.
fn stops_for_a_wrong_word(bench: &Bench) {
    let mut machine = bench.machine("wrong-word", bench.direct());
    machine.tolerated = vec!["keelson-init: failed".to_owned()];
    "keelson.disk=vda keelson.debug".clone_into(&mut machine.kernel_command_line_extra);
    let mut running = bench.start(&machine);
    for line in [
        "keelson.disk=vda on the kernel command line is not a whole disk such as /dev/vda",
        "the machine stops here",
    ] {
        let seen = running.console().wait_for(line, BOOT_TIMEOUT);
        seen.unwrap_or_else(|e| panic!("{e}"));
    }
    let text = running.console().text();
    assert!(!text.contains("rebooting in"), "{text}");
    running.kill().expect("it ends");
}

/// Before anything of the user's, with a way in because it is asked for, and without a failed boot.
fn stops_for_a_wrong_configuration(bench: &Bench) {
    let mut machine = bench.machine("wrong-configuration", bench.firmware());
    machine.tolerated = vec!["Failed to start keelson-first-boot.service".to_owned()];
    machine
        .kernel_command_line_extra
        .push_str(" keelson.emergency=1 keelson.reboot-delay=soon");
    let text = "hostname = \"a\"\n[[files]]\npath = \"/etc/a\"\nuser = \"nobody-knows\"\n";
    bench.configure(&mut machine, text);
    let mut running = bench.start(&machine);
    let console = running.console();
    let wait = |after: usize, line: &str| {
        let seen = console.wait_after(after, line, BOOT_TIMEOUT);
        seen.unwrap_or_else(|e| panic!("{e}"))
    };
    wait(
        0,
        "keelson.reboot-delay=soon on the kernel command line is not a number of seconds",
    );
    let why = "opt/org.keelson/config:4:1: files[0].user: there is no user nobody-knows";
    wait(0, why);
    wait(0, "the boot stops here");
    let shell = wait(0, "a root shell is on the console").number;
    let ask = |command: &str, answer: &str| {
        // The mark is not what is typed, which the terminal shows as well.
        let typed = format!("{command}; printf '%s-%s\\n' all said\n");
        let after = console.last_line_number();
        console
            .write(typed.as_bytes())
            .expect("the console is there");
        let end = wait(after, "all-said").number;
        let lines = console.lines();
        let mut lines = lines
            .iter()
            .filter(|line| (after..=end).contains(&line.number));
        assert!(
            lines.any(|line| line.text.contains(answer)),
            "{command}: {}",
            console.text()
        );
    };
    wait(shell, "#");
    ask("osctl status", why);
    ask("cat /run/keelson/boot.toml", "failed_boots = 0");
    ask(
        "systemctl is-active multi-user.target kvd.service | sort -u",
        "inactive",
    );
    ask("ls /efi/EFI/Linux", "+3.efi");
    assert!(!console.text().contains("rebooting in"));
    running.kill().expect("it ends");
}

/// EC2's, which is ill at first.
fn metadata_service(key: &str) -> MockServer {
    let key = key.to_owned();
    MockServer::start(move |request| match request.line.as_str() {
        _ if request.number == 0 => Answer::status("503 Service Unavailable"),
        "PUT /latest/api/token" => Answer::text("token"),
        _ if request.header("x-aws-ec2-metadata-token") != Some("token") => {
            Answer::status("401 Unauthorized")
        }
        "GET /latest/user-data" => Answer::text(USER_DATA),
        "GET /latest/meta-data/hostname" => Answer::text("theirs"),
        "GET /latest/meta-data/instance-id" => Answer::text("i-7"),
        "GET /latest/meta-data/public-keys/" => Answer::text("0=mine"),
        "GET /latest/meta-data/public-keys/0/openssh-key" => Answer::text(&key),
        _ => Answer::status("404 Not Found"),
    })
}

fn is_configured_by_metadata(bench: &Bench, running: &Running) {
    let text = running.console().text();
    assert!(text.contains("answers 503"), "{text}");
    let ssh = bench.ssh(running);
    assert_eq!(
        output(&ssh, "uname -n; ls /etc/a 2>&1 || true"),
        "a\nls: cannot access '/etc/a': No such file or directory"
    );
    let facts = output(&ssh, "cat /run/metadata/keelson");
    assert!(facts.contains("KEELSON_INSTANCE_ID=\"i-7\""), "{facts}");
    assert_eq!(output(&ssh, "sysctl -n vm.swappiness"), "7");
    assert_eq!(
        output(&ssh, "cut -d' ' -f1 ~/.ssh/authorized_keys"),
        "ssh-ed25519"
    );
    assert_eq!(output(&ssh, "systemctl is-active hello.service"), "active");
    let failed = output(&ssh, "systemctl list-units --failed --no-legend --plain");
    assert_eq!(failed, "");
    // Nothing that is not needed for it was started before the machine was configured.
    let begin = |unit: &str| {
        let show = format!("systemctl show -P ExecMainStartTimestampMonotonic {unit}");
        let time = output(&ssh, &show).parse::<u64>();
        time.expect("microseconds")
    };
    let configured = begin("keelson-first-boot.service");
    for unit in ["hello.service", "kvd.service", "fleetd.service"] {
        assert!(configured > 0 && configured < begin(unit), "{unit}");
    }
    let state = provisioned(&ssh);
    assert_eq!(state["state"], "applied", "{state:#}");
    assert_eq!(
        state["source"], "the metadata service of EC2 (user data)",
        "{state:#}"
    );
}
