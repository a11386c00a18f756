//! A machine that gets its configuration: from QEMU's `fw_cfg`, once and again after a reset; from the ESP; and
//! one that gets a wrong one, and says so instead of starting.

use keelson_qemu::ssh::{Ssh, SshKey};
use keelson_qemu::{Machine, Running};
use serde_json::{Value, json};

use crate::installed::InstalledDisk;
use crate::support::{BOOT_TIMEOUT, Bench, assert_clean, image, output, power_off, wait_healthy};

/// Gives a machine a configuration by QEMU's `fw_cfg`.
fn configure(machine: &mut Machine, bench: &Bench, text: &str) {
    let file = bench.folder.path().join("config");
    std::fs::write(&file, text).expect("the configuration is written");
    let item = format!("name=opt/org.keelson/config,file={}", file.display());
    machine
        .extra_arguments
        .extend(["-fw_cfg".into(), item.into()]);
}

/// A user with a key, a file, a unit and a name, as Butane would write it.
fn ignition(key: &str) -> String {
    let unit = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/true\n\
                [Install]\nWantedBy=multi-user.target\n";
    json!({
        "ignition": { "version": "3.5.0" },
        "passwd": { "users": [{ "name": "core", "sshAuthorizedKeys": [key.trim()] }] },
        "storage": { "files": [
            { "path": "/etc/hostname", "overwrite": true, "mode": 420, "contents": { "source": "data:,node7%0A" } },
            { "path": "/var/lib/app/token", "mode": 384, "user": { "name": "core" },
              "contents": { "source": "data:,hunter2" } },
        ]},
        "systemd": { "units": [{ "name": "hello.service", "enabled": true, "contents": unit }] },
    })
    .to_string()
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
    configure(&mut machine, &bench, &ignition(key.public_line()));
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
    assert_eq!(output(&ssh, "systemctl is-active hello.service"), "active");
    assert_eq!(
        output(&ssh, "systemctl is-enabled hello.service"),
        "enabled"
    );
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
}

#[test]
fn a_file_on_the_esp_configures_a_machine_without_firmware_items() {
    let bench = Bench::new(&image());
    let text = "hostname = \"from-esp\"\n";
    InstalledDisk::open(&bench.disk).write_to_esp("keelson/config.toml", text.as_bytes());
    let running = bench.start(&bench.machine("configured-by-esp", bench.direct()));
    wait_healthy(&running, 0);
    let ssh = bench.ssh(&running);
    assert_eq!(output(&ssh, "uname -n"), "from-esp");
    assert_eq!(
        provisioned(&ssh)["source"],
        "keelson/config.toml on the ESP"
    );
    power_off(running);
}

#[test]
fn a_wrong_configuration_stops_the_boot_and_says_why() {
    let bench = Bench::new(&image());
    let mut machine = bench.machine("wrong-configuration", bench.direct());
    machine.tolerated = vec!["keelson-init: failed".to_owned()];
    let text = "hostname = \"a\"\n[[files]]\npath = \"/etc/a\"\nuser = \"nobody-knows\"\n";
    configure(&mut machine, &bench, text);
    let mut running = bench.start(&machine);
    let why = "opt/org.keelson/config:4:1: files[0].user: there is no user nobody-knows";
    running
        .console()
        .wait_for(why, BOOT_TIMEOUT)
        .unwrap_or_else(|e| panic!("{e}"));
    running
        .console()
        .wait_for("rebooting in", BOOT_TIMEOUT)
        .unwrap_or_else(|e| panic!("{e}"));
    let text = running.console().text();
    assert!(!text.contains("systemd[1]"), "{text}");
    running.kill().expect("it ends");

    // Corrected, the same machine comes up: nothing of the wrong one was applied.
    let mut machine = bench.machine("corrected-configuration", bench.direct());
    configure(&mut machine, &bench, "hostname = \"a\"\n");
    let running = bench.start(&machine);
    wait_healthy(&running, 0);
    let ssh = bench.ssh(&running);
    assert_eq!(
        output(&ssh, "uname -n; ls /etc/a 2>&1 || true"),
        "a\nls: cannot access '/etc/a': No such file or directory"
    );
    power_off(running);
}
