//! The JSON gateway at `/v3/…`: every method as a POST, as etcd 3.4 has them.
//!
//! A request becomes a call of gRPC inside this process and takes the same way; how messages look as
//! JSON is `etcd-v3`'s. The token comes in the header `Authorization`. Other than with etcd's, a client
//! certificate's user counts here too: nothing stands between the client and this server.
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use etcd_v3::frame::{self, Frames};
use etcd_v3::schema::{self, Message, Method};
use etcd_v3::{Code, Status, json};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method as HttpMethod, StatusCode};
use serde_json::Value;

use super::call::{Call, message_bytes_max};
use super::incoming::{CallBody, JsonRequests};
use super::reply::{GrpcBody, MESSAGE, STATUS};
use crate::http::answer::json as json_answer;
use crate::http::answer::{Answer, plain_error};
use crate::http::body::AnswerBody;
use crate::http::connection::PeerIdentity;
use crate::http::request_body;
use crate::http::state::ServerState;

/// What is under `/v3/`, and the method it is. Some have two names; of the last, etcd 3.4 has none.
const PATHS: &[(&str, &str)] = &[
    ("kv/range", "/etcdserverpb.KV/Range"),
    ("kv/put", "/etcdserverpb.KV/Put"),
    ("kv/deleterange", "/etcdserverpb.KV/DeleteRange"),
    ("kv/txn", "/etcdserverpb.KV/Txn"),
    ("kv/compaction", "/etcdserverpb.KV/Compact"),
    ("watch", "/etcdserverpb.Watch/Watch"),
    ("lease/grant", "/etcdserverpb.Lease/LeaseGrant"),
    ("lease/revoke", "/etcdserverpb.Lease/LeaseRevoke"),
    ("kv/lease/revoke", "/etcdserverpb.Lease/LeaseRevoke"),
    ("lease/keepalive", "/etcdserverpb.Lease/LeaseKeepAlive"),
    ("lease/timetolive", "/etcdserverpb.Lease/LeaseTimeToLive"),
    ("kv/lease/timetolive", "/etcdserverpb.Lease/LeaseTimeToLive"),
    ("lease/leases", "/etcdserverpb.Lease/LeaseLeases"),
    ("kv/lease/leases", "/etcdserverpb.Lease/LeaseLeases"),
    ("cluster/member/add", "/etcdserverpb.Cluster/MemberAdd"),
    (
        "cluster/member/remove",
        "/etcdserverpb.Cluster/MemberRemove",
    ),
    (
        "cluster/member/update",
        "/etcdserverpb.Cluster/MemberUpdate",
    ),
    ("cluster/member/list", "/etcdserverpb.Cluster/MemberList"),
    (
        "cluster/member/promote",
        "/etcdserverpb.Cluster/MemberPromote",
    ),
    ("maintenance/alarm", "/etcdserverpb.Maintenance/Alarm"),
    ("maintenance/status", "/etcdserverpb.Maintenance/Status"),
    (
        "maintenance/defragment",
        "/etcdserverpb.Maintenance/Defragment",
    ),
    ("maintenance/hash", "/etcdserverpb.Maintenance/HashKV"),
    ("maintenance/snapshot", "/etcdserverpb.Maintenance/Snapshot"),
    (
        "maintenance/transfer-leadership",
        "/etcdserverpb.Maintenance/MoveLeader",
    ),
    ("auth/enable", "/etcdserverpb.Auth/AuthEnable"),
    ("auth/disable", "/etcdserverpb.Auth/AuthDisable"),
    ("auth/authenticate", "/etcdserverpb.Auth/Authenticate"),
    ("auth/user/add", "/etcdserverpb.Auth/UserAdd"),
    ("auth/user/get", "/etcdserverpb.Auth/UserGet"),
    ("auth/user/list", "/etcdserverpb.Auth/UserList"),
    ("auth/user/delete", "/etcdserverpb.Auth/UserDelete"),
    (
        "auth/user/changepw",
        "/etcdserverpb.Auth/UserChangePassword",
    ),
    ("auth/user/grant", "/etcdserverpb.Auth/UserGrantRole"),
    ("auth/user/revoke", "/etcdserverpb.Auth/UserRevokeRole"),
    ("auth/role/add", "/etcdserverpb.Auth/RoleAdd"),
    ("auth/role/get", "/etcdserverpb.Auth/RoleGet"),
    ("auth/role/list", "/etcdserverpb.Auth/RoleList"),
    ("auth/role/delete", "/etcdserverpb.Auth/RoleDelete"),
    ("auth/role/grant", "/etcdserverpb.Auth/RoleGrantPermission"),
    (
        "auth/role/revoke",
        "/etcdserverpb.Auth/RoleRevokePermission",
    ),
    ("lock/lock", "/v3lockpb.Lock/Lock"),
    ("lock/unlock", "/v3lockpb.Lock/Unlock"),
    ("election/campaign", "/v3electionpb.Election/Campaign"),
    ("election/proclaim", "/v3electionpb.Election/Proclaim"),
    ("election/leader", "/v3electionpb.Election/Leader"),
    ("election/observe", "/v3electionpb.Election/Observe"),
    ("election/resign", "/v3electionpb.Election/Resign"),
    ("auth/status", "/etcdserverpb.Auth/AuthStatus"),
];

