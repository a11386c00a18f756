//! Snapshots: layers unpacked one over the other, and the writable one of each container.
//!
//! It mounts nothing: that is [`RootMount`]'s.

use std::collections::HashMap;

use container_model::digest::Digest;
use containerd_client::services::v1::ApplyRequest;
use containerd_client::services::v1::diff_client::DiffClient;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::snapshots::{
    CommitSnapshotRequest, ListSnapshotsRequest, MountsRequest, PrepareSnapshotRequest,
    PrepareSnapshotResponse, RemoveSnapshotRequest, StatSnapshotRequest,
};
use containerd_client::tonic::{Code, Response, Status};
use containerd_client::types::{Descriptor, Mount};

use super::root_mount::RootMount;
use super::{Store, found, new, plain};
use crate::error::{Context as _, Error, Result};

/// containerd's default on Linux, and ours.
const SNAPSHOTTER: &str = "overlayfs";
/// Marks the snapshots of containers, with the container's name.
const CONTAINER_LABEL: &str = "keelson.launch/container";
/// What has it is kept until somebody removes it.
const ROOT_LABEL: &str = "containerd.io/gc.root";

impl Store {
    /// Unpacks a layer over another, unless that was done.
    pub async fn unpack(
        &self,
        layer: &Descriptor,
        difference: &Digest,
        chain: &Digest,
        parent: Option<&Digest>,
    ) -> Result<()> {
        if self.has_snapshot(chain.as_str()).await? {
            return Ok(());
        }
        let key = format!("launch-unpack-{}-{}", super::unique()?, chain.hex());
        let parent = parent.map_or(String::new(), ToString::to_string);
        let prepared = self.prepare(&key, &parent, HashMap::new()).await;
        let mounts = prepared.map_err(|status| plain(&status))?.mounts;
        let applied = self.apply(layer, mounts).await;
        let commit = match applied {
            Ok(applied) if applied == difference.as_str() => {
                self.commit(&key, chain.as_str()).await
            }
            Ok(unpacked) => Err(Error::Layer {
                layer: layer.digest.clone(),
                unpacked,
                expected: difference.clone(),
            }),
            Err(error) => {
                let layer = &layer.digest;
                Err(error).with_context(|| format!("the layer {layer} is not unpacked"))
            }
        };
        if commit.is_err() {
            let _removed = self.remove_snapshot(&key).await;
        }
        commit
    }

    async fn has_snapshot(&self, name: &str) -> Result<bool> {
        let message = StatSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: name.to_owned(),
        };
        let mut client = SnapshotsClient::new(self.channel.clone());
        Ok(found(client.stat(self.request(message)).await)?.is_some())
    }

    async fn prepare(
        &self,
        key: &str,
        parent: &str,
        labels: HashMap<String, String>,
    ) -> Result<PrepareSnapshotResponse, Status> {
        let message = PrepareSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: key.to_owned(),
            parent: parent.to_owned(),
            labels,
        };
        let mut client = SnapshotsClient::new(self.channel.clone());
        client
            .prepare(self.request(message))
            .await
            .map(Response::into_inner)
    }

    async fn apply(&self, layer: &Descriptor, mounts: Vec<Mount>) -> Result<String> {
        let message = ApplyRequest {
            diff: Some(layer.clone()),
            mounts,
            // containerd's database is on the disk as soon as the snapshot is committed. After a power cut the files
            // would be empty, and nobody would unpack them again.
            sync_fs: true,
            ..ApplyRequest::default()
        };
        let mut client = DiffClient::new(self.channel.clone());
        let answer = client.apply(self.request(message)).await;
        let applied = answer
            .map_err(|status| plain(&status))?
            .into_inner()
            .applied;
        Ok(applied.unwrap_or_default().digest)
    }

    async fn commit(&self, key: &str, name: &str) -> Result<()> {
        let message = CommitSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            name: name.to_owned(),
            key: key.to_owned(),
            labels: HashMap::new(),
        };
        let mut client = SnapshotsClient::new(self.channel.clone());
        // Another launcher may have been quicker.
        if new(client.commit(self.request(message)).await)?.is_none() {
            self.remove_snapshot(key).await?;
        }
        Ok(())
    }

    async fn mounts(&self, key: &str) -> Result<Vec<Mount>> {
        let message = MountsRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: key.to_owned(),
        };
        let mut client = SnapshotsClient::new(self.channel.clone());
        let answer = client.mounts(self.request(message)).await;
        Ok(answer.map_err(|status| plain(&status))?.into_inner().mounts)
    }

    /// The writable root of a container over an image's layers: a new one, or the one that it has if that is to be
    /// kept. None if the layers are not unpacked. Once it is there, it keeps them from being collected.
    pub async fn container_root(
        &self,
        container: &str,
        top: &Digest,
        is_kept: bool,
    ) -> Result<Option<RootMount>> {
        let labels = [
            (CONTAINER_LABEL, container),
            // containerd wants a value, and reads none.
            (ROOT_LABEL, "container"),
        ];
        let labels: HashMap<String, String> = labels
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let key = container_key(container);
        let mut prepared = self.prepare(&key, top.as_str(), labels.clone()).await;
        if matches!(&prepared, Err(status) if status.code() == Code::AlreadyExists) {
            if is_kept {
                return root_mount(self.mounts(&key).await?).map(Some);
            }
            // Of one that was killed.
            self.remove_snapshot(&key).await?;
            prepared = self.prepare(&key, top.as_str(), labels).await;
        }
        let prepared = found(prepared)?.map(|answer| root_mount(answer.mounts));
        prepared.transpose()
    }

    /// The writable root that a container has; none before its first run.
    pub async fn existing_root(&self, container: &str) -> Result<Option<RootMount>> {
        let key = container_key(container);
        if !self.has_snapshot(&key).await? {
            return Ok(None);
        }
        root_mount(self.mounts(&key).await?).map(Some)
    }

    /// Removes a container's writable root; that there is none is no error.
    pub async fn remove_container_root(&self, container: &str) -> Result<()> {
        self.remove_snapshot(&container_key(container)).await
    }

    /// The names of containers that have a writable root.
    pub async fn container_roots(&self) -> Result<Vec<String>> {
        let message = ListSnapshotsRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            filters: vec![format!("labels.\"{CONTAINER_LABEL}\"")],
        };
        let mut client = SnapshotsClient::new(self.channel.clone());
        let answer = client.list(self.request(message)).await;
        let mut answers = answer.map_err(|status| plain(&status))?.into_inner();
        let mut names = Vec::new();
        while let Some(answer) = answers.message().await.map_err(|status| plain(&status))? {
            let labels = answer
                .info
                .into_iter()
                .map(|mut info| info.labels.remove(CONTAINER_LABEL));
            names.extend(labels.flatten());
        }
        Ok(names)
    }

    async fn remove_snapshot(&self, key: &str) -> Result<()> {
        let message = RemoveSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: key.to_owned(),
        };
        let mut client = SnapshotsClient::new(self.channel.clone());
        found(client.remove(self.request(message)).await).map(|_| ())
    }
}

fn root_mount(mut mounts: Vec<Mount>) -> Result<RootMount> {
    match (mounts.pop(), mounts.is_empty()) {
        (Some(mount), true) => Ok(RootMount {
            kind: mount.r#type,
            source: mount.source,
            options: mount.options,
        }),
        _ => Err(Error::Mounts(SNAPSHOTTER)),
    }
}

fn container_key(container: &str) -> String {
    format!("launch-{container}")
}
