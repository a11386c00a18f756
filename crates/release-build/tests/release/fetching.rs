//! A machine fetches a release in every way there is, from a web server, and gets the same bytes.

use std::fs::{self, File};
use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use disk_format::verity::read_digests;
use release_build::serve::{Log, Server};
use seekable_zstd::SeekTable;
use update_client::boot_image;
use update_client::delta::{Base, OpenDelta, find};
use update_client::download::download;
use update_client::http::{HttpOptions, HttpSource, Patience};
use update_client::root::{
    Installed, block_plan, copy_local, fetch_full, fetch_index, fetch_missing,
};
use update_client::slot_writer::SlotWriter;
use update_client::source::Source;
use update_client::tree::Tree;
use update_model::manifest::Manifest;

use crate::fixture::Fixture;

/// Gives up soon: the tests' servers fail at once or never.
pub(crate) fn impatient(mirrors: &[String]) -> HttpOptions {
    HttpOptions {
        mirrors: mirrors.to_vec(),
        proxy: None,
        bytes_per_second: 0,
        patience: Patience {
            attempts: 4,
            first_pause: Duration::from_millis(5),
            longest_pause: Duration::from_millis(20),
            stall: Duration::from_millis(400),
            least_bytes_per_second: 1000,
        },
    }
}

/// Paths that were asked for, and the bytes that were sent.
pub(crate) type Asked = Arc<Mutex<Vec<(String, u64)>>>;

/// A server of a fixture's directory, which ends with the test's process, and what it was asked for.
pub(crate) fn serve(fixture: &Fixture) -> (String, Asked) {
    let address: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let server = Server::bind(&fixture.directory.path, address).expect("bound");
    let url = format!("http://{}", server.address().expect("an address"));
    let asked = Asked::default();
    let log: Log = {
        let asked = Arc::clone(&asked);
        Arc::new(move |path, _, sent| {
            asked
                .lock()
                .expect("unpoisoned")
                .push((path.to_owned(), sent));
        })
    };
    std::thread::spawn(move || server.run(&log));
    (url, asked)
}

/// What is installed, of the release 1.0 of a fixture.
pub(crate) struct Old {
    pub(crate) root: Vec<u8>,
    pub(crate) tree: Vec<u8>,
    pub(crate) uki: Vec<u8>,
    pub(crate) manifest: Manifest,
}

impl Old {
    pub(crate) fn new(fixture: &Fixture, manifest: &Manifest) -> Self {
        let read = |suffix: &str| fs::read(fixture.path(&format!("1.0.{suffix}"))).expect("read");
        Self {
            root: read("erofs"),
            tree: read("verity"),
            uki: read("efi"),
            manifest: manifest.clone(),
        }
    }

    pub(crate) fn installed(&self) -> Installed<Cursor<&[u8]>> {
        Installed {
            root: Cursor::new(&self.root),
            leaves: read_digests(&self.tree[..], &self.manifest.root_hash)
                .expect("a tree")
                .1,
        }
    }

    fn base(&self) -> Base<'_, Cursor<&[u8]>> {
        Base {
            root_hash: self.manifest.root_hash,
            installed: self.installed(),
            tree: &self.tree,
            uki: &self.uki,
        }
    }
}

pub(crate) fn expected_root(fixture: &Fixture) -> Vec<u8> {
    fs::read(fixture.path("1.1.erofs")).expect("read")
}

/// By blocks from what is installed and frames for the rest, into a slot that holds something already.
/// Returns the slot's bytes and what was fetched.
pub(crate) fn by_blocks(
    source: &dyn Source,
    manifest: &Manifest,
    old: &Old,
    slot: Vec<u8>,
) -> update_client::error::Result<(Vec<u8>, u64)> {
    let tree = Tree::fetch(source, manifest, &[&old.tree])?;
    let index: SeekTable = fetch_index(source, manifest)?;
    let mut slot = Cursor::new(slot);
    let mut writer = SlotWriter::new(&mut slot, &tree.leaves, &tree.salt)?;
    let mut installed = [old.installed()];
    let plan = block_plan(&writer, &tree.leaves, &installed, &index);
    copy_local(&mut writer, &mut installed, &plan)?;
    let fetched = fetch_missing(
        source,
        manifest,
        &index,
        &mut writer,
        &tree.leaves,
        &mut |_| (),
    )?;
    assert_eq!(writer.missing_count(), 0);
    writer.sync()?;
    drop(writer);
    Ok((slot.into_inner(), fetched + tree.fetched_bytes))
}

#[test]
fn by_block_delta() {
    let fixture = Fixture::new();
    let (first, second) = fixture.two_releases();
    let (url, asked) = serve(&fixture);
    let source = HttpSource::new(&impatient(&[url])).expect("a source");
    let old = Old::new(&fixture, &first.manifest);
    let (slot, fetched) = by_blocks(&source, &second.manifest, &old, Vec::new()).expect("fetched");
    assert!(slot == expected_root(&fixture));
    let sent: u64 = asked
        .lock()
        .expect("unpoisoned")
        .iter()
        .map(|(_, sent)| sent)
        .sum();
    let full = second.manifest.root.full.length;
    assert!(
        fetched < full / 2 && sent < full / 2,
        "{fetched} and {sent} of {full}"
    );
}

