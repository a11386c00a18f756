//! Answers: status, headers and body, as etcd's server (and Go's below it) shapes them.
//!
//! It does not decide what is answered.
use bytes::Bytes;
use etcd_v2::MessageError;
use etcd_v2::server::{BAD_REQUEST, METHOD_NOT_ALLOWED, NOT_FOUND, PLAIN_TEXT, write_redirect};
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Response, StatusCode};

use super::body::AnswerBody;
use super::state::ServerState;

/// An answer.
pub(super) type Answer = Response<AnswerBody>;

/// The connection ends after the answer.
pub(super) const CLOSE: HeaderValue = HeaderValue::from_static("close");
pub(super) const CLUSTER_ID: HeaderName = HeaderName::from_static("x-etcd-cluster-id");
pub(super) const INDEX: HeaderName = HeaderName::from_static("x-etcd-index");
pub(super) const RAFT_INDEX: HeaderName = HeaderName::from_static("x-raft-index");
pub(super) const RAFT_TERM: HeaderName = HeaderName::from_static("x-raft-term");

/// An answer of some content type.
pub(super) fn whole(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(AnswerBody::whole(body));
    *answer.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}

/// JSON.
pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    whole(status, etcd_v2::JSON, body.into())
}

/// Plain text.
pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    whole(status, PLAIN_TEXT, body.into())
}

/// No body, and no content type.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(AnswerBody::whole(Bytes::new()));
    *answer.status_mut() = status;
    answer
}

/// An error as plain text, as Go's server writes it.
pub(super) fn plain_error(status: StatusCode, message: impl Into<Bytes>) -> Answer {
    let mut answer = text(status, message.into());
    let no_sniffing = HeaderValue::from_static("nosniff");
    answer
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, no_sniffing);
    answer
}

/// Nothing is served at this path.
pub(super) fn not_found() -> Answer {
    plain_error(StatusCode::NOT_FOUND, NOT_FOUND)
}

/// Something is served at this path, but not by this method.
pub(super) fn method_not_allowed(allowed: &'static str) -> Answer {
    let mut answer = plain_error(StatusCode::METHOD_NOT_ALLOWED, METHOD_NOT_ALLOWED);
    if !allowed.is_empty() {
        let allowed = HeaderValue::from_static(allowed);
        answer.headers_mut().insert(ALLOW, allowed);
    }
    answer
}

/// The path should have been written otherwise.
pub(super) fn moved(method: &Method, location: &str) -> Answer {
    let Ok(value) = HeaderValue::from_str(location) else {
        return bad_request();
    };
    let mut answer = match *method {
        Method::GET | Method::HEAD => {
            let status = StatusCode::MOVED_PERMANENTLY;
            whole(status, "text/html; charset=utf-8", write_redirect(location))
        }
        _ => empty(StatusCode::MOVED_PERMANENTLY),
    };
    answer.headers_mut().insert(LOCATION, value);
    answer
}

/// The request's path cannot be read.
pub(super) fn bad_request() -> Answer {
    let mut answer = text(StatusCode::BAD_REQUEST, BAD_REQUEST);
    answer.headers_mut().insert(CONNECTION, CLOSE);
    answer
}

/// An error that is about no key.
pub(super) fn message(error: &MessageError) -> Answer {
    let status = StatusCode::from_u16(error.status);
    json(
        status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        error.body(),
    )
}

/// The answer with the cluster's id; etcd leaves it out where it turned the request away at the door.
pub(super) fn with_cluster_id(state: &ServerState, mut answer: Answer) -> Answer {
    // A method that is never allowed is answered with those that are; one that only misses its
    // member's id is not, and has come further.
    if answer.status() == StatusCode::UNAUTHORIZED || answer.headers().contains_key(ALLOW) {
        return answer;
    }
    let cluster_id = state.cluster_id.clone();
    answer.headers_mut().insert(CLUSTER_ID, cluster_id);
    answer
}
