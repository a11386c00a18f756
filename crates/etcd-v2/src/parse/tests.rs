//! Requests parsed and refused as etcd 3.4.23 does; the causes are its answers.

use bytes::Bytes;
use kv_model::command::{Expected, KeyAction, NewContent};
use kv_model::{ErrorCode, Refusal, Revision, UnixNanoseconds};
use proptest::prelude::{Just, any, prop_oneof, proptest};

use crate::{
    KeyRequest, Method, Parsed, RawRequest, ReadRequest, Representation, WatchRequest,
    parse_key_request,
};

const NOW: UnixNanoseconds = UnixNanoseconds(1_000_000_000_000);
const FORM: Option<&[u8]> = Some(b"application/x-www-form-urlencoded");

fn request<'a>(method: Method, query: &'a str, body: &'a Bytes) -> RawRequest<'a> {
    RawRequest {
        method,
        path: "/a",
        query,
        content_type: FORM,
        accept: None,
        last_event_id: None,
        body,
    }
}

fn parse(method: Method, query: &str, body: &str) -> Result<Parsed, Refusal> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    parse_key_request(&request(method, query, &body), NOW)
}

fn action(method: Method, query: &str, body: &str) -> KeyAction {
    match parse(method, query, body).expect("it is valid").request {
        KeyRequest::Write(write) => write.command.action,
        other => panic!("not a write: {other:?}"),
    }
}

fn warnings(method: Method, query: &str, body: &str) -> String {
    let parsed = parse(method, query, body).expect("it is valid");
    parsed.warnings.join("; ")
}

fn value(text: &'static str) -> NewContent {
    NewContent::Value(Bytes::from_static(text.as_bytes()))
}

fn set(text: &'static str) -> KeyAction {
    KeyAction::Set {
        content: value(text),
        expires: None,
    }
}

fn expected(value: Option<&'static str>, index: Option<u64>) -> Expected {
    Expected {
        value: value.map(|value| Bytes::from_static(value.as_bytes())),
        index: index.map(Revision),
    }
}

#[test]
fn the_body_comes_before_the_query() {
    assert_eq!(
        action(Method::Put, "value=query", "value=body"),
        set("body")
    );
    assert_eq!(action(Method::Put, "value=query", ""), set("query"));
    assert_eq!(
        action(Method::Put, "", "value=a%20b+c%2B&&x"),
        set("a b c+")
    );
    assert_eq!(action(Method::Put, "", "value"), set(""));
    assert_eq!(action(Method::Put, "value=1&value=2", ""), set("1"));
}

#[test]
fn a_put_dispatches_on_its_conditions() {
    let soon = Some(UnixNanoseconds(NOW.0 + 5_000_000_000));
    let swap = |expected| KeyAction::CompareAndSwap {
        expected,
        value: Some(Bytes::from_static(b"x")),
        expires: None,
        refresh: false,
    };
    for (query, action_wanted) in [
        ("value=x", set("x")),
        ("value=x&prevIndex=0", set("x")),
        ("prevIndex=7&value=x", swap(expected(None, Some(7)))),
        (
            "prevValue=y&value=x&prevExist=1",
            swap(expected(Some("y"), None)),
        ),
        (
            "prevValue=y&prevIndex=7&value=x",
            swap(expected(Some("y"), Some(7))),
        ),
        (
            "prevExist=F&prevIndex=7&value=x&ttl=5",
            KeyAction::Create {
                content: value("x"),
                expires: soon,
            },
        ),
        (
            "prevExist=T",
            KeyAction::Update {
                value: Some(Bytes::new()),
                expires: None,
                refresh: false,
            },
        ),
        (
            "prevExist=true&refresh=true&ttl=5",
            KeyAction::Update {
                value: None,
                expires: soon,
                refresh: true,
            },
        ),
        (
            "refresh=true&ttl=5",
            KeyAction::SetRefresh { expires: soon },
        ),
        (
            "dir=true&value=x",
            KeyAction::Set {
                content: NewContent::Directory,
                expires: None,
            },
        ),
    ] {
        assert_eq!(action(Method::Put, query, ""), action_wanted, "{query}");
    }
}

#[test]
fn post_and_delete_have_their_own_actions() {
    let in_order = KeyAction::CreateInOrder {
        content: value("x"),
        expires: None,
    };
    assert_eq!(
        action(Method::Post, "prevExist=false", "value=x"),
        in_order,
        "conditions do not count"
    );
    let delete = KeyAction::Delete {
        directory: true,
        recursive: false,
    };
    assert_eq!(action(Method::Delete, "dir=true", ""), delete);
    let compared = KeyAction::CompareAndDelete {
        expected: expected(Some("x"), Some(4)),
    };
    assert_eq!(
        action(Method::Delete, "prevValue=x&prevIndex=4&recursive=1", ""),
        compared
    );
    // Go does not read a form from the body of a DELETE.
    let delete = KeyAction::Delete {
        directory: false,
        recursive: false,
    };
    assert_eq!(action(Method::Delete, "", "recursive=true"), delete);
    assert!(warnings(Method::Delete, "", "recursive=true").contains("body of a DELETE"));
}

