//! Who calls, and what they may do.
//!
//! The rules of users and roles are the model's; tokens are made and judged in [`crate::http::token`].
//! A user's command is carried out only if the users and roles are then as they were when it was
//! allowed. What was asked before users began to matter is carried out even if they do then.
use std::sync::Arc;

use etcd_v3::Status;
use hyper::header::{AUTHORIZATION, HeaderMap};
use kv_cluster::Committed;
use kv_model::auth::{Access, ROOT, Subject};
use kv_model::{Command, ErrorCode, Revision, TableError, Tables, query};

use super::call::{Door, not_read, unreadable};
use crate::http::connection::PeerIdentity;
use crate::http::state::ServerState;
use crate::http::token::Verdict;

/// The header in which a client of gRPC sends its token; one of JSON sends it as `Authorization`.
const TOKEN: &str = "token";
/// So often it is found out anew whether somebody may, while users and roles change.
const ATTEMPTS: usize = 8;

/// Who calls.
pub(super) enum Caller {
    /// Users do not matter: whoever it is may do everything.
    Anybody,
    /// This user.
    User(String),
    /// Users matter, and this is none.
    Nobody,
}

/// Who calls: by token, else by certificate.
pub(super) async fn find(
    state: &Arc<ServerState>,
    peer: &PeerIdentity,
    headers: &HeaderMap,
) -> Result<Caller, Status> {
    let token = headers.get(TOKEN).or_else(|| headers.get(AUTHORIZATION));
    // A token of nothing is none.
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return by_certificate(state, peer);
    };
    let token = token.to_str().map_err(|_| Status::INVALID_TOKEN)?;
    let verdict = judge(state, token)?;
    if !matches!(verdict, Verdict::Ahead) {
        return named(verdict);
    }
    // It was given after what is applied here.
    state.backend.linearize().await.map_err(not_read)?;
    match judge(state, token)? {
        // Nobody asks for it, so it may be as wrong as it likes.
        Verdict::Ahead if !is_enabled(state)? => Ok(Caller::Anybody),
        verdict => named(verdict),
    }
}

fn is_enabled(state: &ServerState) -> Result<bool, Status> {
    query::is_auth_enabled(&*state.backend.view()).map_err(unreadable)
}

fn judge(state: &ServerState, token: &str) -> Result<Verdict, Status> {
    let view = state.backend.view();
    let cluster = state.backend.cluster_id();
    let judged = state.tokens.judge(&*view, cluster, token);
    judged.map_err(unreadable)
}

fn named(verdict: Verdict) -> Result<Caller, Status> {
    match verdict {
        Verdict::NotNeeded => Ok(Caller::Anybody),
        Verdict::User(name) => Ok(Caller::User(name)),
        Verdict::Ahead | Verdict::Invalid => Err(Status::INVALID_TOKEN),
    }
}

fn by_certificate(state: &ServerState, peer: &PeerIdentity) -> Result<Caller, Status> {
    if !is_enabled(state)? {
        return Ok(Caller::Anybody);
    }
    let name = peer.common_name.as_deref();
    let Some(name) = name.filter(|_| state.options.client_cert_auth) else {
        return Ok(Caller::Nobody);
    };
    match query::user(&*state.backend.view(), name).map_err(unreadable)? {
        Some(user) => Ok(Caller::User(user.name)),
        None => Err(Status::PERMISSION_DENIED),
    }
}

/// Whether a user has the role root.
fn is_root(view: &dyn Tables, name: &str) -> Result<bool, TableError> {
    let user = query::user(view, name)?;
    Ok(user.is_some_and(|user| user.roles.contains(ROOT)))
}

/// Whether a user may do all of that.
fn may_all(
    view: &dyn Tables,
    name: &str,
    needed: &[(Access, Subject)],
) -> Result<bool, TableError> {
    for (access, subject) in needed {
        if !query::may(view, Some(name), *access, subject)? {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Door<'_> {
    /// Whether the caller may do all of that.
    pub(super) fn check(
        self,
        caller: &Caller,
        needed: impl IntoIterator<Item = (Access, Subject)>,
    ) -> Result<(), Status> {
        let needed: Vec<_> = needed.into_iter().collect();
        let may = |view: &dyn Tables, name: &str| may_all(view, name, &needed);
        self.judge(caller, may).map(drop)
    }

    /// Whether users do not matter still, to a caller of a stream that began when they did not.
    pub(super) fn check_still(self, caller: &Caller) -> Result<(), Status> {
        if matches!(caller, Caller::Anybody) && is_enabled(self.state)? {
            return Err(Status::USER_EMPTY);
        }
        Ok(())
    }

    /// Whether the caller may do what only root may.
    pub(super) fn check_root(self, caller: &Caller) -> Result<(), Status> {
        self.judge(caller, is_root).map(drop)
    }

    /// Has a command carried out, if the caller may do all that it needs at the moment it is.
    pub(super) async fn propose_as(
        self,
        caller: &Caller,
        needed: impl Fn() -> Result<Vec<(Access, Subject)>, Status> + Send,
        command: Command,
    ) -> Result<Committed, Status> {
        for _ in 0..ATTEMPTS {
            let as_of = match caller {
                Caller::Anybody => None,
                Caller::User(_) | Caller::Nobody => {
                    let needed = needed()?;
                    self.judge(caller, |view, name| may_all(view, name, &needed))?
                }
            };
            if let Some(done) = self.propose_once(as_of, &command).await? {
                return Ok(done);
            }
        }
        Err(Status::AUTH_OLD_REVISION)
    }

    /// Has a command carried out, if the caller has the role root at the moment it is.
    pub(super) async fn propose_as_root(
        self,
        caller: &Caller,
        command: Command,
    ) -> Result<Committed, Status> {
        for _ in 0..ATTEMPTS {
            let as_of = self.judge(caller, is_root)?;
            if let Some(done) = self.propose_once(as_of, &command).await? {
                return Ok(done);
            }
        }
        Err(Status::AUTH_OLD_REVISION)
    }

    /// Nothing, if users and roles changed meanwhile.
    async fn propose_once(
        self,
        as_of: Option<Revision>,
        command: &Command,
    ) -> Result<Option<Committed>, Status> {
        let command = command.clone();
        let Some(as_of) = as_of else {
            return self.propose(command).await.map(Some);
        };
        let command = Box::new(command);
        let committed = self.propose(Command::Permitted { as_of, command }).await?;
        match &committed.outcome {
            Err(refusal) if refusal.code == ErrorCode::AuthChanged => {
                self.linearize().await?;
                Ok(None)
            }
            _ => Ok(Some(committed)),
        }
    }

    /// As of which users and roles the caller may, if they matter.
    fn judge(
        self,
        caller: &Caller,
        may: impl Fn(&dyn Tables, &str) -> Result<bool, TableError>,
    ) -> Result<Option<Revision>, Status> {
        let name = match caller {
            Caller::Anybody => return Ok(None),
            Caller::Nobody => return Err(Status::USER_EMPTY),
            Caller::User(name) => name,
        };
        let view = self.state.backend.view();
        // Then this is no member's affair any more.
        if !query::is_auth_enabled(&*view).map_err(unreadable)? {
            return Ok(None);
        }
        if !may(&*view, name).map_err(unreadable)? {
            return Err(Status::PERMISSION_DENIED);
        }
        query::auth_revision(&*view).map(Some).map_err(unreadable)
    }
}
