//! Which web pages and host names may use the server: CORS, and a guard against DNS rebinding.
//!
//! Users and passwords are elsewhere.
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, HOST,
    HeaderMap, HeaderValue, ORIGIN,
};
use hyper::{StatusCode, Uri};

use super::answer::{Answer, plain_error};
use super::options::{AllowList, HttpOptions};

/// The origin that is told to a browser as allowed, if any is.
pub(super) fn allowed_origin(options: &HttpOptions, headers: &HeaderMap) -> Option<HeaderValue> {
    match &options.origins {
        AllowList::All => Some(HeaderValue::from_static("*")),
        origins @ AllowList::Only(_) => {
            let origin = headers.get(ORIGIN)?;
            let text = origin.to_str().ok()?;
            origins.allows(text).then(|| origin.clone())
        }
    }
}

/// Puts etcd's headers for browsers into an answer.
pub(super) fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    const METHODS: HeaderValue = HeaderValue::from_static("POST, GET, OPTIONS, PUT, DELETE");
    const HEADERS: HeaderValue = HeaderValue::from_static("accept, content-type, authorization");
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
}

/// Refuses a request for a host name that is not ours, so that a web page cannot reach this server by
/// a name of its own (CVE-2018-5702).
pub(super) fn refuse_host(options: &HttpOptions, uri: &Uri, headers: &HeaderMap) -> Option<Answer> {
    if options.hosts == AllowList::All {
        return None;
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    // HTTP/2 has it in the URI.
    let host = host.or(uri.host());
    let host = host.unwrap_or_default();
    let name = host.parse::<Uri>().ok();
    let name = name.as_ref().and_then(Uri::host).unwrap_or(host);
    if options.hosts.allows(name) {
        return None;
    }
    let message = format!(
        "kvd received your request, but the Host header was unrecognized.\n\n\
         To fix this, choose one of the following options:\n\
         - Enable TLS, then any HTTPS request will be allowed.\n\
         - Add the hostname you want to use to the whitelist in settings.\n  \
         - e.g. kvd --host-whitelist {name:?}\n\n\
         This requirement has been added to help prevent \"DNS Rebinding\" attacks (CVE-2018-5702).\n"
    );
    Some(plain_error(StatusCode::MISDIRECTED_REQUEST, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: hyper::header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn only_listed_hosts_are_served() {
        let options = HttpOptions {
            hosts: AllowList::new(["example.org", "[::1]"]),
            ..HttpOptions::default()
        };
        let cases = [
            ("example.org", true),
            ("example.org:2379", true),
            ("[::1]:2379", true),
            ("evil.example", false),
            ("evil.example:2379", false),
            ("", false),
        ];
        for (host, allowed) in cases {
            let refused = refuse_host(&options, &Uri::default(), &headers(HOST, host));
            assert_eq!(refused.is_none(), allowed, "{host}");
        }
        assert!(refuse_host(&options, &Uri::default(), &HeaderMap::new()).is_some());
        // As HTTP/2 has it.
        for (uri, allowed) in [
            ("http://example.org/v2", true),
            ("http://evil.example/v2", false),
        ] {
            let refused = refuse_host(&options, &uri.parse().unwrap(), &HeaderMap::new());
            assert_eq!(refused.is_none(), allowed, "{uri}");
        }
        assert!(refuse_host(&HttpOptions::default(), &Uri::default(), &HeaderMap::new()).is_none());
    }

    #[test]
    fn only_listed_origins_are_allowed() {
        let options = HttpOptions {
            origins: AllowList::new(["https://a.example"]),
            ..HttpOptions::default()
        };
        let origin = allowed_origin(&options, &headers(ORIGIN, "https://a.example"));
        assert_eq!(origin.unwrap(), "https://a.example");
        let other = headers(ORIGIN, "https://b.example");
        assert_eq!(allowed_origin(&options, &other), None);
        assert_eq!(allowed_origin(&options, &HeaderMap::new()), None);
        let all = allowed_origin(&HttpOptions::default(), &other);
        assert_eq!(all.unwrap(), "*");
    }
}
