//! Checks passwords against bcrypt's hashes, which is meant to be slow, and remembers a few that were
//! right.
//!
//! Who may do what is not known here.
use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// So many right passwords are remembered.
const REMEMBERED_MAX: usize = 256;

/// etcd's cost, a power of two.
const COST: u32 = 10;

/// Why a password was neither found right nor wrong, or has no hash.
#[derive(Debug, thiserror::Error)]
#[error("the password cannot be hashed")]
pub(super) struct PasswordError(#[source] bcrypt::BcryptError);

/// Checks passwords, one at a time: guessing must not take all processors.
pub(super) struct Passwords {
    /// Marks of (user, hash, password). Of a password nothing is kept that could be turned back.
    right: Mutex<HashSet<u128>>,
    keys: [RandomState; 2],
    turn: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            right: Mutex::default(),
            keys: [RandomState::new(), RandomState::new()],
            turn: Semaphore::new(1),
        }
    }
}

impl Passwords {
    /// Whether a password is right. A user without a hash has none that is.
    pub(super) async fn check(&self, user: &str, hash: &str, password: &str) -> bool {
        if hash.is_empty() {
            return false;
        }
        let mark = self.mark(user, hash, password);
        if self.right.lock().contains(&mark) {
            return true;
        }
        let Ok(_turn) = self.turn.acquire().await else {
            return false;
        };
        let (hash, password) = (hash.to_owned(), password.to_owned());
        let verify = move || bcrypt::verify(password, &hash).unwrap_or(false);
        let is_right = tokio::task::spawn_blocking(verify).await.unwrap_or(false);
        if is_right {
            self.remember(mark);
        }
        is_right
    }

    /// The hash of a new password.
    pub(super) async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        let _turn = self.turn.acquire().await;
        let password = password.to_owned();
        tokio::task::spawn_blocking(move || bcrypt::hash(password, COST))
            .await
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
            .map_err(PasswordError)
    }

    fn mark(&self, user: &str, hash: &str, password: &str) -> u128 {
        let [high, low] = &self.keys;
        let text = (user, hash, password);
        u128::from(high.hash_one(text)) << 64 | u128::from(low.hash_one(text))
    }

    fn remember(&self, mark: u128) {
        let mut right = self.right.lock();
        if right.len() >= REMEMBERED_MAX {
            right.clear();
        }
        right.insert(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::Passwords;

    #[tokio::test]
    async fn a_right_password_is_right_again_and_a_wrong_one_never() {
        let passwords = Passwords::default();
        let hash = passwords.hash("secret").await.unwrap();
        let other = passwords.hash("other").await.unwrap();
        for _ in 0..2 {
            assert!(passwords.check("u", &hash, "secret").await);
            assert!(!passwords.check("u", &hash, "Secret").await);
            assert!(!passwords.check("u", &other, "secret").await);
            assert!(!passwords.check("u", "", "").await);
            assert!(!passwords.check("u", "no hash", "secret").await);
        }
        assert_eq!(passwords.right.lock().len(), 1);
    }

    #[tokio::test]
    async fn only_so_many_are_remembered() {
        let passwords = Passwords::default();
        for mark in 0..10_000 {
            passwords.remember(mark);
        }
        assert!(passwords.right.lock().len() <= super::REMEMBERED_MAX);
    }
}
