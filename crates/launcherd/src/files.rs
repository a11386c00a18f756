//! Files of containers: `archive` (docker cp), `changes` (docker diff) and `export`.
//!
//! Whether a container runs makes no difference but that volumes are seen only while it does.

mod changes;
mod container_path;
mod packing;
mod root;
mod unpacking;

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use bytes::{Buf as _, Bytes};
use container_model::user::UserOption;
use engine_api::path_stat::{HEADER, PathStat};
use engine_api::query::Query;
use engine_api::{ApiError, Record};
use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::{Frame, Incoming};
use hyper::header::HeaderValue;
use rustix::io::Errno;
use tokio::sync::mpsc;

use crate::answer::{self, Answer, Body, FalliblePieces, internal, of_store};
use crate::engine::Engine;
use changes::Layers;
use container_path::ContainerPath;
use packing::Extent;
use root::Root;
use unpacking::Rules;

/// Of one piece of an archive.
const PIECE: usize = 64 * 1024;
/// Pieces that came and are not unpacked yet.
const PIECES: usize = 16;
/// A container's list of users is read into memory.
const USERS_MAX: u64 = 4 * 1024 * 1024;

/// `HEAD archive`: what a path is.
pub(crate) async fn facts(engine: &Engine, record: &Record, query: &Query) -> Answer {
    let path = wanted(query)?;
    let root = root::open(engine, record).await?;
    let found = blocking(move || find(&root, &path)).await?;
    let response = answer::bytes(hyper::StatusCode::OK, "text/plain", Bytes::new());
    with_stat(response, &found.1)
}

/// `GET archive`: a file, or a folder with all that is in it.
pub(crate) async fn get(engine: &Engine, record: &Record, query: &Query) -> Answer {
    let path = wanted(query)?;
    let root = root::open(engine, record).await?;
    let (root, path, (node, stat)) = blocking(move || {
        let found = find(&root, &path)?;
        Ok((root, path, found))
    })
    .await?;
    let (pieces, response) = answer::streamed_fallibly("application/x-tar");
    tokio::task::spawn_blocking(move || {
        send(&pieces, node, path.base(), Extent::All);
        // Until then nobody starts the container.
        drop(root);
    });
    engine.tell("archive-path", record);
    with_stat(response, &stat)
}

/// `export`: all of the container's own files.
pub(crate) async fn export(engine: &Engine, record: &Record) -> Answer {
    let root = root::open(engine, record).await?;
    let node = root.folder(&[]);
    let node =
        node.map_err(|error| ApiError::internal(format!("the container's root: {error}")))?;
    let (pieces, response) = answer::streamed_fallibly("application/x-tar");
    tokio::task::spawn_blocking(move || {
        send(&pieces, node, OsStr::new(""), Extent::OwnFiles);
        drop(root);
    });
    engine.tell("export", record);
    Ok(response)
}

/// `PUT archive`: an archive into a folder.
pub(crate) async fn put(
    engine: &Engine,
    record: &Record,
    query: &Query,
    mut body: Incoming,
) -> Answer {
    let put = put_from(engine, record, query, &mut body).await;
    // A client that is answered while it still writes sees a broken pipe instead.
    while body.frame().await.is_some_and(|frame| frame.is_ok()) {}
    put?;
    engine.tell("extract-to-dir", record);
    let nothing = Bytes::new();
    Ok(answer::bytes(hyper::StatusCode::OK, "text/plain", nothing))
}

async fn put_from(
    engine: &Engine,
    record: &Record,
    query: &Query,
    body: &mut Incoming,
) -> Result<(), ApiError> {
    let path = wanted(query)?;
    let keeps_kinds = query.flag("noOverwriteDirNonDir");
    let user = query.flag("copyUIDGID").then(|| user(record)).flatten();
    let root = root::open(engine, record).await?;
    let is_read_only = record.host_config["ReadonlyRootfs"] == true;
    if is_read_only && !engine.state(record).await?.is_alive() {
        return Err(ApiError {
            status: 403,
            message: "container rootfs is marked read-only".to_owned(),
        });
    }
    let (pieces, receiver) = mpsc::channel(PIECES);
    let unpacking = tokio::task::spawn_blocking(move || {
        let owner = user.map(|user| owner(&root, &user)).transpose()?;
        let rules = Rules { keeps_kinds, owner };
        let mut from = Received {
            receiver,
            piece: Bytes::new(),
        };
        check_magic(&mut from)?;
        unpacking::unpack(&root, &path, from, rules)
    });
    forward(body, pieces).await;
    let unpacked = unpacking.await;
    unpacked.map_err(|error| ApiError::internal(format!("unpacking: {error}")))?
}

/// `changes`
pub(crate) async fn changes(engine: &Engine, record: &Record) -> Answer {
    let root = engine.store().await?.existing_root(&record.id).await;
    let root = root.map_err(of_store)?;
    let layers = root.and_then(|root| Layers::of_options(&root.options));
    // It never ran.
    let Some(layers) = layers else {
        return answer::json(&serde_json::json!([]));
    };
    let problem = |error: io::Error| internal(&anyhow::Error::from(error).context("its layers"));
    answer::json(&blocking(move || layers.changes().map_err(problem)).await?)
}

fn wanted(query: &Query) -> Result<ContainerPath, ApiError> {
    ContainerPath::parse(query.text("path").unwrap_or_default())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ApiError::internal(format!("a task: {error}")))?
}

