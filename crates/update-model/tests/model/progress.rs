//! An update's states under any order of events, crashes and boots.

use disk_format::verity::RootHash;
use proptest::prelude::*;
use update_model::progress::{Memory, Release, Room, Slot, State, Step};

fn release(number: u8) -> Release {
    Release {
        version: number.to_string().parse().expect("a version"),
        root_hash: RootHash([number; 32]),
    }
}

/// A machine as far as an update sees it: what each slot holds, and which entries the boot loader has.
#[derive(Debug)]
struct World {
    state: State,
    memory: Memory,
    running: Slot,
    roots: [Option<u8>; 2],
    entries: [Option<u8>; 2],
    /// What was installed since the last boot, and can be booted.
    installed: Option<u8>,
    next: u8,
}

#[derive(Debug, Clone)]
enum Event {
    Advance,
    Check,
    Fail,
    Crash,
    Healthy,
    Unhealthy,
    FallBack,
}

fn index(slot: Slot) -> usize {
    match slot {
        Slot::A => 0,
        Slot::B => 1,
    }
}

impl World {
    fn new() -> Self {
        Self {
            state: State::Idle,
            memory: Memory::default(),
            running: Slot::A,
            roots: [Some(1), None],
            entries: [Some(1), None],
            installed: None,
            next: 2,
        }
    }

    fn enter(&mut self, state: &State) {
        self.memory.remember(state);
        // What is saved is what is read again after a crash.
        let text = serde_json::to_string(state).expect("JSON");
        self.state = serde_json::from_str(&text).expect("the same");
        assert_eq!(self.state, *state);
    }

    /// The work of a step, on the model of a disk.
    fn write(&mut self, slot: Slot, release: &Release, step: Step) {
        assert_ne!(slot, self.running, "the running slot is never written");
        let number = release.root_hash.0[0];
        let slot = index(slot);
        match step {
            Step::RemoveOldBootEntry => {
                self.entries[slot] = None;
                self.installed = None;
            }
            Step::EmptySlot => self.roots[slot] = None,
            Step::WriteRoot | Step::WriteTree => assert_eq!(self.roots[slot], None),
            Step::NameInBackupTable | Step::NameInPrimaryTable => self.roots[slot] = Some(number),
            Step::WriteBootImage => assert_eq!(self.roots[slot], Some(number)),
            Step::RenameBootImage => {
                self.entries[slot] = Some(number);
                self.installed = Some(number);
            }
        }
    }

    fn advance(&mut self) {
        let state = self.state.clone();
        let next = match state.clone() {
            State::Idle | State::Good(_) | State::Bad(_) | State::Failed(_) => state.check(),
            State::Checking(_) => {
                self.next += 1;
                state.found(release(self.next))
            }
            State::Preflight(_) => state.preflight_passed(self.running),
            State::Fetching(_) => state.fetched(),
            State::Writing(writing) => {
                self.write(writing.slot, &writing.release, writing.step);
                state.step_done(writing.step)
            }
            State::Staged(_) => state.reboot(),
            State::Rebooting(_) => return self.boot(true),
            State::AwaitingHealth(_) => return,
        };
        self.enter(&next.expect("allowed"));
    }

