//! Web servers that are slow, broken or hostile: the machine gets the right bytes or an error, and soon.

use std::fs;
use std::io::{BufRead as _, BufReader, Cursor, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use update_client::download::{download, fetch};
use update_client::error::ClientError;
use update_client::http::HttpSource;
use update_client::repository::{Expiry, Repository};
use update_client::root::{fetch_full, fetch_index, fetch_missing};
use update_client::slot_writer::SlotWriter;
use update_client::source::Source;
use update_client::tree::Tree;

use crate::fetching::{Old, by_blocks, expected_root, impatient, serve};
use crate::fixture::{Fixture, chain};

/// What a server does to what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Malice {
    /// Nothing.
    Honest,
    /// Ends the connection after so many bytes of a body.
    CutAfter(usize),
    /// Sends so many bytes of a body and then nothing.
    StallAfter(usize),
    /// A byte every tenth of a second.
    Trickle,
    /// Changes a bit of each body.
    WrongBytes,
    /// Answers with another range than was asked for.
    WrongRange,
    /// Knows no ranges.
    NoRanges,
    /// A body that never ends.
    Endless,
    /// An error.
    Status(u16),
    /// Closes the connection at once.
    HangUp,
}

/// A server that ends with the test's process.
struct Hostile {
    url: String,
    requests: Arc<AtomicUsize>,
    /// Bytes of bodies.
    sent: Arc<AtomicUsize>,
    malice: Arc<Mutex<Malice>>,
}

impl Hostile {
    fn new(fixture: &Fixture, malice: Malice) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let folder = fixture.directory.path.clone();
        let (requests, malice) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(malice)));
        let sent = Arc::new(AtomicUsize::new(0));
        let (count, how, bytes) = (
            Arc::clone(&requests),
            Arc::clone(&malice),
            Arc::clone(&sent),
        );
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                let (folder, malice) = (folder.clone(), *how.lock().expect("unpoisoned"));
                let sent = Arc::clone(&bytes);
                // The client may go away at any time.
                std::thread::spawn(move || {
                    answer(&folder, &stream, malice, &sent).unwrap_or_default();
                });
            }
        });
        Self {
            url,
            requests,
            sent,
            malice,
        }
    }

    fn source(&self) -> HttpSource {
        HttpSource::new(&impatient(std::slice::from_ref(&self.url))).expect("a source")
    }

    fn become_honest(&self) {
        *self.malice.lock().expect("unpoisoned") = Malice::Honest;
    }
}

