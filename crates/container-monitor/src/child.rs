//! Children that ended, each with whether it became the program that it was started for.
//!
//! The runtime's last step is to become the payload. If the kernel refuses that, all that is seen from outside is a
//! process that ends with code 1, which many programs do.

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus as Seen, waitid};
use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};

/// `PF_FORKNOEXEC` of the kernel: it was made, and has executed nothing since.
const NEVER_EXECUTED: u64 = 0x40;
/// Where `proc_pid_stat(5)` has a process's flags, counted behind the name in brackets.
const FLAGS_FIELD: usize = 6;

/// A child that ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) pid: Pid,
    pub(crate) status: WaitStatus,
    /// Whether it executed a program.
    pub(crate) has_executed: bool,
}

impl Ended {
    /// Whether it ended by itself because there was nothing that could be executed.
    pub(crate) fn could_not_begin(&self) -> bool {
        !self.has_executed && self.status.exit_status().is_some()
    }
}

/// Takes one, if there is one.
pub(crate) fn next() -> Option<Ended> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    let (Seen::Exited(pid, _) | Seen::Signaled(pid, _, _)) = waitid(Id::All, flags).ok()? else {
        return None;
    };
    let pid = Pid::from_raw(pid.as_raw())?;
    // As long as nobody waited for it, it is listed.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    let has_executed = stat.map_or(true, |stat| has_executed(&stat));
    let (pid, status) = waitpid(Some(pid), WaitOptions::NOHANG).ok()??;
    Some(Ended {
        pid,
        status,
        has_executed,
    })
}

fn has_executed(stat: &str) -> bool {
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest);
    let field = fields.and_then(|rest| rest.split_whitespace().nth(FLAGS_FIELD));
    let flags = field.and_then(|flags| flags.parse::<u64>().ok());
    flags.is_none_or(|flags| flags & NEVER_EXECUTED == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_behind_the_name() {
        let stat = |flags: u64| format!("7 (a b) c) Z 1 7 7 0 -1 {flags} 0 0");
        assert!(has_executed(&stat(0x40_0000)));
        assert!(!has_executed(&stat(0x40_0040)));
        assert!(has_executed("nothing"));
    }

    #[test]
    fn a_process_knows_whether_it_was_executed() {
        let own = std::fs::read_to_string("/proc/self/stat").unwrap();
        assert!(has_executed(&own));
    }
}
