//! The same operations on registers, asked through v3's JSON gateway.
//!
//! What is asked and what an answer means; sending is elsewhere.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::client::Answer;
use super::history::{Asked, Change, Outcome};
use crate::json::Json;

/// Where registers are; and the key that comes after all of them.
const FOLDER: &str = "/registers/";
const END: &str = "/registers0";

fn encoded(text: &str) -> String {
    STANDARD.encode(text)
}

fn decoded(text: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}

/// The path and the message for an operation.
pub(crate) fn render(key: u64, asked: Asked) -> (&'static str, String) {
    let key = encoded(&format!("{FOLDER}{key}"));
    let value = |value: u64| encoded(&value.to_string());
    let if_value = |expected, then: String| {
        let expected = value(expected);
        format!(
            r#"{{"compare":[{{"target":"VALUE","key":"{key}","value":"{expected}"}}],"success":[{then}]}}"#
        )
    };
    match asked {
        Asked::Read => ("/v3/kv/range", format!(r#"{{"key":"{key}"}}"#)),
        Asked::Put { value: new } => (
            "/v3/kv/put",
            format!(r#"{{"key":"{key}","value":"{}"}}"#, value(new)),
        ),
        Asked::Swap {
            expected,
            value: new,
        } => {
            let new = value(new);
            let put = format!(r#"{{"request_put":{{"key":"{key}","value":"{new}"}}}}"#);
            ("/v3/kv/txn", if_value(expected, put))
        }
        Asked::Delete { expected } => {
            let delete = format!(r#"{{"request_delete_range":{{"key":"{key}"}}}}"#);
            ("/v3/kv/txn", if_value(expected, delete))
        }
    }
}

fn text(json: &Json, name: &str) -> Option<String> {
    Some(json.field(name)?.to_string().trim_matches('"').to_owned())
}

fn number(json: &Json, name: &str) -> Option<u64> {
    text(json, name)?.parse().ok()
}

/// A value that a client wrote.
fn written(kv: &Json) -> Option<u64> {
    decoded(&text(kv, "value")?)?.parse().ok()
}

/// What an answer says of an operation.
pub(crate) fn judge(asked: Asked, answer: Result<Answer>) -> Outcome {
    let Ok(answer) = answer else {
        return Outcome::Unknown;
    };
    if matches!(answer.status, 429 | 500..) {
        return Outcome::Unknown;
    }
    let outcome = (answer.json()).filter(|_| answer.status == 200);
    let outcome = outcome.and_then(|json| understand(asked, &json));
    outcome.unwrap_or_else(|| Outcome::Malformed(format!("{} {}", answer.status, answer.body)))
}

fn understand(asked: Asked, json: &Json) -> Option<Outcome> {
    let revision = number(json.field("header")?, "revision")?;
    let succeeded = json.field("succeeded").is_some();
    Some(match asked {
        Asked::Read => Outcome::Read {
            index: revision,
            found: match json.field("kvs") {
                None => None,
                Some(Json::Array(kvs)) => {
                    let kv = kvs.first()?;
                    Some((written(kv)?, number(kv, "mod_revision")?))
                }
                Some(_) => return None,
            },
        },
        Asked::Swap { .. } | Asked::Delete { .. } if !succeeded => {
            Outcome::Refused { index: revision }
        }
        _ => Outcome::Written { revision },
    })
}

/// The request for a watch of all registers from a revision on.
pub(crate) fn watch(from: u64) -> (&'static str, String) {
    let (key, end) = (encoded(FOLDER), encoded(END));
    let create = format!(
        r#"{{"create_request":{{"key":"{key}","range_end":"{end}","start_revision":"{from}","prev_kv":true}}}}"#
    );
    ("/v3/watch", create)
}

/// The changes that a line of a watch tells; none if the watch has ended.
pub(crate) fn read_line(line: &str) -> Result<Option<Vec<(u64, Change)>>> {
    let (json, _) = Json::read(line).with_context(|| format!("no JSON: {line}"))?;
    let Some(result) = json.field("result") else {
        return Ok(None);
    };
    ensure!(result.field("canceled").is_none(), "canceled: {line}");
    let events = match result.field("events") {
        Some(Json::Array(events)) => &events[..],
        _ => &[],
    };
    let change = |event| change(event).with_context(|| format!("no change: {line}"));
    events.iter().map(change).collect::<Result<_>>().map(Some)
}

fn change(event: &Json) -> Option<(u64, Change)> {
    let kv = event.field("kv")?;
    let key = decoded(&text(kv, "key")?)?;
    let is_removal = text(event, "type").as_deref() == Some("DELETE");
    let change = Change {
        key: key.strip_prefix(FOLDER)?.parse().ok()?,
        value: if is_removal { None } else { Some(written(kv)?) },
        before: event.field("prev_kv").and_then(written),
    };
    Some((number(kv, "mod_revision")?, change))
}

#[test]
fn answers_are_understood() {
    let answer = |status, body: &str| {
        Ok(Answer {
            status,
            index: None,
            body: body.to_owned(),
        })
    };
    let head = r#"{"header":{"revision":"9"}"#;
    let swap = Asked::Swap {
        expected: 1,
        value: 2,
    };
    let found = r#","kvs":[{"key":"eA==","mod_revision":"8","value":"Nw=="}]"#;
    for (asked, status, body, wanted) in [
        (
            Asked::Read,
            200,
            format!("{head}{found}}}"),
            Outcome::Read {
                index: 9,
                found: Some((7, 8)),
            },
        ),
        (
            Asked::Read,
            200,
            format!("{head}}}"),
            Outcome::Read {
                index: 9,
                found: None,
            },
        ),
        (
            swap,
            200,
            format!("{head}}}"),
            Outcome::Refused { index: 9 },
        ),
        (
            swap,
            200,
            format!(r#"{head},"succeeded":true}}"#),
            Outcome::Written { revision: 9 },
        ),
        (swap, 503, String::new(), Outcome::Unknown),
        (
            swap,
            404,
            "x".to_owned(),
            Outcome::Malformed("404 x".to_owned()),
        ),
    ] {
        assert_eq!(judge(asked, answer(status, &body)), wanted, "{body}");
    }
}
