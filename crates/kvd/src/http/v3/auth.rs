//! The service `Auth`: users, roles, and tokens. They are the same as v2's.
//!
//! Other than in etcd, the role `root` always exists and the user `root` always has it. What they may
//! not do is refused as a change that makes no sense.
use etcd_v3::auth::{self, About};
use etcd_v3::proto::etcdserverpb::{
    AuthDisableRequest, AuthDisableResponse, AuthEnableRequest, AuthEnableResponse,
    AuthRoleAddRequest, AuthRoleAddResponse, AuthRoleDeleteRequest, AuthRoleDeleteResponse,
    AuthRoleGetRequest, AuthRoleGetResponse, AuthRoleGrantPermissionRequest,
    AuthRoleGrantPermissionResponse, AuthRoleListRequest, AuthRoleListResponse,
    AuthRoleRevokePermissionRequest, AuthRoleRevokePermissionResponse, AuthStatusRequest,
    AuthStatusResponse, AuthUserAddRequest, AuthUserAddResponse, AuthUserChangePasswordRequest,
    AuthUserChangePasswordResponse, AuthUserDeleteRequest, AuthUserDeleteResponse,
    AuthUserGetRequest, AuthUserGetResponse, AuthUserGrantRoleRequest, AuthUserGrantRoleResponse,
    AuthUserListRequest, AuthUserListResponse, AuthUserRevokeRoleRequest,
    AuthUserRevokeRoleResponse, AuthenticateRequest, AuthenticateResponse, ResponseHeader,
};
use etcd_v3::{Code, Status};
use kv_model::auth::{AuthChange, ROOT};
use kv_model::{Command, ErrorCode, query};

use super::call::{Call, Door, unreadable};
use super::caller::Caller;
use super::reply;
use crate::http::answer::Answer;

/// Has users or roles changed, as root.
async fn change(
    door: Door<'_>,
    caller: &Caller,
    about: About,
    change: AuthChange,
) -> Result<Option<ResponseHeader>, Status> {
    let committed = door.propose_as_root(caller, Command::Auth(change)).await?;
    let done = committed.outcome;
    done.map_err(|refusal| auth::refused(refusal, about))?;
    header(door)
}

fn header(door: Door<'_>) -> Result<Option<ResponseHeader>, Status> {
    Ok(door.place().header(door.revision()?))
}

/// `AuthEnable`. To enable what is enabled is no mistake.
pub(super) async fn enable(call: Call<'_>) -> Result<Answer, Status> {
    let (_, caller, door) = call.read::<AuthEnableRequest>().await?;
    let command = Command::Auth(AuthChange::EnableForUsers);
    let committed = door.propose_as_root(&caller, command).await?;
    if let Err(refusal) = committed.outcome {
        let view = door.state.backend.view();
        let is_enabled = query::is_auth_enabled(&*view).map_err(unreadable)?;
        if refusal.code != ErrorCode::AuthConflict || !is_enabled {
            return Err(Status::ROOT_USER_NOT_FOUND);
        }
    }
    let header = header(door)?;
    Ok(reply::single(&AuthEnableResponse { header }))
}

/// `AuthDisable`. To disable what is disabled is no mistake.
pub(super) async fn disable(call: Call<'_>) -> Result<Answer, Status> {
    let (_, caller, door) = call.read::<AuthDisableRequest>().await?;
    let command = Command::Auth(AuthChange::Disable);
    let committed = door.propose_as_root(&caller, command).await?;
    match committed.outcome {
        Err(refusal) if refusal.code != ErrorCode::AuthConflict => return Err(refusal.into()),
        _ => {}
    }
    let header = header(door)?;
    Ok(reply::single(&AuthDisableResponse { header }))
}

/// `AuthStatus`, which etcd has since 3.5.
pub(super) async fn status(call: Call<'_>) -> Result<Answer, Status> {
    let (_, caller, door) = call.read::<AuthStatusRequest>().await?;
    door.check_root(&caller)?;
    let view = door.state.backend.view();
    Ok(reply::single(&AuthStatusResponse {
        header: header(door)?,
        enabled: query::is_auth_enabled(&*view).map_err(unreadable)?,
        auth_revision: query::auth_revision(&*view).map_err(unreadable)?.0,
    }))
}