#[test]
fn a_slot_full_of_something_else_and_one_that_is_right_already() {
    let fixture = Fixture::new();
    let (first, second) = fixture.two_releases();
    let (url, _) = serve(&fixture);
    let source = HttpSource::new(&impatient(&[url])).expect("a source");
    let old = Old::new(&fixture, &first.manifest);
    let expected = expected_root(&fixture);
    // The slot holds the old root itself, so blocks move within it; behind the new root's end all stays.
    let longer = [&old.root[..], &vec![7; 9 * 4096]].concat();
    let (slot, _) = by_blocks(&source, &second.manifest, &old, longer.clone()).expect("fetched");
    assert!(slot[..expected.len()] == expected[..]);
    assert_eq!(slot[expected.len()..], longer[expected.len()..]);
    let nothing_here = Old {
        root: Vec::new(),
        ..Old::new(&fixture, &first.manifest)
    };
    let (slot, _) =
        by_blocks(&source, &second.manifest, &nothing_here, old.root.clone()).expect("fetched");
    assert!(slot == expected, "the installed root cannot be read");
    let (slot, fetched) =
        by_blocks(&source, &second.manifest, &old, expected.clone()).expect("fetched");
    assert!(slot == expected);
    assert!(
        fetched <= second.manifest.verity.length,
        "only of the tree: {fetched}"
    );
}

#[test]
fn a_damaged_installed_root_is_made_up_for() {
    let fixture = Fixture::new();
    let (first, second) = fixture.two_releases();
    let (url, _) = serve(&fixture);
    let source = HttpSource::new(&impatient(&[url])).expect("a source");
    let mut old = Old::new(&fixture, &first.manifest);
    for block in [3, 50, 51, 200] {
        old.root[block * 4096 + 17] ^= 0x10;
    }
    let (slot, _) = by_blocks(&source, &second.manifest, &old, Vec::new()).expect("fetched");
    assert!(slot == expected_root(&fixture));
}

#[test]
fn by_static_delta() {
    let fixture = Fixture::new();
    let (first, second) = fixture.two_releases();
    let (url, asked) = serve(&fixture);
    let source = HttpSource::new(&impatient(&[url])).expect("a source");
    let old = Old::new(&fixture, &first.manifest);
    let mut base = old.base();
    let delta = find(&second.manifest, &base).expect("a delta");
    let path = download(&source, &delta.file, fixture.temporary.path()).expect("fetched");
    let file = File::open(path).expect("opened");
    let mut open = OpenDelta::new(file, delta, &second.manifest, &base).expect("its base");
    let tree = open.tree(&base).expect("a tree");
    assert_eq!(
        open.boot_image(&base).expect("an image"),
        fs::read(fixture.path("1.1.efi")).expect("read")
    );
    let mut slot = Cursor::new(Vec::new());
    let mut writer = SlotWriter::new(&mut slot, &tree.leaves, &tree.salt).expect("a slot");
    open.write_root(&mut base, &tree, &mut writer, &mut |_| ())
        .expect("written");
    drop(writer);
    assert!(slot.into_inner() == expected_root(&fixture));
    assert_eq!(
        tree.bytes,
        fs::read(fixture.path("1.1.verity")).expect("read")
    );
    let sent: u64 = asked
        .lock()
        .expect("unpoisoned")
        .iter()
        .map(|(_, sent)| sent)
        .sum();
    assert_eq!(sent, delta.file.length);
}

#[test]
fn a_delta_from_something_else_is_refused() {
    let fixture = Fixture::new();
    let (first, second) = fixture.two_releases();
    let mut old = Old::new(&fixture, &first.manifest);
    let delta = &second.manifest.deltas[0];
    old.uki[1000] ^= 1;
    let base = old.base();
    assert!(find(&second.manifest, &base).is_none());
    let error =
        OpenDelta::new(Cursor::new(Vec::new()), delta, &second.manifest, &base).unwrap_err();
    assert!(
        error.to_string().contains("1.0") && error.to_string().contains("kernel image"),
        "{error}"
    );
}

#[test]
fn whole() {
    let fixture = Fixture::new();
    let (_, second) = fixture.two_releases();
    let (url, _) = serve(&fixture);
    let source = HttpSource::new(&impatient(&[url])).expect("a source");
    let tree = Tree::fetch(&source, &second.manifest, &[]).expect("a tree");
    assert_eq!(tree.fetched_bytes, second.manifest.verity.length);
    let mut slot = Cursor::new(Vec::new());
    let mut writer = SlotWriter::new(&mut slot, &tree.leaves, &tree.salt).expect("a slot");
    let mut reports = Vec::new();
    fetch_full(&source, &second.manifest, &mut writer, &mut |progress| {
        reports.push(progress);
    })
    .expect("fetched");
    drop(writer);
    assert!(slot.into_inner() == expected_root(&fixture));
    assert_eq!(reports.last().map(|last| last.missing_blocks), Some(0));
    assert!(reports.is_sorted_by(
        |a, b| a.missing_blocks >= b.missing_blocks && a.fetched_bytes <= b.fetched_bytes
    ));
}

#[test]
fn a_kernel_image_with_the_same_kernel_costs_little() {
    let fixture = Fixture::new();
    let (first, second) = fixture.two_releases();
    let (url, _) = serve(&fixture);
    let source = HttpSource::new(&impatient(&[url])).expect("a source");
    let old = Old::new(&fixture, &first.manifest);
    let expected = fs::read(fixture.path("1.1.efi")).expect("read");
    let local: [&[u8]; 2] = [b"no image", &old.uki];
    let (image, fetched) =
        boot_image::fetch(&source, &second.manifest.uki, &local).expect("fetched");
    assert!(image == expected);
    assert_eq!(
        fetched,
        boot_image::missing_bytes(&second.manifest.uki, &local)
    );
    assert!(fetched < 4096, "{fetched}");
    let (image, fetched) = boot_image::fetch(&source, &second.manifest.uki, &[]).expect("fetched");
    assert!(image == expected && fetched == expected.len() as u64);
}
