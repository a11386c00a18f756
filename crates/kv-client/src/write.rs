//! A change of one key, as it is asked for.
//!
//! It is checked by the server alone.
use hyper::Method;

use crate::request::{Repeat, Request, form, key_target};

/// A change of one key: one of the constructors, then what else shall hold.
#[derive(Debug, Clone)]
pub struct Write {
    method: Method,
    path: String,
    /// Fields of the body.
    fields: Vec<(&'static str, String)>,
    /// Fields of the query.
    query: Vec<(&'static str, String)>,
    repeat: Repeat,
}

impl Write {
    fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            fields: Vec::new(),
            query: Vec::new(),
            repeat: Repeat::Once,
        }
    }

    fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    fn parameter(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    fn conditional(mut self) -> Self {
        self.repeat = Repeat::Conditional;
        self
    }

    /// Creates a key or replaces its value.
    pub fn set(path: &str, value: &str) -> Self {
        Self::new(Method::PUT, path).field("value", value)
    }

    /// Creates a key that must not exist.
    pub fn create(path: &str, value: &str) -> Self {
        Self::set(path, value)
            .parameter("prevExist", "false")
            .conditional()
    }

    /// Changes a key that must exist.
    pub fn update(path: &str, value: &str) -> Self {
        Self::set(path, value).parameter("prevExist", "true")
    }

    /// Creates a key inside a directory, named by the index, so that the names tell the order.
    pub fn create_in_order(directory: &str, value: &str) -> Self {
        Self::new(Method::POST, directory).field("value", value)
    }

    /// Creates a directory, which must not exist.
    pub fn make_directory(path: &str) -> Self {
        Self::new(Method::PUT, path)
            .parameter("dir", "true")
            .parameter("prevExist", "false")
            .conditional()
    }

    /// Creates a directory, or makes one of a key.
    pub fn set_directory(path: &str) -> Self {
        Self::new(Method::PUT, path).parameter("dir", "true")
    }

    /// Gives a directory that must exist another time to live, or none.
    pub fn update_directory(path: &str) -> Self {
        Self::set_directory(path).parameter("prevExist", "true")
    }

    /// Gives a key that must exist more time to live; its watchers are not told.
    pub fn refresh(path: &str, ttl_seconds: u64) -> Self {
        let mut write = Self::new(Method::PUT, path)
            .field("refresh", "true")
            .parameter("prevExist", "true")
            .ttl_seconds(ttl_seconds);
        write.repeat = Repeat::Harmless;
        write
    }

    /// Removes a key.
    pub fn delete(path: &str) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// Of a removal: also an empty directory.
    #[must_use]
    pub fn directory(self) -> Self {
        self.parameter("dir", "true")
    }

    /// Of a removal: also a directory with all that is in it.
    #[must_use]
    pub fn recursive(self) -> Self {
        self.parameter("recursive", "true")
    }

    /// It goes away after this time.
    #[must_use]
    pub fn ttl_seconds(self, seconds: u64) -> Self {
        self.field("ttl", seconds.to_string())
    }

    /// Only if the value is this one, which cannot be empty.
    #[must_use]
    pub fn if_value(self, value: &str) -> Self {
        self.parameter("prevValue", value).conditional()
    }

    /// Only if the last change had this index; 0 is taken for no condition.
    #[must_use]
    pub fn if_index(self, index: u64) -> Self {
        if index == 0 {
            return self;
        }
        self.parameter("prevIndex", index.to_string()).conditional()
    }

    /// As it is sent: parameters sorted by name, as etcd's own client does.
    pub(crate) fn request(&self) -> Request {
        let mut query = self.query.clone();
        let mut fields = self.fields.clone();
        query.sort_by_key(|(name, _)| *name);
        fields.sort_by_key(|(name, _)| *name);
        let has_form = self.method != Method::DELETE;
        Request {
            method: self.method.clone(),
            target: key_target(&self.path, &query),
            content_type: has_form.then_some("application/x-www-form-urlencoded"),
            body: form(&fields).into(),
            repeat: self.repeat,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_become_etcds_requests() {
        let cases = [
            (
                Write::set("/a", "x y").ttl_seconds(5),
                "PUT /v2/keys/a ttl=5&value=x+y",
            ),
            (
                Write::create("/a", ""),
                "PUT /v2/keys/a?prevExist=false value=",
            ),
            (
                Write::set("/a", "b").if_value("c").if_index(7),
                "PUT /v2/keys/a?prevIndex=7&prevValue=c value=b",
            ),
            (Write::set("/a", "b").if_index(0), "PUT /v2/keys/a value=b"),
            (Write::create_in_order("/q", "b"), "POST /v2/keys/q value=b"),
            (
                Write::make_directory("/d"),
                "PUT /v2/keys/d?dir=true&prevExist=false ",
            ),
            (
                Write::refresh("/a", 9).if_index(3),
                "PUT /v2/keys/a?prevExist=true&prevIndex=3 refresh=true&ttl=9",
            ),
            (
                Write::delete("/a").directory().recursive(),
                "DELETE /v2/keys/a?dir=true&recursive=true ",
            ),
        ];
        for (write, expected) in cases {
            let request = write.request();
            let body = String::from_utf8_lossy(request.body());
            assert_eq!(
                format!("{} {} {body}", request.method, request.target),
                expected
            );
        }
    }

    #[test]
    fn only_conditions_make_a_write_repeatable() {
        assert_eq!(Write::set("/a", "").request().repeat, Repeat::Once);
        assert_eq!(Write::update("/a", "").request().repeat, Repeat::Once);
        assert_eq!(
            Write::create_in_order("/a", "").request().repeat,
            Repeat::Once
        );
        assert_eq!(Write::delete("/a").request().repeat, Repeat::Once);
        assert_eq!(Write::refresh("/a", 1).request().repeat, Repeat::Harmless);
        assert_eq!(
            Write::create("/a", "").request().repeat,
            Repeat::Conditional
        );
        assert_eq!(
            Write::delete("/a").if_index(1).request().repeat,
            Repeat::Conditional
        );
    }
}
