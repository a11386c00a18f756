//! All that is asked for of one container: options, labels, and the variables of registrator.
//!
//! Registrator read `SERVICE_NAME`, `SERVICE_80_NAME`, `SERVICE_TAGS`, `SERVICE_ID`, `SERVICE_IGNORE` and others of a
//! container's environment and labels; what it knew no meaning of became an attribute, and a name with a port's number
//! is about that port alone. It registered every published port under the image's name; here a name must be given.
//! Variables of the image do not count: whoever makes an image is not to choose names in somebody's cluster.

use std::collections::BTreeMap;

use super::option::{RegisterOption, check_name};
use crate::malformed::Malformed;
use crate::options::Label;

/// A label with options of `--register`, or the beginning of one's name, followed by a dot.
const LABEL: &str = "keelson.register";
const VARIABLE: &str = "SERVICE_";

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// By options and labels.
    pub options: Vec<RegisterOption>,
    /// By registrator's variables; none if no service has a name by them.
    pub(super) variables: Option<Variables>,
}

/// Registrator's variables by their lower-case keys, without `SERVICE_`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Variables(BTreeMap<String, String>);

impl Asked {
    /// Of options, the container's labels, and variables with the values that the container sees. `with_variables`
    /// is false where the machine's settings say so.
    ///
    /// # Errors
    /// If a label or a name cannot be understood.
    pub fn new(
        options: &[RegisterOption],
        labels: &[Label],
        environment: &[(String, String)],
        with_variables: bool,
    ) -> Result<Self, Malformed> {
        let mut options = options.to_vec();
        for label in labels.iter().filter(|label| is_ours(&label.name)) {
            options.push(label.value.parse()?);
        }
        let mut variables = BTreeMap::new();
        let of_labels = labels.iter().map(|label| (&label.name, &label.value));
        let of_environment = environment.iter().map(|(name, value)| (name, value));
        // Labels win, as with registrator.
        for (name, value) in of_environment.chain(of_labels) {
            if let Some(key) = name.strip_prefix(VARIABLE).filter(|key| !key.is_empty()) {
                variables.insert(key.to_ascii_lowercase(), value.clone());
            }
        }
        let variables = Variables(variables);
        let variables = Some(variables).filter(|one| with_variables && one.is_used());
        if let Some(variables) = &variables {
            variables.check()?;
        }
        Ok(Self { options, variables })
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.options.is_empty() && self.variables.is_none()
    }
}

fn is_ours(label: &str) -> bool {
    let rest = label.strip_prefix(LABEL);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// What registrator's variables say of one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) name: String,
    pub(super) tags: Vec<String>,
    pub(super) id: Option<String>,
    pub(super) attributes: BTreeMap<String, String>,
}

impl Variables {
    /// Whether anything has a name, and not all is to be ignored.
    fn is_used(&self) -> bool {
        let is_name =
            |key: &String| key == "name" || split(key).is_some_and(|(_, rest)| rest == "name");
        self.0.keys().any(is_name) && self.get("ignore").is_none()
    }

    fn check(&self) -> Result<(), Malformed> {
        for (key, value) in &self.0 {
            let is_name = key == "name" || split(key).is_some_and(|(_, rest)| rest == "name");
            if is_name && !value.is_empty() {
                let variable = format!("{VARIABLE}{}", key.to_ascii_uppercase());
                check_name(value).map_err(|reason| Malformed {
                    what: "service's name",
                    value: format!("{variable}={value}"),
                    reason,
                })?;
            }
        }
        Ok(())
    }

