//! openraft's own test suite, over the real log and the real store.
use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use raft_log::{MemoryDisk, RaftLog};
use tempfile::TempDir;

use super::LogStorage;
use crate::state_machine::StateMachine;
use crate::types::TypeConfig;

struct Builder;

impl StoreBuilder<TypeConfig, LogStorage, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStorage, StateMachine), StorageError<TypeConfig>> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = Arc::new(MemoryDisk::new());
        let options = raft_log::Options::default();
        let log = RaftLog::open(disk, folder.path(), options).expect("an empty log");
        let store = kv_store::Store::open(folder.path(), kv_store::Options::default());
        let machine = StateMachine::new(store.expect("an empty store")).expect("no progress yet");
        // The suite cuts the log where nothing was applied, so the store is not asked.
        Ok((folder, LogStorage::new(log, None), machine))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openrafts_suite_passes() {
    Suite::test_all(Builder).await.expect("openraft's suite");
}
