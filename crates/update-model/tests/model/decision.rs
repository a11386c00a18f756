//! Which release a machine takes, case by case, and what holds in every case.

use std::collections::BTreeMap;

use disk_format::verity::RootHash;
use jiff::Timestamp;
use proptest::prelude::*;
use update_model::channel::{Channel, Offer, Standing};
use update_model::decision::{Cluster, Decision, Machine, Refusal, Stay, TakeReason, decide};
use update_model::rollout::{Rollout, Wave};
use update_model::version::Version;

fn version(text: &str) -> Version {
    text.parse().expect("a version")
}

fn now() -> Timestamp {
    "2026-11-29T12:00:00Z".parse().expect("a time")
}

fn offer(text: &str) -> Offer {
    Offer {
        version: version(text),
        manifest: format!("vm-{text}.json"),
        root_hash: RootHash([0; 32]),
        rollout: Rollout::immediate(now()),
        barrier: false,
        minimum_version: None,
        standing: Standing::Offered,
    }
}

fn channel(offers: Vec<Offer>) -> Channel {
    Channel {
        releases: offers,
        ..Channel::new("vm", "stable")
    }
}

fn machine(running: &str) -> Machine {
    Machine {
        id: "0123456789abcdef0123456789abcdef".to_owned(),
        running: version(running),
        staged: None,
        floor: None,
        pinned: None,
        bad: BTreeMap::new(),
        cluster: Cluster::default(),
    }
}

/// The version taken, or why none is.
fn outcome(machine: &Machine, channel: &Channel) -> Result<String, String> {
    match decide(machine, channel, now()) {
        Decision::Take(take) => Ok(take.version.to_string()),
        stay @ Decision::Stay(_) => Err(stay.to_string()),
    }
}

#[test]
fn the_newest_is_taken() {
    let channel = channel(vec![offer("1"), offer("2"), offer("3")]);
    assert_eq!(outcome(&machine("1"), &channel), Ok("3".to_owned()));
    assert_eq!(outcome(&machine("0.5"), &channel), Ok("3".to_owned()));
    let stay = outcome(&machine("3"), &channel).unwrap_err();
    assert_eq!(stay, "3 is the newest release in channel stable");
    assert!(
        outcome(&machine("4"), &channel)
            .unwrap_err()
            .contains("nothing newer than 3")
    );
}

#[test]
fn nothing_is_skipped_at_a_barrier() {
    let mut barrier = offer("2");
    barrier.barrier = true;
    let channel = channel(vec![offer("1"), barrier, offer("3")]);
    let Decision::Take(take) = decide(&machine("1"), &channel, now()) else {
        panic!("nothing was taken");
    };
    assert_eq!(
        (take.version, take.because),
        (version("2"), TakeReason::Barrier)
    );
    assert_eq!(outcome(&machine("2"), &channel), Ok("3".to_owned()));
    // A barrier that failed here does not open the way behind it.
    let mut machine = machine("1");
    machine
        .bad
        .insert(version("2"), "kvd did not start".to_owned());
    assert!(
        outcome(&machine, &channel)
            .unwrap_err()
            .contains("kvd did not start")
    );
}

#[test]
fn a_withdrawn_barrier_bars_nobody() {
    let mut barrier = offer("2");
    barrier.barrier = true;
    barrier.standing = Standing::Withdrawn("eats disks".to_owned());
    let channel = channel(vec![barrier, offer("3")]);
    assert_eq!(outcome(&machine("1"), &channel), Ok("3".to_owned()));
}

#[test]
fn what_must_not_be_taken_is_not() {
    let standings = [
        Standing::Paused("wait".to_owned()),
        Standing::Withdrawn("wait".to_owned()),
        Standing::DeadEnd("wait".to_owned()),
    ];
    for standing in standings {
        let mut newest = offer("3");
        newest.standing = standing;
        let channel = channel(vec![offer("1"), offer("2"), newest]);
        assert_eq!(outcome(&machine("1"), &channel), Ok("2".to_owned()));
        assert!(
            outcome(&machine("2"), &channel)
                .unwrap_err()
                .contains("wait")
        );
    }
}

#[test]
fn a_dead_end_is_not_left() {
    let mut old = offer("1");
    old.standing = Standing::DeadEnd("its updater is broken, install anew".to_owned());
    let channel = channel(vec![old, offer("2")]);
    let stay = outcome(&machine("1"), &channel).unwrap_err();
    assert_eq!(
        stay,
        "1 cannot be updated: its updater is broken, install anew"
    );
}

#[test]
fn a_bad_version_waits_for_a_newer_one() {
    let mut machine = machine("1");
    machine.bad.insert(version("2"), "no network".to_owned());
    let mut channel = channel(vec![offer("1"), offer("2")]);
    assert!(
        outcome(&machine, &channel)
            .unwrap_err()
            .contains("no network")
    );
    channel.releases.push(offer("3"));
    assert_eq!(outcome(&machine, &channel), Ok("3".to_owned()));
}

