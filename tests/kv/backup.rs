//! A backup that is saved while clients write, and the cluster that is made of it.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::faults::client::{exchange, request};
use crate::raw_http::Connection;
use crate::server::{Server, program_beside_tests};

const WRITERS: usize = 4;

/// How far a writer has come.
#[derive(Default)]
struct Progress {
    acknowledged: AtomicU64,
}

fn path(writer: usize, number: u64) -> String {
    format!("/v2/keys/w{writer}/{number}")
}

/// Large enough that a backup is many pieces, and different everywhere.
fn value(writer: usize, number: u64) -> String {
    format!("{writer}-{number}-{}", "x".repeat(1000))
}

/// Writes one key after the other until it is told to stop.
fn write(server: &Server, writer: usize, progress: &Progress, stop: &AtomicBool) -> Result<()> {
    let mut connection = Connection::open(server.address)?;
    for number in 1.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let form = format!("value={}", value(writer, number));
        let answer = exchange(&mut connection, "PUT", &path(writer, number), &form)?;
        ensure!(answer.status == 201, "{answer:?}");
        progress.acknowledged.store(number, Ordering::SeqCst);
    }
    Ok(())
}

fn kvctl_backup(server: &Server, file: &Path) -> Result<()> {
    let output = Command::new(program_beside_tests("kvctl")?)
        .args(["--timeout", "20s", "--total-timeout", "60s", "backup"])
        .arg(file)
        .env("KVCTL_ENDPOINTS", format!("http://{}", server.address))
        .output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "kvctl backup: {error}");
    Ok(())
}

fn kvd_restore(file: &Path, folder: &Path) -> Result<Output> {
    let mut command = Command::new(program_beside_tests("kvd")?);
    command
        .arg("restore")
        .arg(file)
        .arg("--data-dir")
        .arg(folder);
    command.output().context("kvd restore")
}

/// Waits until every writer has so many more writes.
fn wait_for_writes(all: &[Progress], more: u64) -> Result<()> {
    let counts = || {
        all.iter()
            .map(|one| one.acknowledged.load(Ordering::SeqCst))
    };
    let goals: Vec<u64> = counts().map(|count| count + more).collect();
    let deadline = Instant::now() + Duration::from_mins(1);
    while counts().zip(&goals).any(|(count, goal)| count < *goal) {
        ensure!(Instant::now() < deadline, "writers get no answers");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Saves a backup while clients write; what each had acknowledged when it began.
fn back_up_while_writing(server: &Server, file: &Path) -> Result<Vec<u64>> {
    let all: [Progress; WRITERS] = Default::default();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (all.iter().enumerate())
            .map(|(number, progress)| {
                let stop = &stop;
                scope.spawn(move || write(server, number, progress, stop))
            })
            .collect();
        let saved = wait_for_writes(&all, 150).and_then(|()| {
            let before = all
                .iter()
                .map(|one| one.acknowledged.load(Ordering::SeqCst));
            let before = before.collect();
            kvctl_backup(server, file)?;
            wait_for_writes(&all, 1)?;
            Ok(before)
        });
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.join().ok().context("a writer panicked")??;
        }
        saved
    })
}

#[test]
fn a_backup_holds_all_that_was_acknowledged_and_becomes_a_new_cluster() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("kvd.snapshot");
    let old = Server::kvd()?;
    let before = back_up_while_writing(&old, &file)?;
    let new = Server::kvd_restored(&file)?;
    for (writer, acknowledged) in before.into_iter().enumerate() {
        let mut connection = Connection::open(new.address)?;
        for number in 1..=acknowledged {
            let answer = exchange(&mut connection, "GET", &path(writer, number), "")?;
            let expected = value(writer, number);
            ensure!(
                answer.body.contains(&expected),
                "{writer}/{number}: {answer:?}"
            );
        }
    }
    // The history goes on, and so does the cluster, which is another one.
    let first = request(
        new.address,
        "GET",
        "/v2/keys/?recursive=true&wait=true&waitIndex=1",
        "",
    )?;
    ensure!(first.status == 200, "the first event: {first:?}");
    let written = request(new.address, "PUT", "/v2/keys/after", "value=1")?;
    ensure!(written.status == 201, "{written:?}");
    let members = request(new.address, "GET", "/v2/members", "")?.body;
    ensure!(members.matches("\"id\"").count() == 1, "{members}");
    ensure!(
        cluster_id(&old)? != cluster_id(&new)?,
        "it is the old cluster"
    );
    Ok(())
}

fn cluster_id(server: &Server) -> Result<String> {
    let mut connection = Connection::open(server.address)?;
    connection.send(b"GET /v2/members HTTP/1.1\r\nHost: test\r\n\r\n")?;
    let head = connection.read_head()?;
    Ok(head
        .header("x-etcd-cluster-id")
        .context("no id")?
        .to_owned())
}

/// What is refused leaves nothing behind.
fn assert_refused(backup: &[u8], part: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("damaged.snapshot");
    std::fs::write(&file, backup)?;
    let output = kvd_restore(&file, &folder.path().join("data"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(1),
        "{}: {error}",
        output.status
    );
    ensure!(
        error.lines().count() == 1 && output.stdout.is_empty(),
        "{error}"
    );
    ensure!(
        error.contains("damaged.snapshot") && error.contains(part),
        "no {part:?}: {error}"
    );
    let left = std::fs::read_dir(folder.path())?.count();
    ensure!(left == 1, "something was left: {error}");
    Ok(())
}

#[test]
fn a_damaged_backup_is_refused_and_leaves_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("kvd.snapshot");
    let server = Server::kvd()?;
    back_up_while_writing(&server, &file)?;
    let whole = std::fs::read(&file)?;
    ensure!(
        whole.len() > 400_000,
        "too small for this test: {}",
        whole.len()
    );
    let length = whole.len();
    for cut in [0, 1, 5, 30, length / 3, length / 2, length - 5, length - 1] {
        assert_refused(&whole[..cut], "cut off").with_context(|| format!("cut at {cut}"))?;
    }
    for place in [9, 60, length / 3, length / 2, length - 6, length - 1] {
        let mut changed = whole.clone();
        changed[place] ^= 1;
        assert_refused(&changed, "damaged").with_context(|| format!("changed at {place}"))?;
    }
    assert_refused(&[&whole[..], b"x"].concat(), "after its end")?;
    let full = folder.path().join("full");
    std::fs::create_dir(&full)?;
    std::fs::write(full.join("mine"), "")?;
    let output = kvd_restore(&file, &full)?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success() && error.contains("mine"),
        "{error}"
    );
    ensure!(
        std::fs::read_dir(&full)?.count() == 1,
        "something was added"
    );
    // An empty one is taken, and it is whole.
    std::fs::remove_file(full.join("mine"))?;
    let output = kvd_restore(&file, &full)?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
