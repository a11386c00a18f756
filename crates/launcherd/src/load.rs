//! `POST images/load`: an archive's images into containerd.
//!
//! What comes is put into a file first, without a name: where things lie in an archive is known at its end.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use engine_api::ApiError;
use engine_api::image_answer::familiar;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use image_store::archive::Archive;
use image_store::load::load_image;
use serde_json::json;

use crate::answer::{self, Answer, internal};
use crate::engine::Engine;

/// On the disk: archives are larger than memory.
const FOLDER: &str = "/var/lib/keelson";

pub(crate) async fn load(engine: &Engine, body: Incoming) -> Answer {
    let file = receive(body).await?;
    let loaded = load_all(engine, &file).await;
    let names = loaded.map_err(|error| ApiError::bad_request(format!("{error:#}")))?;
    let mut text = Vec::new();
    for name in names {
        let line = json!({"stream": format!("Loaded image: {}\n", familiar(&name))});
        text.extend_from_slice(&answer::line(&line));
        engine.tell_of("image", "load", &name, &name);
    }
    Ok(answer::bytes(
        hyper::StatusCode::OK,
        "application/json",
        text,
    ))
}

async fn load_all(engine: &Engine, file: &File) -> anyhow::Result<Vec<String>> {
    // The archive opens its file again for each part.
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let archive = Archive::open(&path)?;
    let images = archive.images()?;
    if images.is_empty() {
        bail!("the archive has no image for this machine");
    }
    let store = engine.store().await?;
    let mut loaded = Vec::new();
    for image in &images {
        if image.names.is_empty() {
            bail!("the archive gives the image {} no name", image.digest);
        }
        loaded.extend(load_image(store, &archive, image, &image.names).await?);
    }
    Ok(loaded)
}

/// Everything that comes.
async fn receive(mut body: Incoming) -> Result<File, ApiError> {
    let problem = |error: io::Error| internal(&anyhow::Error::from(error).context(FOLDER));
    let mut file = unnamed_file().map_err(|error| internal(&error))?;
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| ApiError::bad_request(format!("the archive: {error}")))?;
        if let Ok(bytes) = frame.into_data() {
            file.write_all(&bytes).map_err(problem)?;
        }
    }
    Ok(file)
}

fn unnamed_file() -> anyhow::Result<File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    std::fs::create_dir_all(FOLDER).context(FOLDER)?;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = openat(CWD, FOLDER, flags, Mode::RUSR | Mode::WUSR).context(FOLDER)?;
    Ok(file.into())
}
