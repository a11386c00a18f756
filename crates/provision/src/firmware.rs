//! What the kernel says of this boot and this machine, for both stages of the first boot.
//!
//! Asks nobody.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use machine_facts::provision_record::{Outcome, Record};
use provision::network_source::Choice;

use crate::record::unsourced;

/// Where it stands.
#[derive(Debug, Args)]
pub(crate) struct Firmware {
    /// Where the kernel shows firmware and devices
    #[arg(long, value_name = "DIR", default_value = "/sys")]
    pub(crate) sys: PathBuf,
    /// Folder for what is for this boot alone
    #[arg(long, value_name = "DIR", default_value = "/run")]
    pub(crate) run: PathBuf,
    /// File with the kernel command line
    #[arg(long, value_name = "FILE", default_value = "/proc/cmdline")]
    pub(crate) command_line: PathBuf,
}

impl Firmware {
    /// What there is to ask on the network, or the record of a command line that cannot be obeyed.
    pub(crate) fn choice(&self) -> anyhow::Result<Result<Choice, Record>> {
        let file = &self.command_line;
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Choice::make(&text, &self.sys).map_err(|error| {
            let problems = vec![error.to_string()];
            Record {
                source: Some("the kernel command line".to_owned()),
                ..unsourced(Outcome::Refused { problems })
            }
        }))
    }
}
