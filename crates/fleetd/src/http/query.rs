//! What stands after the `?`, and pages of lists.
//!
//! Values are decoded; keys that nobody knows are left out, as fleet did.

use fleet_api::PageToken;

use super::answer::Refused;

/// A query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

/// Which page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    token: PageToken,
}

/// A page's entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken<T> {
    pub(crate) entries: Vec<T>,
    /// Asks for the page after it; empty on the last.
    pub(crate) next: String,
}

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = form_urlencoded::parse(text.as_bytes()).into_owned();
        Self {
            pairs: pairs.collect(),
        }
    }

    /// The first value of a key that is not empty.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let mut values = self.values(key);
        values.find(|value| !value.is_empty())
    }

    fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        let of_key = self.pairs.iter().filter(move |(one, _)| one == key);
        of_key.map(|(_, value)| value.as_str())
    }

    /// The page that is asked for: fleet's rules.
    pub(crate) fn page(&self, limit: u16) -> Result<Page, Refused> {
        let tokens: Vec<&str> = self.values("nextPageToken").collect();
        let token = match tokens[..] {
            [] => PageToken::first(limit),
            [text] => text
                .parse()
                .map_err(|_| Refused::bad_request("invalid value for nextPageToken"))?,
            _ => return Err(Refused::bad_request("too many values for nextPageToken")),
        };
        if token.limit != limit {
            let text = format!("token limit must be {limit}");
            return Err(Refused::bad_request(text));
        }
        Ok(Page { token })
    }
}

impl Page {
    /// Takes the page's entries out of all. A page that ends exactly with the list is followed by an
    /// empty one, as fleet had it.
    pub(crate) fn take<T>(self, all: impl Iterator<Item = T>) -> Taken<T> {
        let limit = usize::from(self.token.limit);
        let before = usize::from(self.token.page.saturating_sub(1)) * limit;
        let entries: Vec<T> = all.skip(before).take(limit).collect();
        let is_full = entries.len() == limit;
        let next = self.token.next().filter(|_| is_full);
        Taken {
            entries,
            next: next.map(|token| token.to_string()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other() {
        let mut found = Vec::new();
        let mut text = String::new();
        let mut pages = 0;
        loop {
            let page = Query::parse(&text).page(3).expect("a page");
            let taken = page.take(0..6);
            found.extend(taken.entries);
            pages += 1;
            if taken.next.is_empty() {
                break;
            }
            text = format!("nextPageToken={}", taken.next);
        }
        assert_eq!(found, [0, 1, 2, 3, 4, 5]);
        assert_eq!(pages, 3, "an empty page follows a full one");
    }

    #[test]
    fn bad_tokens_are_refused() {
        for text in [
            "nextPageToken=EwBMLg==",
            "nextPageToken=x",
            "nextPageToken=",
            "nextPageToken=ZAABAA==&nextPageToken=ZAABAA==",
        ] {
            let refused = Query::parse(text).page(100).expect_err(text);
            assert_eq!(refused.status, 400);
        }
        assert!(Query::parse("nextPageToken=ZAABAA%3D%3D").page(100).is_ok());
    }
}
