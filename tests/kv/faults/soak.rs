//! Random faults, one after the other, for longer than every change can wait.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use rustix::process::Signal;

use super::client::Workload;
use super::cluster::Cluster;
use super::round::round;
use crate::isolation::isolated;

const DURATION: Duration = Duration::from_mins(5);
/// The rest of the last round, and starting.
const LIMIT: Duration = Duration::from_mins(10);
const MEMBERS: u8 = 5;
/// Each round's seed is another one; so many keep written values within 32 bits.
const ROUNDS: u64 = 400;

#[test]
fn soak_random_faults() {
    isolated("faults::soak::soak_random_faults", LIMIT, || {
        let seed = seed()?;
        eprintln!("KEELSON_SEED={seed}");
        let mut random = Rng::with_seed(seed);
        let flags = ["--history-events=0", "--history-bytes=1073741824"];
        let mut cluster = Cluster::prepare(MEMBERS, &flags)?;
        cluster.spawn_all(MEMBERS)?;
        let end = Instant::now() + DURATION;
        for number in 1..ROUNDS {
            if Instant::now() > end {
                break;
            }
            let happened = round(&mut cluster, number, |cluster, workload| {
                some_faults(cluster, workload, &mut random)
            });
            happened.with_context(|| format!("round {number} with KEELSON_SEED={seed}"))?;
        }
        Ok(())
    });
}

fn seed() -> Result<u64> {
    match std::env::var("KEELSON_SEED") {
        Ok(text) => text.parse().context("KEELSON_SEED is no number"),
        Err(_) => Ok(fastrand::u64(..)),
    }
}

/// Up to four faults, each for a while, the next one before the last is over; then all end.
fn some_faults(cluster: &mut Cluster, workload: &Workload, random: &mut Rng) -> Result<()> {
    let mut killed = Vec::new();
    let mut paused = Vec::new();
    for _ in 0..random.u8(1..=4) {
        let members = cluster.members();
        let running = members.iter().filter(|number| !paused.contains(*number));
        let running: Vec<u8> = running.copied().collect();
        let Some(&number) = random.choice(&running) else {
            break;
        };
        let fault = random.u8(..6);
        eprintln!("fault {fault} of m{number}");
        match fault {
            0 => cluster.network.cut_off(number)?,
            1 => {
                let other = number % MEMBERS + 1;
                cluster.network.cut(number, other)?;
            }
            2 => {
                cluster.signal(number, Signal::STOP)?;
                paused.push(number);
            }
            3 => cluster.network.heal()?,
            4 => {
                cluster.kill(number)?;
                cluster.spawn(number)?;
            }
            _ => {
                cluster.kill(number)?;
                killed.push(number);
            }
        }
        std::thread::sleep(Duration::from_millis(random.u64(100..3000)));
    }
    cluster.network.heal()?;
    for number in paused {
        cluster.signal(number, Signal::CONT)?;
    }
    for number in killed {
        cluster.spawn(number)?;
    }
    cluster.wait_until_all_serve()?;
    workload.wait_for_progress(1)
}
