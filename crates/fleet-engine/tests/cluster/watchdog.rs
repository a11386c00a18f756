//! A machine's own clock: it kills what stops on partitions in time, whether or not the agent lives.
//!
//! It talks to nobody.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleet_model::MachineId;
use tokio::time::sleep;

use crate::ground::Ground;

pub(crate) async fn run(id: MachineId, ground: Arc<Mutex<Ground>>) {
    loop {
        sleep(Duration::from_millis(100)).await;
        ground.lock().unwrap().kill_in_time(&id);
    }
}
