//! Which release a machine takes, and why that or none: a pure function of what it knows.
//!
//! [`Decision`] prints as one sentence, for `osctl why`.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use jiff::Timestamp;

use crate::channel::{Channel, Offer, Standing};
use crate::rollout::Place;
use crate::version::Version;

/// What a machine knows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// `/etc/machine-id`.
    pub id: String,
    /// The version it runs.
    pub running: Version,
    /// The version that waits in the other slot for a reboot.
    pub staged: Option<Version>,
    /// It takes nothing older than this, whoever signed it.
    pub floor: Option<Version>,
    /// The version that its administrator wants it at.
    pub pinned: Option<Version>,
    /// Versions that did not come up healthy here, and why.
    pub bad: BTreeMap<Version, String>,
    /// What is known of the others in its cluster.
    pub cluster: Cluster,
}

/// What is known of how other machines fared with a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cluster {
    /// Versions whose rollout is halted, and why; all others may be taken.
    Halted(BTreeMap<Version, String>),
    /// Nothing, for this reason, and without knowing none is taken.
    Unknown(String),
}

impl Default for Cluster {
    /// None is halted.
    fn default() -> Self {
        Self::Halted(BTreeMap::new())
    }
}

impl Cluster {
    /// Whether it speaks against a version.
    pub fn refusal(&self, version: &Version) -> Option<Refusal> {
        match self {
            Self::Halted(halted) => halted.get(version).cloned().map(Refusal::Halted),
            Self::Unknown(reason) => Some(Refusal::StoreUnreachable(reason.clone())),
        }
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Take this release.
    Take(Take),
    /// Take none.
    Stay(Stay),
}

/// A release to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Take {
    /// Its version.
    pub version: Version,
    /// The name of its manifest among the TUF targets.
    pub manifest: String,
    /// Why this one.
    pub because: TakeReason,
}

/// Why a release is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakeReason {
    /// It is the newest that this machine may take.
    Newest,
    /// The machine is pinned to it.
    Pinned,
    /// It must be run before anything newer.
    Barrier,
    /// The named release is newer, but not for this machine now.
    NewerMustWait(Version, Box<Refusal>),
}

/// Why no release is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stay {
    /// The channel has nothing.
    Empty {
        /// Its name.
        channel: String,
    },
    /// The machine runs the newest there is.
    UpToDate {
        /// The running version.
        running: Version,
        /// The channel's name.
        channel: String,
    },
    /// The machine runs something newer than the channel has.
    Ahead {
        /// The running version.
        running: Version,
        /// The newest in the channel.
        newest: Version,
        /// The channel's name.
        channel: String,
    },
    /// It waits for a reboot into this one.
    Staged(Version),
    /// It is pinned to what it runs.
    PinnedHere(Version),
    /// It is pinned to what the channel does not have.
    PinnedUnknown {
        /// To which version.
        pinned: Version,
        /// The channel's name.
        channel: String,
    },
    /// It is pinned to something older than it runs.
    PinnedOlder {
        /// To which version.
        pinned: Version,
        /// The running version.
        running: Version,
    },
    /// What it runs leads nowhere.
    DeadEnd {
        /// The running version.
        running: Version,
        /// Why, in the words of whoever released it.
        reason: String,
    },
    /// There is a newer one, but not for this machine now.
    Refused(Version, Refusal),
}

/// Why a machine may not take a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its turn comes.
    TurnAt(Timestamp),
    /// No wave reaches it yet.
    NoTurn,
    /// The release is paused.
    Paused(String),
    /// The release was withdrawn.
    Withdrawn(String),
    /// The release leads nowhere.
    DeadEnd(String),
    /// It did not come up healthy here.
    Bad(String),
    /// It was bad on too many machines of the cluster.
    Halted(String),
    /// Whether it was cannot be seen, for this reason.
    StoreUnreachable(String),
    /// It is older than what this machine takes.
    BelowFloor(Version),
    /// The machine must run this or something newer first.
    TooOld(Version),
}

impl Decision {
    /// Whether it may be another once it is known how other machines fared.
    pub fn concerns_cluster(&self) -> bool {
        matches!(self, Self::Take(_) | Self::Stay(Stay::Staged(_)))
    }
}

/// What this machine does now, with this channel.
pub fn decide(machine: &Machine, channel: &Channel, now: Timestamp) -> Decision {
    match decide_anew(machine, channel, now) {
        // Something newer is there, but not for this machine now.
        Decision::Take(take) if machine.staged.as_ref() == Some(&take.version) => {
            Decision::Stay(Stay::Staged(take.version))
        }
        decision => decision,
    }
}