/// In Docker's words, by which its client knows what is not there.
fn failure(path: &ContainerPath, error: Errno) -> ApiError {
    let path = path.text();
    match error {
        Errno::NOENT => {
            ApiError::not_found(format!("Could not find the file {path} in the container"))
        }
        Errno::NOTDIR => ApiError::bad_request(format!("{path}: not a directory")),
        Errno::LOOP => ApiError::bad_request(format!("{path}: too many links")),
        error => ApiError::internal(format!("{path}: {error}")),
    }
}

fn find(root: &Root, path: &ContainerPath) -> Result<(OwnedFd, PathStat), ApiError> {
    let refuse = |error| failure(path, error);
    let node = root.find(path).map_err(refuse)?;
    let facts = root::facts(&node).map_err(refuse)?;
    let is_link = facts.stx_mode & 0o170_000 == 0o120_000;
    let target = is_link.then(|| root.target(path)).transpose();
    let target = target.map_err(refuse)?;
    let time = facts.stx_mtime;
    let modified = jiff::Timestamp::new(time.tv_sec, i32::try_from(time.tv_nsec).unwrap_or(0));
    let stat = PathStat {
        name: path.base().to_string_lossy().into_owned(),
        size: facts.stx_size,
        mode: facts.stx_mode.into(),
        modified: modified.unwrap_or_default(),
        link_target: target.map_or(String::new(), |parts| container_path::text(&parts)),
    };
    Ok((node, stat))
}

fn with_stat(mut response: Response<Body>, stat: &PathStat) -> Answer {
    let value = HeaderValue::from_str(&stat.header());
    let value = value.map_err(|error| ApiError::internal(format!("{HEADER}: {error}")))?;
    response.headers_mut().insert(HEADER, value);
    Ok(response)
}

/// Whose the files are to be: the container's user, if it has one.
fn user(record: &Record) -> Option<String> {
    let user = record.config["User"].as_str();
    user.filter(|user| !user.is_empty()).map(ToOwned::to_owned)
}

fn owner(root: &Root, user: &str) -> Result<(u32, u32), ApiError> {
    let bad = |error: &dyn std::fmt::Display| ApiError::bad_request(format!("User: {error}"));
    let option = user.parse::<UserOption>();
    let option = option.map_err(|error| bad(&error))?;
    let (users, groups) = (text(root, "/etc/passwd")?, text(root, "/etc/group")?);
    let resolved = option
        .resolve(&users, &groups)
        .map_err(|error| bad(&error))?;
    Ok((resolved.uid, resolved.gid))
}

/// A file of the container; empty if it is not there.
fn text(root: &Root, path: &str) -> Result<String, ApiError> {
    let path = ContainerPath::parse(path)?;
    let target = root.target(&path).map_err(|error| failure(&path, error))?;
    let path = ContainerPath::parse(&container_path::text(&target))?;
    let node = match root.find(&path) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(String::new()),
        node => node.map_err(|error| failure(&path, error))?,
    };
    let is_file = root::facts(&node).is_ok_and(|facts| facts.stx_mode & 0o170_000 == 0o100_000);
    if !is_file {
        return Ok(String::new());
    }
    let file = root::reopen(&node).map_err(|error| failure(&path, error))?;
    let mut bytes = Vec::new();
    let read = file.take(USERS_MAX).read_to_end(&mut bytes);
    read.map_err(|error| ApiError::internal(format!("{}: {error}", path.text())))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Packs in pieces for the client. What fails in the middle breaks the answer off.
fn send(pieces: &FalliblePieces, node: OwnedFd, name: &OsStr, extent: Extent) {
    let to = Sent {
        pieces: pieces.clone(),
        piece: Vec::with_capacity(PIECE),
    };
    let packed = packing::pack(to, node, name, extent).and_then(|mut to| to.flush());
    if let Err(error) = packed {
        if !pieces.is_closed() {
            tracing::warn!("an archive of a container's files is broken off: {error}");
        }
        let _gone = pieces.blocking_send(Err(error));
    }
}

/// What is written goes to the client.
struct Sent {
    pieces: FalliblePieces,
    piece: Vec<u8>,
}

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        let sent = self.pieces.blocking_send(Ok(piece.into()));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// What the client sends is read.
struct Received {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len());
        buffer[..count].copy_from_slice(&self.piece[..count]);
        self.piece.advance(count);
        Ok(count)
    }
}

/// Compressed archives are not unpacked here; clients compress them only if they are told to.
fn check_magic(from: &mut Received) -> Result<(), ApiError> {
    while from.piece.is_empty() {
        match from.receiver.blocking_recv() {
            Some(Ok(piece)) => from.piece = piece,
            Some(Err(error)) => return Err(ApiError::bad_request(format!("the archive: {error}"))),
            None => return Ok(()),
        }
    }
    let is_compressed = [
        &[0x1f, 0x8b][..],
        &[0x28, 0xb5, 0x2f, 0xfd],
        b"BZh",
        &[0xfd, b'7', b'z', b'X', b'Z'],
    ];
    if is_compressed
        .iter()
        .any(|magic| from.piece.starts_with(magic))
    {
        return Err(ApiError::bad_request(
            "the archive is compressed, which launcherd does not support here: send it as it is",
        ));
    }
    Ok(())
}

/// All that comes, until nobody wants it any more.
async fn forward(body: &mut Incoming, pieces: mpsc::Sender<io::Result<Bytes>>) {
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(piece)) => {
                // Whoever unpacks has failed, or is at the archive's end.
                if pieces.send(Ok(piece)).await.is_err() {
                    return;
                }
            }
            Ok(Err(_trailers)) => {}
            Err(error) => {
                let _over = pieces.send(Err(io::Error::other(error))).await;
                return;
            }
        }
    }
}