/// `Authenticate`: a token for a password.
pub(super) async fn authenticate(call: Call<'_>) -> Result<Answer, Status> {
    let (request, door) = call.read_open::<AuthenticateRequest>().await?;
    // Users that another member knows since long shall be known here.
    door.linearize().await?;
    let state = door.state;
    let user = {
        let view = state.backend.view();
        if !query::is_auth_enabled(&*view).map_err(unreadable)? {
            return Err(Status::AUTH_NOT_ENABLED);
        }
        query::user(&*view, &request.name).map_err(unreadable)?
    };
    let user = user.ok_or(Status::AUTHENTICATION_FAILED)?;
    let (name, hash) = (&user.name, &user.password_hash);
    if !state.passwords.check(name, hash, &request.password).await {
        return Err(Status::AUTHENTICATION_FAILED);
    }
    let cluster = state.backend.cluster_id();
    let given = (state.tokens).give(&*state.backend.view(), cluster, &user);
    let token = given.map_err(unreadable)?.ok_or(Status::AUTH_NOT_ENABLED)?;
    let header = header(door)?;
    Ok(reply::single(&AuthenticateResponse { header, token }))
}

async fn hash(door: Door<'_>, password: &str) -> Result<String, Status> {
    let hash = door.state.passwords.hash(password).await;
    hash.map_err(|error| Status::of(Code::InvalidArgument, format!("etcdserver: {error}")))
}

/// `UserAdd`.
pub(super) async fn user_add(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<AuthUserAddRequest>().await?;
    door.check_root(&caller)?;
    if request.name.is_empty() {
        return Err(Status::USER_EMPTY);
    }
    let needs_none = request.options.is_some_and(|options| options.no_password);
    let hash = if needs_none {
        None
    } else {
        Some(hash(door, &request.password).await?)
    };
    let add = auth::user_add(request.name, hash);
    let header = change(door, &caller, About::User, add).await?;
    Ok(reply::single(&AuthUserAddResponse { header }))
}

/// `UserDelete`.
pub(super) async fn user_delete(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<AuthUserDeleteRequest>().await?;
    let delete = AuthChange::DeleteUser(request.name);
    let header = change(door, &caller, About::User, delete).await?;
    Ok(reply::single(&AuthUserDeleteResponse { header }))
}

/// `UserChangePassword`. One whom only a certificate lets in stays so, as in etcd.
pub(super) async fn user_change_password(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<AuthUserChangePasswordRequest>().await?;
    door.check_root(&caller)?;
    let user = query::user(&*door.state.backend.view(), &request.name).map_err(unreadable)?;
    let has_none = user.is_some_and(|user| user.password_hash.is_empty());
    let header = if has_none {
        header(door)?
    } else {
        let hash = hash(door, &request.password).await?;
        let new = auth::password_change(request.name, hash);
        change(door, &caller, About::User, new).await?
    };
    Ok(reply::single(&AuthUserChangePasswordResponse { header }))
}

/// `UserGrantRole`.
pub(super) async fn user_grant_role(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<AuthUserGrantRoleRequest>().await?;
    let AuthUserGrantRoleRequest { user, role } = request;
    let grant = AuthChange::GrantRole { user, role };
    let header = change(door, &caller, About::RoleOfUser, grant).await?;
    Ok(reply::single(&AuthUserGrantRoleResponse { header }))
}

/// `UserRevokeRole`.
pub(super) async fn user_revoke_role(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<AuthUserRevokeRoleRequest>().await?;
    let AuthUserRevokeRoleRequest { name: user, role } = request;
    let revoke = AuthChange::RevokeRole { user, role };
    let header = change(door, &caller, About::RoleOfUser, revoke).await?;
    Ok(reply::single(&AuthUserRevokeRoleResponse { header }))
}