/// One request a connection.
fn answer(
    folder: &Path,
    mut stream: &TcpStream,
    malice: Malice,
    sent: &AtomicUsize,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    let mut range = None;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        let value = line.to_lowercase();
        if let Some(bytes) = value.strip_prefix("range: bytes=") {
            let (first, last) = bytes.split_once('-').unwrap_or_default();
            range = Some((
                first.parse().unwrap_or(0),
                last.parse().unwrap_or(usize::MAX - 1),
            ));
        }
    }
    let path = request
        .split(' ')
        .nth(1)
        .unwrap_or_default()
        .trim_start_matches('/');
    let Ok(file) = fs::read(folder.join(path)) else {
        return stream
            .write_all(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let (mut first, last): (usize, usize) = range.unwrap_or((0, file.len() - 1));
    let last = last.min(file.len() - 1);
    if malice == Malice::WrongRange {
        first = first.saturating_sub(1);
    }
    let (status, mut body) = match (range, malice) {
        (_, Malice::Status(status)) => (status, Vec::new()),
        (_, Malice::HangUp) => return Ok(()),
        (None, _) | (_, Malice::NoRanges) => (200, file.clone()),
        _ => (206, file[first..=last].to_vec()),
    };
    let range = match status {
        206 => format!("Content-Range: bytes {first}-{last}/{}\r\n", file.len()),
        _ => String::new(),
    };
    let length = match malice {
        Malice::Endless => String::new(),
        _ => format!("Content-Length: {}\r\n", body.len()),
    };
    let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n{range}{length}\r\n");
    stream.write_all(head.as_bytes())?;
    if malice == Malice::WrongBytes && !body.is_empty() {
        let middle = body.len() / 2;
        body[middle] ^= 1;
    }
    let length = match malice {
        Malice::CutAfter(count) => count.min(body.len()),
        _ => body.len(),
    };
    sent.fetch_add(length, Ordering::Relaxed);
    send(stream, &body, malice)
}

fn send(mut stream: &TcpStream, body: &[u8], malice: Malice) -> std::io::Result<()> {
    match malice {
        Malice::CutAfter(count) => stream.write_all(&body[..count.min(body.len())]),
        Malice::StallAfter(count) => {
            stream.write_all(&body[..count.min(body.len())])?;
            std::thread::sleep(Duration::from_secs(20));
            Ok(())
        }
        Malice::Trickle => body.iter().try_for_each(|byte| {
            std::thread::sleep(Duration::from_millis(100));
            stream.write_all(&[*byte])
        }),
        Malice::Endless => loop {
            stream.write_all(&[b' '; 4096])?;
        },
        _ => stream.write_all(body),
    }
}

/// Everything a machine fetches, by blocks.
fn fetch_release(fixture: &Fixture, source: &dyn Source) -> Result<Vec<u8>, ClientError> {
    let manifest = fixture
        .load()
        .expect("accepted")
        .manifest("vm-1.1.json")
        .expect("a manifest");
    let first = fixture
        .load()
        .expect("accepted")
        .manifest("vm-1.0.json")
        .expect("a manifest");
    let old = Old::new(fixture, &first);
    by_blocks(source, &manifest, &old, Vec::new()).map(|(slot, _)| slot)
}

fn two_releases() -> Fixture {
    let fixture = Fixture::new();
    fixture.two_releases();
    fixture
}

/// Fetches all frames into an empty slot from a server that does this to them; returns how often it was asked
/// for them, and the bytes it sent.
fn fetch_all_frames(fixture: &Fixture, malice: Malice) -> (u64, u64) {
    let loaded = fixture.load().expect("accepted");
    let manifest = loaded.manifest("vm-1.1.json").expect("a manifest");
    let server = Hostile::new(fixture, Malice::Honest);
    let source = server.source();
    let tree = Tree::fetch(&source, &manifest, &[]).expect("a tree");
    let index = fetch_index(&source, &manifest).expect("an index");
    let count = |counter: &AtomicUsize| counter.swap(0, Ordering::Relaxed) as u64;
    let _ = (count(&server.requests), count(&server.sent));
    *server.malice.lock().expect("unpoisoned") = malice;
    let mut slot = Cursor::new(Vec::new());
    let mut writer = SlotWriter::new(&mut slot, &tree.leaves, &tree.salt).expect("a slot");
    let leaves = &tree.leaves;
    fetch_missing(&source, &manifest, &index, &mut writer, leaves, &mut |_| ()).expect("fetched");
    drop(writer);
    assert!(slot.into_inner() == expected_root(fixture));
    (count(&server.requests), count(&server.sent))
}

/// Besides what is needed anyway, a connection that ends early costs a frame at most.
#[test]
fn of_what_is_cut_off_at_most_a_frame_is_fetched_twice() {
    let fixture = two_releases();
    let loaded = fixture.load().expect("accepted");
    let manifest = loaded.manifest("vm-1.1.json").expect("a manifest");
    let source = Hostile::new(&fixture, Malice::Honest).source();
    let index = fetch_index(&source, &manifest).expect("an index");
    let lengths = index
        .frames()
        .iter()
        .map(|f| u64::from(f.compressed_length));
    let frame = lengths.max().expect("frames");
    let (requests, needed) = fetch_all_frames(&fixture, Malice::Honest);
    assert_eq!(requests, 1, "all frames are neighbours");
    for (percent, expected) in [(30, 3), (35, 2), (70, 1)] {
        let limit = usize::try_from(needed * percent / 100).expect("small");
        let (asked, sent) = fetch_all_frames(&fixture, Malice::CutAfter(limit));
        assert_eq!(
            asked - requests,
            expected,
            "cuts after {limit} of {needed} bytes"
        );
        assert!(
            sent <= needed + expected * frame,
            "{sent} bytes for {needed}, cut off after {limit}"
        );
    }
}

#[test]
fn each_malice_is_an_error_soon_and_never_wrong_bytes() {
    let fixture = two_releases();
    let malices = [
        Malice::CutAfter(0),
        Malice::StallAfter(10),
        Malice::Trickle,
        Malice::WrongBytes,
        Malice::WrongRange,
        Malice::Endless,
        Malice::Status(500),
        Malice::Status(404),
        Malice::HangUp,
    ];
    for malice in malices {
        let server = Hostile::new(&fixture, malice);
        let begun = Instant::now();
        let result = fetch_release(&fixture, &server.source());
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(15), "{malice:?} took {took:?}");
        let error = result
            .map(|slot| slot.len())
            .expect_err(&format!("{malice:?}"));
        assert!(
            chain(&error).contains("files/vm-1.1/"),
            "{malice:?}: {}",
            chain(&error)
        );
        assert!(server.requests.load(Ordering::Relaxed) <= 40, "{malice:?}");
        // A server that recovers is good again.
        server.become_honest();
        assert!(
            fetch_release(&fixture, &server.source()).expect("fetched") == expected_root(&fixture)
        );
    }
}

