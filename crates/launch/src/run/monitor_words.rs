//! What the monitor is told of streams, health, and the record of the end.
//!
//! Its other words are in `run`.

use anyhow::{Context as _, bail};
use container_model::health::{HealthAction, HealthSettings};
use container_model::name::Name;
use container_model::oci_spec::runtime::Spec;
use container_model::spec::Cgroup;
use monitor_protocol::health::OnFailure;
use monitor_protocol::{HealthCheck, RECORDS};

use super::path_text;
use super::unit::Unit;
use crate::run_arguments::{Notify, RunArguments};

/// What a terminal understands, unless somebody says otherwise; Docker's.
const TERMINAL: &str = "TERM=xterm";
/// Records of runs that are kept. Those of containers that ran last stay.
const RECORDS_MAX: usize = 1000;

/// The words.
pub(crate) fn words(
    arguments: &RunArguments,
    unit: &Unit,
    name: &Name,
    health: Option<HealthSettings>,
) -> anyhow::Result<Vec<String>> {
    let monitored = &arguments.monitored;
    if health.is_none() && arguments.notify == Notify::Healthy {
        bail!("--notify=healthy needs --health-cmd, or an image with HEALTHCHECK");
    }
    let health = health.map(|settings| serde_json::to_string(&check(settings)));
    std::fs::create_dir_all(RECORDS).context(RECORDS)?;
    forget_old_records();
    let cgroup = match unit.cgroup() {
        Cgroup::Own(path) => path,
        Cgroup::Inherited => "",
    };
    let hold = monitored.hold.as_deref().map(path_text).transpose()?;
    let unit_name = unit.name().filter(|_| is_main_process());
    // A terminal has one side only: it cannot be inherited.
    let output = if monitored.tty {
        "journal"
    } else {
        unit.output()
    };
    Ok(vec![
        format!("--output={output}"),
        format!("--unit={}", unit_name.unwrap_or_default()),
        format!("--cgroup={cgroup}"),
        format!("--terminal={}", monitored.tty),
        format!("--input={}", monitored.interactive),
        format!("--hold={}", hold.unwrap_or_default()),
        format!("--record={RECORDS}/{name}.json"),
        format!("--health={}", health.transpose()?.unwrap_or_default()),
    ])
}

/// Whether systemd started this process itself. Who is only counted with a unit, as a login on a console may be, is
/// not to have it stopped.
pub(crate) fn is_main_process() -> bool {
    let own = std::process::id().to_string();
    std::env::var("SYSTEMD_EXEC_PID").is_ok_and(|pid| pid == own)
}

fn check(settings: HealthSettings) -> HealthCheck {
    let milliseconds =
        |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    HealthCheck {
        command: settings.command,
        interval_ms: milliseconds(settings.interval),
        timeout_ms: milliseconds(settings.timeout),
        retries: settings.retries,
        start_period_ms: milliseconds(settings.start_period),
        start_interval_ms: milliseconds(settings.start_interval),
        on_failure: match settings.on_failure {
            HealthAction::None => OnFailure::None,
            HealthAction::Kill => OnFailure::Kill,
            HealthAction::Restart => OnFailure::Restart,
            HealthAction::Stop => OnFailure::Stop,
        },
    }
}

/// Containers with a name for each run would fill the disk in the end.
fn forget_old_records() {
    let entries = std::fs::read_dir(RECORDS).into_iter().flatten().flatten();
    let entries: Vec<_> = entries.collect();
    if entries.len() <= RECORDS_MAX {
        return;
    }
    let dated = entries
        .into_iter()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())));
    let mut records: Vec<_> = dated.collect();
    records.sort();
    let surplus = records.len().saturating_sub(RECORDS_MAX);
    for (_, path) in &records[..surplus] {
        // Another launcher was quicker.
        let _removed = std::fs::remove_file(path);
    }
}

/// The process gets a terminal, and is told what it understands.
pub(crate) fn add_terminal(spec: &mut Spec) {
    let Some(mut process) = spec.process().clone() else {
        return;
    };
    process.set_terminal(Some(true));
    let mut environment = process.env().clone().unwrap_or_default();
    if !environment.iter().any(|one| one.starts_with("TERM=")) {
        environment.push(TERMINAL.to_owned());
    }
    process.set_env(Some(environment));
    spec.set_process(Some(process));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_a_type_unless_one_is_given() {
        let environment = |given: &[&str]| {
            let mut spec = Spec::default();
            let mut process = spec.process().clone().unwrap();
            process.set_env(Some(given.iter().map(ToString::to_string).collect()));
            spec.set_process(Some(process));
            add_terminal(&mut spec);
            let process = spec.process().clone().unwrap();
            assert_eq!(process.terminal(), Some(true));
            process.env().clone().unwrap()
        };
        assert_eq!(environment(&["A=1"]), ["A=1", "TERM=xterm"]);
        assert_eq!(environment(&["TERM=linux"]), ["TERM=linux"]);
    }
}