    /// Empty is as good as none, as with registrator.
    fn get(&self, key: &str) -> Option<&str> {
        let value = self.0.get(key).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// What is said of a port of the container, one of several or the only one.
    pub(super) fn of_port(&self, port: u16, is_one_of_several: bool) -> Option<Said> {
        let own = |key: &str| self.get(&format!("{port}_{key}"));
        let either = |key: &str| own(key).or_else(|| self.get(key));
        if either("ignore").is_some() {
            return None;
        }
        let name = match (own("name"), self.get("name")) {
            (None, Some(name)) if is_one_of_several => format!("{name}-{port}"),
            (Some(name), _) | (None, Some(name)) => name.to_owned(),
            (None, None) => return None,
        };
        let tags = either("tags").unwrap_or_default().split(',');
        Some(Said {
            name,
            tags: tags
                .filter(|tag| !tag.is_empty())
                .map(ToOwned::to_owned)
                .collect(),
            id: either("id").map(ToOwned::to_owned),
            attributes: self.attributes(port),
        })
    }

    /// What has no meaning of its own. Checks were for Consul.
    fn attributes(&self, port: u16) -> BTreeMap<String, String> {
        let is_meant = |key: &str| {
            ["name", "tags", "id", "ignore"].contains(&key) || key.starts_with("check_")
        };
        let mut found = BTreeMap::new();
        let general = self.0.iter().filter(|(key, _)| split(key).is_none());
        let own = self.0.iter().filter_map(|(key, value)| {
            let (number, rest) = split(key)?;
            (number == port).then_some((rest, value))
        });
        for (key, value) in general.map(|(key, value)| (key.as_str(), value)).chain(own) {
            if !is_meant(key) {
                found.insert(key.to_owned(), value.clone());
            }
        }
        found
    }
}

/// The port that a key is about, and the rest of it.
fn split(key: &str) -> Option<(u16, &str)> {
    let (number, rest) = key.split_once('_')?;
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        text.iter().map(owned).collect()
    }

    fn variables(text: &[(&str, &str)]) -> Option<Variables> {
        Asked::new(&[], &[], &pairs(text), true).unwrap().variables
    }

    #[test]
    fn labels_are_options() {
        let label = |name: &str, value: &str| Label {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let labels = [
            label("keelson.register", "name=a,port=1"),
            label("keelson.register.2", "name=b"),
            label("keelson.registered", "no"),
            label("SERVICE_NAME", "c"),
        ];
        let option = "name=z".parse().unwrap();
        let asked = Asked::new(&[option], &labels, &pairs(&[("SERVICE_NAME", "x")]), true).unwrap();
        let names: Vec<&str> = asked.options.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["z", "a", "b"]);
        let said = asked.variables.unwrap().of_port(1, false).unwrap();
        assert_eq!(said.name, "c", "a label wins over a variable");
        let bad = [label("keelson.register", "port=1")];
        assert!(Asked::new(&[], &bad, &[], true).is_err());
    }

    #[test]
    fn variables_without_a_name_ask_for_nothing() {
        assert_eq!(variables(&[("SERVICE_TAGS", "a"), ("NAME", "b")]), None);
        assert_eq!(variables(&[("SERVICE_", "a")]), None);
        let ignored = [("SERVICE_NAME", "a"), ("SERVICE_IGNORE", "yes")];
        assert_eq!(variables(&ignored), None);
        let off = Asked::new(&[], &[], &pairs(&[("SERVICE_NAME", "a")]), false).unwrap();
        assert!(off.is_empty());
        let bad = Asked::new(&[], &[], &pairs(&[("SERVICE_80_NAME", "a b")]), true);
        let error = bad.unwrap_err().to_string();
        assert!(error.contains("SERVICE_80_NAME=a b"), "{error}");
    }

    #[test]
    fn variables_mean_what_registrator_took_them_for() {
        let all = variables(&[
            ("SERVICE_NAME", "web"),
            ("SERVICE_TAGS", "a,,b"),
            ("SERVICE_REGION", "eu"),
            ("SERVICE_CHECK_HTTP", "/"),
            ("SERVICE_443_NAME", "secure"),
            ("SERVICE_443_TAGS", "c"),
            ("SERVICE_443_ID", "x1"),
            ("SERVICE_443_REGION", "us"),
            ("SERVICE_9_IGNORE", "1"),
        ])
        .unwrap();
        let said = |port, several| all.of_port(port, several);
        assert_eq!(said(80, false).unwrap().name, "web");
        let one = said(80, true).unwrap();
        assert_eq!(one.name, "web-80");
        assert_eq!((one.tags, one.id), (vec!["a".into(), "b".into()], None));
        assert_eq!(
            one.attributes,
            BTreeMap::from([("region".into(), "eu".into())])
        );
        let own = said(443, true).unwrap();
        assert_eq!(
            (own.name.as_str(), own.id.as_deref()),
            ("secure", Some("x1"))
        );
        assert_eq!(own.tags, ["c"]);
        assert_eq!(own.attributes["region"], "us");
        assert_eq!(said(9, true), None);
        let only = variables(&[("SERVICE_80_NAME", "web")]).unwrap();
        assert_eq!(only.of_port(81, false), None);
    }
}
