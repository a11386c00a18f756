//! An engine in a process of its own, so that its time and memory can be told from the agents'.
//!
//! It is the one that `fleetd` runs; what `fleetd` has beside it is not here.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use fleet_engine::{Config, Engine};
use fleet_etcd::{EtcdStore, Options};
use fleet_model::MachineId;

use crate::command::OWN_PROGRAM;
use crate::kv::server::{megabytes, processor_seconds};

/// What the process is told.
#[derive(Debug, Args)]
pub(crate) struct Order {
    /// Where the store is.
    #[arg(long)]
    store: String,
}

/// The process; ended when dropped.
#[derive(Debug)]
pub(crate) struct EngineProcess {
    child: Child,
}

/// A store at a URL.
pub(crate) fn open(url: &str) -> anyhow::Result<EtcdStore> {
    let options = Options {
        servers: vec![url.parse()?],
        user: None,
        tls: kv_client::Tls::default(),
        timeout: Duration::from_secs(30),
    };
    Ok(EtcdStore::new(options, Arc::new(|_, _| ())))
}

impl Order {
    /// Runs an engine until the process is killed.
    pub(crate) fn obey(&self) -> anyhow::Result<()> {
        let store = open(&self.store)?;
        let runtime = tokio::runtime::Runtime::new()?;
        let config = Config::new(MachineId::new("engine"), "bench");
        runtime.block_on(Engine::new(store, config).run(std::future::pending()));
        Ok(())
    }
}

impl EngineProcess {
    /// Starts one for a store.
    pub(crate) fn start(url: &str) -> anyhow::Result<Self> {
        let mut command = Command::new(OWN_PROGRAM);
        command
            .args(["engine", "--store", url])
            .stdin(Stdio::null());
        let child = command.spawn()?;
        Ok(Self { child })
    }

    /// User and system time so far.
    pub(crate) fn processor_seconds(&self) -> anyhow::Result<f64> {
        processor_seconds(self.child.id())
    }

    /// Resident memory, in millions of bytes.
    pub(crate) fn resident_megabytes(&self) -> anyhow::Result<f64> {
        megabytes(self.child.id(), "VmRSS:")
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}
