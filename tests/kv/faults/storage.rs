//! Members whose data are lost, or whose disk is full.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::client::{Answer, request};
use super::cluster::{Cluster, client_address, kvctl, peer_url, variable};
use super::round::{LIMIT, others, round};
use crate::isolation::{isolated, run};
use crate::raw_http::Connection;

/// A disk with some room beyond the 64 MiB that are kept free.
const DISK: &str = "size=192m";

/// A member without its data must not come back as if nothing had happened; a new one takes its
/// place.
#[test]
fn a_member_is_wiped_and_replaced() {
    isolated(
        "faults::storage::a_member_is_wiped_and_replaced",
        LIMIT,
        || {
            let mut cluster = Cluster::start(3)?;
            round(&mut cluster, 1, |cluster, workload| {
                let leader = cluster.wait_for_leader(&[1, 2, 3])?;
                let lost = others(leader)[0];
                cluster.kill(lost)?;
                std::fs::remove_dir_all(cluster.data_folder(lost))?;
                workload.wait_for_progress(100)?;
                let id = member_id(leader, lost)?;
                cluster.spawn(lost)?;
                let refused = cluster.wait_until_ended(lost)?;
                let log = std::fs::read_to_string(cluster.log(lost))?;
                ensure!(!refused.success(), "it came back without its data");
                ensure!(
                    log.contains(&format!("kvctl member replace {id} ")),
                    "no help: {log}"
                );

                // Word by word what it says, and then what that says.
                let command = log.split('`').nth(1).context("a command in backquotes")?;
                let told = kvctl(leader, command.split(' ').skip(1))?;
                cluster.join_with(variable(&told, "ETCD_INITIAL_CLUSTER")?);
                ensure!(
                    variable(&told, "ETCD_NAME")? == format!("m{lost}"),
                    "{told}"
                );
                cluster.spawn(lost)?;
                cluster.wait_until_all_serve()?;
                let new_id = member_id(leader, lost)?;
                ensure!(new_id != id, "an id came back");
                workload.wait_for_progress(100)
            })
        },
    );
}

/// The id of a member, by its peer URL.
fn member_id(at: u8, number: u8) -> Result<String> {
    let members = request(client_address(at), "GET", "/v2/members", "")?.body;
    let url = peer_url(number);
    let own = members.split("{\"id\":\"").find(|text| text.contains(&url));
    let id = own.and_then(|text| text.split('"').next());
    Ok(id
        .with_context(|| format!("{url} is not there: {members}"))?
        .to_owned())
}

/// With one full disk of three, nothing changes for clients. With two, writes are refused in so many
/// words and reads go on. Space comes back: so do writes.
#[test]
fn disks_are_full_and_have_space_again() {
    isolated(
        "faults::storage::disks_are_full_and_have_space_again",
        LIMIT,
        || {
            let mut cluster = Cluster::prepare(3, &[])?;
            for number in 1..=3 {
                let disk = format!("/run/disk{number}");
                std::fs::create_dir(&disk)?;
                run("mount", &["-t", "tmpfs", "-o", DISK, "none", &disk])?;
                std::os::unix::fs::symlink(&disk, cluster.data_folder(number))?;
            }
            cluster.spawn_all(3)?;
            round(&mut cluster, 1, |cluster, workload| {
                let leader = cluster.wait_for_leader(&[1, 2, 3])?;
                let [follower, other] = [others(leader)[0], others(leader)[1]];
                fill(follower)?;
                for _ in 0..50 {
                    let answer = write(other)?;
                    ensure!(answer.status < 300, "one full disk: {answer:?}");
                }
                workload.wait_for_progress(50)?;
                fill(leader)?;
                wait_for_refusal(leader)?;
                let at = client_address(other);
                for quorum in ["", "?quorum=true"] {
                    let read = request(at, "GET", &format!("/v2/keys/large{quorum}"), "")?;
                    ensure!(read.status == 200, "a read{quorum}: {read:?}");
                }
                for number in [leader, follower] {
                    std::fs::remove_file(ballast(number))?;
                }
                let deadline = Instant::now() + Duration::from_secs(20);
                while write(other)?.status >= 300 {
                    ensure!(Instant::now() < deadline, "writes stay refused");
                    std::thread::sleep(Duration::from_millis(200));
                }
                Ok(())
            })
        },
    );
}

fn ballast(number: u8) -> PathBuf {
    PathBuf::from(format!("/run/disk{number}/ballast"))
}

/// Leaves not a byte.
fn fill(number: u8) -> Result<()> {
    let mut file = File::create(ballast(number))?;
    let zeros = vec![0; 64 << 10];
    while file.write_all(&zeros).is_ok() {}
    let zeros = vec![0; 4096];
    while file.write_all(&zeros).is_ok() {}
    Ok(())
}

fn write(at: u8) -> Result<Answer> {
    let form = format!("value={}", "x".repeat(200_000));
    let mut connection = Connection::open(client_address(at))?;
    super::client::exchange(&mut connection, "PUT", "/v2/keys/large", &form)
}

/// What is preallocated is used up first.
fn wait_for_refusal(at: u8) -> Result<()> {
    for _ in 0..600 {
        let answer = write(at)?;
        match answer.status {
            200 | 201 => {}
            500 if answer.body.contains("no space") => return Ok(()),
            _ => bail!("not a clear word: {answer:?}"),
        }
    }
    bail!("writes are never refused")
}
