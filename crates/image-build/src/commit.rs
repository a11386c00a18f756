//! Step `commit`: the root as a commit of an `OSTree` repository.
//!
//! Its checksum names the tree's contents independently of any file system format, and registries and
//! scanners can be fed from the repository. Only the builder has it; the device needs no `OSTree`.

use ostree_ext::ostree::glib::prelude::Cast as _;
use ostree_ext::ostree::{self, gio, glib};
use std::path::Path;

use crate::error::{BuildError, Result, make_directory, write_bytes};

/// Name of the file with the checksum that this step leaves in its directory.
pub const COMMIT: &str = "commit";

const WHAT: &str = "OSTree commit";

/// Commits a tar to `branch` of the repository and writes the checksum into `directory`.
pub fn commit(
    repository: &Path,
    tar: &Path,
    branch: &str,
    version: &str,
    timestamp_seconds: u64,
    directory: &Path,
) -> Result<String> {
    make_directory(repository)?;
    let checksum = commit_tar(repository, tar, branch, version, timestamp_seconds)
        .map_err(|e| BuildError::writing(WHAT, repository, e))?;
    write_bytes(&directory.join(COMMIT), checksum.as_bytes())?;
    Ok(format!("{}, branch {branch}", &checksum[..12]))
}

fn commit_tar(
    repository: &Path,
    tar: &Path,
    branch: &str,
    version: &str,
    timestamp_seconds: u64,
) -> std::result::Result<String, glib::Error> {
    let cancellable = gio::Cancellable::NONE;
    let repo = ostree::Repo::new_for_path(repository);
    // bare-user keeps owners and capabilities as attributes of its own, so no root is needed.
    repo.create(ostree::RepoMode::BareUser, cancellable)?;
    repo.open(cancellable)?;
    use_the_whole_disk(&repo)?;
    // A cache: what a power cut loses is made again.
    repo.set_disable_fsync(true);
    repo.prepare_transaction(cancellable)?;
    let result = write_commit(&repo, tar, branch, version, timestamp_seconds);
    if result.is_err() {
        repo.abort_transaction(cancellable)?;
        return result;
    }
    repo.commit_transaction(cancellable)?;
    repo.prune(ostree::RepoPruneFlags::REFS_ONLY, 0, cancellable)?;
    result
}

/// By default `OSTree` stops while some of the disk is still free, in words that say nothing of a full disk.
fn use_the_whole_disk(repo: &ostree::Repo) -> std::result::Result<(), glib::Error> {
    let (group, key) = ("core", "min-free-space-percent");
    let configuration = repo.copy_config();
    if configuration
        .string(group, key)
        .is_ok_and(|value| value == "0")
    {
        return Ok(());
    }
    configuration.set_string(group, key, "0");
    repo.write_config(&configuration)?;
    repo.reload_config(gio::Cancellable::NONE)
}

fn write_commit(
    repo: &ostree::Repo,
    tar: &Path,
    branch: &str,
    version: &str,
    timestamp_seconds: u64,
) -> std::result::Result<String, glib::Error> {
    let cancellable = gio::Cancellable::NONE;
    let tree = ostree::MutableTree::new();
    repo.write_archive_to_mtree(&gio::File::for_path(tar), &tree, None, true, cancellable)?;
    let root = repo.write_mtree(&tree, cancellable)?;
    let root = root
        .downcast_ref::<ostree::RepoFile>()
        .expect("a repository's file");
    let metadata = glib::VariantDict::new(None);
    metadata.insert("version", version);
    let checksum = repo.write_commit_with_time(
        None,
        Some(version),
        None,
        Some(&metadata.end()),
        root,
        timestamp_seconds,
        cancellable,
    )?;
    repo.transaction_set_ref(None, branch, Some(checksum.as_str()));
    Ok(checksum.to_string())
}
