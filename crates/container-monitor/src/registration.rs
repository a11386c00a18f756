//! Whether the container is announced as a service: while it runs, is ready, and is not unhealthy.
//!
//! What is announced was written by the launcher; here it is only linked to where fleetd looks, and the link is taken
//! away. fleetd is told by its socket, and answers once the key-value store knows it; who stops the payload waits
//! for that answer, a short time at most.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use container_model::registration::{ANNOUNCED, FILE, REFUSED, REGISTERED, SETTLED, SOCKET};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::arguments::Arguments;

/// How long the payload's end may wait for the store.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long the store may take before it is told that it takes long.
const PATIENCE: Duration = Duration::from_secs(2);
/// From one attempt to reach fleetd to the next.
const RETRY: Duration = Duration::from_secs(5);
/// The same while the payload's end waits for it.
const HURRY: Duration = Duration::from_millis(100);

/// A line of fleetd's is shorter.
const ANSWER_MAX: usize = 512;

/// The registration of one container.
#[derive(Debug)]
pub(crate) struct Registration {
    folders: Folders,
    name: String,
    is_announced: bool,
    step: Step,
}

/// Where things are; elsewhere in tests.
#[derive(Debug, Clone)]
struct Folders {
    announced: PathBuf,
    registered: PathBuf,
    socket: PathBuf,
}

/// How far fleetd and the store are behind what is announced.
#[derive(Debug)]
enum Step {
    /// They know, as far as it matters.
    Settled,
    /// fleetd was asked, and did not answer yet.
    Asked {
        stream: UnixStream,
        answer: Vec<u8>,
        /// When it is told that this takes long.
        late: Option<Instant>,
    },
    /// fleetd is not there; it is asked again then.
    Away(Instant),
}

/// What there is to tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// The store has the container's services.
    Registered,
    /// It has not, and nobody can say when it will.
    StoreSilent,
    /// It has not, since there is nobody to tell.
    NobodyThere,
    /// It has not and will not have, for a reason.
    Refused(String),
}

/// For `STATUS=` and the journal.
impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered => f.write_str("registered"),
            Self::StoreSilent => {
                f.write_str("not registered yet: the key-value store does not answer")
            }
            Self::NobodyThere => f.write_str("not registered: fleetd does not run"),
            Self::Refused(reason) => write!(f, "not registered: {reason}"),
        }
    }
}

impl Registration {
    /// Of a container whose launcher wrote an announcement.
    pub(crate) fn new(arguments: &Arguments) -> Option<Self> {
        let folders = Folders {
            announced: ANNOUNCED.into(),
            registered: REGISTERED.into(),
            socket: SOCKET.into(),
        };
        arguments
            .is_registered
            .then(|| Self::in_folders(folders, &arguments.name))
    }

    fn in_folders(folders: Folders, name: &str) -> Self {
        Self {
            folders,
            name: name.to_owned(),
            is_announced: false,
            step: Step::Settled,
        }
    }

    /// Announces the container, or takes the announcement back, if that is new.
    pub(crate) fn set(&mut self, is_wanted: bool, now: Instant) -> io::Result<()> {
        if is_wanted == self.is_announced {
            return Ok(());
        }
        self.is_announced = is_wanted;
        let done = if is_wanted {
            self.link()
        } else {
            remove(&self.path())
        };
        self.ask(now);
        done
    }

    /// Goes on; in the end there is something to tell. It is said only while the container is announced.
    pub(crate) fn turn(&mut self, now: Instant) -> Option<News> {
        let is_announced = self.is_announced;
        match &mut self.step {
            Step::Settled => None,
            Step::Away(again) if *again > now => None,
            Step::Away(_) => {
                self.ask(now);
                // The same as before is not told again.
                None
            }
            Step::Asked {
                stream,
                answer,
                late,
            } => match receive(stream, answer) {
                Received::Settled => {
                    self.step = Step::Settled;
                    is_announced.then_some(News::Registered)
                }
                Received::Refused(reason) => {
                    self.step = Step::Settled;
                    is_announced.then_some(News::Refused(reason))
                }
                Received::Nothing if late.is_some_and(|late| late <= now) => {
                    *late = None;
                    is_announced.then_some(News::StoreSilent)
                }
                Received::Nothing => None,
                Received::End => {
                    self.step = Step::Away(now + self.pause());
                    is_announced.then_some(News::NobodyThere)
                }
            },
        }
    }

