//! The options of `launch run` that the monitor follows while the container runs: streams, and checks of health.
//!
//! What the values mean is decided in `container-model` and `monitor-protocol`.

use std::path::PathBuf;

use clap::Args;
use container_model::health::{HealthAction, HealthCommand, HealthOptions, HealthTime};
use monitor_protocol::DetachKeys;

#[derive(Debug, Clone, Args)]
pub(crate) struct MonitorArguments {
    /// Give the container a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Give the container a standard input
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// The keys by which the terminal is left while the container goes on
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    pub(crate) detach_keys: DetachKeys,
    /// If this file exists, hold the container until a client of its monitor says start
    #[arg(long, value_name = "FILE")]
    pub(crate) hold: Option<PathBuf>,
    /// Check the container's health by a line for its shell, or a program's words as a JSON array
    #[arg(long, value_name = "COMMAND", conflicts_with = "no_healthcheck")]
    health_cmd: Option<HealthCommand>,
    /// From one check to the next, such as 30s
    #[arg(long, value_name = "TIME")]
    health_interval: Option<HealthTime>,
    /// A check that takes longer is killed, and has failed
    #[arg(long, value_name = "TIME")]
    health_timeout: Option<HealthTime>,
    /// So many failures in a row are unhealthy
    #[arg(long, value_name = "NUMBER")]
    health_retries: Option<u32>,
    /// Failures in this time from the start do not count
    #[arg(long, value_name = "TIME")]
    health_start_period: Option<HealthTime>,
    /// From one check to the next in that time
    #[arg(long, value_name = "TIME")]
    health_start_interval: Option<HealthTime>,
    /// What is done about an unhealthy container: none, kill, restart (fail, and leave it to Restart=) or stop
    #[arg(long, value_name = "ACTION", default_value = "none")]
    health_on_failure: HealthAction,
    /// Do not check the container's health, even if the image says how
    #[arg(long)]
    no_healthcheck: bool,
}

impl MonitorArguments {
    pub(crate) fn health(&self) -> HealthOptions {
        let command = if self.no_healthcheck {
            Some(HealthCommand::None)
        } else {
            self.health_cmd.clone()
        };
        HealthOptions {
            command,
            interval: self.health_interval,
            timeout: self.health_timeout,
            retries: self.health_retries,
            start_period: self.health_start_period,
            start_interval: self.health_start_interval,
            on_failure: self.health_on_failure,
        }
    }
}
