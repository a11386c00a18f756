//! Going back to the other slot, and forward again, with the power cut in between.

use slot_install::error::InstallError;

use crate::fixture::{Build, Machine};
use crate::power::Power;

/// Version 2 in slot b, blessed and running, version 1 in slot a.
fn updated(old: &Build, new: &Build) -> Machine {
    let machine = Machine::with(old);
    let (mut slots, platters, folder) = machine.open(old.running(false), &Power::never_cut());
    new.install(&mut slots, &mut |_| Ok(())).expect("installed");
    let mut files = folder.files.borrow().clone();
    let image = files.remove(&new.entry("+3")).expect("it is there");
    files.insert(new.entry(""), image);
    Machine {
        disk: platters.contents(0),
        files,
    }
}

fn names(machine: &Machine) -> Vec<String> {
    let mut names: Vec<_> = machine.files.keys().cloned().collect();
    names.retain(|name| name != "other.efi");
    names
}

fn preferred(machine: &Machine, running: &Build, power: &Power) -> Machine {
    let (mut slots, platters, folder) = machine.open(running.running(false), power);
    let _ = slots.prefer_other();
    let files = folder.files.borrow().clone();
    Machine {
        disk: platters.contents(0),
        files,
    }
}

#[test]
fn back_and_forth() {
    let (old, new) = (Build::new("1"), Build::new("2"));
    let machine = updated(&old, &new);
    assert_eq!(machine.boots(), new.version);
    let back = preferred(&machine, &new, &Power::never_cut());
    assert_eq!(back.boots(), old.version);
    assert_eq!(names(&back), [old.entry(""), new.entry("+0")]);
    let forth = preferred(&back, &old, &Power::never_cut());
    assert_eq!(forth.boots(), new.version);
    assert_eq!(names(&forth), [old.entry(""), new.entry("+3")]);
}

#[test]
fn an_exhausted_version_gets_its_tries_before_the_running_one_loses_its_own() {
    let (old, new) = (Build::new("1"), Build::new("2"));
    let mut machine = updated(&old, &new);
    let image = machine.files.remove(&old.entry("")).expect("it is there");
    machine.files.insert(old.entry("+0-3"), image);
    for operations in 0..3 {
        let cut = preferred(&machine, &new, &Power::cut_after(operations));
        let expected = if operations < 2 { &new } else { &old };
        assert_eq!(cut.boots(), expected.version, "{operations}");
    }
}

#[test]
fn a_slot_that_is_empty_or_damaged_is_not_gone_back_to() {
    let (old, new) = (Build::new("1"), Build::new("2"));
    let machine = Machine::with(&old);
    let (slots, _, _) = machine.open(old.running(false), &Power::cut_after(0));
    let error = slots.other_release().unwrap_err();
    assert!(matches!(error, InstallError::NothingElse(_)), "{error}");
    let mut stray = machine;
    stray.files.insert(new.entry("+3"), new.boot_image.clone());
    let (slots, _, _) = stray.open(old.running(false), &Power::cut_after(0));
    let text = slots.other_release().unwrap_err().to_string();
    assert!(text.contains("boots a root that is not there"), "{text}");
}
