//! Wherever the power fails, the old version boots or the new one, and installing again gets to the new one.

use slot_install::error::InstallError;
use update_model::progress::Step;

use crate::fixture::{Build, Machine};
use crate::power::Power;

/// None of the unsynced sectors reach the disk, all, and several mixtures.
const MASKS: [u64; 6] = [
    0,
    u64::MAX,
    0x5555_5555_5555_5555,
    0x0000_0000_ffff_ffff,
    0xfffe_0000_0000_0001,
    0x9e37_79b9_7f4a_7c15,
];

/// What is left when the power fails after so many operations.
fn interrupted(machine: &Machine, old: &Build, new: &Build, operations: usize) -> Vec<Machine> {
    let power = Power::cut_after(operations);
    let (mut slots, platters, folder) = machine.open(old.running(false), &power);
    let result = new.install(&mut slots, &mut |_| Ok(()));
    assert!(result.is_err(), "the power failed unnoticed");
    let files = folder.files.borrow().clone();
    let after = |mask: &u64| Machine {
        disk: platters.contents(*mask),
        files: files.clone(),
    };
    MASKS.iter().map(after).collect()
}

fn operations(machine: &Machine, old: &Build, new: &Build) -> usize {
    let power = Power::never_cut();
    let (mut slots, _, _) = machine.open(old.running(false), &power);
    new.install(&mut slots, &mut |_| Ok(())).expect("installed");
    power.used()
}

fn installed(machine: &Machine, old: &Build, new: &Build) -> Machine {
    let (mut slots, platters, folder) = machine.open(old.running(false), &Power::never_cut());
    new.install(&mut slots, &mut |_| Ok(())).expect("installed");
    let files = folder.files.borrow().clone();
    Machine {
        disk: platters.contents(0),
        files,
    }
}

#[test]
fn steps_are_done_in_order() {
    let (old, new) = (Build::new("1"), Build::new("2"));
    let machine = Machine::with(&old);
    let (mut slots, _, _) = machine.open(old.running(false), &Power::never_cut());
    let mut steps = Vec::new();
    let mut note = |step| {
        steps.push(step);
        Ok(())
    };
    new.install(&mut slots, &mut note).expect("installed");
    assert_eq!(steps, Step::ALL);
}

#[test]
fn an_installation_boots_and_leaves_the_running_slot_alone() {
    let (old, new) = (Build::new("1"), Build::new("2"));
    let machine = Machine::with(&old);
    let after = installed(&machine, &old, &new);
    assert_eq!(after.boots(), new.version);
    let names: Vec<_> = after.files.keys().cloned().collect();
    assert_eq!(names, [old.entry(""), new.entry("+3"), "other.efi".into()]);
    // Everything in front of slot b but the table.
    let slot_a = 1 << 16..(1 << 16) + 20 * 4096;
    assert_eq!(after.disk[slot_a.clone()], machine.disk[slot_a]);
}

/// From slot a into b, and from there back into a, over what was there.
#[test]
fn a_power_cut_anywhere_leaves_old_or_new_and_installing_again_converges() {
    let builds = [Build::new("1"), Build::new("2"), Build::new("3")];
    let mut machine = Machine::with(&builds[0]);
    let mut cuts = 0;
    for pair in builds.windows(2) {
        let (old, new) = (&pair[0], &pair[1]);
        let whole = operations(&machine, old, new);
        assert!(whole > 12, "{whole} operations are too few to be true");
        for operations in 0..whole {
            for cut in interrupted(&machine, old, new, operations) {
                cuts += 1;
                let boots = cut.boots();
                assert!(
                    boots == old.version || boots == new.version,
                    "{boots} after {operations} operations"
                );
                if boots == old.version {
                    assert_eq!(installed(&cut, old, new).boots(), new.version);
                }
            }
        }
        machine = installed(&machine, old, new);
        // It was blessed.
        let image = machine.files.remove(&new.entry("+3")).expect("it is there");
        machine.files.insert(new.entry(""), image);
    }
    assert!(cuts > 150, "{cuts} cuts");
}

/// The updater cannot record its progress any more: a full state partition.
#[test]
fn an_error_of_whoever_watches_stops_before_the_next_step() {
    let (old, new) = (Build::new("1"), Build::new("2"));
    let machine = Machine::with(&old);
    for last in Step::ALL {
        let (mut slots, platters, folder) = machine.open(old.running(false), &Power::never_cut());
        let mut fail = |step| match step {
            step if step == last => Err(InstallError::Root("full".into())),
            _ => Ok(()),
        };
        new.install(&mut slots, &mut fail).expect_err("it failed");
        let files = folder.files.borrow().clone();
        let after = Machine {
            disk: platters.contents(0),
            files,
        };
        let expected = if last == Step::RenameBootImage {
            &new.version
        } else {
            &old.version
        };
        assert_eq!(after.boots(), *expected, "{last:?}");
    }
}