    /// The boot loader takes what it has an entry for; a new one first, unless it does not boot.
    fn boot(&mut self, new_one_boots: bool) {
        let other = self.running.other();
        let was = self.state.clone();
        let runs = self.roots[index(other)].filter(|_| self.entries[index(other)].is_some());
        if new_one_boots && runs.is_some() {
            self.running = other;
        }
        let is_new = self.running == other;
        let running = index(self.running);
        let root = self.roots[running].expect("what boots has a root");
        assert_eq!(
            self.entries[running],
            Some(root),
            "an entry boots its own root"
        );
        let state = self.state.clone().booted(RootHash([root; 32]));
        self.enter(&state);
        if let Some(installed) = self.installed.take() {
            let awaited = State::AwaitingHealth(release(installed));
            let runs = is_new && root == installed;
            match was {
                // Its boot entry may have been removed already.
                State::Writing(_) if !runs => assert_eq!(state, State::Idle),
                _ if runs => assert_eq!(state, awaited),
                _ => assert!(matches!(state, State::Bad(_)), "{state}"),
            }
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => Just(Event::Advance),
        2 => Just(Event::Check),
        1 => Just(Event::Fail),
        1 => Just(Event::Crash),
        1 => Just(Event::Healthy),
        1 => Just(Event::Unhealthy),
        1 => Just(Event::FallBack),
    ]
}

proptest! {
    #[test]
    fn a_machine_always_has_something_to_boot(events in proptest::collection::vec(event(), 0..120)) {
        let mut world = World::new();
        for event in events {
            let state = world.state.clone();
            match event {
                Event::Advance => world.advance(),
                Event::Check => {
                    if let Ok(state) = state.check() {
                        world.enter(&state);
                    }
                }
                Event::Fail => {
                    // Whether what waited can still be booted is not known then.
                    if matches!(state, State::Writing(_)) {
                        world.installed = None;
                    }
                    if let Ok(state) = state.failed("no network") {
                        world.enter(&state);
                    }
                }
                Event::Crash => world.boot(true),
                Event::FallBack => world.boot(false),
                Event::Healthy => {
                    if let Ok(state) = state.healthy() {
                        world.enter(&state);
                    }
                }
                Event::Unhealthy => {
                    if let Ok(state) = state.unhealthy("kvd is down") {
                        world.enter(&state);
                        world.running = world.running.other();
                        if world.entries[index(world.running)].is_none() {
                            world.running = world.running.other();
                        }
                    }
                }
            }
            let running = index(world.running);
            prop_assert!(world.entries[running].is_some() && world.entries[running] == world.roots[running]);
        }
    }

    /// A boot from any step of writing leads to the old or the new, and what is half written has no entry.
    #[test]
    fn a_crash_in_any_step_leads_to_old_or_new(steps in 0..9_usize) {
        let mut world = World::new();
        for _ in 0..4 {
            world.advance();
        }
        for _ in 0..steps.min(Step::ALL.len()) {
            world.advance();
        }
        world.boot(true);
        let done = steps >= Step::ALL.len();
        prop_assert_eq!(world.running == Slot::B, done);
        prop_assert_eq!(matches!(world.state, State::AwaitingHealth(_)), done);
    }
}

#[test]
fn a_version_that_fell_back_is_remembered_until_it_is_good() {
    let staged = State::Staged(release(2));
    let bad = staged.booted(RootHash([1; 32]));
    let mut memory = Memory::default();
    memory.remember(&bad);
    assert!(memory.bad.contains_key(&release(2).version));
    let good = State::AwaitingHealth(release(2))
        .healthy()
        .expect("allowed");
    memory.remember(&good);
    assert_eq!(memory.bad.len(), 0);
    assert_eq!(memory.floor, Some(release(2).version));
}

#[test]
fn a_second_bad_version_makes_nobody_forget_the_first() {
    let mut memory = Memory::default();
    for number in [2, 3] {
        memory.remember(&State::Staged(release(number)).booted(RootHash([1; 32])));
    }
    let bad: Vec<_> = memory.bad.keys().cloned().collect();
    assert_eq!(bad, [release(2).version, release(3).version]);
    let good = State::AwaitingHealth(release(3)).healthy();
    memory.remember(&good.expect("allowed"));
    let bad: Vec<_> = memory.bad.keys().cloned().collect();
    assert_eq!(bad, [release(2).version], "a good one clears itself alone");
}

#[test]
fn what_is_not_allowed_says_what_and_why() {
    let error = State::Idle.fetched().unwrap_err();
    assert_eq!(
        error.to_string(),
        "an update that is idle cannot have fetched"
    );
    let writing = State::Idle
        .check()
        .expect("allowed")
        .found(release(2))
        .and_then(|state| state.preflight_passed(Slot::B))
        .and_then(State::fetched)
        .expect("allowed");
    assert!(
        writing.clone().step_done(Step::WriteRoot).is_err(),
        "out of order"
    );
    assert!(writing.check().is_err());
}

#[test]
fn room_names_what_is_short() {
    let room = Room {
        root_partition: 10,
        tree_partition: 10,
        esp: 5,
        state: 10,
    };
    let needs = Room { esp: 6, ..room };
    assert_eq!(room.check(&room), Ok(()));
    assert_eq!(
        room.check(&needs).unwrap_err().to_string(),
        "the ESP has 5 bytes for what needs 6"
    );
}

/// What is installed waits for its reboot through checks that fail, are interrupted or find nothing, and is
/// recognized when it boots meanwhile.
#[test]
fn a_check_does_not_forget_what_waits_for_its_reboot() {
    let waiting = State::Staged(release(2));
    let checking = waiting.clone().check().expect("allowed");
    let preflight = checking.clone().found(release(3)).expect("allowed");
    let fetching = preflight
        .clone()
        .preflight_passed(Slot::A)
        .expect("allowed");
    assert_eq!(checking.clone().nothing_found().expect("allowed"), waiting);
    for state in [checking, preflight, fetching.clone()] {
        assert_eq!(
            state.clone().failed("no network").expect("allowed"),
            waiting
        );
        assert_eq!(state.clone().interrupted(), waiting);
        assert_eq!(
            state.clone().booted(RootHash([2; 32])),
            State::AwaitingHealth(release(2))
        );
        assert!(matches!(state.booted(RootHash([1; 32])), State::Bad(_)));
    }
    let begun = fetching.fetched().expect("allowed");
    assert!(matches!(begun.clone().failed("x"), Ok(State::Failed(_))));
    assert_eq!(begun.clone().interrupted(), State::Idle);
    let awaited = State::AwaitingHealth(release(2));
    assert_eq!(begun.clone().booted(RootHash([2; 32])), awaited);
    assert_eq!(begun.clone().booted(RootHash([1; 32])), State::Idle);
    let removed = begun.step_done(Step::RemoveOldBootEntry).expect("allowed");
    assert_eq!(removed.booted(RootHash([2; 32])), State::Idle);
}
