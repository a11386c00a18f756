//! The steps of an update, as a state and one function per transition.
//!
//! A transition that the state does not allow is an error and changes nothing. What a state promises:
//! from [`State::Fetching`] on the slot that is written is not the one that runs or was last good; until
//! the last step of [`State::Writing`] the boot loader knows of no entry for it. Does not act: whoever does
//! the work of a state reports it here, and saves the state before it goes on. Unknown fields are left
//! out of what is read: after a rollback an older program reads what a newer one wrote.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use disk_format::verity::RootHash;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::digest::as_text;
use crate::version::Version;

/// A release as the state remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its version.
    pub version: Version,
    /// What its root is verified by.
    #[serde(with = "as_text")]
    pub root_hash: RootHash,
}

/// One of the two places for a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Slot {
    /// `root-a` and its tree.
    A,
    /// `root-b` and its tree.
    B,
}

impl Slot {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// What is written, in this order; each is durable before the next begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The idle slot's old boot entry is removed: nothing boots what is about to be overwritten.
    RemoveOldBootEntry,
    /// The idle slot's partitions get the type that nothing mounts.
    EmptySlot,
    /// The root's blocks.
    WriteRoot,
    /// Its hash tree.
    WriteTree,
    /// Both partitions get type and GUIDs of the new root, in the backup table first.
    NameInBackupTable,
    /// The same in the primary table.
    NameInPrimaryTable,
    /// The unified kernel image, under a name that the boot loader does not read.
    WriteBootImage,
    /// It gets its own name, with its boot counter.
    RenameBootImage,
}

impl Step {
    /// All, in order.
    pub const ALL: [Self; 8] = [
        Self::RemoveOldBootEntry,
        Self::EmptySlot,
        Self::WriteRoot,
        Self::WriteTree,
        Self::NameInBackupTable,
        Self::NameInPrimaryTable,
        Self::WriteBootImage,
        Self::RenameBootImage,
    ];

    /// The one that follows.
    pub fn next(self) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step > self)
    }
}

/// Where an update is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing goes on.
    #[default]
    Idle,
    /// Metadata and channel are fetched.
    Checking(Checking),
    /// Space, room on the ESP and the way to fetch are looked at.
    Preflight(Preflight),
    /// What is needed besides the root's blocks is fetched to the state partition.
    Fetching(Fetching),
    /// The idle slot is written.
    Writing(Writing),
    /// The release is installed; the next boot tries it.
    Staged(Release),
    /// A reboot was allowed and is on its way.
    Rebooting(Release),
    /// The release runs and has yet to prove itself.
    AwaitingHealth(Release),
    /// The release runs and is healthy.
    Good(Release),
    /// The release did not come up healthy, and the old one runs or will after the next boot.
    Bad(Bad),
    /// The last attempt failed; the machine is as it was.
    Failed(Failed),
}

/// Of [`State::Checking`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checking {
    /// What is installed already and waits for its reboot: it still does if nothing comes of the check.
    pub waiting: Option<Release>,
}

/// Of [`State::Preflight`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preflight {
    /// What is to be taken.
    pub release: Release,
    /// As in [`Checking`].
    pub waiting: Option<Release>,
}

/// Of [`State::Fetching`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetching {
    /// What is fetched.
    pub release: Release,
    /// Where it will go.
    pub slot: Slot,
    /// As in [`Checking`]: its slot is not touched before [`State::Writing`].
    pub waiting: Option<Release>,
}

/// Of [`State::Writing`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writing {
    /// What is written.
    pub release: Release,
    /// Where.
    pub slot: Slot,
    /// Which step is under way.
    pub step: Step,
    /// As in [`Checking`], until its boot entry is known to be gone.
    pub waiting: Option<Release>,
}

/// What ended a release on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Boots of it failed until the boot loader took the other slot.
    NoBoot,
    /// It booted and was unhealthy.
    Unhealthy,
    /// Somebody went back from it.
    ByHand,
}

impl Cause {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::NoBoot, Self::Unhealthy, Self::ByHand];

    /// Its name in documents and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoBoot => "no-boot",
            Self::Unhealthy => "unhealthy",
            Self::ByHand => "by-hand",
        }
    }
}

