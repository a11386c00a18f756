//! Random targets, delays, partitions and deaths of the agent: the store is never wrong about what runs.
//!
//! What runs is present in the store, unless the machine's lease has ended; what stops on partitions does not
//! run then. In the end everything is as it is wanted.

use std::collections::BTreeMap;

use fleet_agent::Behaviour;
use fleet_model::State;
use fleet_store::memory::MemoryStore;
use tokio::time::{Duration, sleep};

use crate::fixture::{Machine, contents, hash, name, seconds};

const UNITS: [&str; 4] = ["a.service", "b.service", "c.service", "d.service"];

struct Round {
    machine: Machine,
    random: fastrand::Rng,
    /// What is wanted: the version of the contents and the state.
    wanted: BTreeMap<&'static str, (u8, State)>,
}

/// Half of the units stop on partitions.
fn policy(unit: &str) -> &'static str {
    if unit < "c" { "" } else { "OnPartition=stop\n" }
}

impl Round {
    async fn new(seed: u64) -> Self {
        let store = MemoryStore::new(seed);
        let machine = Machine::registered(&store).await;
        store.set_delay(Duration::from_millis(1)..Duration::from_millis(200));
        Self {
            machine,
            random: fastrand::Rng::with_seed(seed),
            wanted: BTreeMap::new(),
        }
    }

    fn behave(&mut self, unit: &str) {
        let mut time = || Duration::from_millis(self.random.u64(0..1500));
        let (start, stop) = (time(), Some(time()));
        let behaviour = Behaviour {
            start,
            stop,
            ..Behaviour::OBEDIENT
        };
        self.machine.systemd.behave(&name(unit), behaviour);
    }

    fn act(&mut self) {
        let unit = UNITS[self.random.usize(0..UNITS.len())];
        match self.random.u8(0..12) {
            0..4 => {
                self.behave(unit);
                let version = self.random.u8(0..2);
                let desired = [State::Loaded, State::Launched][self.random.usize(0..2)];
                let contents = contents(&version.to_string(), policy(unit));
                self.machine.target(unit, &contents, desired);
                self.wanted.insert(unit, (version, desired));
            }
            4..7 => {
                self.machine.untarget(unit);
                self.wanted.remove(unit);
            }
            7 => self.machine.client.cut(),
            8..10 => self.machine.client.mend(),
            10 => {
                self.machine.kill_agent();
                self.machine.start_agent();
            }
            _ => {
                if self.machine.is_running(unit) {
                    self.machine.systemd.die(&name(unit));
                }
            }
        }
    }

    /// For a while.
    async fn watch(&self, time: Duration, seed: u64) {
        let step = Duration::from_millis(10);
        let mut known = UNITS.map(|unit| self.machine.present(unit).is_some());
        for _ in 0..time.as_millis() / step.as_millis() {
            sleep(step).await;
            let is_alive = self.machine.alive().is_some();
            for (unit, was_known) in UNITS.into_iter().zip(&mut known) {
                let is_known = self.machine.present(unit).is_some();
                // The engine may have seen that it is gone, and placed it elsewhere.
                let is_late = is_known && !*was_known && !self.machine.has_target(unit);
                assert!(
                    !is_late,
                    "seed {seed}: {unit} is announced without a target"
                );
                *was_known = is_known;
                let is_right = if policy(unit).is_empty() {
                    is_known || !is_alive
                } else {
                    is_known && is_alive
                };
                let runs = self.machine.is_running(unit);
                assert!(
                    is_right || !runs,
                    "seed {seed}: {unit}: {is_known}, {is_alive}"
                );
            }
        }
    }

    fn check_end(&self, seed: u64) {
        for unit in UNITS {
            let state = self.machine.state(unit);
            let Some((version, desired)) = self.wanted.get(unit) else {
                assert!(!self.machine.is_running(unit), "seed {seed}: {unit}");
                assert_eq!(self.machine.present(unit), None, "seed {seed}: {unit}");
                assert_eq!(state, None, "seed {seed}: {unit}");
                continue;
            };
            let contents = contents(&version.to_string(), policy(unit));
            let expected = Some(hash(&name(unit), &contents));
            assert_eq!(self.machine.present(unit), expected, "seed {seed}: {unit}");
            let state = state.unwrap_or_else(|| panic!("seed {seed}: {unit} has no state"));
            assert_eq!(Some(state.hash), expected, "seed {seed}: {unit}");
            assert_eq!(state.reached, *desired, "seed {seed}: {unit}");
            let runs = self.machine.is_running(unit);
            assert!(*desired == State::Launched || !runs, "seed {seed}: {unit}");
            let tells_running = state.active == "active";
            assert_eq!(
                tells_running, runs,
                "seed {seed}: {unit} is {}",
                state.active
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_store_is_never_wrong_about_what_runs() {
    for seed in 0..25 {
        let mut round = Round::new(seed).await;
        for _ in 0..60 {
            round.act();
            let time = Duration::from_millis(round.random.u64(10..3000));
            round.watch(time, seed).await;
        }
        round.machine.client.mend();
        round.watch(seconds(60), seed).await;
        round.check_end(seed);
    }
}

/// A withdrawal of which nobody knows whether it was made may come after the unit was announced anew.
#[tokio::test(start_paused = true)]
async fn a_withdrawal_that_comes_late_hides_nothing() {
    for seed in 0..60 {
        let round = Round::new(seed).await;
        let (machine, unit) = (&round.machine, "a.service");
        let contents = contents("a", policy(unit));
        machine.target(unit, &contents, State::Launched);
        sleep(seconds(3)).await;
        machine.untarget(unit);
        sleep(Duration::from_millis(seed * 10)).await;
        machine.client.cut();
        sleep(Duration::from_millis(1500)).await;
        machine.client.mend();
        machine.target(unit, &contents, State::Launched);
        round.watch(seconds(15), seed).await;
        assert!(machine.is_running(unit), "seed {seed}");
    }
}
