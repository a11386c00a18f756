//! Waves: which share of the machines may take a release, and when a machine's turn is.
//!
//! A machine's place in the queue is a hash of its id and the version: the same every time it asks, and
//! another for every version, so that nobody is always first. Does not know the time.

use disk_format::verity::RootHash;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::version::Version;

/// How a release reaches the machines of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// When the waves begin.
    pub start: Timestamp,
    /// In order of time; none at all means everybody at `start`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<Wave>,
}

/// From some time on, some share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// Seconds after the rollout's start.
    pub after_seconds: u32,
    /// Share of all machines that may take the release from then on, in percent; 100 at most.
    pub percent: u8,
}

/// A rollout that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("waves must grow in time and share, up to 100 percent")]
pub struct InvalidRollout;

/// A machine's place among all, from 0 to 99.99: hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(u16);

/// Hundredths of a percent in a percent.
const PER_PERCENT: u16 = 100;

impl Place {
    /// Of this machine, for this version.
    pub fn of(machine_id: &str, version: &Version) -> Self {
        let text = format!("keelson rollout\n{machine_id}\n{version}\n");
        let hash = RootHash(Sha256::digest(text.as_bytes()).into());
        let number = u32::from_be_bytes(std::array::from_fn(|index| hash.0[index]));
        // Below 10000 by the modulus; its bias is less than one in 400000.
        Self(u16::try_from(number % 10_000).unwrap_or(0))
    }
}

impl Rollout {
    /// Everybody at once.
    pub fn immediate(start: Timestamp) -> Self {
        Self {
            start,
            waves: Vec::new(),
        }
    }

    /// Whether the waves grow in time and share.
    pub fn check(&self) -> Result<(), InvalidRollout> {
        let grows = |pair: &[Wave]| {
            pair[0].after_seconds < pair[1].after_seconds && pair[0].percent < pair[1].percent
        };
        let possible = self.waves.iter().all(|wave| wave.percent <= 100);
        if possible && self.waves.windows(2).all(grows) {
            return Ok(());
        }
        Err(InvalidRollout)
    }

    /// When the machine at this place may take the release; `None` if no wave reaches it.
    pub fn opens(&self, place: Place) -> Option<Timestamp> {
        if self.waves.is_empty() {
            return Some(self.start);
        }
        let wave = self
            .waves
            .iter()
            .find(|wave| place.0 < u16::from(wave.percent) * PER_PERCENT)?;
        let after = SignedDuration::from_secs(wave.after_seconds.into());
        self.start.checked_add(after).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout() -> Rollout {
        let wave = |after_seconds, percent| Wave {
            after_seconds,
            percent,
        };
        Rollout {
            start: Timestamp::from_second(1_000).unwrap(),
            waves: vec![wave(0, 1), wave(60, 50), wave(120, 90)],
        }
    }

    #[test]
    fn each_place_has_its_turn() {
        let opens = |place| rollout().opens(Place(place)).map(Timestamp::as_second);
        assert_eq!(opens(0), Some(1_000));
        assert_eq!(opens(99), Some(1_000));
        assert_eq!(opens(100), Some(1_060));
        assert_eq!(opens(8_999), Some(1_120));
        assert_eq!(opens(9_000), None);
    }

    #[test]
    fn places_are_spread_evenly_and_differ_by_version() {
        let [one, two]: [Version; 2] = ["1", "2"].map(|text| text.parse().unwrap());
        let machine = |number: u32| format!("{number:032x}");
        let early = |version: &Version| {
            (0..10_000)
                .filter(|n| Place::of(&machine(*n), version) < Place(1_000))
                .count()
        };
        for count in [early(&one), early(&two)] {
            assert!(
                (900..1_100).contains(&count),
                "{count} of 10000 in the first tenth"
            );
        }
        let both = (0..10_000)
            .filter(|n| Place::of(&machine(*n), &one) < Place(1_000))
            .filter(|n| Place::of(&machine(*n), &two) < Place(1_000))
            .count();
        assert!((60..140).contains(&both), "{both} are first twice");
        assert_eq!(Place::of("a", &one), Place::of("a", &one));
    }

    #[test]
    fn waves_must_grow() {
        assert_eq!(rollout().check(), Ok(()));
        for (index, wave) in [
            (
                1,
                Wave {
                    after_seconds: 0,
                    percent: 50,
                },
            ),
            (
                2,
                Wave {
                    after_seconds: 200,
                    percent: 50,
                },
            ),
            (
                2,
                Wave {
                    after_seconds: 200,
                    percent: 101,
                },
            ),
        ] {
            let mut bad = rollout();
            bad.waves[index] = wave;
            assert_eq!(bad.check(), Err(InvalidRollout), "{wave:?}");
        }
    }
}