#[test]
fn another_mirror_makes_up_for_each() {
    let fixture = two_releases();
    for malice in [
        Malice::CutAfter(5000),
        Malice::StallAfter(5000),
        Malice::WrongBytes,
        Malice::WrongRange,
        Malice::NoRanges,
        Malice::Status(503),
        Malice::Status(404),
        Malice::HangUp,
    ] {
        let (bad, (good, _)) = (Hostile::new(&fixture, malice), serve(&fixture));
        let source = HttpSource::new(&impatient(&[bad.url.clone(), good])).expect("a source");
        let slot = fetch_release(&fixture, &source)
            .unwrap_or_else(|error| panic!("{malice:?}: {}", chain(&error)));
        assert!(slot == expected_root(&fixture), "{malice:?}");
    }
}

#[test]
fn a_download_goes_on_in_the_next_attempt() {
    let fixture = two_releases();
    let manifest = fixture
        .load()
        .expect("accepted")
        .manifest("vm-1.1.json")
        .expect("a manifest");
    let file = &manifest.root.full;
    let folder = fixture.path("state");
    fs::create_dir(&folder).expect("made");
    let server = Hostile::new(&fixture, Malice::CutAfter(40_000));
    let error = download(&server.source(), file, &folder).expect_err("cut off");
    assert!(matches!(error, ClientError::Fetch { .. }), "{error:?}");
    let part = fs::metadata(folder.join("root.zst.part"))
        .expect("a part")
        .len();
    assert!(
        part >= 40_000 && part < file.length,
        "{part} of {}",
        file.length
    );
    let (url, asked) = serve(&fixture);
    let source = HttpSource::new(&impatient(&[url])).expect("a source");
    let path = download(&source, file, &folder).expect("fetched");
    assert_eq!(
        fs::read(&path).expect("read"),
        fs::read(fixture.directory.path.join(&file.path)).expect("read")
    );
    let sent: u64 = asked
        .lock()
        .expect("unpoisoned")
        .iter()
        .map(|(_, sent)| sent)
        .sum();
    assert_eq!(sent, file.length - part);
    // What is complete is not fetched again.
    download(&source, file, &folder).expect("here");
    assert_eq!(asked.lock().expect("unpoisoned").len(), 1);
}

#[test]
fn a_part_of_something_else_is_thrown_away() {
    let fixture = two_releases();
    let manifest = fixture
        .load()
        .expect("accepted")
        .manifest("vm-1.1.json")
        .expect("a manifest");
    let file = &manifest.root.full;
    let folder = fixture.path("state");
    fs::create_dir(&folder).expect("made");
    let part = folder.join("root.zst.part");
    let (url, _) = serve(&fixture);
    for wrong in [
        vec![0; 1000],
        vec![0; usize::try_from(file.length).expect("small") + 5],
    ] {
        fs::write(&part, wrong).expect("written");
        let source = HttpSource::new(&impatient(std::slice::from_ref(&url))).expect("a source");
        let first = download(&source, file, &folder);
        assert!(first.is_err() && !part.exists(), "{first:?}");
        let path = download(&source, file, &folder).expect("fetched");
        fs::remove_file(path).expect("removed");
    }
}

