//! Going to the version in the other slot by hand: back to an older one, or forward to a newer one again.
//!
//! Does not reboot.

use anyhow::bail;
use machine_facts::system_root::SystemRoot;
use machine_facts::update_files;
use update_model::progress::{Release, State};
use update_model::version::Version;

use crate::cluster;
use crate::keeper::Keeper;
use crate::machine::Machine;

/// Where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To an older version, and the running one counts as bad from then on; or to stay at the running one, if
    /// another waits for its first boot.
    Back,
    /// To a newer one, which gets its tries again.
    Forward,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rolled {
    /// The other slot's version boots next: this one.
    Boots(Version),
    /// What was installed does not boot: the running version does.
    Withdrawn {
        /// What was installed.
        version: Version,
        /// What runs.
        running: Version,
    },
}

/// Makes the boot loader prefer the other slot's version; one that has yet to boot for the first time is
/// withdrawn by going back.
pub fn roll(root: &SystemRoot, direction: Direction) -> anyhow::Result<Rolled> {
    let mut keeper = Keeper::take(root)?;
    let machine = Machine::read(root)?;
    let mut slots = machine.slots()?;
    let other = slots.other_release()?;
    if direction == Direction::Back && keeper.record().state == State::Staged(other.clone()) {
        // A power cut in between: the record says that it waits, and the next boot that it did not come.
        slots.withdraw()?;
        keeper.withdraw()?;
        return Ok(Rolled::Withdrawn {
            version: other.version,
            running: machine.running.version,
        });
    }
    check(&machine, &other, &keeper.record().state, direction)?;
    // A power cut behind this boots the other version, and the record learns of that.
    slots.prefer_other()?;
    let version = other.version.clone();
    match direction {
        Direction::Back => {
            let from = Release {
                version: machine.running.version,
                root_hash: machine.running.root_hash,
            };
            keeper.enter(|state| Ok(state.rolled_back(from)))?;
            tell_cluster(root, &mut keeper);
        }
        Direction::Forward => keeper.enter(|state| Ok(state.tried_again(other)))?,
    }
    Ok(Rolled::Boots(version))
}

/// At once: the machines whose turn is next shall not follow. Without settings there is nobody to tell.
fn tell_cluster(root: &SystemRoot, keeper: &mut Keeper) {
    match update_files::read_settings(root) {
        Ok(settings) => cluster::tell(root, &settings, keeper),
        Err(error) => eprintln!("updaterd: the cluster is not told: {}", error.reason()),
    }
}

fn check(
    machine: &Machine,
    other: &Release,
    state: &State,
    direction: Direction,
) -> anyhow::Result<()> {
    let (running, other) = (&machine.running.version, &other.version);
    match (direction, state) {
        (Direction::Forward, State::Staged(release)) if release.version == *other => bail!(
            "{other} waits in the other slot for its first boot already: `systemctl reboot` boots it"
        ),
        (Direction::Back, _) if other > running => bail!(
            "the other slot holds the newer {other}, this machine runs {running}: \
             `osctl rollback --forward` tries {other} again"
        ),
        (Direction::Forward, _) if other < running => bail!(
            "the other slot holds the older {other}, this machine runs {running}: \
             `osctl rollback` goes back to it"
        ),
        _ => Ok(()),
    }
}