    /// Until when the payload's end is to wait, if it is to wait at all: not if the store has nothing of it.
    pub(crate) fn farewell(&self, now: Instant) -> Option<Instant> {
        self.is_waiting().then(|| now + FAREWELL)
    }

    /// Whether the store may still have what is announced no more.
    pub(crate) fn is_waiting(&self) -> bool {
        let receipt = self.folders.registered.join(format!("{}.json", self.name));
        match &self.step {
            Step::Settled => false,
            Step::Asked { .. } => true,
            Step::Away(_) => receipt.exists(),
        }
    }

    /// What is waited on.
    pub(crate) fn stream(&self) -> Option<&UnixStream> {
        match &self.step {
            Step::Asked { stream, .. } => Some(stream),
            Step::Settled | Step::Away(_) => None,
        }
    }

    /// When there is something to do again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.step {
            Step::Settled => None,
            Step::Asked { late, .. } => *late,
            Step::Away(again) => Some(*again),
        }
    }

    fn path(&self) -> PathBuf {
        self.folders.announced.join(format!("{}.json", self.name))
    }

    /// In one step, over what a monitor before this one left. The launcher made the folder, which this process is in.
    fn link(&self) -> io::Result<()> {
        // No container's name begins with a dot.
        let beside = self.folders.announced.join(format!(".{}", self.name));
        remove(&beside)?;
        std::fs::hard_link(FILE, &beside)?;
        std::fs::rename(&beside, self.path())
    }

    fn pause(&self) -> Duration {
        if self.is_announced { RETRY } else { HURRY }
    }

    /// Tells fleetd to look. Without one there is nobody to tell until the next time.
    fn ask(&mut self, now: Instant) {
        self.step = match connected(&self.folders.socket) {
            Ok(mut stream) => match stream.write_all(format!("{}\n", self.name).as_bytes()) {
                Ok(()) => Step::Asked {
                    stream,
                    answer: Vec::new(),
                    late: Some(now + PATIENCE),
                },
                Err(_) => Step::Away(now + self.pause()),
            },
            Err(_) => Step::Away(now + self.pause()),
        };
    }

    /// Whether it was found out just now that nobody is there.
    pub(crate) fn is_alone(&self) -> bool {
        self.is_announced && matches!(self.step, Step::Away(_))
    }
}

/// Of an answer.
enum Received {
    Settled,
    Refused(String),
    Nothing,
    End,
}

fn receive(stream: &mut UnixStream, answer: &mut Vec<u8>) -> Received {
    let mut buffer = [0; ANSWER_MAX];
    match stream.read(&mut buffer) {
        Ok(0) => Received::End,
        Ok(count) => {
            answer.extend_from_slice(&buffer[..count]);
            understood(answer)
        }
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Received::Nothing,
            _ => Received::End,
        },
    }
}

fn understood(answer: &[u8]) -> Received {
    let text = String::from_utf8_lossy(answer);
    match text.strip_suffix('\n') {
        Some(_) if text == SETTLED => Received::Settled,
        Some(line) => match line.strip_prefix(REFUSED) {
            Some(reason) => Received::Refused(reason.to_owned()),
            // It speaks another language.
            None => Received::End,
        },
        None if answer.len() > ANSWER_MAX => Received::End,
        None => Received::Nothing,
    }
}

