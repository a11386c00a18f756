//! The container's user namespace, with `--userns=auto`: a range of numbers that is its own until it is over, and the
//! namespace that maps its users to them.
//!
//! The range is written down before anything has it, and what a killed container left is given back as its network is.
//! Folders are not changed for it: they are mounted so that the kernel maps their owners.

use std::fs::{self, DirBuilder, File};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use container_model::name::Name;
use container_model::user_namespace::{IdRange, choose};
use rustix::fs::{FlockOperation, flock};

/// A file for each container that has a range; a restart of the machine empties it.
const FOLDER: &str = "/run/keelson/launch-users";
/// Not a container's name.
const LOCK: &str = ".lock";
const UNSHARE: &str = "/usr/bin/unshare";
const MOUNT: &str = "/usr/bin/mount";

/// A range, and the namespace.
#[derive(Debug)]
pub(super) struct UserNamespace {
    range: IdRange,
    users: File,
    network: File,
}

impl UserNamespace {
    /// Takes a range, and makes the namespace, with one of networks that is its own.
    pub(super) fn take(name: &Name) -> anyhow::Result<Self> {
        let range = take_range(name)?;
        let map = |what: &str| format!("--map-{what}={range}");
        // It is there as long as `cat` is, or a descriptor.
        let mut holder = Command::new(UNSHARE)
            .args(["--user", "--net", &map("users"), &map("groups"), "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context(UNSHARE)?;
        let opened = open(&mut holder);
        drop(holder.stdin.take());
        let status = holder.wait().context(UNSHARE)?;
        let (users, network) = opened.with_context(|| format!("a user namespace: {status}"))?;
        Ok(Self {
            range,
            users,
            network,
        })
    }

    pub(super) fn range(&self) -> IdRange {
        self.range
    }

    /// By which path the runtime finds it.
    pub(super) fn path(&self) -> PathBuf {
        path(&self.users)
    }

    /// The namespace of networks that belongs to it.
    pub(super) fn network(&self) -> anyhow::Result<File> {
        self.network.try_clone().context("a descriptor")
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.users.as_fd()
    }

    /// Mounts a folder at another place, where its users are the container's.
    pub(super) fn map(&self, folder: &Path, place: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(place).with_context(|| place.display().to_string())?;
        let option = format!("X-mount.idmap={}", self.path().display());
        let output = Command::new(MOUNT)
            .args(["--bind", "--options", &option])
            .args([folder, place])
            .stdin(Stdio::null())
            .output()
            .context(MOUNT)?;
        if output.status.success() {
            return Ok(());
        }
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}", folder.display(), reason.trim())
    }
}

fn path(file: &File) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
}

/// Both namespaces of a process that says a word again once it has them.
fn open(holder: &mut std::process::Child) -> anyhow::Result<(File, File)> {
    let (Some(input), Some(output)) = (&mut holder.stdin, &mut holder.stdout) else {
        bail!("{UNSHARE} has no streams");
    };
    input.write_all(b"x").context(UNSHARE)?;
    output.read_exact(&mut [0]).context(UNSHARE)?;
    let open = |kind: &str| {
        let path = format!("/proc/{}/ns/{kind}", holder.id());
        File::open(&path).context(path)
    };
    Ok((open("user")?, open("net")?))
}

fn file(name: &Name) -> PathBuf {
    Path::new(FOLDER).join(name.as_str())
}

/// A range that nobody has, written down.
fn take_range(name: &Name) -> anyhow::Result<IdRange> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(FOLDER);
    made.context(FOLDER)?;
    let lock = File::create(Path::new(FOLDER).join(LOCK)).context(FOLDER)?;
    flock(&lock, FlockOperation::LockExclusive).context(FOLDER)?;
    let mut taken: Vec<IdRange> = Vec::new();
    for other in holders() {
        let path = file(&other);
        match fs::read(&path) {
            Ok(text) => taken
                .push(serde_json::from_slice(&text).with_context(|| path.display().to_string())?),
            // It was given back just now.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
    }
    let range = choose(&taken).context("every range of users is some container's")?;
    let path = file(name);
    let new = Path::new(FOLDER).join(format!(".{name}.new"));
    fs::write(&new, serde_json::to_vec(&range)?).with_context(|| new.display().to_string())?;
    fs::rename(&new, &path).with_context(|| path.display().to_string())?;
    Ok(range)
}

/// Gives a container's range back; that there is none is no error.
pub(super) fn give_back(name: &Name) -> anyhow::Result<()> {
    let path = file(name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

/// The containers that have ranges.
pub(super) fn holders() -> Vec<Name> {
    let entries = fs::read_dir(FOLDER).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}
