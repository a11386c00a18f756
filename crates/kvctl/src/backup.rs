//! `backup`: saves the copy of everything that a kvd streams while it serves.
//!
//! The file appears under its name only when it is whole and on the disk. Restoring is the daemon's
//! affair, which knows what is in it.
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use kv_client::Snapshot;

use crate::arguments::{BackupArguments, Global};
use crate::failure::Failure;
use crate::session;

pub(crate) fn restore_elsewhere() -> Failure {
    let text = "kvctl does not restore: the new data directory is made where the member will run.\n\
        Stop the member there, then: kvd restore FILE --data-dir DIR --name NAME";
    Failure::Plain(text.to_owned())
}

pub(crate) async fn run(global: &Global, wanted: &BackupArguments) -> Result<ExitCode, Failure> {
    let offline = [
        &wanted.data_dir,
        &wanted.wal_dir,
        &wanted.backup_dir,
        &wanted.backup_wal_dir,
    ];
    if offline.into_iter().any(Option::is_some) || wanted.with_v3 {
        let text = "kvctl does not read data directories: it saves what a running kvd streams, with `kvctl backup FILE`";
        return Err(Failure::Plain(text.to_owned()));
    }
    let Some(target) = wanted.target.as_deref() else {
        return Err(Failure::Arguments("file required"));
    };
    let client = session::open(global).await?;
    let mut snapshot = client.snapshot().await.map_err(|error| match error {
        kv_client::Error::Refused { status: 404, .. } => {
            Failure::Plain("this server streams no backups: it is not kvd".to_owned())
        }
        other => Failure::Request(other),
    })?;
    if target == "-" {
        copy(&mut snapshot, &mut io::stdout().lock(), "standard output").await?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = file_name(Path::new(target));
    let bytes = save(&mut snapshot, &path).await?;
    eprintln!("Saved {bytes} bytes to {}", path.display());
    Ok(ExitCode::SUCCESS)
}

/// A new name inside a directory; anything else is the name.
fn file_name(target: &Path) -> PathBuf {
    if !target.is_dir() {
        return target.to_owned();
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = now.map_or(0, |now| now.as_secs());
    target.join(format!("kvd-{seconds}.snapshot"))
}

async fn save(snapshot: &mut Snapshot, path: &Path) -> Result<u64, Failure> {
    let failed = |error: io::Error| Failure::Plain(format!("{}: {error}", path.display()));
    if path.exists() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // Passwords' hashes are in it.
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options
        .open(&part)
        .map_err(|error| Failure::Plain(format!("{}: {error}", part.display())))?;
    let copied = copy(snapshot, &mut file, &part.display().to_string()).await;
    let saved = match copied {
        Ok(bytes) => finish(&file, &part, path).map(|()| bytes).map_err(failed),
        Err(failure) => Err(failure),
    };
    if saved.is_err() {
        // What is there is of no use; the reason was told.
        let _removed = std::fs::remove_file(&part);
    }
    saved
}

/// Puts a file under its name when it is on the disk.
pub(crate) fn finish(file: &File, part: &Path, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    std::fs::rename(part, path)?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

async fn copy(snapshot: &mut Snapshot, out: &mut dyn Write, name: &str) -> Result<u64, Failure> {
    let mut bytes = 0;
    while let Some(chunk) = snapshot.chunk().await {
        let chunk = chunk.map_err(Failure::plain)?;
        out.write_all(&chunk)
            .map_err(|error| Failure::Plain(format!("{name}: {error}")))?;
        bytes += chunk.len() as u64;
    }
    out.flush()
        .map_err(|error| Failure::Plain(format!("{name}: {error}")))?;
    Ok(bytes)
}
