//! `/config/local/log`: how much this member logs, changed while it runs.
//!
//! What a level means is for whoever set the logs up.
use etcd_v2::MessageError;
use hyper::{Method, StatusCode};
use serde::Deserialize;

use super::answer::{Answer, empty, message, method_not_allowed};
use super::options::HttpOptions;

#[derive(Deserialize)]
struct Wish {
    #[serde(alias = "level", alias = "LEVEL", default)]
    #[serde(rename = "Level")]
    level: String,
}

/// Answers a request.
pub(super) fn handle(options: &HttpOptions, method: &Method, body: &[u8]) -> Answer {
    if method != Method::PUT {
        return method_not_allowed("PUT");
    }
    let Ok(wish) = serde_json::from_slice::<Wish>(body) else {
        return message(&MessageError::new(400, "Invalid json body"));
    };
    if (options.set_log_level)(&wish.level).is_ok() {
        return empty(StatusCode::NO_CONTENT);
    }
    let text = format!("Invalid log level {}", wish.level);
    message(&MessageError::new(400, text))
}
