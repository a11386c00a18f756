//! `/v2/auth`: users, roles, and whether they matter.
//!
//! Who a client is, is found out in [`super::caller`]; the rules of users and roles are the model's.
use bytes::Bytes;
use etcd_v2::MessageError;
use etcd_v2::users::{
    COLLECTION_METHODS, METHODS, RoleDocument, RoleRequest, Target, UserDocument, UserRequest,
    parse_role, parse_target, parse_user, write_enabled, write_new_role, write_role, write_roles,
    write_user, write_user_with_roles, write_users,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use kv_model::auth::{AuthChange, Role, User};
use kv_model::{Command, TableError, Tables, query};

use super::answer::{Answer, json, message, method_not_allowed, with_cluster_id};
use super::caller::check_root;
use super::connection::PeerIdentity;
use super::keys::{not_proposed, storage_failed};
use super::state::ServerState;

/// Answers `/v2/auth/enable`.
pub(super) async fn enable(state: &ServerState, peer: &PeerIdentity, head: &Parts) -> Answer {
    let change = match head.method {
        Method::GET => None,
        Method::PUT => Some(AuthChange::Enable),
        Method::DELETE => Some(AuthChange::Disable),
        _ => return method_not_allowed(METHODS),
    };
    let answer = match change {
        // Anybody may ask: clients do before they say who they are.
        None => query::is_auth_enabled(&*state.backend.view())
            .map(|enabled| json(StatusCode::OK, write_enabled(enabled)))
            .map_err(|error| unreadable(&error)),
        Some(change) => match check_root(state, peer, &head.headers).await {
            Ok(()) => propose(state, change)
                .await
                .map(|()| json(StatusCode::OK, Bytes::new())),
            Err(refused) => Err(refused),
        },
    };
    finish(state, answer)
}

/// Answers `/v2/auth/users`; `path` is what follows, unescaped.
pub(super) async fn users(
    state: &ServerState,
    peer: &PeerIdentity,
    head: &Parts,
    path: &str,
    body: &[u8],
) -> Answer {
    let target = match parse_target(path) {
        Ok(target) => target,
        Err(error) => return message(&error),
    };
    if let Some(refused) = refuse_method(&target, &head.method) {
        return refused;
    }
    if let Err(error) = check_root(state, peer, &head.headers).await {
        return message(&error);
    }
    let answer = match (target, &head.method) {
        (Target::All, _) => all_users(state),
        (Target::Named(name), &Method::GET) => one_user(state, &name),
        (Target::Named(name), &Method::PUT) => put_user(state, &name, body).await,
        (Target::Named(name), _) => propose(state, AuthChange::DeleteUser(name))
            .await
            .map(|()| json(StatusCode::OK, Bytes::new())),
    };
    finish(state, answer)
}

/// Answers `/v2/auth/roles`; `path` is what follows, unescaped.
pub(super) async fn roles(
    state: &ServerState,
    peer: &PeerIdentity,
    head: &Parts,
    path: &str,
    body: &[u8],
) -> Answer {
    let target = match parse_target(path) {
        Ok(target) => target,
        Err(error) => return message(&error),
    };
    if let Some(refused) = refuse_method(&target, &head.method) {
        return refused;
    }
    if let Err(error) = check_root(state, peer, &head.headers).await {
        return message(&error);
    }
    let answer = match (target, &head.method) {
        (Target::All, _) => all_roles(state),
        (Target::Named(name), &Method::GET) => one_role(state, &name),
        (Target::Named(name), &Method::PUT) => put_role(state, &name, body).await,
        (Target::Named(name), _) => propose(state, AuthChange::DeleteRole(name))
            .await
            .map(|()| json(StatusCode::OK, Bytes::new())),
    };
    finish(state, answer)
}

type Answered = Result<Answer, MessageError>;

fn finish(state: &ServerState, answer: Answered) -> Answer {
    with_cluster_id(state, answer.unwrap_or_else(|error| message(&error)))
}

fn refuse_method(target: &Target, method: &Method) -> Option<Answer> {
    match (target, method) {
        (Target::All | Target::Named(_), &Method::GET)
        | (Target::Named(_), &Method::PUT | &Method::DELETE) => None,
        (Target::All, _) => Some(method_not_allowed(COLLECTION_METHODS)),
        (Target::Named(_), _) => Some(method_not_allowed(METHODS)),
    }
}

fn unreadable(error: &TableError) -> MessageError {
    storage_failed(error);
    MessageError::internal()
}

/// Has the cluster change users or roles.
async fn propose(state: &ServerState, change: AuthChange) -> Result<(), MessageError> {
    let committed = state.backend.propose(Command::Auth(change)).await;
    match committed {
        Ok(committed) => match committed.outcome {
            Ok(_) => Ok(()),
            Err(refusal) => Err(MessageError::of_auth(&refusal)),
        },
        Err(error) => Err(MessageError::new(500, not_proposed(&error).cause)),
    }
}

fn user_not_found(name: &str) -> MessageError {
    MessageError::new(404, format!("auth: User {name} does not exist."))
}

fn role_not_found(name: &str) -> MessageError {
    MessageError::new(404, format!("auth: Role {name} does not exist."))
}

/// The roles of a user in full; one that was removed meanwhile is left out.
fn roles_of(view: &dyn Tables, user: &User) -> Result<Vec<Role>, TableError> {
    let roles = user.roles.iter().map(|name| query::role(view, name));
    roles.filter_map(Result::transpose).collect()
}

fn all_users(state: &ServerState) -> Answered {
    let view = state.backend.view();
    let read = || {
        let users = query::users(&*view)?.into_iter();
        users
            .map(|user| Ok((user.name.clone(), roles_of(&*view, &user)?)))
            .collect::<Result<Vec<_>, TableError>>()
    };
    let users = read().map_err(|error| unreadable(&error))?;
    Ok(json(StatusCode::OK, write_users(&users)))
}

fn one_user(state: &ServerState, name: &str) -> Answered {
    let view = state.backend.view();
    let user = query::user(&*view, name).map_err(|error| unreadable(&error))?;
    let user = user.ok_or_else(|| user_not_found(name))?;
    let roles = roles_of(&*view, &user).map_err(|error| unreadable(&error))?;
    Ok(json(StatusCode::OK, write_user_with_roles(name, &roles)))
}

async fn put_user(state: &ServerState, name: &str, body: &[u8]) -> Answered {
    match parse_user(name, body)? {
        UserRequest::Create(user) => {
            let roles = create_user(state, user).await?;
            let body = write_user(name, roles.as_deref());
            Ok(json(StatusCode::OK, body))
        }
        UserRequest::CreateOrChange(user) => {
            let known = query::user(&*state.backend.view(), name);
            if known.map_err(|error| unreadable(&error))?.is_some() {
                return change_user(state, user).await;
            }
            let roles = create_user(state, user).await?;
            let body = write_user(name, roles.as_deref());
            Ok(json(StatusCode::CREATED, body))
        }
        UserRequest::Change(user) => change_user(state, user).await,
    }
}

/// Creates a user; gives the roles as they are told to the client.
async fn create_user(
    state: &ServerState,
    mut user: UserDocument,
) -> Result<Option<Vec<String>>, MessageError> {
    user.attach_root_role();
    let roles = user.roles.clone();
    let hash = hash(state, &user.password).await?;
    propose(state, user.into_creation(hash.unwrap_or_default())?).await?;
    Ok(roles)
}

async fn change_user(state: &ServerState, user: UserDocument) -> Answered {
    let name = user.name.clone();
    let hash = hash(state, &user.password).await?;
    propose(state, user.into_change(hash)).await?;
    let user = query::user(&*state.backend.view(), &name);
    let user = user.map_err(|error| unreadable(&error))?;
    let user = user.ok_or_else(|| user_not_found(&name))?;
    let roles: Vec<String> = user.roles.into_iter().collect();
    Ok(json(StatusCode::OK, write_user(&name, Some(&roles))))
}

/// The hash of a password, unless it is empty.
async fn hash(state: &ServerState, password: &str) -> Result<Option<String>, MessageError> {
    if password.is_empty() {
        return Ok(None);
    }
    let hash = state.passwords.hash(password).await;
    hash.map(Some)
        .map_err(|error| MessageError::new(400, error.to_string()))
}

fn all_roles(state: &ServerState) -> Answered {
    let roles = query::roles(&*state.backend.view());
    let roles = roles.map_err(|error| unreadable(&error))?;
    Ok(json(StatusCode::OK, write_roles(&roles)))
}

fn one_role(state: &ServerState, name: &str) -> Answered {
    let role = query::role(&*state.backend.view(), name);
    let role = role.map_err(|error| unreadable(&error))?;
    let role = role.ok_or_else(|| role_not_found(name))?;
    Ok(json(StatusCode::OK, write_role(&role)))
}

async fn put_role(state: &ServerState, name: &str, body: &[u8]) -> Answered {
    match parse_role(name, body)? {
        RoleRequest::Create(role) => {
            let answer = write_new_role(&role);
            propose(state, RoleDocument::into_creation(role)).await?;
            Ok(json(StatusCode::CREATED, answer))
        }
        RoleRequest::Change(role) => {
            propose(state, role.into_change()).await?;
            one_role(state, name)
        }
    }
}
