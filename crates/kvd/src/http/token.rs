//! Tokens by which users of v3 are known once they gave their password.
//!
//! A token is a statement, signed: who, until when, and as of which revision. Any member can judge it
//! from its own copy of the store, so none has to remember those it gave. The key is made of the
//! user's password hash, which holds 128 random bits and leaves no member, of the cluster's id and of
//! when users began to matter. So a token ends with its user, with the user's password, and when users
//! cease to matter. Roles are looked up at each call and are not part of it.
//!
//! It ends five minutes after it was given, as etcd's do; a member where it is used keeps it alive for
//! as long after each use. What a user may do is not decided here.
use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kv_cluster::ClusterId;
use kv_model::auth::User;
use kv_model::{Revision, TableError, Tables, query};
use parking_lot::Mutex;

/// How long a token lives when it is not used: etcd's `--auth-token-ttl`.
const LIFE: Duration = Duration::from_mins(5);
/// So many tokens in use are remembered; the others live only as long as they say.
const REMEMBERED_MAX: usize = 4096;

/// What a token says of its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Users do not matter.
    NotNeeded,
    /// This user.
    User(String),
    /// Nothing yet: it was given after what is applied here.
    Ahead,
    /// Nothing.
    Invalid,
}

/// Makes and judges tokens.
#[derive(Default)]
pub(super) struct Tokens {
    /// When each was used last, by the first bytes of its signature.
    used: Mutex<HashMap<u64, Instant>>,
}

/// What a token states.
struct Statement {
    user: String,
    /// Of the store, when it was given.
    revision: Revision,
    /// In seconds since 1970, by the clock of the member that gave it.
    expires: u64,
}