/// What of a path is the gateway's. etcd 3.3's prefix is understood, as 3.4 does.
pub(in crate::http) fn route(path: &str) -> Option<&str> {
    let prefixes = ["/v3/", "/v3beta/"];
    prefixes.iter().find_map(|prefix| path.strip_prefix(prefix))
}

/// Answers a request; `path` is what [`route`] gave.
pub(in crate::http) async fn handle(
    state: &Arc<ServerState>,
    peer: &PeerIdentity,
    head: &Parts,
    path: &str,
    body: Incoming,
) -> Answer {
    let method = PATHS.iter().find(|(known, _)| *known == path);
    let Some(method) = method.and_then(|(_, method)| schema::method(method)) else {
        return plain_error(StatusCode::NOT_FOUND, "Not Found\n");
    };
    if head.method != HttpMethod::POST {
        return plain_error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
    }
    let answered = if method.takes_many {
        answer_many(state, peer, head, method, body).await
    } else {
        answer_one(state, peer, head, method, body).await
    };
    let answered = match answered {
        Ok(answer) => answer.into_body(),
        Err(status) if method.gives_many => {
            let line = Bytes::from(error_line(&status));
            return json_answer(http_status(status.code), line);
        }
        Err(status) => return refused(&status),
    };
    let AnswerBody::Grpc(body) = answered else {
        return refused(&super::call::unexpected());
    };
    let mut lines = Lines::new(body, method.output);
    if method.gives_many {
        let mut answer = json_answer(StatusCode::OK, Bytes::new());
        *answer.body_mut() = AnswerBody::Json(Box::new(lines));
        return answer;
    }
    match std::future::poll_fn(|cx| lines.poll_message(cx)).await {
        Some(Ok(json)) => json_answer(StatusCode::OK, json),
        Some(Err(status)) => refused(&status),
        None => refused(&super::call::unexpected()),
    }
}

async fn answer_many(
    state: &Arc<ServerState>,
    peer: &PeerIdentity,
    head: &Parts,
    method: &'static Method,
    body: Incoming,
) -> Result<Answer, Status> {
    // etcd's watches go on when all was asked; of the others, the answer ends.
    let ends = method.path != "/etcdserverpb.Watch/Watch";
    let requests = JsonRequests::new(body, method.input, message_bytes_max(state), ends);
    let call = Call::new(state, peer, head, CallBody::Json(Box::new(requests)));
    super::dispatch(call, method.path).await
}

async fn answer_one(
    state: &Arc<ServerState>,
    peer: &PeerIdentity,
    head: &Parts,
    method: &'static Method,
    body: Incoming,
) -> Result<Answer, Status> {
    // A third more than the bytes that it stands for.
    let bytes_max = message_bytes_max(state) / 3 * 4;
    let time_max = state.options.receive_timeout;
    let body = request_body::read(body, bytes_max, time_max).await;
    let body = body.map_err(|error| Status::of(Code::InvalidArgument, error.to_string()))?;
    let mut values = serde_json::Deserializer::from_slice(&body).into_iter::<Value>();
    // Nothing is an empty message, and what follows the first is not looked at.
    let value = values.next().unwrap_or(Ok(Value::Null));
    let value = value.map_err(|error| malformed(&error))?;
    let message = json::read(method.input, &value)?;
    let call = Call::new(state, peer, head, CallBody::Message(message));
    super::dispatch(call, method.path).await
}

