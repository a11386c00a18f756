//! Which crate may depend on which, and where versions stand.
//!
//! Dependencies of tests count too. Crates from outside the workspace are not judged.

use keelson_tests::{TrackedFile, tracked_files};
use toml::{Table, Value};

use crate::finding::{Finding, assert_none};

/// Layers from the bottom up: a crate depends only on crates of lower layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    /// Texts that others defined, as values; they know no model of ours.
    Formats,
    /// Formats and rules; no input or output.
    Models,
    /// Models in the words of a protocol; no input or output either.
    Protocols,
    /// What stands on a disk, or is spoken to somebody else's server.
    Foundations,
    /// Libraries that do the work.
    Services,
    /// Binaries.
    Programs,
    /// What needs more than one crate to be tested.
    Tests,
}

/// Every crate of the workspace; `crates/README.md` draws the same.
const LAYERS: &[(&str, Layer)] = &[
    ("systemd-unit", Layer::Formats),
    ("container-model", Layer::Models),
    ("disk-format", Layer::Models),
    ("fleet-model", Layer::Models),
    ("kv-model", Layer::Models),
    ("luks-format", Layer::Models),
    ("monitor-protocol", Layer::Models),
    ("seekable-zstd", Layer::Models),
    ("etcd-v2", Layer::Protocols),
    ("etcd-v3", Layer::Protocols),
    ("engine-api", Layer::Protocols),
    ("update-model", Layer::Protocols),
    ("provision-model", Layer::Protocols),
    ("container-network", Layer::Foundations),
    ("container-volumes", Layer::Foundations),
    ("raft-log", Layer::Foundations),
    ("kv-store", Layer::Foundations),
    ("kv-client", Layer::Foundations),
    ("fleet-api", Layer::Foundations),
    ("image-registry", Layer::Foundations),
    ("fleet-store", Layer::Foundations),
    ("update-client", Layer::Foundations),
    ("machine-facts", Layer::Foundations),
    ("service-manager", Layer::Foundations),
    ("slot-install", Layer::Foundations),
    ("fleet-agent", Layer::Services),
    ("fleet-engine", Layer::Services),
    ("fleet-etcd", Layer::Services),
    ("kv-cluster", Layer::Services),
    ("image-build", Layer::Services),
    ("image-store", Layer::Services),
    ("release-build", Layer::Services),
    ("keelson-qemu", Layer::Services),
    ("keelson", Layer::Programs),
    ("keelson-init", Layer::Programs),
    ("kvd", Layer::Programs),
    ("kvctl", Layer::Programs),
    ("fleetctl", Layer::Programs),
    ("fleetd", Layer::Programs),
    ("container-monitor", Layer::Programs),
    ("launch", Layer::Programs),
    ("launcherd", Layer::Programs),
    ("osctl", Layer::Programs),
    ("provision", Layer::Programs),
    ("updaterd", Layer::Programs),
    ("keelson-tests", Layer::Tests),
];

/// A crate of the workspace, as its manifest describes it.
struct Crate {
    path: String,
    text: String,
    manifest: Table,
}

impl Crate {
    fn parse(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            manifest: text.parse().unwrap_or_else(|e| panic!("{path}: {e}")),
        }
    }

    fn name(&self) -> &str {
        self.manifest["package"]["name"]
            .as_str()
            .expect("a package has a name")
    }

    /// Every dependency of every kind and target.
    fn dependencies(&self) -> Vec<(&str, &Value)> {
        let targets = self.manifest.get("target").and_then(Value::as_table);
        let tables = targets
            .into_iter()
            .flat_map(|targets| targets.values().filter_map(Value::as_table))
            .chain([&self.manifest]);
        tables
            .flat_map(|table| {
                ["dependencies", "dev-dependencies", "build-dependencies"]
                    .into_iter()
                    .filter_map(|kind| table.get(kind)?.as_table())
            })
            .flat_map(|table| table.iter().map(|(name, value)| (name.as_str(), value)))
            .collect()
    }

    /// At the line that begins with a word.
    fn finding(&self, word: &str, advice: impl Into<String>) -> Finding {
        let line = self.text.lines().position(|line| {
            let rest = line
                .strip_prefix(word)
                .or(line.strip_prefix(&format!("name = \"{word}\"")));
            rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-'))
        });
        Finding::new(&self.path, line.map_or(1, |line| line + 1), advice)
    }
}

fn layer(name: &str) -> Option<Layer> {
    let entry = LAYERS.iter().find(|(one, _)| *one == name)?;
    Some(entry.1)
}

