//! The socket by which monitors of containers have the store look at what they announce or take back.
//!
//! A client writes a container's name and a line feed, and waits for the answer as long as it likes. What is asked is
//! the agent's to do; that a machine cannot open the socket is told, and hinders nothing else.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use container_model::name::Name;
use container_model::registration::{REFUSED, SETTLED, SOCKET};
use fleet_agent::Announcements;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

/// A name and its line feed.
const LINE_MAX: u64 = 200;

/// Answers until the daemon ends.
pub(crate) async fn serve(announcements: Announcements) {
    let listener = match listen(Path::new(SOCKET)) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(
                "{SOCKET}: {error}: containers are registered late, and withdrawn late"
            );
            return;
        }
    };
    answer_all(&listener, &announcements).await;
}

/// Root alone may ask.
fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // That of a daemon before this one.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn answer_all(listener: &UnixListener, announcements: &Announcements) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let announcements = announcements.clone();
                    clients.spawn(async move {
                        // A client that went away has its answer from the folder.
                        let _answered = answer(stream, announcements).await;
                    });
                }
                // Too many files are open: some are closed in a moment.
                Err(error) => {
                    tracing::warn!("{SOCKET}: {error}");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            },
            Some(_) = clients.join_next() => {}
        }
    }
}

async fn answer(stream: UnixStream, announcements: Announcements) -> io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut reading = BufReader::new(reading.take(LINE_MAX));
    let mut line = String::new();
    reading.read_line(&mut line).await?;
    let Ok(container) = line.trim_end().parse::<Name>() else {
        return writing
            .write_all(format!("{REFUSED}it is no container's name\n").as_bytes())
            .await;
    };
    let mut rest = String::new();
    let settled = tokio::select! {
        settled = announcements.settled(container) => settled,
        // It says no more: it is gone.
        _ = reading.read_line(&mut rest) => return Ok(()),
    };
    let text = match settled {
        Ok(()) => SETTLED.to_owned(),
        Err(reason) => format!("{REFUSED}{}\n", reason.replace('\n', " ")),
    };
    writing.write_all(text.as_bytes()).await
}
