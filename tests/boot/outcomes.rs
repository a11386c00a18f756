//! What an updated machine tells: its store, the metrics, the bus. No test of its own.

use keelson_qemu::ssh::Ssh;
use serde_json::Value;

use crate::support::output;

/// The machine's own kvd becomes its cluster's store. The timer is stopped for good: it would look for
/// releases where none are configured.
pub(crate) fn name_the_store(ssh: &Ssh) {
    output(ssh, "systemctl mask --now keelson-update.timer");
    let settings = "[store]\\nendpoints = [\"http://127.0.0.1:2379\"]\\n";
    let command = format!("printf '{settings}' > /etc/keelson/update.toml");
    output(ssh, &command);
}

/// The store has this outcome of the version, and of no other.
pub(crate) fn assert_told(ssh: &Ssh, version: &str, field: &str, value: &str) {
    let command = "kvctl --v3 get --prefix /keelson/updates/outcomes/";
    let text = output(ssh, command);
    let lines: Vec<&str> = text.lines().collect();
    let [key, told] = lines[..] else {
        panic!("{command}: {text}");
    };
    let machine = output(ssh, "cat /etc/machine-id");
    let end = format!("/{version}/{machine}");
    assert!(key.ends_with(&end), "{key} ends not with {end}");
    let told: Value = serde_json::from_str(told).expect("JSON");
    assert_eq!(told[field], value, "{told}");
}

/// Metrics and bus say that updates are in this state.
pub(crate) fn assert_in_state(ssh: &Ssh, state: &str, version: &str) {
    let metrics = output(ssh, "cat /run/keelson/metrics/update.prom");
    let sample = format!("keelson_update_state{{state=\"{state}\"}} 1");
    assert!(metrics.contains(&sample), "{sample}: {metrics}");
    let property = output(
        ssh,
        "busctl get-property org.keelson.Update1 /org/keelson/Update1 org.keelson.Update1.Manager State",
    );
    assert_eq!(property, format!("(ss) \"{state}\" \"{version}\""));
}
