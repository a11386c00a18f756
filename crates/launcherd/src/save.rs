//! `images/get`: images as one archive, while it is made.

use std::io;

use bytes::BytesMut;
use engine_api::ApiError;
use image_store::save;
use image_store::store::{Image, Store};
use tokio::io::{AsyncReadExt as _, DuplexStream};

use crate::answer::{self, Answer, FalliblePieces};
use crate::engine::Engine;
use crate::images;

/// What is made before the client has taken it.
const AHEAD: usize = 1024 * 1024;
/// Of one piece.
const PIECE: usize = 64 * 1024;

/// All images are looked up before the answer begins.
pub(crate) async fn save(engine: &Engine, names: &[&str]) -> Answer {
    if names.is_empty() {
        return Err(ApiError::bad_request("names: an image is wanted"));
    }
    let mut wanted = Vec::new();
    for name in names {
        wanted.push(images::find_to_save(engine, name).await?);
    }
    let store = engine.store().await?.clone();
    let (pieces, response) = answer::streamed_fallibly("application/x-tar");
    tokio::spawn(send(store, wanted, pieces));
    Ok(response)
}

async fn send(store: Store, images: Vec<Image>, pieces: FalliblePieces) {
    let (writer, reader) = tokio::io::duplex(AHEAD);
    let writing = save::write(&store, &images, writer);
    let (written, sent) = tokio::join!(
        async { writing.await.map(drop).map_err(anyhow::Error::from) },
        forward(reader, &pieces)
    );
    if let (Err(error), Ok(())) = (written, sent) {
        tracing::warn!("an archive of images is broken off: {error:#}");
        let _gone = pieces.send(Err(io::Error::other("broken off"))).await;
    }
}

/// Fails if the client is gone; the writer then sees a broken pipe.
async fn forward(mut reader: DuplexStream, pieces: &FalliblePieces) -> Result<(), ()> {
    loop {
        let mut piece = BytesMut::with_capacity(PIECE);
        // Memory alone: it does not fail.
        let count = reader.read_buf(&mut piece).await.unwrap_or(0);
        if count == 0 {
            return Ok(());
        }
        pieces.send(Ok(piece.freeze())).await.map_err(drop)?;
    }
}
