//! Requests about members answered as etcd 3.4.23 did.

use proptest::prelude::{any, proptest};

use super::{
    Member, MemberRequest, MemberRequestError, MessageError, parse_member_request, write_machines,
    write_member, write_members,
};

const JSON: Option<&[u8]> = Some(b"application/json");

fn post(body: &str) -> Result<MemberRequest, MemberRequestError> {
    parse_member_request("POST", "", JSON, body.as_bytes())
}

fn message(result: Result<MemberRequest, MemberRequestError>) -> (u16, String) {
    match result.expect_err("it is refused") {
        MemberRequestError::Message(MessageError { status, message }) => (status, message),
        other => panic!("no message: {other:?}"),
    }
}

#[test]
fn reads_what_is_asked() {
    let get = |path| parse_member_request("GET", path, None, b"");
    assert_eq!(get(""), Ok(MemberRequest::List));
    assert_eq!(get("/"), Ok(MemberRequest::List));
    assert_eq!(get("/leader"), Ok(MemberRequest::Leader));
    assert_eq!(message(get("/12")), (404, "Not found".to_owned()));
    let peer_urls: Vec<String> = ["http://a:1", "https://[::1]:2"]
        .map(str::to_owned)
        .to_vec();
    let body = "{\"name\":\"x\",\"PEERurls\":[\" https://[::1]:2 \",\"HTTP://a:1\"]}";
    let added = post(body);
    assert_eq!(
        added,
        Ok(MemberRequest::Add {
            peer_urls: peer_urls.clone()
        })
    );
    let content_type = Some(&b" Application/JSON ; charset=utf8"[..]);
    let updated = parse_member_request("PUT", "/Ab", content_type, body.as_bytes());
    assert_eq!(
        updated,
        Ok(MemberRequest::Update {
            id: 0xab,
            peer_urls
        })
    );
    let removed = parse_member_request("DELETE", "/b0a45238e748e064", None, b"");
    assert_eq!(
        removed,
        Ok(MemberRequest::Remove {
            id: 0xb0a4_5238_e748_e064
        })
    );
}

#[test]
fn refuses_urls_as_etcd_does() {
    for (body, text) in [
        ("{", "unexpected end of JSON input"),
        ("{\"peerURLs\":[]}", "no valid URLs given"),
        ("{\"peerURLs\":null}", "no valid URLs given"),
        ("null", "no valid URLs given"),
        (
            "{\"peerURLs\":\"x\"}",
            "json: cannot unmarshal string into Go struct field .peerURLs of type []string",
        ),
        (
            "{\"peerURLs\":[\"http://:80\", 5]}",
            "json: cannot unmarshal number into Go struct field .peerURLs of type string",
        ),
        (
            "[1]",
            "json: cannot unmarshal array into Go value of type struct { PeerURLs []string \
             \"json:\\\"peerURLs\\\"\" }",
        ),
        (
            "{\"peerURLs\":null} x",
            "invalid character 'x' after top-level value",
        ),
        (
            "{\"peerURLs\":[\"x\"]}",
            "URL scheme must be http, https, unix, or unixs: x",
        ),
        (
            "{\"peerURLs\":[\"ftp://a:1\"]}",
            "URL scheme must be http, https, unix, or unixs: ftp://a:1",
        ),
        (
            "{\"peerURLs\":[\"http://a/b\"]}",
            "URL address does not have the form \"host:port\": http://a/b",
        ),
        (
            "{\"peerURLs\":[\"http://a\"]}",
            "URL address does not have the form \"host:port\": http://a",
        ),
        (
            "{\"peerURLs\":[\" http://%zz:1\"]}",
            "parse \"http://%zz:1\": invalid URL escape \"%zz\"",
        ),
        (
            "{\"peerURLs\":[\"http://a:1/b\"]}",
            "URL must not contain a path: http://a:1/b",
        ),
    ] {
        assert_eq!(message(post(body)), (400, text.to_owned()), "{body}");
    }
}

#[test]
fn refuses_other_requests_as_etcd_does() {
    let put = |path, content_type| parse_member_request("PUT", path, content_type, b"x");
    let not_found = |name: &str| (404, format!("No such member: {name}"));
    assert_eq!(put("", None), Err(MemberRequestError::NoMember));
    for name in ["zz", "+1", "12345678901234567"] {
        assert_eq!(message(put(name, JSON)), not_found(name));
    }
    for (content_type, named) in [
        ("", ""),
        ("Text/JSON; x", "text/json"),
        (
            "application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded",
        ),
        ("Application/json", "Application/json"),
    ] {
        let text = format!("Bad Content-Type {named}, accept application/json");
        let refused = put("/12", Some(content_type.as_bytes()));
        assert_eq!(message(refused), (415, text));
    }
    let patched = parse_member_request("PATCH", "", None, b"");
    assert_eq!(patched, Err(MemberRequestError::Method));
}

#[test]
fn writes_members_as_etcd_does() {
    let member = Member {
        id: 0xb0a4_5238_e748_e064,
        name: "default".to_owned(),
        peer_urls: vec!["http://127.0.0.1:2380".to_owned()],
        client_urls: vec!["http://127.0.0.1:2379".to_owned(), "http://b:1".to_owned()],
    };
    let json = r#"{"id":"b0a45238e748e064","name":"default","peerURLs":["http://127.0.0.1:2380"],"clientURLs":["http://127.0.0.1:2379","http://b:1"]}"#;
    assert_eq!(write_member(&member), format!("{json}\n"));
    let list = write_members(std::slice::from_ref(&member));
    assert_eq!(list, format!("{{\"members\":[{json}]}}\n"));
    let machines = write_machines(&member.client_urls);
    assert_eq!(machines, "http://127.0.0.1:2379, http://b:1");
    let new = write_member(&Member::default());
    let json = "{\"id\":\"0\",\"name\":\"\",\"peerURLs\":[],\"clientURLs\":[]}\n";
    assert_eq!(new, json);
}

proptest! {
    #[test]
    fn never_panics(url in "(http|unix)?:?/?/?[a-z\\[\\]:%@/?é0-9]{0,12}", bytes in any::<Vec<u8>>()) {
        let body = serde_json::json!({ "peerURLs": [url] }).to_string();
        drop(post(&body));
        drop(parse_member_request("POST", "", JSON, &bytes));
    }
}