/// Of [`State::Bad`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bad {
    /// Which release.
    pub release: Release,
    /// What ended it.
    pub cause: Cause,
    /// Why, as a sentence's end.
    pub reason: String,
}

/// Of [`State::Failed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Which release; `None` if it did not come to one.
    pub release: Option<Release>,
    /// Why, as a sentence's end.
    pub reason: String,
}

/// What happened that the state does not allow.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("an update that is {state} cannot {event}")]
pub struct WrongTransition {
    /// The state, in words.
    pub state: String,
    /// What was reported.
    pub event: &'static str,
}

/// What a preflight looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that the root's partition has.
    pub root_partition: u64,
    /// Bytes that the tree's partition has.
    pub tree_partition: u64,
    /// Free bytes on the ESP, once the idle slot's old image is gone.
    pub esp: u64,
    /// Free bytes on the state partition.
    pub state: u64,
}

/// What a release needs of them.
pub type Needs = Room;

/// Too little of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{place} has {room} bytes for what needs {needed}")]
pub struct NoRoom {
    /// Which partition.
    pub place: &'static str,
    /// What it has.
    pub room: u64,
    /// What is needed.
    pub needed: u64,
}

impl Room {
    /// Whether all fits.
    pub fn check(&self, needs: &Needs) -> Result<(), NoRoom> {
        let places = [
            (
                "the root partition",
                self.root_partition,
                needs.root_partition,
            ),
            (
                "the hash tree's partition",
                self.tree_partition,
                needs.tree_partition,
            ),
            ("the ESP", self.esp, needs.esp),
            ("the state partition", self.state, needs.state),
        ];
        match places.into_iter().find(|(_, room, needed)| room < needed) {
            None => Ok(()),
            Some((place, room, needed)) => Err(NoRoom {
                place,
                room,
                needed,
            }),
        }
    }
}

type Transition = Result<State, WrongTransition>;

impl State {
    /// A check begins.
    pub fn check(self) -> Transition {
        let waiting = match self {
            Self::Idle | Self::Good(_) | Self::Bad(_) | Self::Failed(_) => None,
            Self::Staged(release) => Some(release),
            other => return Err(other.wrong("begin to check")),
        };
        Ok(Self::Checking(Checking { waiting }))
    }

    /// There is nothing to do.
    pub fn nothing_found(self) -> Transition {
        match self {
            Self::Checking(Checking { waiting }) => Ok(waiting.map_or(Self::Idle, Self::Staged)),
            other => Err(other.wrong("find nothing")),
        }
    }

    /// There is a release to take.
    pub fn found(self, release: Release) -> Transition {
        match self {
            Self::Checking(Checking { waiting }) => {
                Ok(Self::Preflight(Preflight { release, waiting }))
            }
            other => Err(other.wrong("find a release")),
        }
    }

    /// Everything fits; the release goes into the slot that does not run.
    pub fn preflight_passed(self, running: Slot) -> Transition {
        match self {
            Self::Preflight(Preflight { release, waiting }) => Ok(Self::Fetching(Fetching {
                release,
                slot: running.other(),
                waiting,
            })),
            other => Err(other.wrong("pass the preflight")),
        }
    }

    /// What is needed before the slot is touched is here.
    pub fn fetched(self) -> Transition {
        match self {
            Self::Fetching(Fetching {
                release,
                slot,
                waiting,
            }) => Ok(Self::Writing(Writing {
                release,
                slot,
                step: Step::RemoveOldBootEntry,
                waiting,
            })),
            other => Err(other.wrong("have fetched")),
        }
    }

    /// A step of writing is durable.
    pub fn step_done(self, step: Step) -> Transition {
        match self {
            Self::Writing(writing) if writing.step == step => Ok(match step.next() {
                Some(step) => Self::Writing(Writing {
                    step,
                    waiting: None,
                    ..writing
                }),
                None => Self::Staged(writing.release),
            }),
            other => Err(other.wrong("have finished that step")),
        }
    }