impl Statement {
    fn text(&self) -> String {
        let user = URL_SAFE_NO_PAD.encode(&self.user);
        format!("{user}.{}.{}", self.revision.0, self.expires)
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let user = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        let statement = Self {
            user: String::from_utf8(user).ok()?,
            revision: Revision(parts.next()?.parse().ok()?),
            expires: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(statement)
    }
}

impl Tokens {
    /// A token for a user who gave the right password; none for one who has none, or as long as users
    /// do not matter.
    #[allow(clippy::unused_self)] // so that nobody makes one without the place where they are judged
    pub(super) fn give(
        &self,
        view: &dyn Tables,
        cluster: ClusterId,
        user: &User,
    ) -> Result<Option<String>, TableError> {
        let Some(since) = query::auth_enabled_since(view)? else {
            return Ok(None);
        };
        if user.password_hash.is_empty() {
            return Ok(None);
        }
        let statement = Statement {
            user: user.name.clone(),
            revision: query::revision(view)?,
            expires: now().saturating_add(LIFE.as_secs()),
        };
        let text = statement.text();
        let signature = hmac::sign(&key(user, cluster, since), text.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(signature);
        Ok(Some(format!("{text}.{signature}")))
    }

    /// Who bears this token.
    pub(super) fn judge(
        &self,
        view: &dyn Tables,
        cluster: ClusterId,
        token: &str,
    ) -> Result<Verdict, TableError> {
        let since = query::auth_enabled_since(view)?;
        let signed = token.rsplit_once('.');
        let read = signed.and_then(|(text, signature)| {
            let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
            Some((text, Statement::read(text)?, signature))
        });
        let Some((text, statement, signature)) = read else {
            return Ok(since.map_or(Verdict::NotNeeded, |_| Verdict::Invalid));
        };
        // Then also who is known here, and whether users matter, may be old.
        if statement.revision > query::revision(view)? {
            return Ok(Verdict::Ahead);
        }
        let Some(since) = since else {
            return Ok(Verdict::NotNeeded);
        };
        let user = query::user(view, &statement.user)?;
        let Some(user) = user.filter(|user| !user.password_hash.is_empty()) else {
            return Ok(Verdict::Invalid);
        };
        let key = key(&user, cluster, since);
        if hmac::verify(&key, text.as_bytes(), &signature).is_err() {
            return Ok(Verdict::Invalid);
        }
        Ok(if self.lives(&signature, statement.expires) {
            Verdict::User(user.name)
        } else {
            Verdict::Invalid
        })
    }

    /// Whether a token that is right has not ended; if so it lives on.
    fn lives(&self, signature: &[u8], expires: u64) -> bool {
        let Some(mark) = signature.first_chunk().copied().map(u64::from_le_bytes) else {
            return false;
        };
        let (used, now_here) = (&mut *self.used.lock(), Instant::now());
        let is_in_use = |at: &Instant| now_here.duration_since(*at) < LIFE;
        if now() >= expires && !used.get(&mark).is_some_and(is_in_use) {
            return false;
        }
        if used.len() >= REMEMBERED_MAX && !used.contains_key(&mark) {
            used.retain(|_, at| is_in_use(at));
        }
        if used.len() < REMEMBERED_MAX || used.contains_key(&mark) {
            used.insert(mark, now_here);
        }
        true
    }
}

/// The key that signs a user's tokens.
fn key(user: &User, cluster: ClusterId, since: Revision) -> hmac::Key {
    let text = format!("{cluster}.{}.{}", since.0, user.password_hash);
    hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes())
}

fn now() -> u64 {
    // A clock before 1970 makes every token last.
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use kv_model::auth::AuthChange;
    use kv_model::memory_tables::MemoryTables;
    use kv_model::{Command, apply};

    use super::*;

    const CLUSTER: ClusterId = ClusterId(7);

    fn change(tables: &mut MemoryTables, change: AuthChange) {
        apply(tables, &Command::Auth(change))
            .unwrap()
            .outcome
            .unwrap();
    }

    fn user(name: &str, hash: &str) -> User {
        User {
            name: name.to_owned(),
            password_hash: hash.to_owned(),
            roles: [].into(),
        }
    }

    fn tables() -> MemoryTables {
        let mut tables = MemoryTables::default();
        for (name, hash) in [("root", "one"), ("ann", "two"), ("bob", "")] {
            change(&mut tables, AuthChange::CreateUser(user(name, hash)));
        }
        change(&mut tables, AuthChange::EnableForUsers);
        tables
    }

    fn give(tables: &MemoryTables, name: &str) -> Option<String> {
        let user = query::user(tables, name).unwrap().unwrap();
        Tokens::default().give(tables, CLUSTER, &user).unwrap()
    }

    /// What a member says that never saw the token.
    fn judge(tables: &MemoryTables, token: &str) -> Verdict {
        Tokens::default().judge(tables, CLUSTER, token).unwrap()
    }

    #[test]
    fn a_token_says_who_bears_it_to_every_member() {
        let tables = tables();
        let token = give(&tables, "ann").unwrap();
        assert_eq!(judge(&tables, &token), Verdict::User("ann".to_owned()));
        assert_eq!(give(&tables, "bob"), None, "only a certificate is his");
        let elsewhere = Tokens::default().judge(&tables, ClusterId(8), &token);
        assert_eq!(elsewhere.unwrap(), Verdict::Invalid);
    }

    #[test]
    fn what_is_altered_is_no_token() {
        let tables = tables();
        let token = give(&tables, "ann").unwrap();
        let [ann, rest] = token.splitn(2, '.').collect::<Vec<_>>()[..] else {
            panic!("{token}");
        };
        let root = URL_SAFE_NO_PAD.encode("root");
        for altered in [
            format!("{root}.{rest}"),
            format!("{ann}A.{rest}"),
            format!("{ann}.0{rest}"),
            format!("{token}A"),
            token[..token.len() - 1].to_owned(),
            token.rsplit_once('.').unwrap().0.to_owned(),
            "bogus".to_owned(),
            "...".to_owned(),
            String::new(),
        ] {
            assert_eq!(judge(&tables, &altered), Verdict::Invalid, "{altered}");
        }
    }

    #[test]
    fn a_token_ends_with_the_password_the_user_and_the_need_for_it() {
        let mut tables = tables();
        let tokens = ["root", "ann"].map(|name| give(&tables, name).unwrap());
        let again = |hash: &str| AuthChange::ChangeUser {
            name: "ann".to_owned(),
            password_hash: Some(hash.to_owned()),
            grant: [].into(),
            revoke: [].into(),
        };
        change(&mut tables, again("three"));
        assert_eq!(judge(&tables, &tokens[1]), Verdict::Invalid);
        let token = give(&tables, "ann").unwrap();
        change(&mut tables, AuthChange::DeleteUser("ann".to_owned()));
        assert_eq!(judge(&tables, &token), Verdict::Invalid);
        change(&mut tables, AuthChange::Disable);
        for token in [&tokens[0], &token] {
            assert_eq!(judge(&tables, token), Verdict::NotNeeded);
        }
        change(&mut tables, AuthChange::EnableForUsers);
        assert_eq!(judge(&tables, &tokens[0]), Verdict::Invalid);
    }

    #[test]
    fn a_member_that_is_behind_does_not_judge() {
        let behind = tables();
        let mut ahead = behind.clone();
        change(&mut ahead, AuthChange::CreateUser(user("eve", "four")));
        let token = give(&ahead, "eve").unwrap();
        assert_eq!(judge(&behind, &token), Verdict::Ahead);
    }

    #[test]
    fn what_is_not_used_ends_and_what_is_lives_on() {
        let tokens = Tokens::default();
        let (past, future) = (now() - 1, now() + 100);
        let signature = |number: u64| number.to_le_bytes();
        assert!(!tokens.lives(&signature(1), past));
        assert!(tokens.lives(&signature(2), future));
        assert!(tokens.lives(&signature(2), past));
        let long_ago = Instant::now().checked_sub(LIFE);
        if let Some(long_ago) = long_ago {
            tokens.used.lock().insert(2, long_ago);
            assert!(!tokens.lives(&signature(2), past));
        }
        for number in 0..2 * REMEMBERED_MAX as u64 {
            assert!(tokens.lives(&signature(number), future));
        }
        assert!(tokens.used.lock().len() <= REMEMBERED_MAX);
    }
}
