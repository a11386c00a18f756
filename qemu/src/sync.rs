//! Locking that survives a panic of another thread.
//!
//! It does not add any kind of lock of its own.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`, also after a thread panicked while it held it: clean-up code must still run
/// then, and nothing kept under these locks is left half changed.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