/// `UserGet`: everybody may know about themselves.
pub(super) async fn user_get(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<AuthUserGetRequest>().await?;
    let is_own = matches!(&caller, Caller::User(name) if *name == request.name);
    if !is_own {
        door.check_root(&caller)?;
    }
    door.linearize().await?;
    let user = query::user(&*door.state.backend.view(), &request.name).map_err(unreadable)?;
    let user = user.ok_or(Status::USER_NOT_FOUND)?;
    Ok(reply::single(&AuthUserGetResponse {
        header: header(door)?,
        roles: user.roles.into_iter().collect(),
    }))
}

/// `UserList`.
pub(super) async fn user_list(call: Call<'_>) -> Result<Answer, Status> {
    let (_, caller, door) = call.read::<AuthUserListRequest>().await?;
    door.check_root(&caller)?;
    door.linearize().await?;
    let users = query::users(&*door.state.backend.view()).map_err(unreadable)?;
    Ok(reply::single(&AuthUserListResponse {
        header: header(door)?,
        users: users.into_iter().map(|user| user.name).collect(),
    }))
}

/// `RoleAdd`. The role `root` is there already; as long as users do not matter, adding it is a part
/// of every guide to etcd, and no mistake.
pub(super) async fn role_add(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<AuthRoleAddRequest>().await?;
    door.check_root(&caller)?;
    let header = match &request.name[..] {
        ROOT if matches!(caller, Caller::Anybody) => header(door)?,
        ROOT => return Err(Status::ROLE_EXISTS),
        _ => {
            let add = auth::role_add(request.name);
            change(door, &caller, About::Role, add).await?
        }
    };
    Ok(reply::single(&AuthRoleAddResponse { header }))
}

/// `RoleDelete`.
pub(super) async fn role_delete(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<AuthRoleDeleteRequest>().await?;
    let delete = AuthChange::DeleteRole(request.role);
    let header = change(door, &caller, About::Role, delete).await?;
    Ok(reply::single(&AuthRoleDeleteResponse { header }))
}

/// `RoleGrantPermission`.
pub(super) async fn role_grant_permission(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<AuthRoleGrantPermissionRequest>().await?;
    door.check_root(&caller)?;
    let grant = auth::permission_grant(request)?;
    let header = change(door, &caller, About::Permission, grant).await?;
    Ok(reply::single(&AuthRoleGrantPermissionResponse { header }))
}

/// `RoleRevokePermission`.
pub(super) async fn role_revoke_permission(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<AuthRoleRevokePermissionRequest>().await?;
    let revoke = auth::permission_revoke(request);
    let header = change(door, &caller, About::Permission, revoke).await?;
    Ok(reply::single(&AuthRoleRevokePermissionResponse { header }))
}

/// `RoleGet`: everybody may know about the roles they have.
pub(super) async fn role_get(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<AuthRoleGetRequest>().await?;
    if !has_role(door, &caller, &request.role)? {
        door.check_root(&caller)?;
    }
    door.linearize().await?;
    let role = query::role(&*door.state.backend.view(), &request.role).map_err(unreadable)?;
    let role = role.ok_or(Status::ROLE_NOT_FOUND)?;
    Ok(reply::single(&AuthRoleGetResponse {
        header: header(door)?,
        perm: auth::permissions(&role),
    }))
}

fn has_role(door: Door<'_>, caller: &Caller, role: &str) -> Result<bool, Status> {
    let Caller::User(name) = caller else {
        return Ok(false);
    };
    let user = query::user(&*door.state.backend.view(), name).map_err(unreadable)?;
    Ok(user.is_some_and(|user| user.roles.contains(role)))
}

/// `RoleList`.
pub(super) async fn role_list(call: Call<'_>) -> Result<Answer, Status> {
    let (_, caller, door) = call.read::<AuthRoleListRequest>().await?;
    door.check_root(&caller)?;
    door.linearize().await?;
    let roles = query::roles(&*door.state.backend.view()).map_err(unreadable)?;
    Ok(reply::single(&AuthRoleListResponse {
        header: header(door)?,
        roles: roles.into_iter().map(|role| role.name).collect(),
    }))
}
