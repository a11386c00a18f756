//! The root, into the idle slot, from wherever its blocks can be had.
//!
//! Each block is checked as it lands; an interrupted transfer goes on by being done again.

use std::fs::File;
use std::io::{Read, Seek};

use disk_format::disk::Disk;
use seekable_zstd::SeekTable;
use update_client::delta::{Base, OpenDelta};
use update_client::error::{ClientError, Result};
use update_client::root::{
    Installed, Progress as RootProgress, block_plan, copy_local, fetch_full, fetch_missing,
};
use update_client::slot_writer::SlotWriter;
use update_client::source::Source;
use update_client::tree::Tree;
use update_model::manifest::{Delta, Manifest};
use update_model::method::{Method, choose};

use crate::watcher::{Progress, Watcher};

/// Where the root comes from.
#[derive(Debug)]
pub enum Route {
    /// A static delta that is here.
    StaticDelta {
        /// The file, whose digest was checked.
        file: File,
        /// What it is.
        delta: Delta,
    },
    /// Blocks that are here, and frames or all of it from the source.
    Blocks {
        /// Where the frames are.
        index: SeekTable,
    },
}

/// How it came, and the bytes fetched for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Came {
    /// The way.
    pub method: Method,
    /// Bytes.
    pub fetched_bytes: u64,
}

/// A root on its way.
#[derive(Debug)]
pub struct Transfer<'a> {
    /// Where releases come from.
    pub source: &'a dyn Source,
    /// Which release.
    pub manifest: &'a Manifest,
    /// Its hash tree.
    pub tree: &'a Tree,
    /// Where the root comes from.
    pub route: Route,
    /// Who is told.
    pub watcher: &'a dyn Watcher,
}

impl Transfer<'_> {
    /// Writes all of the root to a slot's partition, durably. `base` is what runs.
    pub fn write<D: Disk, R: Read + Seek>(
        self,
        partition: D,
        mut base: Base<'_, R>,
    ) -> Result<Came> {
        self.watcher.phase("comparing the slot with the release");
        let mut writer = SlotWriter::new(partition, &self.tree.leaves, &self.tree.salt)?;
        let came = match &self.route {
            Route::StaticDelta { file, delta } => {
                let mut open = OpenDelta::new(file, delta, self.manifest, &base)?;
                let mut report = self.report("applying the delta");
                open.write_root(&mut base, self.tree, &mut writer, &mut report)?;
                Came {
                    method: Method::StaticDelta,
                    fetched_bytes: 0,
                }
            }
            Route::Blocks { index } => self.by_blocks(index, &mut writer, base.installed)?,
        };
        if writer.missing_count() > 0 {
            return Err(ClientError::Contents {
                path: self.manifest.root.frames.path.clone(),
                problem: format!(
                    "{} blocks are missing after all came",
                    writer.missing_count()
                ),
            });
        }
        self.watcher.phase("writing the slot out");
        writer.sync()?;
        Ok(came)
    }

    fn by_blocks<D: Disk, R: Read + Seek>(
        &self,
        index: &SeekTable,
        writer: &mut SlotWriter<'_, D>,
        installed: Installed<R>,
    ) -> Result<Came> {
        let leaves = &self.tree.leaves;
        let mut installed = [installed];
        let plan = block_plan(writer, leaves, &installed, index);
        let full = self.manifest.root.full.length;
        let choice = choose(Some(plan.fetched_bytes()), None, full);
        self.watcher.phase("copying blocks that are here");
        copy_local(writer, &mut installed, &plan)?;
        let mut report = self.report("fetching the root");
        let (source, manifest) = (self.source, self.manifest);
        let fetched_bytes = if choice.method == Method::Full {
            fetch_full(source, manifest, writer, &mut report)?;
            full
        } else {
            fetch_missing(source, manifest, index, writer, leaves, &mut report)?
        };
        Ok(Came {
            method: choice.method,
            fetched_bytes,
        })
    }

    fn report(&self, phase: &str) -> impl FnMut(RootProgress) + use<'_> {
        let (phase, watcher) = (phase.to_owned(), self.watcher);
        let total = self.manifest.root_blocks();
        move |progress: RootProgress| {
            watcher.progress(Progress {
                phase: phase.clone(),
                done: total.saturating_sub(progress.missing_blocks),
                total,
            });
        }
    }
}