    /// The slot is filled, and that is all that was wanted: no boot entry is made.
    pub fn downloaded(self) -> Transition {
        match self {
            Self::Writing(writing) if writing.step == Step::NameInBackupTable => Ok(Self::Idle),
            other => Err(other.wrong("leave it at the download")),
        }
    }

    /// Whoever did the work was stopped, and begins anew without a reboot in between. What was under way
    /// without leaving a boot entry is as if it never was.
    #[must_use]
    pub fn interrupted(self) -> Self {
        match self {
            Self::Checking(_) | Self::Preflight(_) | Self::Fetching(_) | Self::Writing(_) => {
                self.as_before().unwrap_or_default()
            }
            Self::Rebooting(release) => Self::Staged(release),
            kept => kept,
        }
    }

    /// What the state was before what is under way, if that left the other slot alone and there is something to know.
    fn as_before(&self) -> Option<Self> {
        let waiting = match self {
            Self::Checking(Checking { waiting })
            | Self::Preflight(Preflight { waiting, .. })
            | Self::Fetching(Fetching { waiting, .. }) => waiting.as_ref(),
            _ => None,
        };
        waiting.cloned().map(Self::Staged)
    }

    /// The other slot's version is booted next, because somebody wants it so.
    #[must_use]
    pub fn rolled_back(self, from: Release) -> Self {
        Self::bad(from, Cause::ByHand, "it was rolled back by hand")
    }

    /// What was installed shall not be booted, and its boot entry is gone.
    pub fn withdrawn(self) -> Transition {
        match self {
            Self::Staged(_) => Ok(Self::Idle),
            other => Err(other.wrong("be withdrawn")),
        }
    }

    /// The other slot's newer version shall have another try, because somebody wants it so.
    #[must_use]
    pub fn tried_again(self, other: Release) -> Self {
        Self::Staged(other)
    }

    /// The machine may reboot into what is staged.
    pub fn reboot(self) -> Transition {
        match self {
            Self::Staged(release) => Ok(Self::Rebooting(release)),
            other => Err(other.wrong("reboot into a release")),
        }
    }

    /// The reboot did not happen.
    pub fn reboot_called_off(self) -> Transition {
        match self {
            Self::Rebooting(release) => Ok(Self::Staged(release)),
            other => Err(other.wrong("call off a reboot")),
        }
    }

    /// The machine has booted, and runs this root. What was under way without leaving a boot entry is as
    /// if it never was.
    #[must_use]
    pub fn booted(self, running: RootHash) -> Self {
        match self {
            Self::Staged(release) | Self::Rebooting(release) | Self::AwaitingHealth(release) => {
                if release.root_hash == running {
                    return Self::AwaitingHealth(release);
                }
                Self::bad(release, Cause::NoBoot, "it did not boot")
            }
            // Whether the first step or the last was done is seen by what runs.
            Self::Writing(
                Writing {
                    waiting: Some(release),
                    ..
                }
                | Writing { release, .. },
            ) if release.root_hash == running => Self::AwaitingHealth(release),
            Self::Checking(_) | Self::Preflight(_) | Self::Fetching(_) | Self::Writing(_) => self
                .as_before()
                .map_or(Self::Idle, |before| before.booted(running)),
            Self::Good(release) if release.root_hash != running => {
                Self::bad(release, Cause::NoBoot, "it no longer boots")
            }
            kept @ (Self::Idle | Self::Good(_) | Self::Bad(_) | Self::Failed(_)) => kept,
        }
    }

    /// The release that runs has proved itself.
    pub fn healthy(self) -> Transition {
        match self {
            Self::AwaitingHealth(release) => Ok(Self::Good(release)),
            other => Err(other.wrong("be healthy")),
        }
    }

    /// The release that runs has not.
    pub fn unhealthy(self, reason: &str) -> Transition {
        match self {
            Self::AwaitingHealth(release) | Self::Good(release) => {
                Ok(Self::bad(release, Cause::Unhealthy, reason))
            }
            other => Err(other.wrong("be unhealthy")),
        }
    }

