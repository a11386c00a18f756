//! What a machine's platform wants of it, as a plan: name, keys of root, and the file with facts; and what it says of it.
//!
//! The owner's configuration lies over it, so that where both have an opinion the owner's holds.

use provision_model::plan::{Contents, File, Node, Overwrite, Plan, Stated, User, Writing};
use provision_model::rules::is_hostname;
use provision_model::{KeyPath, Variables};

use super::Metadata;
use crate::platform::Platform;

/// Where the facts stay.
const KEPT: &str = "/var/lib/keelson/provision/metadata";
/// Has every boot copy them to where units look, without asking anybody.
const COPIED_BY: &str = "/etc/tmpfiles.d/keelson-metadata.conf";
/// Where units look.
const FACTS: &str = "/run/metadata/keelson";
/// The user that the platform's keys let in; it is the one cloud-config's keys are for, too.
const USER: &str = "root";

/// A platform's part in a machine's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// What it wants.
    pub plan: Plan,
    /// What the owner's configuration may ask of it.
    pub variables: Variables,
}

impl Metadata {
    /// All of it.
    pub fn wishes(&self, platform: &Platform) -> Wishes {
        let mut variables = Variables::default();
        variables.set("hostname", &self.usable_hostname().unwrap_or_default());
        for (fact, value) in &self.facts {
            variables.set(fact.name(), value);
        }
        Wishes {
            plan: self.plan(platform),
            variables,
        }
    }

    fn plan(&self, platform: &Platform) -> Plan {
        let key = KeyPath::top().key("metadata");
        let hostname = self.usable_hostname();
        let mut plan = Plan {
            hostname: hostname.map(|name| Stated::new(name, key.key("hostname"))),
            ..Plan::default()
        };
        if !self.ssh_keys.is_empty() {
            let user = User {
                name: USER.to_owned(),
                ssh_keys: self.ssh_keys.clone(),
                ..User::default()
            };
            plan.users.push(Stated::new(user, key.key("ssh-keys")));
        }
        let copied = format!("C+ {FACTS} 0644 root root - {KEPT}\n");
        for (path, text) in [(KEPT, self.environment(platform)), (COPIED_BY, copied)] {
            plan.files
                .push(Stated::new(file(path, text), key.key("facts")));
        }
        plan
    }

    /// Whole if Linux takes it, else its first label: clouds' names are longer than 64 letters at times.
    fn usable_hostname(&self) -> Option<String> {
        let whole = self.hostname.as_deref()?;
        let first = whole.split('.').next()?;
        let mut names = [whole, first].into_iter();
        names.find(|name| is_hostname(name)).map(str::to_owned)
    }

    /// As systemd.exec(5) reads an `EnvironmentFile=`.
    fn environment(&self, platform: &Platform) -> String {
        let mut text = format!("KEELSON_PLATFORM=\"{}\"\n", platform.name());
        let name = self.usable_hostname();
        let name = name.iter().map(|name| ("KEELSON_HOSTNAME", name));
        let facts = self.facts.iter();
        for (variable, value) in name.chain(facts.map(|(fact, value)| (fact.variable(), value))) {
            // What would have to be escaped is no fact of any cloud.
            let is_plain = |c: char| c.is_ascii_graphic() && !"\"\\$`".contains(c);
            if value.chars().all(is_plain) {
                text.extend([variable, "=\"", value, "\"\n"]);
            }
        }
        text
    }
}

fn file(path: &str, text: String) -> File {
    File {
        node: Node {
            overwrite: Overwrite::Replace,
            ..Node::new(path)
        },
        mode: None,
        writing: Writing::Whole(Contents::inline(text)),
    }
}

#[cfg(test)]
mod tests {
    use provision_model::rules;

    use super::*;
    use crate::metadata::Fact;

    #[test]
    fn names_and_facts_are_what_a_machine_can_take() {
        let mut metadata = Metadata {
            hostname: Some(format!("node1.{}", "x".repeat(60))),
            ..Metadata::default()
        };
        metadata.note(Fact::InstanceId, Some("i-1".to_owned()));
        metadata.note(Fact::Region, Some("a\"b\nX=1".to_owned()));
        metadata.note(Fact::PublicIpv4, Some(String::new()));
        let Wishes { plan, variables } = metadata.wishes(&Platform::Ec2);
        assert_eq!(rules::check(&plan), []);
        assert_eq!(plan.hostname.unwrap().value, "node1");
        let mut expected = Variables::default();
        expected.set("hostname", "node1");
        expected.set("instance_id", "i-1");
        assert_eq!(variables, expected);
        let text = metadata.environment(&Platform::Ec2);
        assert_eq!(
            text,
            "KEELSON_PLATFORM=\"EC2\"\nKEELSON_HOSTNAME=\"node1\"\nKEELSON_INSTANCE_ID=\"i-1\"\n"
        );
    }
}