pub(super) fn malformed(error: &serde_json::Error) -> Status {
    let text = if error.is_eof() {
        "unexpected EOF".to_owned()
    } else {
        error.to_string()
    };
    Status::of(Code::InvalidArgument, text)
}

/// HTTP's status for a code of gRPC, as etcd 3.4's gateway has it.
pub(super) fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Canceled => StatusCode::REQUEST_TIMEOUT,
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::FailedPrecondition => StatusCode::PRECONDITION_FAILED,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Unknown | Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn refused(status: &Status) -> Answer {
    let mut text = Vec::new();
    json::write_text(&status.message, &mut text);
    let text = String::from_utf8_lossy(&text);
    let code = status.code as u16;
    let body = format!(r#"{{"error":{text},"message":{text},"code":{code}}}"#);
    json_answer(http_status(status.code), body)
}

/// The last line of a stream that ends badly.
fn error_line(status: &Status) -> Vec<u8> {
    let http = http_status(status.code);
    let (grpc_code, http_code) = (status.code as u16, http.as_u16());
    let head = format!(r#"{{"error":{{"grpc_code":{grpc_code},"http_code":{http_code},"message":"#);
    let mut line = head.into_bytes();
    json::write_text(&status.message, &mut line);
    let reason = http.canonical_reason().unwrap_or_default();
    line.extend_from_slice(format!(r#","http_status":"{reason}"}}}}"#).as_bytes());
    line
}

/// The answers to a call, as JSON.
pub(in crate::http) struct Lines {
    body: GrpcBody,
    frames: Frames,
    output: &'static Message,
}

impl Lines {
    fn new(body: GrpcBody, output: &'static Message) -> Self {
        Self {
            body,
            // What the store answers may be as long as it likes.
            frames: Frames::new(usize::MAX),
            output,
        }
    }

    /// The next message; nothing at a good end.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        loop {
            match self.frames.take_bytes() {
                Ok(None) => {}
                Ok(Some(message)) => {
                    let mut json = Vec::with_capacity(2 * message.len());
                    let written = json::write(self.output, &message, &mut json);
                    return Poll::Ready(Some(written.map(|()| json.into())));
                }
                Err(status) => return Poll::Ready(Some(Err(status))),
            }
            match ready!(self.body.poll_frame(cx)).map(hyper::body::Frame::into_data) {
                None => return Poll::Ready(None),
                Some(Ok(data)) => self.frames.push(data),
                Some(Err(trailers)) => {
                    let trailers = trailers.into_trailers().unwrap_or_default();
                    return Poll::Ready(ending(&trailers).map(Err));
                }
            }
        }
    }

    /// The next line of a stream.
    pub(in crate::http) fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let message = ready!(self.poll_message(cx));
        Poll::Ready(message.map(|message| match message {
            Ok(json) => {
                let mut line = BytesMut::with_capacity(json.len() + 12);
                line.extend_from_slice(b"{\"result\":");
                line.extend_from_slice(&json);
                line.extend_from_slice(b"}\n");
                line.freeze()
            }
            Err(status) => {
                self.body = GrpcBody::Done;
                let mut line = error_line(&status);
                line.push(b'\n');
                line.into()
            }
        }))
    }
}

/// How a call ended, if not well.
fn ending(trailers: &HeaderMap) -> Option<Status> {
    let text = |name| trailers.get(name).map(HeaderValue::as_bytes);
    let code = text(STATUS).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    let code = code.map_or(Code::Unknown, Code::from_number);
    if code == Code::Ok {
        return None;
    }
    let message = frame::unescape(text(MESSAGE).unwrap_or_default());
    Some(Status::of(code, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_a_method() {
        for (path, method) in PATHS {
            assert!(schema::method(method).is_some(), "{path}: {method}");
        }
        assert_eq!(route("/v3/kv/put"), Some("kv/put"));
        assert_eq!(route("/v3beta/kv/put"), Some("kv/put"));
        assert_eq!(route("/v3"), None);
        assert_eq!(route("/v2/keys"), None);
    }

    #[test]
    fn errors_are_etcds() {
        let line = String::from_utf8(error_line(&Status::PERMISSION_DENIED)).unwrap();
        let wanted = r#"{"error":{"grpc_code":7,"http_code":403,"message":"etcdserver: permission denied","http_status":"Forbidden"}}"#;
        assert_eq!(line, wanted);
    }
}