    /// Something went wrong before the release was installed. What waited for its reboot before still does,
    /// unless its slot was written to.
    pub fn failed(self, reason: &str) -> Transition {
        if let Some(before) = self.as_before() {
            return Ok(before);
        }
        let release = match self {
            Self::Checking(_) => None,
            Self::Preflight(Preflight { release, .. })
            | Self::Fetching(Fetching { release, .. })
            | Self::Writing(Writing { release, .. }) => Some(release),
            other => return Err(other.wrong("fail")),
        };
        let reason = reason.to_owned();
        Ok(Self::Failed(Failed { release, reason }))
    }

    /// Its name in documents and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Checking(_) => "checking",
            Self::Preflight(_) => "preflight",
            Self::Fetching(_) => "fetching",
            Self::Writing(_) => "writing",
            Self::Staged(_) => "staged",
            Self::Rebooting(_) => "rebooting",
            Self::AwaitingHealth(_) => "awaiting-health",
            Self::Good(_) => "good",
            Self::Bad(_) => "bad",
            Self::Failed(_) => "failed",
        }
    }

    /// The names of all states.
    pub const NAMES: [&str; 11] = [
        "idle",
        "checking",
        "preflight",
        "fetching",
        "writing",
        "staged",
        "rebooting",
        "awaiting-health",
        "good",
        "bad",
        "failed",
    ];

    /// The release that it is about, if it is about one.
    pub fn release(&self) -> Option<&Release> {
        match self {
            Self::Idle | Self::Checking(_) => None,
            Self::Staged(release)
            | Self::Rebooting(release)
            | Self::AwaitingHealth(release)
            | Self::Good(release)
            | Self::Preflight(Preflight { release, .. })
            | Self::Fetching(Fetching { release, .. })
            | Self::Writing(Writing { release, .. })
            | Self::Bad(Bad { release, .. }) => Some(release),
            Self::Failed(failed) => failed.release.as_ref(),
        }
    }

    fn bad(release: Release, cause: Cause, reason: &str) -> Self {
        Self::Bad(Bad {
            release,
            cause,
            reason: reason.to_owned(),
        })
    }

    fn wrong(&self, event: &'static str) -> WrongTransition {
        WrongTransition {
            state: self.to_string(),
            event,
        }
    }
}

/// As the end of "an update that is …".
impl Display for State {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => formatter.write_str("idle"),
            Self::Checking(_) => formatter.write_str("checking"),
            Self::Preflight(Preflight { release, .. }) => {
                write!(formatter, "looking whether {} fits", release.version)
            }
            Self::Fetching(Fetching { release, .. }) => {
                write!(formatter, "fetching {}", release.version)
            }
            Self::Writing(Writing { release, .. }) => {
                write!(formatter, "writing {}", release.version)
            }
            Self::Staged(release) => write!(formatter, "ready to reboot into {}", release.version),
            Self::Rebooting(release) => write!(formatter, "rebooting into {}", release.version),
            Self::AwaitingHealth(release) => {
                write!(formatter, "waiting for {} to be healthy", release.version)
            }
            Self::Good(release) => write!(formatter, "done, at {}", release.version),
            Self::Bad(Bad {
                release, reason, ..
            }) => write!(formatter, "off {}: {reason}", release.version),
            Self::Failed(failed) => match &failed.release {
                Some(release) => write!(formatter, "off {}: {}", release.version, failed.reason),
                None => write!(formatter, "off: {}", failed.reason),
            },
        }
    }
}

/// What a machine remembers from update to update.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The newest version that was good: nothing older is ever taken.
    pub floor: Option<Version>,
    /// Versions that were bad, and why.
    pub bad: BTreeMap<Version, String>,
}

impl Memory {
    /// Takes in what a new state says of a version.
    pub fn remember(&mut self, state: &State) {
        match state {
            State::Good(Release { version, .. }) => {
                self.bad.remove(version);
                if self.floor.as_ref().is_none_or(|floor| floor < version) {
                    self.floor = Some(version.clone());
                }
            }
            State::Bad(Bad {
                release, reason, ..
            }) => {
                self.bad.insert(release.version.clone(), reason.clone());
            }
            _ => {}
        }
    }
}
