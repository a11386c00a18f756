//! What people get who ask a peer socket: `/version` and `/members`, as etcd's peers answer.
//!
//! The daemon's client API writes its own.
use serde_json::json;

use crate::member::Member;

/// This program's version.
pub(crate) fn version() -> String {
    json!({ "kvd": env!("CARGO_PKG_VERSION") }).to_string()
}

/// All members, as a list.
pub(crate) fn members(members: &[Member]) -> String {
    let members: Vec<_> = (members.iter())
        .map(|member| {
            json!({
                "id": member.id.to_string(),
                "name": member.name,
                "peerURLs": member.peer_urls,
                "clientURLs": member.client_urls,
                "isLearner": member.learner,
            })
        })
        .collect();
    json!(members).to_string()
}
