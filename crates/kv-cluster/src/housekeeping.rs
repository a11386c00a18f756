//! Keeps the log short: has the store made durable, and the log cut behind it, after so many bytes.
//!
//! openraft does the same after so many entries. Nothing runs while nothing is written.
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use raft_log::RaftLog;
use tokio::sync::watch;

use crate::replica::Position;
use crate::state_machine::StateMachine;
use crate::types::Raft;

/// The log may be so many times what is written between two snapshots; then nothing is kept for
/// slow members.
const LOG_MAX_SNAPSHOTS: u64 = 4;
/// How long making the store durable may take before it is asked for again.
const PATIENCE: Duration = Duration::from_mins(1);
/// At most this often.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs until the member stops.
pub(crate) async fn run(
    raft: Raft,
    machine: StateMachine,
    log: RaftLog,
    snapshot_bytes: u64,
    mut position: watch::Receiver<Position>,
) {
    let mut done_bytes = machine.applied_bytes();
    loop {
        if position.changed().await.is_err() {
            return;
        }
        // Not with every entry: a busy member would look as often as it applies.
        tokio::time::sleep(PAUSE).await;
        let bytes = machine.applied_bytes();
        if bytes - done_bytes < snapshot_bytes {
            continue;
        }
        done_bytes = bytes;
        let from = position.borrow().raft_index;
        if raft.trigger().snapshot().await.is_err() {
            return;
        }
        let Some(snapshot) = wait_for_snapshot(&raft, from).await else {
            continue;
        };
        if log.disk_bytes() > LOG_MAX_SNAPSHOTS * snapshot_bytes
            && raft.trigger().purge_log(snapshot).await.is_err()
        {
            return;
        }
    }
}

async fn wait_for_snapshot(raft: &Raft, from: u64) -> Option<u64> {
    let mut metrics = raft.metrics();
    let reached = async {
        loop {
            let index = metrics.borrow_and_update().snapshot.map(|id| id.index);
            if index >= Some(from) {
                return index;
            }
            metrics.changed().await.ok()?;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.ok()?
}