/// The same, but what is staged may be taken once more.
fn decide_anew(machine: &Machine, channel: &Channel, now: Timestamp) -> Decision {
    if let Some(staged) = newer_staged(machine, channel) {
        return Decision::Stay(match machine.cluster.refusal(&staged) {
            Some(refusal) => Stay::Refused(staged, refusal),
            None => Stay::Staged(staged),
        });
    }
    if let Some(pinned) = &machine.pinned {
        return decide_pinned(machine, channel, pinned, now);
    }
    let running = machine.running.clone();
    let Some(newest) = channel.releases.last() else {
        let channel = channel.channel.clone();
        return Decision::Stay(Stay::Empty { channel });
    };
    if let Some(reason) = dead_end(machine, channel) {
        return Decision::Stay(Stay::DeadEnd { running, reason });
    }
    let name = channel.channel.clone();
    match newest.version.cmp(&running) {
        std::cmp::Ordering::Equal => Decision::Stay(Stay::UpToDate {
            running,
            channel: name,
        }),
        std::cmp::Ordering::Less => Decision::Stay(Stay::Ahead {
            running,
            newest: newest.version.clone(),
            channel: name,
        }),
        std::cmp::Ordering::Greater => decide_among(machine, candidates(machine, channel), now),
    }
}

/// What is staged, unless the channel no longer offers it.
fn newer_staged(machine: &Machine, channel: &Channel) -> Option<Version> {
    let staged = machine.staged.as_ref()?;
    let offer = channel.offer(staged);
    let is_offered = offer.is_none_or(|offer| offer.standing == Standing::Offered);
    let newest = channel.releases.last()?;
    let is_newest = newest.version <= *staged;
    (is_offered && is_newest).then(|| staged.clone())
}

fn dead_end(machine: &Machine, channel: &Channel) -> Option<String> {
    match &channel.offer(&machine.running)?.standing {
        Standing::DeadEnd(reason) => Some(reason.clone()),
        _ => None,
    }
}

fn decide_pinned(
    machine: &Machine,
    channel: &Channel,
    pinned: &Version,
    now: Timestamp,
) -> Decision {
    if *pinned == machine.running {
        return Decision::Stay(Stay::PinnedHere(pinned.clone()));
    }
    if *pinned < machine.running {
        return Decision::Stay(Stay::PinnedOlder {
            pinned: pinned.clone(),
            running: machine.running.clone(),
        });
    }
    if channel.offer(pinned).is_none() {
        return Decision::Stay(Stay::PinnedUnknown {
            pinned: pinned.clone(),
            channel: channel.channel.clone(),
        });
    }
    let mut on_the_way = candidates(machine, channel);
    on_the_way.retain(|offer| offer.version == *pinned || offer.barrier);
    on_the_way.retain(|offer| offer.version <= *pinned);
    match decide_among(machine, on_the_way, now) {
        Decision::Take(take) if take.version == *pinned => Decision::Take(Take {
            because: TakeReason::Pinned,
            ..take
        }),
        other => other,
    }
}

/// Newer releases that can be reached from here in one step, from the newest down: nothing behind the
/// first barrier.
fn candidates<'a>(machine: &Machine, channel: &'a Channel) -> Vec<&'a Offer> {
    let mut reachable = Vec::new();
    for offer in &channel.releases {
        if offer.version > machine.running {
            reachable.push(offer);
            if is_standing_barrier(offer) {
                break;
            }
        }
    }
    reachable.reverse();
    reachable
}

/// A barrier that was withdrawn, or leads nowhere, bars nobody.
fn is_standing_barrier(offer: &Offer) -> bool {
    offer.barrier && matches!(offer.standing, Standing::Offered | Standing::Paused(_))
}

/// The first that nothing speaks against; if there is none, what speaks against the newest.
fn decide_among(machine: &Machine, offers: Vec<&Offer>, now: Timestamp) -> Decision {
    let mut newest_refused: Option<(Version, Refusal)> = None;
    for offer in offers {
        match refusal(machine, offer, now) {
            None => return Decision::Take(take(offer, newest_refused)),
            Some(refusal) => {
                newest_refused.get_or_insert((offer.version.clone(), refusal));
            }
        }
    }
    Decision::Stay(match newest_refused {
        Some((version, refusal)) => Stay::Refused(version, refusal),
        None => Stay::PinnedHere(machine.running.clone()),
    })
}

fn take(offer: &Offer, newest_refused: Option<(Version, Refusal)>) -> Take {
    Take {
        version: offer.version.clone(),
        manifest: offer.manifest.clone(),
        because: match newest_refused {
            Some((version, refusal)) => TakeReason::NewerMustWait(version, Box::new(refusal)),
            None if is_standing_barrier(offer) => TakeReason::Barrier,
            None => TakeReason::Newest,
        },
    }
}