fn check_direction(of: &Crate) -> Vec<Finding> {
    let name = of.name();
    let Some(own) = layer(name) else {
        let advice = format!(
            "`{name}` has no layer: add it to the table in tests/repository/dependencies.rs and to crates/README.md"
        );
        return vec![of.finding(name, advice)];
    };
    of.dependencies()
        .into_iter()
        .filter_map(|(dependency, _)| Some((dependency, layer(dependency)?)))
        .filter(|(_, other)| *other >= own)
        .map(|(dependency, other)| {
            let advice = format!(
                "`{name}` ({own:?}) must not depend on `{dependency}` ({other:?}): arrows point downward only"
            );
            of.finding(dependency, advice)
        })
        .collect()
}

fn check_versions(of: &Crate) -> Vec<Finding> {
    of.dependencies()
        .into_iter()
        .filter(|(_, value)| {
            let from_workspace = value.get("workspace").and_then(Value::as_bool) == Some(true);
            let own = ["version", "path", "git"];
            !from_workspace || own.iter().any(|key| value.get(key).is_some())
        })
        .map(|(name, _)| {
            let advice = format!(
                "write `{name}.workspace = true` and the version into [workspace.dependencies]"
            );
            of.finding(name, advice)
        })
        .collect()
}

fn crates() -> Vec<Crate> {
    let manifest = |file: &TrackedFile| file.path.ends_with("/Cargo.toml");
    tracked_files()
        .iter()
        .filter(|file| manifest(file))
        .map(|file| Crate::parse(&file.path, &file.text))
        .collect()
}

#[test]
fn dependencies_point_downward() {
    let crates = crates();
    let mut findings: Vec<Finding> = crates.iter().flat_map(check_direction).collect();
    for (name, _) in LAYERS {
        if !crates.iter().any(|one| one.name() == *name) {
            let advice = format!("there is no crate `{name}`: remove it from the table");
            findings.push(Finding::new("tests/repository/dependencies.rs", 1, advice));
        }
    }
    assert_none(findings);
}

#[test]
fn versions_stand_in_the_workspace_only() {
    assert_none(crates().iter().flat_map(check_versions).collect());
}

#[test]
fn every_crate_is_on_the_architecture_page() {
    let page = std::fs::read_to_string(keelson_tests::checkout().join("crates/README.md"))
        .expect("crates/README.md can be read");
    let missing = |of: &&Crate| !page.contains(&format!("`{}`", of.name()));
    assert_none(
        crates()
            .iter()
            .filter(missing)
            .map(|of| of.finding(of.name(), "describe this crate in crates/README.md"))
            .collect(),
    );
}

#[cfg(test)]
mod canaries {
    use super::*;

    fn depending(name: &str, dependencies: &str) -> Crate {
        let text = format!("[package]\nname = \"{name}\"\n\n{dependencies}\n");
        Crate::parse("a/Cargo.toml", &text)
    }

    #[test]
    fn canary_direction() {
        let bad = [
            (
                "disk-format",
                "[dependencies]\nimage-build.workspace = true",
            ),
            (
                "image-build",
                "[dev-dependencies]\nkeelson-qemu.workspace = true",
            ),
            ("osctl", "[build-dependencies]\nkeelson.workspace = true"),
            (
                "osctl",
                "[target.'cfg(unix)'.dependencies]\nkeelson.workspace = true",
            ),
            ("unknown", ""),
        ];
        for (name, text) in bad {
            assert_eq!(check_direction(&depending(name, text)).len(), 1, "{text}");
        }
        let good = "[dependencies]\nimage-build.workspace = true\nserde.workspace = true";
        assert_eq!(check_direction(&depending("keelson", good)), []);
    }

    #[test]
    fn canary_findings_name_the_line() {
        let of = depending("image-build", "[dependencies]\nkeelson.workspace = true");
        let found = check_direction(&of)[0].to_string();
        assert!(found.starts_with("a/Cargo.toml:5: "), "{found}");
    }

    #[test]
    fn canary_versions() {
        let bad = [
            "serde = \"1\"",
            "serde = { version = \"1\", features = [\"derive\"] }",
            "serde = { workspace = true, version = \"1\" }",
            "qemu = { path = \"../qemu\" }",
        ];
        for line in bad {
            let of = depending("osctl", &format!("[dependencies]\n{line}"));
            assert_eq!(check_versions(&of).len(), 1, "{line}");
        }
        let good =
            "[dependencies]\nserde.workspace = true\nclap = { workspace = true, features = [] }";
        assert_eq!(check_versions(&depending("osctl", good)), []);
    }
}