/// Never waits: a server that does not accept is as good as none.
fn connected(path: &Path) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    struct Ground {
        folder: tempfile::TempDir,
        registration: Registration,
        start: Instant,
    }

    impl Ground {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name);
            for name in ["announced", "registered"] {
                std::fs::create_dir(at(name)).unwrap();
            }
            let folders = Folders {
                announced: at("announced"),
                registered: at("registered"),
                socket: at("socket"),
            };
            let registration = Registration::in_folders(folders, "web");
            let start = Instant::now();
            Self {
                folder,
                registration,
                start,
            }
        }

        fn at(&self, milliseconds: u64) -> Instant {
            self.start + Duration::from_millis(milliseconds)
        }

        fn listen(&self) -> UnixListener {
            let path = self.folder.path().join("socket");
            let _removed = std::fs::remove_file(&path);
            UnixListener::bind(path).unwrap()
        }

        /// As if the launcher had written it: links are made from the current folder.
        fn announce(&mut self) {
            let path = self.registration.path();
            self.registration.is_announced = true;
            std::fs::write(path, "{}").unwrap();
            self.registration.ask(self.start);
        }
    }

    fn answer(listener: &UnixListener) {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 16];
        let count = stream.read(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"web\n");
        stream.write_all(SETTLED.as_bytes()).unwrap();
    }

    #[test]
    fn what_is_settled_is_told_and_withdrawn_with_an_answer() {
        let mut ground = Ground::new();
        let listener = ground.listen();
        ground.announce();
        assert_eq!(ground.registration.turn(ground.at(1)), None);
        assert_eq!(
            ground.registration.turn(ground.at(2000)),
            Some(News::StoreSilent)
        );
        assert_eq!(ground.registration.turn(ground.at(2001)), None, "told once");
        answer(&listener);
        assert_eq!(
            ground.registration.turn(ground.at(3000)),
            Some(News::Registered)
        );
        assert_eq!(ground.registration.deadline(), None);
        ground.registration.set(false, ground.at(4000)).unwrap();
        assert!(!ground.registration.path().exists());
        let until = ground.registration.farewell(ground.at(4000));
        assert_eq!(until, Some(ground.at(6000)));
        answer(&listener);
        assert_eq!(ground.registration.turn(ground.at(4001)), None);
        assert!(!ground.registration.is_waiting());
    }

    #[test]
    fn without_fleetd_nobody_waits_unless_it_left_a_receipt() {
        let mut ground = Ground::new();
        ground.announce();
        assert!(ground.registration.is_alone());
        assert_eq!(ground.registration.deadline(), Some(ground.at(5000)));
        ground.registration.set(false, ground.at(10)).unwrap();
        assert_eq!(ground.registration.farewell(ground.at(10)), None);
        let receipt = ground.folder.path().join("registered/web.json");
        std::fs::write(receipt, "{}").unwrap();
        assert_eq!(
            ground.registration.farewell(ground.at(10)),
            Some(ground.at(2010))
        );
        assert_eq!(ground.registration.deadline(), Some(ground.at(110)));
        // It comes back in time.
        let listener = ground.listen();
        ground.registration.turn(ground.at(110));
        answer(&listener);
        ground.registration.turn(ground.at(111));
        assert!(!ground.registration.is_waiting());
    }

    #[test]
    fn a_refusal_is_told_and_not_asked_for_again() {
        let mut ground = Ground::new();
        let listener = ground.listen();
        ground.announce();
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"refused: no address").unwrap();
        assert_eq!(ground.registration.turn(ground.at(1)), None);
        stream.write_all(b"\n").unwrap();
        let refused = News::Refused("no address".to_owned());
        assert_eq!(ground.registration.turn(ground.at(2)), Some(refused));
        assert_eq!(ground.registration.deadline(), None);
    }

    #[test]
    fn a_server_that_goes_away_is_asked_again() {
        let mut ground = Ground::new();
        let listener = ground.listen();
        ground.announce();
        drop(listener);
        assert_eq!(
            ground.registration.turn(ground.at(1)),
            Some(News::NobodyThere)
        );
        let listener = ground.listen();
        assert_eq!(ground.registration.turn(ground.at(5001)), None);
        answer(&listener);
        assert_eq!(
            ground.registration.turn(ground.at(5002)),
            Some(News::Registered)
        );
    }
}
