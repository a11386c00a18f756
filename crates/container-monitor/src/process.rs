//! What the runtime is told of another process in the container: the payload's own description, changed.
//!
//! Everything that confines the payload confines it, too. The bundle's `config.json` is read when it is needed:
//! kept, it would cost memory in every monitor.

use std::io::Read as _;

use container_model::capability;
use container_model::user::{ResolvedUser, UserOption};
use monitor_protocol::message::{Exec, ExecStreams};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::process::Pid;
use serde_json::{Value, json};

/// Variables that are for the payload alone.
const OWN: &[&str] = &[
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
];
/// What a terminal understands, unless somebody says otherwise.
const TERMINAL: &str = "xterm";
/// Nobody has a longer `passwd`, and an image is not to fill memory.
const LENGTH_MAX: u64 = 4 * 1024 * 1024;

/// The description of a process, of that of the payload with this number.
pub(crate) fn describe(exec: &Exec, payload: Pid) -> Result<Vec<u8>, String> {
    let text = std::fs::read("config.json").map_err(|error| format!("config.json: {error}"))?;
    let mut config: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let mut process = config["process"].take();
    let user = exec.user.as_deref().map(|user| resolve(user, payload));
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    change(
        &mut process,
        exec,
        user.transpose()?.as_ref(),
        &held(&status),
    );
    serde_json::to_vec(&process).map_err(|error| error.to_string())
}

/// The names of the capabilities that the monitor has by its own `/proc/PID/status`. It cannot give others, and on a
/// machine that is itself a container these are not all.
fn held(status: &str) -> Vec<String> {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapPrm:"));
    let held = mask.and_then(capability::of_mask);
    let held = held.unwrap_or_else(capability::all);
    held.into_iter().map(capability::name).collect()
}

fn change(process: &mut Value, exec: &Exec, user: Option<&ResolvedUser>, held: &[String]) {
    process["args"] = json!(exec.command);
    let mut environment = environment(&process["env"], exec);
    if let Some(user) = user {
        process["user"] = json!({
            "uid": user.uid, "gid": user.gid, "additionalGids": user.additional_gids,
        });
        let is_given = |one: &String| one.starts_with("HOME=");
        if !exec.environment.iter().any(is_given) {
            set(&mut environment, format!("HOME={}", user.home));
        }
    }
    if let Some(folder) = &exec.working_directory {
        process["cwd"] = json!(folder);
    }
    let size = match exec.streams {
        ExecStreams::Terminal { size } => size,
        ExecStreams::Detached | ExecStreams::Pipes { .. } => None,
    };
    let has_terminal = matches!(exec.streams, ExecStreams::Terminal { .. });
    process["terminal"] = json!(has_terminal);
    process["consoleSize"] = match size {
        Some(size) => json!({"height": size.rows, "width": size.columns}),
        None => Value::Null,
    };
    if has_terminal && !environment.iter().any(|one| one.starts_with("TERM=")) {
        environment.push(format!("TERM={TERMINAL}"));
    }
    process["env"] = json!(environment);
    if exec.privileged {
        process["capabilities"] = json!({"bounding": held, "effective": held, "permitted": held});
        process["noNewPrivileges"] = json!(false);
    }
    if let Some(process) = process.as_object_mut() {
        process.retain(|_, value| !value.is_null());
    }
}

/// The payload's, and over them those that are given.
fn environment(of_payload: &Value, exec: &Exec) -> Vec<String> {
    let of_payload = of_payload.as_array().into_iter().flatten();
    let mut all: Vec<String> = of_payload
        .filter_map(|one| one.as_str().map(ToOwned::to_owned))
        .filter(|one| !OWN.contains(&name(one)))
        .collect();
    for one in &exec.environment {
        set(&mut all, one.clone());
    }
    all
}

fn name(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}

fn set(all: &mut Vec<String>, variable: String) {
    all.retain(|one| name(one) != name(&variable));
    all.push(variable);
}

/// By the files that the payload sees now.
fn resolve(user: &str, payload: Pid) -> Result<ResolvedUser, String> {
    let user: UserOption = user.parse().map_err(|error| format!("{error}"))?;
    let root = format!("/proc/{}/root", payload.as_raw_nonzero());
    let passwd = read(&root, "etc/passwd");
    let group = read(&root, "etc/group");
    user.resolve(&passwd, &group)
        .map_err(|error| error.to_string())
}

/// A file below a root, where no link leads out of it; empty if it cannot be read.
fn read(root: &str, path: &str) -> String {
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let file = openat(CWD, root, folder, Mode::empty()).and_then(|root| {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(root, path, flags, Mode::empty(), inside)
    });
    let mut bytes = Vec::new();
    if let Ok(file) = file {
        let file = std::fs::File::from(file);
        // Half a file names fewer users.
        let _read = file.take(LENGTH_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use monitor_protocol::WindowSize;

    use super::*;

    fn payload() -> Value {
        json!({
            "args": ["web"], "cwd": "/srv", "user": {"uid": 33, "gid": 33}, "noNewPrivileges": true,
            "env": ["PATH=/bin", "A=1", "HOME=/srv", "NOTIFY_SOCKET=/run/notify/socket"],
            "capabilities": {"bounding": ["CAP_KILL"]}, "rlimits": [],
        })
    }

    fn exec(streams: ExecStreams) -> Exec {
        Exec {
            command: vec!["sh".to_owned(), "-c".to_owned()],
            environment: vec!["A=2".to_owned()],
            user: None,
            working_directory: None,
            privileged: false,
            streams,
        }
    }

    #[test]
    fn it_is_confined_as_the_payload_is() {
        let mut process = payload();
        change(&mut process, &exec(ExecStreams::Detached), None, &[]);
        let expected = json!({
            "args": ["sh", "-c"], "cwd": "/srv", "user": {"uid": 33, "gid": 33}, "noNewPrivileges": true,
            "env": ["PATH=/bin", "HOME=/srv", "A=2"], "terminal": false,
            "capabilities": {"bounding": ["CAP_KILL"]}, "rlimits": [],
        });
        assert_eq!(process, expected);
    }

    #[test]
    fn what_is_asked_for_is_changed() {
        let size = WindowSize {
            rows: 7,
            columns: 40,
        };
        let mut exec = exec(ExecStreams::Terminal { size: Some(size) });
        exec.working_directory = Some("/tmp".to_owned());
        exec.privileged = true;
        let user = ResolvedUser {
            uid: 0,
            gid: 1,
            additional_gids: vec![2],
            home: "/root".to_owned(),
        };
        let mut process = payload();
        let held = held("Name:\tx\nCapPrm:\t000001fffeffffff\n");
        change(&mut process, &exec, Some(&user), &held);
        assert_eq!(process["cwd"], "/tmp");
        assert_eq!(process["consoleSize"], json!({"height": 7, "width": 40}));
        assert_eq!(
            process["user"],
            json!({"uid": 0, "gid": 1, "additionalGids": [2]})
        );
        assert_eq!(
            process["env"],
            json!(["PATH=/bin", "A=2", "HOME=/root", "TERM=xterm"])
        );
        assert_eq!(process["noNewPrivileges"], false);
        let bounding = process["capabilities"]["bounding"].as_array().unwrap();
        assert!(bounding.contains(&json!("CAP_SYS_ADMIN")));
        assert!(!bounding.contains(&json!("CAP_SYS_RESOURCE")));
    }
}
