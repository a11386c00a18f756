//! SIGINT, SIGTERM, SIGHUP and SIGQUIT: machines stop, waits end, nothing is left behind.
//!
//! The first signal kills every child of this crate, so that whatever waits for one fails at
//! once and the program unwinds, dropping machines and their files. A second signal does not
//! wait for that: it removes the files, restores the terminal and ends the process. This does
//! not end a program that is busy with something else than machines at the first signal: it asks
//! [`received`].

use crate::{QemuError, sync::lock, terminal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, Weak};
use std::{fs, process, thread};

static RECEIVED: AtomicI32 = AtomicI32::new(0);
static INSTALLED: Mutex<bool> = Mutex::new(false);
static CHILDREN: Mutex<Vec<Weak<Mutex<Child>>>> = Mutex::new(Vec::new());
static DIRECTORIES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Handles the signals from now on; to be called once at the start of a program. Further calls
/// do nothing.
pub fn install() -> Result<(), QemuError> {
    let mut installed = lock(&INSTALLED);
    if *installed {
        return Ok(());
    }
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT])
        .map_err(|source| QemuError::Signals { source })?;
    thread::spawn(move || {
        for signal in signals.forever() {
            handle(signal);
        }
    });
    *installed = true;
    Ok(())
}

/// The first signal that told this process to end. The exit code should then be 128 plus it.
pub fn received() -> Option<i32> {
    match RECEIVED.load(Ordering::SeqCst) {
        0 => None,
        signal => Some(signal),
    }
}

/// Fails if this process was told to end.
pub(crate) fn check() -> Result<(), QemuError> {
    received().map_or(Ok(()), |signal| Err(QemuError::Interrupted { signal }))
}

/// Has `child` killed when a signal arrives.
pub(crate) fn register_child(child: &std::sync::Arc<Mutex<Child>>) {
    let mut children = lock(&CHILDREN);
    children.retain(|other| other.strong_count() > 0);
    children.push(std::sync::Arc::downgrade(child));
}

/// Has `directory` removed when a second signal arrives.
pub(crate) fn register_directory(directory: &Path) {
    lock(&DIRECTORIES).push(directory.to_owned());
}

/// Leaves `directory` alone: its owner has removed it.
pub(crate) fn forget_directory(directory: &Path) {
    lock(&DIRECTORIES).retain(|other| other != directory);
}

fn handle(signal: i32) {
    let first = RECEIVED
        .compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst)
        .is_ok();
    kill_children();
    if !first {
        terminal::restore();
        for directory in lock(&DIRECTORIES).drain(..) {
            // The process ends: there is nobody left to tell about a failure.
            let _ = fs::remove_dir_all(directory);
        }
        process::exit(128 + signal);
    }
}

fn kill_children() {
    for child in lock(&CHILDREN).iter().filter_map(Weak::upgrade) {
        // A child that has ended already is as good as killed.
        let _ = lock(&child).kill();
    }
}
