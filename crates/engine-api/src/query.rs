//! Parameters after the `?` of a request.

use std::collections::BTreeMap;

use crate::ApiError;

/// Values by name; of several the first counts, where not all are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(BTreeMap<String, Vec<String>>);

impl Query {
    /// Reads what stands after the `?`.
    pub fn parse(text: &str) -> Self {
        let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let values = map.entry(name.into_owned()).or_default();
            values.push(value.into_owned());
        }
        Self(map)
    }

    /// A parameter; an empty one is none.
    pub fn text(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name).and_then(|values| values.first());
        value.map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All values of a parameter that may be there several times, without empty ones.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        let values = self.0.get(name).into_iter().flatten();
        let texts = values.map(String::as_str);
        texts.filter(|value| !value.is_empty()).collect()
    }

    /// Yes or no, by Docker's rule: all but `0`, `no`, `false` and `none` is yes.
    pub fn flag(&self, name: &str) -> bool {
        let is_no = |text: &str| {
            let text = text.trim().to_ascii_lowercase();
            matches!(text.as_str(), "0" | "no" | "false" | "none")
        };
        self.text(name).is_some_and(|text| !is_no(text))
    }

    /// A whole number.
    pub fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let number = |text: &str| {
            text.parse()
                .map_err(|_| ApiError::bad_request(format!("{name}={text} is no number")))
        };
        self.text(name).map(number).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_docker_does() {
        let query = Query::parse("all=1&force=false&t=-1&name=%2Fweb&empty=&all=0");
        assert!(query.flag("all") && !query.flag("force") && !query.flag("other"));
        assert_eq!(query.number("t"), Ok(Some(-1)));
        assert_eq!(query.text("name"), Some("/web"));
        assert_eq!(query.text("empty"), None);
        assert!(query.number("name").is_err());
        assert_eq!(query.texts("all"), ["1", "0"]);
        assert!(query.texts("empty").is_empty() && query.texts("none").is_empty());
    }
}
