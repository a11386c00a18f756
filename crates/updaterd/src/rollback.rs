//! Going to the version in the other slot by hand: back to an older one, or forward to a newer one again.
//!
//! Does not reboot.

use anyhow::bail;
use machine_facts::system_root::SystemRoot;
use update_model::progress::{Release, State};
use update_model::version::Version;

use crate::keeper::Keeper;
use crate::machine::Machine;

/// Where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To an older version; the running one counts as bad from then on.
    Back,
    /// To a newer one, which gets its tries again.
    Forward,
}

/// Makes the boot loader prefer the other slot's version, and says which that is.
pub fn roll(root: &SystemRoot, direction: Direction) -> anyhow::Result<Version> {
    let mut keeper = Keeper::take(root)?;
    let machine = Machine::read(root)?;
    let mut slots = machine.slots()?;
    let other = slots.other_release()?;
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
        }
        Direction::Forward => keeper.enter(|state| Ok(state.tried_again(other)))?,
    }
    Ok(version)
}

fn check(
    machine: &Machine,
    other: &Release,
    state: &State,
    direction: Direction,
) -> anyhow::Result<()> {
    let (running, other) = (&machine.running.version, &other.version);
    match (direction, state) {
        (_, State::Staged(release)) if release.version == *other => bail!(
            "{other} waits in the other slot for its first boot, so there is nothing to go back to: \
             `systemctl reboot` boots it"
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
