//! Who a client is, by password or certificate.
//!
//! What a user may do is asked of `kv_model::query`; passwords are checked in [`super::password`].
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use etcd_v2::MessageError;
use hyper::header::{AUTHORIZATION, HeaderMap};
use kv_model::auth::ROOT;
use kv_model::{TableError, query};

use super::connection::PeerIdentity;
use super::keys::storage_failed;
use super::state::ServerState;

/// Who a client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// Users do not matter: whoever it is may do everything.
    Anybody,
    /// Nobody in particular.
    Guest,
    /// This user.
    User(String),
    /// Somebody who said a name and could not prove it.
    Rejected,
}

/// Who a client is: by password, else by certificate, else a guest.
pub(super) async fn caller(
    state: &ServerState,
    peer: &PeerIdentity,
    headers: &HeaderMap,
) -> Result<Caller, TableError> {
    if !query::is_auth_enabled(&*state.backend.view())? {
        return Ok(Caller::Anybody);
    }
    // An empty header counts as none, as with etcd.
    let Some(authorization) = headers.get(AUTHORIZATION).filter(|text| !text.is_empty()) else {
        return by_certificate(state, peer);
    };
    let Some((name, password)) = parse_basic(authorization.as_bytes()) else {
        return Ok(Caller::Rejected);
    };
    let user = query::user(&*state.backend.view(), &name)?;
    let hash = user.map(|user| user.password_hash).unwrap_or_default();
    Ok(if state.passwords.check(&name, &hash, &password).await {
        Caller::User(name)
    } else {
        Caller::Rejected
    })
}

fn by_certificate(state: &ServerState, peer: &PeerIdentity) -> Result<Caller, TableError> {
    let name = peer.common_name.as_deref();
    let Some(name) = name.filter(|_| state.options.client_cert_auth) else {
        return Ok(Caller::Guest);
    };
    let user = query::user(&*state.backend.view(), name)?;
    Ok(user.map_or(Caller::Guest, |user| Caller::User(user.name)))
}

/// Whether the client may change members, users and roles: anybody, as long as users do not matter,
/// else who has the role root.
pub(super) async fn check_root(
    state: &ServerState,
    peer: &PeerIdentity,
    headers: &HeaderMap,
) -> Result<(), MessageError> {
    let unreadable = |error: TableError| {
        storage_failed(&error);
        MessageError::internal()
    };
    let name = match caller(state, peer, headers).await.map_err(unreadable)? {
        Caller::Anybody => return Ok(()),
        Caller::Rejected | Caller::Guest => return Err(MessageError::insufficient_credentials()),
        Caller::User(name) => name,
    };
    let user = query::user(&*state.backend.view(), &name).map_err(unreadable)?;
    if user.is_some_and(|user| user.roles.contains(ROOT)) {
        return Ok(());
    }
    Err(MessageError::insufficient_credentials())
}

/// Name and password of HTTP's Basic scheme (RFC 7617).
fn parse_basic(header: &[u8]) -> Option<(String, String)> {
    let (scheme, rest) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::parse_basic;

    #[test]
    fn basic_credentials_are_read() {
        let pair = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        let cases: [(&[u8], _); 9] = [
            (b"Basic cm9vdDpzZWNyZXQ=", pair("root", "secret")),
            (b"bAsIc cm9vdDpzZWNyZXQ=", pair("root", "secret")),
            (b"Basic cm9vdDphOmI=", pair("root", "a:b")),
            (b"Basic Og==", pair("", "")),
            (b"Basic cm9vdA==", None),
            (b"Basic cm9vdDpzZWNyZXQ", None),
            (b"Basic !", None),
            (b"Bearer cm9vdDpzZWNyZXQ=", None),
            (b"Basi", None),
        ];
        for (header, wanted) in cases {
            assert_eq!(parse_basic(header), wanted);
        }
    }
}