#[test]
fn interrupted_writing_goes_on_by_what_is_there() {
    let fixture = two_releases();
    let manifest = fixture
        .load()
        .expect("accepted")
        .manifest("vm-1.1.json")
        .expect("a manifest");
    let (url, asked) = serve(&fixture);
    let source = HttpSource::new(&impatient(&[url])).expect("a source");
    let tree = Tree::fetch(&source, &manifest, &[]).expect("a tree");
    let index = fetch_index(&source, &manifest).expect("an index");
    let bytes_for = |slot: &mut Cursor<Vec<u8>>| {
        asked.lock().expect("unpoisoned").clear();
        let mut writer = SlotWriter::new(slot, &tree.leaves, &tree.salt).expect("a slot");
        fetch_missing(
            &source,
            &manifest,
            &index,
            &mut writer,
            &tree.leaves,
            &mut |_| (),
        )
        .expect("fetched")
    };
    let mut slot = Cursor::new(Vec::new());
    let all = bytes_for(&mut slot);
    let complete = slot.into_inner();
    assert!(complete == expected_root(&fixture));
    // Cut at every tenth: what is missing is fetched, and at most one frame twice.
    let frame = index
        .frames()
        .iter()
        .map(|frame| u64::from(frame.compressed_length))
        .max()
        .unwrap_or(0);
    for tenth in 1..10_u64 {
        let kept = usize::try_from(complete.len() as u64 * tenth / 10).expect("small");
        let mut slot = Cursor::new(complete[..kept].to_vec());
        let rest = bytes_for(&mut slot);
        assert!(slot.into_inner() == complete);
        let kept_frames = index
            .frames()
            .iter()
            .filter(|frame| frame.offset + u64::from(frame.length) <= kept as u64);
        let kept_bytes: u64 = kept_frames
            .map(|frame| u64::from(frame.compressed_length))
            .sum();
        assert!(
            rest + kept_bytes <= all + frame,
            "{tenth}: {rest} and {kept_bytes} of {all}"
        );
    }
}

#[test]
fn a_whole_root_that_is_wrong_is_not_written() {
    let fixture = two_releases();
    let manifest = fixture
        .load()
        .expect("accepted")
        .manifest("vm-1.1.json")
        .expect("a manifest");
    let server = Hostile::new(&fixture, Malice::Honest);
    let source = server.source();
    let tree = Tree::fetch(&source, &manifest, &[]).expect("a tree");
    *server.malice.lock().expect("unpoisoned") = Malice::WrongBytes;
    let mut slot = Cursor::new(Vec::new());
    let mut writer = SlotWriter::new(&mut slot, &tree.leaves, &tree.salt).expect("a slot");
    let error = fetch_full(&source, &manifest, &mut writer, &mut |_| ()).expect_err("wrong");
    assert!(chain(&error).contains("root.zst"), "{}", chain(&error));
    drop(writer);
    let expected = expected_root(&fixture);
    let written = slot.into_inner();
    for (block, expected) in written.chunks(4096).zip(expected.chunks(4096)) {
        assert!(block == expected || block.iter().all(|byte| *byte == 0));
    }
}

#[test]
fn metadata_from_a_hostile_server() {
    let fixture = two_releases();
    for malice in [
        Malice::Endless,
        Malice::Trickle,
        Malice::StallAfter(10),
        Malice::CutAfter(100),
        Malice::WrongBytes,
        Malice::Status(500),
    ] {
        let server = Hostile::new(&fixture, malice);
        let begun = Instant::now();
        let loaded = Repository::load(
            Arc::new(server.source()),
            &fixture.trusted_root(),
            None,
            Expiry::Enforced,
        );
        let error = chain(&loaded.expect_err(&format!("{malice:?}")));
        assert!(
            begun.elapsed() < Duration::from_secs(15),
            "{malice:?} took {:?}",
            begun.elapsed()
        );
        assert!(error.contains("metadata"), "{malice:?}: {error}");
    }
}

#[test]
fn a_limit_is_kept() {
    let fixture = two_releases();
    let manifest = fixture
        .load()
        .expect("accepted")
        .manifest("vm-1.1.json")
        .expect("a manifest");
    let (url, _) = serve(&fixture);
    let mut options = impatient(&[url]);
    let file = &manifest.uki.file;
    options.bytes_per_second = file.length;
    let source = HttpSource::new(&options).expect("a source");
    let begun = Instant::now();
    fetch(&source, file).expect("fetched");
    let took = begun.elapsed().as_secs_f64();
    assert!(
        (0.8..10.0).contains(&took),
        "{took} s for what should take one"
    );
}

#[test]
fn a_proxy_is_asked() {
    let fixture = two_releases();
    let manifest = fixture
        .load()
        .expect("accepted")
        .manifest("vm-1.1.json")
        .expect("a manifest");
    // A proxy that answers everything by itself: nobody else listens on that name.
    let proxy = Hostile::new(&fixture, Malice::Status(502));
    let mut options = impatient(&["http://release.invalid".to_owned()]);
    options.proxy = Some(proxy.url.clone());
    let source = HttpSource::new(&options).expect("a source");
    let error = chain(&fetch(&source, &manifest.root.index).expect_err("no upstream"));
    assert!(proxy.requests.load(Ordering::Relaxed) > 0, "{error}");
}
