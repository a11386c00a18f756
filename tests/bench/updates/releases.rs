//! The release directory that updates come from, made by `keelson release` and served over loopback.

use anyhow::Context as _;
use release_build::serve::{Log, Server};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::builds::Builder;
use crate::command;
use crate::updates::images::Image;

/// A release directory on the way.
pub(crate) struct Directory<'a> {
    builder: &'a Builder,
    folder: PathBuf,
    keys: PathBuf,
}

/// What was released.
#[derive(Debug)]
pub(crate) struct Release {
    /// Deltas that were not worth a file: from which version, and the bytes it would have had.
    left_out: Vec<(String, u64)>,
}

/// A server that counts what it sends; it ends with this process.
#[derive(Debug)]
pub(crate) struct Web {
    pub(crate) url: String,
    sent: Arc<AtomicU64>,
}

impl<'a> Directory<'a> {
    /// Makes keys; what stood in `folder` goes.
    pub(crate) fn create(builder: &'a Builder, folder: &Path) -> anyhow::Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        let keys = folder.join("keys");
        let mut create = builder.keelson("keys");
        command::run(create.args(["create", "--keys"]).arg(&keys))?;
        Ok(Self {
            builder,
            folder: folder.join("releases"),
            keys,
        })
    }

    /// What machines trust.
    pub(crate) fn trust(&self) -> PathBuf {
        self.keys.join("1.root.json")
    }

    /// Releases an image in channels, compressed at a level, with deltas from what these had before.
    pub(crate) fn release(
        &self,
        image: &Image,
        channels: &[&str],
        level: i32,
    ) -> anyhow::Result<Release> {
        eprintln!(
            "bench: releasing {}, which takes minutes",
            image.built.manifest.version
        );
        let mut release = self.builder.keelson("release");
        release.arg(&self.folder).arg("--keys").arg(&self.keys);
        release.arg("--image").arg(&image.built.manifest_path);
        release.arg("--lock").arg(&image.lock);
        for channel in channels {
            release.args(["--channel", channel]);
        }
        release.arg("--level").arg(level.to_string());
        let (_, told) = command::run(release.arg("--json"))?;
        Release::parse(&told).context("what `keelson release --json` tells")
    }

    /// Serves it.
    pub(crate) fn serve(&self) -> anyhow::Result<Web> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(&self.folder, address)?;
        let url = format!("http://{}", server.address()?);
        let sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent);
        let log: Log = Arc::new(move |_, _, bytes| {
            counter.fetch_add(bytes, Ordering::Relaxed);
        });
        thread::spawn(move || server.run(&log));
        Ok(Web { url, sent })
    }
}

impl Release {
    fn parse(told: &str) -> anyhow::Result<Self> {
        let told: serde_json::Value = serde_json::from_str(told)?;
        let left_out = told["left_out"].as_array().context("left_out")?;
        let left_out = left_out.iter().filter_map(|delta| {
            let from = delta["from"].as_str()?.to_owned();
            Some((from, delta["bytes"].as_u64()?))
        });
        Ok(Self {
            left_out: left_out.collect(),
        })
    }

    /// Bytes of a delta that was left out.
    pub(crate) fn left_out(&self, from: &str) -> Option<u64> {
        let mut left_out = self.left_out.iter();
        left_out
            .find(|(version, _)| version == from)
            .map(|(_, bytes)| *bytes)
    }
}

impl Web {
    /// What was sent meanwhile, in bytes without heads.
    pub(crate) fn counting<T>(
        &self,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, u64)> {
        let before = self.sent.load(Ordering::Relaxed);
        let result = work()?;
        Ok((result, self.sent.load(Ordering::Relaxed) - before))
    }
}
