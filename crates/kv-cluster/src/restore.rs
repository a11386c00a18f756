//! Makes the data folder of a new cluster of one member from a snapshot in a file.
//!
//! It is built beside its place and renamed into it as the last step: whatever goes wrong, the place
//! stays as it was. Further members are added to the new cluster as to any other.
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use kv_store::InstallError;
use sha2::{Digest as _, Sha256};

use crate::bootstrap::new_identity;
use crate::error::{RestoreError, StartError};
use crate::force_new;
use crate::member::ClusterId;
use crate::membership::is_peer_url;
use crate::settings::Settings;
use crate::start::open;
use crate::state_machine::StateMachine;

/// What is appended to the folder's name while it is built.
const UNFINISHED: &str = ".restoring";

/// Makes the data folder that the settings name, which must be empty or absent, from a file that
/// holds what [`kv_store::Store::snapshot`] gives, with or without what etcd's v3 API appends to it. The
/// member has the name and URLs of the settings;
/// of the old cluster nobody is in it.
pub async fn restore(file: &Path, mut settings: Settings) -> Result<ClusterId, RestoreError> {
    if let Some(url) = settings.peer_urls.iter().find(|url| !is_peer_url(url)) {
        return Err(StartError::PeerUrl { url: url.clone() }.into());
    }
    let place = settings.data_dir.clone();
    check_empty(&place)?;
    let snapshot = File::open(file).map_err(unreadable(file))?;
    let unfinished = make_unfinished(&place)?;
    settings.data_dir.clone_from(&unfinished);
    let restored = fill(file, snapshot, &settings).await;
    let restored = restored.and_then(|cluster| put_in_place(&unfinished, &place).map(|()| cluster));
    if restored.is_err() {
        // The reason is told; what cannot be removed is named by the next attempt.
        fs::remove_dir_all(&unfinished).ok();
    }
    restored
}

fn unreadable(file: &Path) -> impl FnOnce(io::Error) -> RestoreError {
    let file = file.to_owned();
    |source| RestoreError::File { file, source }
}

fn unusable(folder: &Path) -> impl FnOnce(io::Error) -> RestoreError {
    let folder = folder.to_owned();
    |source| RestoreError::Folder { folder, source }
}

fn check_empty(place: &Path) -> Result<(), RestoreError> {
    let mut entries = match fs::read_dir(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(unusable(place))?,
    };
    let Some(entry) = entries.next() else {
        return Ok(());
    };
    let entry = entry.map_err(unusable(place))?;
    Err(RestoreError::NotEmpty {
        folder: place.to_owned(),
        entry: entry.file_name().to_string_lossy().into_owned(),
    })
}

/// A folder beside the place, which nobody else works in.
fn make_unfinished(place: &Path) -> Result<PathBuf, RestoreError> {
    // What has no name of its own, such as `.`, has no place beside it either.
    let Some(name) = place.file_name() else {
        let source = io::Error::from(io::ErrorKind::InvalidInput);
        return Err(unusable(place)(source));
    };
    let mut unfinished = name.to_owned();
    unfinished.push(UNFINISHED);
    let unfinished = place.with_file_name(unfinished);
    let parent = parent(place);
    fs::create_dir_all(parent).map_err(unusable(parent))?;
    match DirBuilder::new().mode(0o700).create(&unfinished) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(RestoreError::Unfinished { folder: unfinished })
        }
        made => made
            .map(|()| unfinished.clone())
            .map_err(unusable(&unfinished)),
    }
}

fn parent(path: &Path) -> &Path {
    let parent = path.parent();
    (parent.filter(|parent| !parent.as_os_str().is_empty())).unwrap_or(Path::new("."))
}

/// Everything the member needs to start, durably. Nothing is open any more when it returns.
async fn fill(file: &Path, snapshot: File, settings: &Settings) -> Result<ClusterId, RestoreError> {
    let (log, machine) = open(settings).await?;
    let mut reader = Summed::new(BufReader::new(snapshot));
    let installed = machine.store().install(&mut reader);
    installed.map_err(|error| not_installed(file, &settings.data_dir, error))?;
    check_end(file, reader)?;
    // As it stands now, with what the snapshot says of the old cluster.
    let machine = StateMachine::new(machine.store().clone());
    let machine = machine.map_err(unreadable(file))?;
    let identity = new_identity(settings);
    let identity = force_new::force(settings, identity, &log, &machine).await?;
    Ok(identity.cluster_id)
}

/// What follows the snapshot in a file that was saved through etcd's v3 API: zeros up to a multiple of
/// so many bytes, then the SHA-256 of all before it.
pub const SNAPSHOT_BLOCK_BYTES: u64 = 512;
const SUM_BYTES: usize = 32;

/// Reads, and sums up what was read.
struct Summed<R> {
    reader: R,
    sum: Sha256,
    bytes: u64,
}

impl<R: Read> Summed<R> {
    fn new(reader: R) -> Self {
        Self {
            reader,
            sum: Sha256::new(),
            bytes: 0,
        }
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.sum.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}

/// After the snapshot there is nothing, or what etcd's API appends.
fn check_end(file: &Path, mut reader: Summed<impl Read>) -> Result<(), RestoreError> {
    let over = reader.bytes % SNAPSHOT_BLOCK_BYTES;
    let zeros = (SNAPSHOT_BLOCK_BYTES - over) % SNAPSHOT_BLOCK_BYTES;
    let zeros = usize::try_from(zeros).unwrap_or(0);
    let mut rest = Vec::new();
    let longest = (zeros + SUM_BYTES + 1) as u64;
    let end = (&mut reader.reader).take(longest).read_to_end(&mut rest);
    end.map_err(unreadable(file))?;
    let file = file.to_owned();
    match rest.split_at_checked(zeros) {
        _ if rest.is_empty() => Ok(()),
        Some((padding, sum)) if sum.len() == SUM_BYTES && padding.iter().all(|byte| *byte == 0) => {
            reader.sum.update(padding);
            if reader.sum.finalize()[..] == *sum {
                return Ok(());
            }
            Err(RestoreError::WrongSum { file })
        }
        _ => Err(RestoreError::TooLong { file }),
    }
}

/// Damage of the file is told from trouble with the folder.
fn not_installed(file: &Path, folder: &Path, error: InstallError) -> RestoreError {
    let file = file.to_owned();
    match error {
        InstallError::Read { frames, source } if source.kind() == io::ErrorKind::UnexpectedEof => {
            RestoreError::CutOff { file, frames }
        }
        InstallError::Read { source, .. } => RestoreError::File { file, source },
        InstallError::Damaged { frame, reason } => RestoreError::Damaged {
            file,
            frame,
            reason,
        },
        InstallError::TooNew { .. } => RestoreError::TooNew {
            file,
            source: error,
        },
        InstallError::Store { .. } => RestoreError::Store {
            folder: folder.to_owned(),
            source: error,
        },
    }
}

/// An empty folder in its place is replaced; a full one, made meanwhile, is not.
fn put_in_place(unfinished: &Path, place: &Path) -> Result<(), RestoreError> {
    fs::rename(unfinished, place).map_err(unusable(place))?;
    let parent = parent(place);
    let synced = File::open(parent).and_then(|folder| folder.sync_all());
    synced.map_err(unusable(parent))
}
