//! The systemd unit of a container that has a record.
//!
//! What is limited and mounted stands in the record; of that the unit shows only where it is.

use systemd_unit::words::quote;

use crate::record::{Record, RestartPolicy};

/// Seconds beyond the container's own time that systemd waits before it kills all.
const MARGIN: u32 = 10;

/// The unit's text; `folder` has the record.
pub fn text(record: &Record, folder: &str) -> String {
    let (policy, limit) = restart(record.restart);
    let escaped = |text: &str| text.replace('%', "%%").replace(['\n', '\\'], " ");
    let name = escaped(&record.name);
    let image = escaped(&record.image);
    let folder = quote(&folder.replace('%', "%%"));
    let stop = u64::from(record.stop_timeout) + u64::from(MARGIN);
    format!(
        "# Written by launcherd, and again at each change.\n\
         [Unit]\n\
         Description=Container {name} ({image})\n\
         After=containerd.socket network.target\n\
         {limit}\n\
         \n\
         [Service]\n\
         Type=notify\n\
         NotifyAccess=main\n\
         Delegate=yes\n\
         DelegateSubgroup=launch\n\
         KillMode=mixed\n\
         # An image may have to be unpacked first.\n\
         TimeoutStartSec=15min\n\
         TimeoutStopSec={stop}\n\
         {policy}\
         ExecStart=/usr/bin/launch run --record={folder}\n\
         ExecStopPost=/usr/bin/launch ended --record={folder}\n"
    )
}

/// Docker's waits between restarts begin at 100 ms, double, and end at a minute.
fn restart(policy: RestartPolicy) -> (String, String) {
    let word = match policy {
        RestartPolicy::No => return (String::new(), "StartLimitIntervalSec=0".to_owned()),
        RestartPolicy::Always | RestartPolicy::UnlessStopped => "always",
        RestartPolicy::OnFailure(_) => "on-failure",
    };
    let limit = match policy.count() {
        0 => "StartLimitIntervalSec=0".to_owned(),
        // The first start counts, too.
        count => format!(
            "StartLimitIntervalSec=infinity\nStartLimitBurst={}",
            count.saturating_add(1)
        ),
    };
    let steps = "RestartSec=100ms\nRestartSteps=9\nRestartMaxDelaySec=60\n";
    (format!("Restart={word}\n{steps}"), limit)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn record(restart: RestartPolicy) -> Record {
        Record {
            id: "ab".repeat(32),
            name: "web".to_owned(),
            created: 0,
            image: "busybox".to_owned(),
            image_id: String::new(),
            launch: Vec::new(),
            command: Vec::new(),
            restart,
            is_removed_at_end: false,
            has_terminal: false,
            has_input: false,
            stop_timeout: 10,
            stop_signal: 15,
            labels: [].into(),
            config: Value::Null,
            host_config: Value::Null,
            mounts: Vec::new(),
        }
    }

    #[test]
    fn policies_are_systemds() {
        let no = text(&record(RestartPolicy::No), "/var/x");
        assert!(
            no.contains("ExecStart=/usr/bin/launch run --record=/var/x\n"),
            "{no}"
        );
        assert!(
            no.contains("TimeoutStopSec=20\n") && !no.contains("Restart="),
            "{no}"
        );
        let always = text(&record(RestartPolicy::Always), "/var/x");
        assert!(
            always.contains("Restart=always\nRestartSec=100ms\n"),
            "{always}"
        );
        assert!(always.contains("StartLimitIntervalSec=0\n"), "{always}");
        let three = text(&record(RestartPolicy::OnFailure(3)), "/var/x");
        assert!(
            three.contains("StartLimitBurst=4\n") && three.contains("Restart=on-failure\n"),
            "{three}"
        );
    }
}