fn refusal(machine: &Machine, offer: &Offer, now: Timestamp) -> Option<Refusal> {
    match &offer.standing {
        Standing::Offered => {}
        Standing::Paused(reason) => return Some(Refusal::Paused(reason.clone())),
        Standing::Withdrawn(reason) => return Some(Refusal::Withdrawn(reason.clone())),
        Standing::DeadEnd(reason) => return Some(Refusal::DeadEnd(reason.clone())),
    }
    if let Some(reason) = machine.bad.get(&offer.version) {
        return Some(Refusal::Bad(reason.clone()));
    }
    if let Some(floor) = machine
        .floor
        .as_ref()
        .filter(|floor| offer.version < **floor)
    {
        return Some(Refusal::BelowFloor(floor.clone()));
    }
    let minimum = offer.minimum_version.as_ref();
    if let Some(minimum) = minimum.filter(|minimum| machine.running < **minimum) {
        return Some(Refusal::TooOld(minimum.clone()));
    }
    match offer.rollout.opens(Place::of(&machine.id, &offer.version)) {
        None => Some(Refusal::NoTurn),
        Some(opens) if now < opens => Some(Refusal::TurnAt(opens)),
        Some(_) => machine.cluster.refusal(&offer.version),
    }
}

impl Display for Decision {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Take(take) => take.fmt(formatter),
            Self::Stay(stay) => stay.fmt(formatter),
        }
    }
}

impl Display for Take {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let version = &self.version;
        match &self.because {
            TakeReason::Newest => write!(
                formatter,
                "{version} is the newest release for this machine"
            ),
            TakeReason::Pinned => write!(formatter, "{version} is what this machine is pinned to"),
            TakeReason::Barrier => {
                write!(formatter, "{version} must be run before anything newer")
            }
            TakeReason::NewerMustWait(newer, refusal) => {
                write!(formatter, "{version} comes first, since {newer} {refusal}")
            }
        }
    }
}

impl Display for Stay {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { channel } => write!(
                formatter,
                "channel {channel} has no release: choose another with `osctl channel`"
            ),
            Self::UpToDate { running, channel } => {
                write!(
                    formatter,
                    "{running} is the newest release in channel {channel}"
                )
            }
            Self::Ahead {
                running,
                newest,
                channel,
            } => write!(
                formatter,
                "this machine runs {running}, channel {channel} has nothing newer than {newest}: \
                 `osctl rollback` or a release goes on from here"
            ),
            Self::Staged(version) => write!(
                formatter,
                "{version} is installed and waits for a reboot: `systemctl reboot` does it now"
            ),
            Self::PinnedHere(version) => write!(
                formatter,
                "this machine is pinned to {version}: `osctl pin --none` lets it go on"
            ),
            Self::PinnedUnknown { pinned, channel } => write!(
                formatter,
                "this machine is pinned to {pinned}, which channel {channel} does not have: \
                 `osctl pin` changes it"
            ),
            Self::PinnedOlder { pinned, running } => write!(
                formatter,
                "this machine is pinned to {pinned} but runs the newer {running}: `osctl rollback` \
                 goes back to what is installed, updates never do"
            ),
            Self::DeadEnd { running, reason } => {
                write!(formatter, "{running} cannot be updated: {reason}")
            }
            Self::Refused(version, refusal) => write!(formatter, "{version} {refusal}"),
        }
    }
}

impl Display for Refusal {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::TurnAt(time) => write!(
                formatter,
                "is being rolled out and reaches this machine at {time}: `osctl pin` takes it now"
            ),
            Self::NoTurn => write!(
                formatter,
                "is being rolled out and no wave reaches this machine yet: `osctl pin` takes it now"
            ),
            Self::Paused(reason) => write!(formatter, "is paused: {reason}"),
            Self::Withdrawn(reason) => write!(formatter, "was withdrawn: {reason}"),
            Self::DeadEnd(reason) => write!(formatter, "leads nowhere: {reason}"),
            Self::Bad(reason) => write!(
                formatter,
                "did not come up healthy on this machine ({reason}): `osctl update --retry` tries it again"
            ),
            Self::Halted(reason) => write!(
                formatter,
                "is halted ({reason}): `osctl update --retry` takes it on this machine all the same"
            ),
            Self::StoreUnreachable(reason) => write!(
                formatter,
                "waits until it is known how other machines fared with it ({reason}): \
                 `osctl update --retry` takes it all the same, `store-unreachable` in \
                 /etc/keelson/update.toml decides for all times"
            ),
            Self::BelowFloor(floor) => write!(
                formatter,
                "is older than {floor}, which this machine never goes below"
            ),
            Self::TooOld(minimum) => write!(
                formatter,
                "needs {minimum} or newer to be running, and the channel has no release in between"
            ),
        }
    }
}
