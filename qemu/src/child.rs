//! Child processes that never outlive this one.
//!
//! The kernel's parent death signal follows the *thread* that forked, so all children are forked
//! by one thread that lives as long as the process. This does not read the child's output.

use crate::{QemuError, child_setup, interrupt, sync::lock};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};
use std::{io, thread};

/// How often a waiting thread looks whether a child has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

struct Request {
    command: Command,
    reply: mpsc::Sender<io::Result<Child>>,
}

/// A child process; dropping it kills and reaps it.
#[derive(Debug)]
pub(crate) struct ChildProcess {
    program: String,
    child: Arc<Mutex<Child>>,
}

impl ChildProcess {
    /// Starts `command` with the `inherited` sockets open under their numbers.
    pub(crate) fn spawn(mut command: Command, inherited: Vec<OwnedFd>) -> Result<Self, QemuError> {
        let program = command.get_program().to_string_lossy().into_owned();
        child_setup::tie_to_parent(&mut command, inherited);
        let child = spawn_on_lasting_thread(command).map_err(|source| QemuError::Spawn {
            program: program.clone(),
            source,
        })?;
        let child = Arc::new(Mutex::new(child));
        interrupt::register_child(&child);
        let process = Self { program, child };
        // A signal that came while we forked has not seen this child: drop it here.
        interrupt::check()?;
        Ok(process)
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        lock(&self.child).id()
    }

    /// The program's name.
    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    /// Takes the reading ends of the child's output, where they were asked for as pipes.
    pub(crate) fn take_output(&self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        let mut child = lock(&self.child);
        (child.stdout.take(), child.stderr.take())
    }

    /// How the child ended, if it has.
    pub(crate) fn try_wait(&self) -> Option<ExitStatus> {
        lock(&self.child).try_wait().ok().flatten()
    }

    /// Waits until the child ends or `timeout` is over.
    pub(crate) fn wait(&self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.try_wait() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Kills the child if it still runs, and reaps it.
    pub(crate) fn kill(&self) -> io::Result<ExitStatus> {
        let mut child = lock(&self.child);
        child.kill()?;
        child.wait()
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and the parent death signal remains.
        let _ = self.kill();
    }
}

fn spawn_on_lasting_thread(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Request>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, requests) = mpsc::channel::<Request>();
        thread::spawn(move || serve(&requests));
        Mutex::new(sender)
    });
    let (reply, answer) = mpsc::channel();
    let lost = |_| io::Error::other("the thread that starts processes is gone");
    lock(spawner)
        .send(Request { command, reply })
        .map_err(|error| lost(error.to_string()))?;
    answer.recv().map_err(|error| lost(error.to_string()))?
}

fn serve(requests: &mpsc::Receiver<Request>) {
    while let Ok(mut request) = requests.recv() {
        // The receiver waits for this answer, so it cannot be gone.
        let _ = request.reply.send(request.command.spawn());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_outlives_the_thread_that_asked_for_it() {
        let child = thread::spawn(|| {
            let mut command = Command::new("sleep");
            command.arg("60");
            ChildProcess::spawn(command, Vec::new()).unwrap()
        })
        .join()
        .unwrap();
        assert_eq!(child.wait(Duration::from_millis(100)), None);
        assert!(!child.kill().unwrap().success());
    }

    #[test]
    fn missing_program_is_named() {
        let command = Command::new("/nonexistent/program");
        let error = ChildProcess::spawn(command, Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "cannot start /nonexistent/program");
    }
}
