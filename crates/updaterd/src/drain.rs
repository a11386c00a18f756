//! Programs that move a machine's work away before it reboots, and bring it back after.
//!
//! Every executable in `/usr/lib/keelson/drain.d` and `/etc/keelson/drain.d` is one; of two with the same name
//! the one in `/etc` counts, and a link to `/dev/null` there stands for none. They are called as
//! `PROGRAM drain REASON` in the order of their names, and as `PROGRAM undrain REASON` in the reverse order, also
//! where `drain` was not finished. What they print is in the journal. They run in updaterd's own sandbox:
//! whatever needs more is a unit that they start.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use machine_facts::system_root::SystemRoot;
use rustix::process::{Pid, Signal, kill_process_group};

/// The later ones win.
const FOLDERS: [&str; 2] = ["/usr/lib/keelson/drain.d", "/etc/keelson/drain.d"];
/// How often it is seen whether a program has ended.
const PERIOD: Duration = Duration::from_millis(50);

/// The programs of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hooks(Vec<PathBuf>);

impl Hooks {
    /// Looks for them.
    pub fn find(root: &SystemRoot) -> Self {
        let mut found = BTreeMap::new();
        for folder in FOLDERS {
            for entry in fs::read_dir(root.path(folder))
                .into_iter()
                .flatten()
                .flatten()
            {
                found.insert(entry.file_name(), entry.path());
            }
        }
        let is_program = |path: &PathBuf| {
            fs::metadata(path)
                .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        };
        Self(found.into_values().filter(is_program).collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Moves the work away, in so much time altogether. The first program that fails ends it.
    pub fn drain(&self, reason: &str, longest: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + longest;
        for path in &self.0 {
            run(path, "drain", reason, deadline)?;
        }
        Ok(())
    }

    /// Brings the work back, in so much time altogether. All programs are run; the first failure is told.
    pub fn undrain(&self, reason: &str, longest: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + longest;
        let done: Vec<_> = (self.0.iter().rev())
            .map(|path| run(path, "undrain", reason, deadline))
            .collect();
        done.into_iter().collect()
    }
}

fn run(path: &Path, verb: &str, reason: &str, deadline: Instant) -> anyhow::Result<()> {
    let name = path.display();
    let mut program = Command::new(path);
    program.args([verb, reason]).stdin(Stdio::null());
    // A group of its own, so that all of it can be ended.
    let mut child = program
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    match wait_until(&mut child, deadline)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(anyhow!("{name} {verb} failed: {}", in_words(status))),
        None => {
            end(&mut child)?;
            bail!("{name} {verb} took longer than drain-timeout of update.toml allows")
        }
    }
}

fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

fn wait_until(child: &mut Child, deadline: Instant) -> anyhow::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(PERIOD);
    }
}

/// Ends a program and all that it started in its group.
fn end(child: &mut Child) -> anyhow::Result<()> {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        // It may have ended by itself.
        let _ = kill_process_group(group, Signal::KILL);
    }
    child.wait()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    struct Machine {
        folder: tempfile::TempDir,
        root: SystemRoot,
    }

    impl Machine {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let root = SystemRoot::new(folder.path());
            Self { folder, root }
        }

        /// Writes its name and what it is called with, and then does this.
        fn hook(&self, folder: &str, name: &str, then: &str) {
            let log = self.folder.path().join("log");
            let path = format!("{folder}/{name}");
            let text = format!(
                "#!/bin/sh\necho {name} \"$1\" \"$2\" >> {}\n{then}\n",
                log.display()
            );
            self.root.replace(&path, &text).unwrap();
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(self.root.path(&path), mode).unwrap();
        }

        fn log(&self) -> Vec<String> {
            let text = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        }
    }

    #[test]
    fn names_give_the_order_and_etc_wins() {
        let machine = Machine::new();
        let [usr, etc] = FOLDERS;
        machine.hook(usr, "50-fleet", "exit 1");
        machine.hook(etc, "50-fleet", "");
        machine.hook(usr, "90-last", "");
        machine.hook(usr, "70-masked", "exit 1");
        std::os::unix::fs::symlink("/dev/null", machine.root.path(etc).join("70-masked")).unwrap();
        machine.root.replace(&format!("{etc}/README"), "").unwrap();
        let hooks = Hooks::find(&machine.root);
        hooks.drain("reboot into 2", LONG).unwrap();
        hooks.undrain("2 runs", LONG).unwrap();
        let expected = [
            "50-fleet drain reboot into 2",
            "90-last drain reboot into 2",
            "90-last undrain 2 runs",
            "50-fleet undrain 2 runs",
        ];
        assert_eq!(machine.log(), expected);
        assert!(Hooks::find(&Machine::new().root).is_empty());
    }

    #[test]
    fn the_first_failure_ends_draining_but_not_undraining() {
        let machine = Machine::new();
        let etc = FOLDERS[1];
        machine.hook(etc, "1", "exit 3");
        machine.hook(etc, "2", "exit 4");
        let hooks = Hooks::find(&machine.root);
        let error = hooks.drain("r", LONG).unwrap_err().to_string();
        assert!(error.ends_with("1 drain failed: exit code 3"), "{error}");
        let error = hooks.undrain("r", LONG).unwrap_err().to_string();
        assert!(error.ends_with("2 undrain failed: exit code 4"), "{error}");
        assert_eq!(machine.log(), ["1 drain r", "2 undrain r", "1 undrain r"]);
    }

    #[test]
    fn what_takes_too_long_is_ended_with_all_it_started() {
        let machine = Machine::new();
        let marker = machine.folder.path().join("marker");
        let then = format!("(sleep 2; touch {}) & wait", marker.display());
        machine.hook(FOLDERS[1], "1", &then);
        let hooks = Hooks::find(&machine.root);
        let since = Instant::now();
        let error = hooks.drain("r", Duration::from_millis(300)).unwrap_err();
        assert!(error.to_string().contains("drain-timeout"), "{error}");
        assert!(since.elapsed() < Duration::from_secs(2));
        std::thread::sleep(Duration::from_millis(2500).saturating_sub(since.elapsed()));
        assert!(!marker.exists());
    }
}
