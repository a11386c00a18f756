//! Reading keys and listing directories.
//!
//! Directories are read in one answer, or page by page where the server can.
use hyper::header::LINK;

use crate::answer::Answer;
use crate::client::Client;
use crate::error::Error;
use crate::request::{Repeat, Request, key_target};

/// How to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// All levels below, not only the first.
    pub recursive: bool,
    /// In the order of names.
    pub sorted: bool,
    /// Never stale: the majority is asked. Without it a server may answer with what it has.
    pub quorum: bool,
}

/// A part of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What was read; further pages may show further parts of the same directories.
    pub answer: Answer,
    /// Where to go on: nothing if it is all.
    pub continue_after: Option<String>,
}

impl Client {
    /// Reads a key, or lists a directory.
    pub async fn get(&self, path: &str, options: ReadOptions) -> Result<Answer, Error> {
        self.call_keys(&read_request(path, options, &[])).await
    }

    /// Lists a part of a directory: at most so many nodes, in the order of their paths, after the
    /// one where the page before ended.
    ///
    /// A server that knows no pages (etcd) gives everything at once.
    pub async fn list_page(
        &self,
        path: &str,
        options: ReadOptions,
        nodes_max: usize,
        after: Option<&str>,
    ) -> Result<Page, Error> {
        let mut more = vec![("limit", nodes_max.to_string())];
        more.extend(after.map(|after| ("after", after.to_owned())));
        let sorted = ReadOptions {
            sorted: true,
            ..options
        };
        let request = read_request(path, sorted, &more);
        let (answer, headers) = self.call_keys_with_headers(&request).await?;
        let links = headers.get_all(LINK).iter();
        let continue_after = links
            .filter_map(|link| link.to_str().ok())
            .find_map(next_after);
        Ok(Page {
            answer,
            continue_after,
        })
    }
}

/// Where the next page begins, from a link to it (RFC 8288) such as
/// `</v2/keys/a?limit=10&after=%2Fa%2Fb>; rel="next"`.
fn next_after(link: &str) -> Option<String> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = parameters.split(';').any(|parameter| {
        let parts = parameter.split_once('=');
        parts.is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"') == "next"
        })
    });
    let (_, query) = target.split_once('?')?;
    let mut fields = form_urlencoded::parse(query.as_bytes());
    let (_, after) = fields.find(|(name, _)| name == "after")?;
    is_next.then(|| after.into_owned())
}

pub(crate) fn read_request(
    path: &str,
    options: ReadOptions,
    more: &[(&'static str, String)],
) -> Request {
    let mut query = vec![
        ("quorum", options.quorum.to_string()),
        ("recursive", options.recursive.to_string()),
        ("sorted", options.sorted.to_string()),
    ];
    query.extend_from_slice(more);
    Request {
        repeat: Repeat::Harmless,
        ..Request::get(&key_target(path, &query))
    }
}

#[cfg(test)]
mod tests {
    use super::next_after;

    #[test]
    fn links_to_the_next_page_are_followed() {
        let link = r#"</v2/keys/a%20b?recursive=true&sorted=true&limit=10&after=%2Fa+b%2Fc%26d>; rel="next""#;
        assert_eq!(next_after(link).as_deref(), Some("/a b/c&d"));
        for other in [
            r#"</v2/keys?after=/a>; rel="prev""#,
            r#"</v2/keys?limit=1>; rel="next""#,
            r#"</v2/keys>; rel="next""#,
            "nonsense",
        ] {
            assert_eq!(next_after(other), None, "{other}");
        }
    }
}
