//! Images as lists and inspections show them.
//!
//! An image's id is the digest of its manifest or index, as it is with Docker over containerd.

use container_model::ImageReference;
use container_model::oci_spec::image::ImageConfiguration;
use serde_json::{Value, json};

/// An image, by all of its names.
#[derive(Debug, Clone)]
pub struct ImageFacts {
    /// The digest of its manifest or index.
    pub id: String,
    /// Its names in full.
    pub names: Vec<String>,
    /// Bytes of its blobs.
    pub size: u64,
    /// What it says of itself.
    pub configuration: ImageConfiguration,
    /// Its `Healthcheck`, which the specification of images does not know; null if it has none.
    pub health: Value,
}

/// A name as people write it: without Docker's own registry.
pub fn familiar(name: &str) -> String {
    let rest = name.strip_prefix("docker.io/").unwrap_or(name);
    rest.strip_prefix("library/").unwrap_or(rest).to_owned()
}

impl ImageFacts {
    fn tags(&self) -> Vec<String> {
        let tagged = self.names.iter().filter(|name| !name.contains('@'));
        tagged.map(|name| familiar(name)).collect()
    }

    fn digests(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for name in &self.names {
            let Ok(reference) = name.parse::<ImageReference>() else {
                continue;
            };
            let repository = format!("{}/{}", reference.registry(), reference.repository());
            let text = format!("{}@{}", familiar(&repository), self.id);
            if !all.contains(&text) {
                all.push(text);
            }
        }
        all
    }

    fn created(&self) -> Option<jiff::Timestamp> {
        let text = self.configuration.created().as_ref();
        text.and_then(|text| text.parse().ok())
    }

    /// An entry of a list; `containers` use it.
    pub fn list_entry(&self, containers: usize) -> Value {
        let labels = self
            .configuration
            .config()
            .as_ref()
            .and_then(|config| config.labels().clone());
        json!({
            "Id": self.id,
            "ParentId": "",
            "RepoTags": self.tags(),
            "RepoDigests": self.digests(),
            "Created": self.created().map_or(0, jiff::Timestamp::as_second),
            "Size": self.size,
            "SharedSize": -1,
            "Labels": labels.unwrap_or_default(),
            "Containers": containers,
        })
    }

    /// All of it.
    pub fn inspect(&self) -> Value {
        let configuration = &self.configuration;
        let mut config = json!(configuration.config().clone().unwrap_or_default());
        if !self.health.is_null() {
            config["Healthcheck"] = self.health.clone();
        }
        json!({
            "Id": self.id,
            "RepoTags": self.tags(),
            "RepoDigests": self.digests(),
            "Parent": "",
            "Comment": "",
            "Created": configuration.created(),
            "DockerVersion": "",
            "Author": configuration.author().clone().unwrap_or_default(),
            "Config": config,
            "Architecture": configuration.architecture(),
            "Os": configuration.os(),
            "Size": self.size,
            "GraphDriver": {"Name": "overlayfs", "Data": null},
            "RootFS": {"Type": "layers", "Layers": configuration.rootfs().diff_ids()},
            "Metadata": {"LastTagTime": crate::human::NEVER},
        })
    }

    /// How it came to be, newest first.
    pub fn history(&self) -> Value {
        let steps = self.configuration.history().clone().unwrap_or_default();
        let entry = |(at, step): (usize, &container_model::oci_spec::image::History)| {
            let created = step
                .created()
                .as_ref()
                .and_then(|text| text.parse::<jiff::Timestamp>().ok());
            json!({
                "Id": if at == 0 { self.id.as_str() } else { "<missing>" },
                "Created": created.map_or(0, jiff::Timestamp::as_second),
                "CreatedBy": step.created_by().clone().unwrap_or_default(),
                "Tags": if at == 0 { json!(self.tags()) } else { Value::Null },
                "Size": 0,
                "Comment": step.comment().clone().unwrap_or_default(),
            })
        };
        steps.iter().rev().enumerate().map(entry).collect()
    }

    /// The words that a container of it runs: the image's own with what replaces them.
    pub fn command(
        &self,
        entrypoint: &container_model::command::Entrypoint,
        arguments: &[String],
    ) -> Vec<String> {
        let config = self.configuration.config().clone().unwrap_or_default();
        container_model::command::words(
            entrypoint,
            arguments,
            &config.entrypoint().clone().unwrap_or_default(),
            &config.cmd().clone().unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_familiar() {
        assert_eq!(
            familiar("docker.io/library/busybox:latest"),
            "busybox:latest"
        );
        assert_eq!(familiar("docker.io/a/b:1"), "a/b:1");
        assert_eq!(familiar("ghcr.io/a/b:1"), "ghcr.io/a/b:1");
        let facts = ImageFacts {
            id: format!("sha256:{}", "a".repeat(64)),
            names: vec!["docker.io/library/busybox:1".to_owned()],
            size: 5,
            configuration: serde_json::from_str(
                r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},
                    "config":{"Cmd":["sh"],"Labels":{"a":"b"}},"created":"2026-01-01T00:00:00Z",
                    "history":[{"created_by":"one"},{"created_by":"two"}]}"#,
            )
            .unwrap(),
            health: json!({"Test": ["CMD", "probe"]}),
        };
        let entry = facts.list_entry(2);
        assert_eq!(entry["RepoTags"], json!(["busybox:1"]));
        assert_eq!(entry["RepoDigests"][0], format!("busybox@{}", facts.id));
        assert_eq!(entry["Created"], 1_767_225_600);
        assert_eq!(facts.history()[0]["CreatedBy"], "two");
        let config = &facts.inspect()["Config"];
        assert_eq!(config["Cmd"], json!(["sh"]));
        assert_eq!(config["Healthcheck"]["Test"][1], "probe");
        let none = container_model::command::Entrypoint::Image;
        assert_eq!(facts.command(&none, &[]), ["sh"]);
    }
}
