//! Which processes live: each is watched from when it is first asked about until it ends.
//!
//! A process is known by its number and the time of its start, since numbers are given again.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::net::unix::pipe::Receiver;
use tokio::task::JoinSet;

/// Where `proc_pid_stat(5)` has the time of a process's start, counted behind the name in brackets.
const START_FIELD: usize = 19;

/// A process.
type Process = (u32, u64);

/// Processes that are watched.
#[derive(Debug, Default)]
pub(super) struct Lives {
    alive: BTreeSet<Process>,
    ends: JoinSet<Process>,
}

impl Lives {
    /// Whether a process lives. Who learns it is told of its end.
    pub(super) fn is_alive(&mut self, number: u32, started: u64) -> bool {
        let process = (number, started);
        if self.alive.contains(&process) {
            return true;
        }
        let Some(handle) = open(process) else {
            return false;
        };
        self.alive.insert(process);
        self.ends.spawn(async move {
            // A handle can be read once its process has ended; what cannot be watched counts as ended.
            // It is no pipe, and nothing is read: of what can be waited for, a pipe's end is what needs least.
            if let Ok(watched) = Receiver::from_owned_fd_unchecked(handle) {
                let _ended = watched.readable().await;
            }
            process
        });
        true
    }

    /// Waits until one ends that was found alive.
    pub(super) async fn ended(&mut self) {
        match self.ends.join_next().await {
            Some(Ok(process)) => {
                self.alive.remove(&process);
            }
            // A task that is gone with the runtime.
            Some(Err(_)) => {}
            None => std::future::pending().await,
        }
    }
}

/// A handle of the process, if it is the one that was meant.
fn open((number, started): Process) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(number).ok()?)?;
    let handle = pidfd_open(pid, PidfdFlags::NONBLOCK).ok()?;
    // Read after the handle was made: it stands for this one.
    (running_since(number)? == started).then_some(handle)
}

/// When a process was started that has not ended, in the kernel's ticks since the boot.
fn running_since(number: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    // One that ended and whose end nobody asked for yet.
    fields.next().filter(|state| !["Z", "X"].contains(state))?;
    fields.nth(START_FIELD - 1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_lives_until_it_ends() {
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let started = running_since(child.id()).unwrap();
        let mut lives = Lives::default();
        assert!(lives.is_alive(child.id(), started));
        assert!(!lives.is_alive(child.id(), started + 1), "another one");
        child.kill().unwrap();
        lives.ended().await;
        assert!(
            !lives.is_alive(child.id(), started),
            "nobody has asked for its end"
        );
        child.wait().unwrap();
        assert!(!lives.is_alive(child.id(), started));
    }
}
