//! Makes and checks an ext4 file system with the verified root's own e2fsprogs.
//!
//! Whether either should be done is decided in [`crate::state::partition`].
use crate::report::console;
use crate::report::error::ActionFailed;
use crate::root::tools::{self, Finished};
use crate::state::random;

const MKFS: &str = "/usr/sbin/mkfs.ext4";
const FSCK: &str = "/usr/sbin/e2fsck";

/// Why there is no sound file system.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ext4ToolsError {
    /// The program could not be run.
    #[error(transparent)]
    Action(#[from] ActionFailed),
    /// It ran and failed.
    #[error("{program} on {path} ended with {status}: {output}")]
    Failed {
        /// Its path in the root.
        program: &'static str,
        /// The partition.
        path: String,
        /// How it ended.
        status: String,
        /// What it printed.
        output: String,
    },
    /// e2fsck asks for a reboot (exit code 2).
    #[error("e2fsck repaired {path} and asks for a reboot: {output}")]
    RebootWanted {
        /// The partition.
        path: String,
        /// What it printed.
        output: String,
    },
}

/// What an exit code of e2fsck(8) means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Sound,
    RebootWanted,
    Failed,
}

/// What mkfs does to the blocks before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Former {
    /// Nothing: they are blank, and discarding terabytes takes long.
    Blank,
    /// It tells the disk that what they held is not needed any more.
    Discarded,
}

/// Makes an empty file system over whatever is there.
pub(crate) fn make(path: &str, former: Former) -> Result<(), Ext4ToolsError> {
    let uuid = random::uuid()?.to_string();
    // -b: a small partition would get 1 KiB blocks for ever, which 4Kn disks refuse.
    let discard = match former {
        Former::Blank => "nodiscard",
        Former::Discarded => "discard",
    };
    let arguments = format!(
        "-q -F -L state -U {uuid} -b 4096 -I 256 -m 0 -O metadata_csum,64bit \
         -E lazy_itable_init=1,lazy_journal_init=1,{discard} {path}"
    );
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let finished = tools::run(MKFS, &arguments)?;
    match finished.code {
        Some(0) => Ok(()),
        _ => Err(failed(MKFS, path, finished)),
    }
}

/// Repairs what can be repaired without asking.
pub(crate) fn check(path: &str) -> Result<(), Ext4ToolsError> {
    console::warning(&format!("checking the file system on {path}"));
    let finished = tools::run(FSCK, &["-p", path])?;
    match verdict(finished.code) {
        Verdict::Sound => {
            console::warning(&finished.output);
            Ok(())
        }
        Verdict::RebootWanted => {
            let (path, output) = (path.to_owned(), finished.output);
            Err(Ext4ToolsError::RebootWanted { path, output })
        }
        Verdict::Failed => Err(failed(FSCK, path, finished)),
    }
}

/// The codes are bits: 1 errors corrected, 2 reboot, 4 and above not corrected.
fn verdict(code: Option<i32>) -> Verdict {
    match code {
        Some(0 | 1) => Verdict::Sound,
        Some(2 | 3) => Verdict::RebootWanted,
        _ => Verdict::Failed,
    }
}

fn failed(program: &'static str, path: &str, finished: Finished) -> Ext4ToolsError {
    let Finished { status, output, .. } = finished;
    Ext4ToolsError::Failed {
        program,
        path: path.to_owned(),
        status,
        output,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_bits() {
        let verdicts = [0, 1, 2, 3, 4, 5, 8, 16, 32, 128].map(|code| verdict(Some(code)));
        assert_eq!(verdicts[..2], [Verdict::Sound; 2]);
        assert_eq!(verdicts[2..4], [Verdict::RebootWanted; 2]);
        assert_eq!(verdicts[4..], [Verdict::Failed; 6]);
        assert_eq!(verdict(None), Verdict::Failed, "killed by a signal");
    }
}