#[test]
fn floor_and_minimum() {
    let mut newest = offer("3");
    newest.minimum_version = Some(version("2"));
    let channel = channel(vec![offer("2"), newest]);
    assert_eq!(outcome(&machine("1"), &channel), Ok("2".to_owned()));
    assert_eq!(outcome(&machine("2"), &channel), Ok("3".to_owned()));
    let mut machine = machine("1");
    machine.floor = Some(version("2.5"));
    assert!(
        outcome(&machine, &channel)
            .unwrap_err()
            .contains("needs 2 or newer")
    );
}

fn halted(versions: &[&str]) -> Cluster {
    let reason = "2 of 3 machines were bad with it";
    let halted = versions
        .iter()
        .map(|text| (version(text), reason.to_owned()));
    Cluster::Halted(halted.collect())
}

#[test]
fn what_is_halted_is_not_taken_and_says_how_to() {
    let channel = channel(vec![offer("2"), offer("3")]);
    let mut machine = machine("1");
    machine.cluster = halted(&["3"]);
    assert_eq!(outcome(&machine, &channel), Ok("2".to_owned()));
    machine.cluster = halted(&["2", "3"]);
    let text = outcome(&machine, &channel).unwrap_err();
    let parts = ["3 is halted", "2 of 3 machines", "osctl update --retry"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    machine.running = version("3");
    let text = outcome(&machine, &channel).unwrap_err();
    assert!(text.contains("3 is the newest"), "{text}");
}

#[test]
fn what_is_staged_and_halted_is_not_booted() {
    let mut channel = channel(vec![offer("1"), offer("2")]);
    let mut machine = machine("1");
    machine.staged = Some(version("2"));
    assert!(decide(&machine, &channel, now()).concerns_cluster());
    machine.cluster = halted(&["2"]);
    let decision = decide(&machine, &channel, now());
    let Decision::Stay(Stay::Refused(_, Refusal::Halted(_))) = decision else {
        panic!("{decision:?}");
    };
    channel.releases.push(offer("3"));
    assert_eq!(outcome(&machine, &channel), Ok("3".to_owned()));
    machine.cluster = halted(&["3"]);
    let text = outcome(&machine, &channel).unwrap_err();
    assert!(
        text.contains("2 is installed and waits for a reboot"),
        "{text}"
    );
}

#[test]
fn without_knowing_the_others_nothing_is_taken() {
    let channel = channel(vec![offer("2"), offer("3")]);
    let mut machine = machine("1");
    machine.cluster = Cluster::Unknown("connection refused".to_owned());
    let text = outcome(&machine, &channel).unwrap_err();
    let parts = ["3 waits", "connection refused", "store-unreachable"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    machine.running = version("3");
    let text = outcome(&machine, &channel).unwrap_err();
    assert!(text.contains("3 is the newest"), "{text}");
}

#[test]
fn a_pin_holds_and_takes_out_of_turn_only_what_is_offered() {
    let channel = channel(vec![offer("1"), offer("2"), offer("3")]);
    let mut machine = machine("1");
    machine.pinned = Some(version("2"));
    assert_eq!(outcome(&machine, &channel), Ok("2".to_owned()));
    machine.running = version("2");
    assert!(
        outcome(&machine, &channel)
            .unwrap_err()
            .contains("osctl pin --none")
    );
    machine.running = version("3");
    assert!(
        outcome(&machine, &channel)
            .unwrap_err()
            .contains("osctl rollback")
    );
    machine.pinned = Some(version("9"));
    assert!(
        outcome(&machine, &channel)
            .unwrap_err()
            .contains("does not have")
    );
}

#[test]
fn a_pin_behind_a_barrier_goes_by_the_barrier() {
    let mut barrier = offer("2");
    barrier.barrier = true;
    let channel = channel(vec![offer("1"), offer("1.5"), barrier, offer("3")]);
    let mut machine = machine("1");
    machine.pinned = Some(version("3"));
    assert_eq!(outcome(&machine, &channel), Ok("2".to_owned()));
    machine.pinned = Some(version("1.5"));
    assert_eq!(outcome(&machine, &channel), Ok("1.5".to_owned()));
}

#[test]
fn what_is_staged_waits_unless_something_newer_came() {
    let mut channel = channel(vec![offer("1"), offer("2")]);
    let mut machine = machine("1");
    machine.staged = Some(version("2"));
    assert!(
        outcome(&machine, &channel)
            .unwrap_err()
            .contains("waits for a reboot")
    );
    channel.releases.push(offer("3"));
    assert_eq!(outcome(&machine, &channel), Ok("3".to_owned()));
    channel.releases.pop();
    channel.releases[1].standing = Standing::Withdrawn("bad".to_owned());
    assert!(
        outcome(&machine, &channel)
            .unwrap_err()
            .contains("withdrawn")
    );
}

#[test]
fn an_empty_channel_says_so() {
    let stay = outcome(&machine("1"), &channel(Vec::new())).unwrap_err();
    assert!(stay.contains("channel stable has no release"), "{stay}");
}

#[test]
fn a_machine_s_turn_comes_once_and_stays() {
    let mut newest = offer("2");
    let wave = |after_seconds, percent| Wave {
        after_seconds,
        percent,
    };
    newest.rollout.waves = vec![wave(0, 10), wave(3600, 50), wave(7200, 100)];
    let channel = channel(vec![newest]);
    let mut taken = Vec::new();
    for hours in 0..3_i64 {
        let time = now() + jiff::SignedDuration::from_hours(hours);
        let count = (0..1000)
            .filter(|number| {
                let mut machine = machine("1");
                machine.id = format!("{number:032x}");
                matches!(decide(&machine, &channel, time), Decision::Take(_))
            })
            .count();
        taken.push(count);
    }
    assert!((70..130).contains(&taken[0]), "{taken:?}");
    assert!((430..570).contains(&taken[1]), "{taken:?}");
    assert_eq!(taken[2], 1000);
}

fn any_offer(number: u8) -> impl Strategy<Value = Offer> {
    let standing = prop_oneof![
        6 => Just(Standing::Offered),
        1 => Just(Standing::Paused("p".to_owned())),
        1 => Just(Standing::Withdrawn("w".to_owned())),
        1 => Just(Standing::DeadEnd("d".to_owned())),
    ];
    let minimum = proptest::option::weighted(0.2, 0..9_u8);
    (standing, any::<bool>(), minimum).prop_map(move |(standing, barrier, minimum)| Offer {
        standing,
        barrier,
        minimum_version: minimum.map(|minimum| version(&minimum.to_string())),
        ..offer(&number.to_string())
    })
}

fn any_channel() -> impl Strategy<Value = Channel> {
    let offers: Vec<_> = (1..9).map(any_offer).collect();
    (offers, any::<u8>()).prop_map(|(mut offers, present)| {
        let mut bit = 0;
        offers.retain(|_| {
            bit += 1;
            present >> (bit - 1) & 1 == 1
        });
        channel(offers)
    })
}

proptest! {
    #[test]
    fn what_is_taken_may_be_taken(
        channel in any_channel(),
        running in 0..9_u8,
        floor in proptest::option::of(0..9_u8),
        pinned in proptest::option::weighted(0.3, 0..9_u8),
        bad in proptest::collection::vec(0..9_u8, 0..3),
        stopped in proptest::collection::btree_set(0..9_u8, 0..3),
    ) {
        let number = |number: u8| version(&number.to_string());
        let mut machine = machine(&running.to_string());
        machine.floor = floor.map(number);
        machine.pinned = pinned.map(number);
        machine.bad = bad.into_iter().map(|bad| (number(bad), String::new())).collect();
        let stopped = stopped.into_iter().map(|one| (number(one), "bad".to_owned()));
        let stopped: BTreeMap<Version, String> = stopped.collect();
        let alone = decide(&machine, &channel, now());
        machine.cluster = Cluster::Halted(stopped.clone());
        let decision = decide(&machine, &channel, now());
        // Whoever asks the cluster only when it matters decides the same.
        if !alone.concerns_cluster() {
            prop_assert_eq!(&alone, &decision);
        }
        prop_assert!(!decision.to_string().contains('\n'));
        let Decision::Take(take) = decision else {
            return Ok(());
        };
        let offer = channel.offer(&take.version).expect("of the channel");
        prop_assert!(take.version > machine.running);
        prop_assert_eq!(&offer.standing, &Standing::Offered);
        prop_assert!(!machine.bad.contains_key(&take.version));
        prop_assert!(!stopped.contains_key(&take.version));
        prop_assert!(machine.floor.is_none_or(|floor| take.version >= floor));
        prop_assert!(offer.minimum_version.as_ref().is_none_or(|minimum| machine.running >= *minimum));
        prop_assert!(machine.pinned.is_none_or(|pinned| take.version <= pinned));
        // No barrier that still stands is skipped.
        for between in &channel.releases {
            if machine.running < between.version && between.version < take.version {
                let stands = matches!(between.standing, Standing::Offered | Standing::Paused(_));
                prop_assert!(!(between.barrier && stands));
            }
        }
    }

    #[test]
    fn updates_end(channel in any_channel(), running in 0..9_u8) {
        let mut machine = machine(&running.to_string());
        for _ in 0..=channel.releases.len() {
            match decide(&machine, &channel, now()) {
                Decision::Take(take) => machine.running = take.version,
                Decision::Stay(_) => return Ok(()),
            }
        }
        prop_assert!(false, "more updates than releases");
    }
}
