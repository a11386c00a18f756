//! `fd-forward`: the far end of `--tunnel`, between an SSH session and fleetd's socket.
//!
//! It looks at nothing that passes.

use std::path::Path;

use tokio::io::{AsyncWriteExt, copy, stdin, stdout};
use tokio::net::UnixStream;

use crate::failure::Failure;

/// Copies both ways until fleetd closes, or nobody is there to read.
pub(crate) async fn run(socket: &Path) -> Result<u8, Failure> {
    let failed = |error| Failure::new(format!("{}: {error}", socket.display()));
    let stream = UnixStream::connect(socket).await.map_err(failed)?;
    let (mut from_socket, mut to_socket) = stream.into_split();
    let sending = async {
        let sent = copy(&mut stdin(), &mut to_socket).await;
        // What was asked for may be answered yet.
        let _closed = to_socket.shutdown().await;
        sent
    };
    let receiving = async {
        let mut out = stdout();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            use tokio::io::AsyncReadExt;
            let length = from_socket.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            out.write_all(&buffer[..length]).await?;
            out.flush().await?;
        }
    };
    tokio::pin!(sending, receiving);
    tokio::select! {
        received = &mut receiving => received.map_err(failed)?,
        sent = &mut sending => {
            sent.map_err(failed)?;
            let received: std::io::Result<()> = receiving.await;
            received.map_err(failed)?;
        }
    }
    Ok(0)
}