#[test]
fn a_read_waits_unless_it_asks_for_a_quorum() {
    let body = Bytes::new();
    let parse = |query, accept: Option<&'static str>| {
        let mut request = request(Method::Get, query, &body);
        request.path = "/a//b/../c/";
        request.accept = accept.map(str::as_bytes);
        request.last_event_id = Some(b"41");
        let parsed = parse_key_request(&request, NOW);
        parsed.expect("it is valid").request
    };
    let path = || "/a/c".to_owned();
    let watch = WatchRequest {
        path: path(),
        recursive: true,
        wait_index: Some(Revision(7)),
        ..WatchRequest::default()
    };
    assert_eq!(
        parse("wait=true&waitIndex=7&recursive=t", None),
        KeyRequest::Watch(watch)
    );
    let events = WatchRequest {
        path: path(),
        wait_index: Some(Revision(42)),
        stream: true,
        server_sent_events: true,
        ..WatchRequest::default()
    };
    assert_eq!(
        parse("wait=true&waitIndex=7", Some("Text/Event-Stream")),
        KeyRequest::Watch(events)
    );
    let read = ReadRequest {
        path: path(),
        quorum: true,
        ..ReadRequest::default()
    };
    assert_eq!(
        parse("wait=true&quorum=true", None),
        KeyRequest::Read(read),
        "as etcd answers it"
    );
    let page = ReadRequest {
        path: path(),
        sorted: true,
        limit: Some(10),
        after: Some("/a/c/d".to_owned()),
        representation: Representation::Octets,
        ..ReadRequest::default()
    };
    let accept = Some("text/html, application/octet-stream;q=0.5");
    assert_eq!(
        parse("sorted=true&limit=10&after=/a/c/d/", accept),
        KeyRequest::Read(page)
    );
}

/// Requests that etcd refuses, in the order in which it checks.
const REFUSED: &[(Method, &str, ErrorCode, &str)] = {
    use ErrorCode::{
        IndexNotANumber, InvalidField, InvalidForm, PreviousValueRequired, RefreshWithValue,
        RefreshWithoutTtl, TtlNotANumber,
    };
    use Method::{Get, Head, Put};
    const PREV_INDEX: &str = "invalid value for \"prevIndex\"";
    const WAIT_INDEX: &str = "invalid value for \"waitIndex\"";
    const SEMICOLON: &str = "invalid semicolon separator in query";
    const WAIT: &str = "\"wait\" can only be used with GET requests";
    const VALUE: &str = "A value was provided on a refresh";
    &[
        (Put, "value=%zz", InvalidForm, "invalid URL escape \"%zz\""),
        (Put, "value=%zz&a=1;b", InvalidForm, SEMICOLON),
        (
            Get,
            "%&prevIndex=x",
            InvalidForm,
            "invalid URL escape \"%\"",
        ),
        (Put, "prevIndex=&waitIndex=x", IndexNotANumber, PREV_INDEX),
        (Get, "waitIndex=%2b1&wait=x", IndexNotANumber, WAIT_INDEX),
        (
            Get,
            "waitIndex=18446744073709551616",
            IndexNotANumber,
            WAIT_INDEX,
        ),
        (
            Get,
            "recursive=&sorted=x",
            InvalidField,
            "invalid value for \"recursive\"",
        ),
        (
            Get,
            "stream=yes&wait=x",
            InvalidField,
            "invalid value for \"wait\"",
        ),
        (Put, "wait=true&prevValue=", InvalidField, WAIT),
        (Head, "wait=true", InvalidField, WAIT),
        (
            Get,
            "prevValue=&ttl=x",
            PreviousValueRequired,
            "\"prevValue\" cannot be empty",
        ),
        (
            Put,
            "ttl=-1&prevExist=x",
            TtlNotANumber,
            "invalid value for \"ttl\"",
        ),
        (
            Put,
            "prevExist=&refresh=x",
            InvalidField,
            "invalid value for prevExist",
        ),
        (Put, "refresh=x", InvalidField, "invalid value for refresh"),
        (Put, "refresh=true&value=x", RefreshWithValue, VALUE),
        (
            Put,
            "refresh=true&value=&ttl=",
            RefreshWithoutTtl,
            "No TTL value set",
        ),
    ]
};

#[test]
fn refuses_with_the_codes_and_causes_of_etcd() {
    for &(method, query, code, cause) in REFUSED {
        let refusal = parse(method, query, "").expect_err(query);
        assert_eq!(
            (refusal.code, &*refusal.cause, refusal.index.0),
            (code, cause, 0),
            "{query}"
        );
    }
    assert!(parse(Method::Put, "refresh=false&value=x&ttl=", "").is_ok());
}

#[test]
fn refuses_pages_and_paths_that_cannot_be() {
    for query in ["limit=0", "limit=x", "limit=", "after=a", "after=/%ff"] {
        let refusal = parse(Method::Get, query, "").expect_err(query);
        assert_eq!(refusal.code, ErrorCode::InvalidField, "{query}");
    }
    let body = Bytes::new();
    for path in ["/%ff", &"/a".repeat(5000)] {
        let mut request = request(Method::Get, "", &body);
        request.path = path;
        let refusal = parse_key_request(&request, NOW).expect_err(path);
        assert_eq!(refusal.code, ErrorCode::InvalidField);
    }
}

#[test]
fn a_body_of_raw_bytes_is_the_value() {
    let body = Bytes::from_static(b"\xff\x00value=x");
    let mut request = request(Method::Put, "", &body);
    request.content_type = Some(b"application/octet-stream");
    let parsed = parse_key_request(&request, NOW).expect("it is valid");
    let KeyRequest::Write(write) = parsed.request else {
        panic!("a PUT writes");
    };
    let content = NewContent::Value(body.clone());
    assert_eq!(
        write.command.action,
        KeyAction::Set {
            content,
            expires: None
        }
    );
    assert!(parsed.warnings.is_empty());
    request.query = "refresh=true&ttl=1";
    let refusal = parse_key_request(&request, NOW).expect_err("it has a value");
    assert_eq!(refusal.code, ErrorCode::RefreshWithValue);
}

#[test]
fn a_body_that_etcd_ignores_is_warned_about() {
    let body = Bytes::from_static(b"{\"value\":\"x\"}");
    for (content_type, word) in [
        (Some(&b"application/json"[..]), "application/json"),
        (
            Some(b"multipart/form-data; boundary=x"),
            "multipart/form-data",
        ),
        (None, "no Content-Type"),
    ] {
        let mut request = request(Method::Put, "", &body);
        request.content_type = content_type;
        let parsed = parse_key_request(&request, NOW).expect("etcd accepts it");
        assert!(
            parsed.warnings[0].contains(word),
            "{}",
            parsed.warnings.join("; ")
        );
    }
    let mut request = request(Method::Put, "", &body);
    request.content_type = Some(b"a/b c");
    let refusal = parse_key_request(&request, NOW).expect_err("it is malformed");
    assert_eq!(
        refusal.cause,
        "mime: unexpected content after media subtype"
    );
}

#[test]
fn what_has_no_effect_is_warned_about() {
    for (method, query, words) in [
        (Method::Put, "value=x&prevexist=false", "'prevexist'"),
        (Method::Put, "value=x&value=y", "more than once"),
        (Method::Put, "value=x&prevIndex=0", "means any"),
        (
            Method::Put,
            "prevExist=false&prevValue=x",
            "'prevExist=false'",
        ),
        (Method::Put, "ttl=9300000000", "permanent"),
        (Method::Put, "ttl=18446744073709551615", "permanent"),
        (Method::Put, "dir=true&value=x", "together with 'dir'"),
        (Method::Post, "prevIndex=4", "on a POST"),
        (Method::Delete, "prevExist=true", "but on a PUT"),
        (Method::Get, "value=x", "on a read"),
        (Method::Get, "wait=true&quorum=true", "'quorum'"),
    ] {
        let text = warnings(method, query, "");
        assert!(text.contains(words), "{query}: {text}");
    }
    for query in ["value=x&ttl=5", "prevIndex=4&value=", "refresh=true&ttl=5"] {
        assert_eq!(warnings(Method::Put, query, ""), "");
    }
}

proptest! {
    #[test]
    fn never_panics(
        method in prop_oneof![Just(Method::Get), Just(Method::Put), Just(Method::Post), Just(Method::Delete)],
        path in "(/|%[0-9a-f]{0,2}|\\.|\\PC){0,20}",
        query in "((value|ttl|wait|prevIndex|refresh|limit|after|\\PC{0,4})[=&;%+]*[0-9a-z%;]{0,4}&?){0,6}",
        content_type in any::<Option<Vec<u8>>>(),
        accept in any::<Option<Vec<u8>>>(),
        form in any::<bool>(),
        body in any::<Vec<u8>>(),
        now in any::<i64>(),
    ) {
        let body = Bytes::from(body);
        let request = RawRequest {
            method,
            path: &path,
            query: &query,
            content_type: if form { FORM } else { content_type.as_deref() },
            accept: accept.as_deref(),
            last_event_id: accept.as_deref(),
            body: &body,
        };
        match parse_key_request(&request, UnixNanoseconds(now)) {
            Ok(parsed) => {
                for text in parsed.warnings {
                    crate::warning_header(&text);
                }
            }
            Err(refusal) => drop(crate::write_refusal(&refusal)),
        }
    }
}
