//! What is refused before the first byte is written, and what room is counted.

use slot_install::error::InstallError;
use slot_install::slots::read_tree;
use update_model::progress::Slot;

use crate::fixture::{Build, Machine};
use crate::power::Power;

#[test]
fn the_running_release_and_another_build_of_its_version_are_refused() {
    let (old, new) = (Build::new("1"), Build::new("2"));
    let (slots, _, _) = Machine::with(&old).open(old.running(false), &Power::cut_after(0));
    let error = slots.check(&old.candidate(), None).unwrap_err();
    assert!(matches!(error, InstallError::SameRoot(_)), "{error}");
    let mut candidate = new.candidate();
    candidate.version = old.version.clone();
    let error = slots.check(&candidate, None).unwrap_err();
    assert!(matches!(error, InstallError::SameVersion(_)), "{error}");
    slots.check(&new.candidate(), None).expect("nothing else");
}

#[test]
fn nothing_below_the_floor_is_installed() {
    let (old, new) = (Build::new("3"), Build::new("2"));
    let (slots, _, _) = Machine::with(&old).open(old.running(false), &Power::cut_after(0));
    let check = |floor: &str| slots.check(&new.candidate(), Some(&floor.parse().unwrap()));
    let text = check("2.1").unwrap_err().to_string();
    assert!(text.contains("2 is older than 2.1"), "{text}");
    check("2").expect("as old as the floor");
}

#[test]
fn a_version_on_trial_is_not_left_without_its_fallback() {
    let (old, new) = (Build::new("1"), Build::new("2"));
    let mut machine = Machine::with(&old);
    let image = machine.files.remove(&old.entry("")).expect("it is there");
    machine.files.insert(old.entry("+2-1"), image.clone());
    let check = |machine: &Machine, counted| {
        let (slots, _, _) = machine.open(old.running(counted), &Power::cut_after(0));
        slots.check(&new.candidate(), None)
    };
    let error = check(&machine, true).unwrap_err();
    assert!(matches!(error, InstallError::OnTrial(_)), "{error}");
    // Booted without the boot loader: nothing counts, and its entry can still be booted.
    check(&machine, false).expect("nothing speaks against it");
    machine.files.clear();
    for entry in [None, Some(old.entry("+0-3"))] {
        machine
            .files
            .extend(entry.map(|name| (name, image.clone())));
        let error = check(&machine, false).unwrap_err();
        assert!(matches!(error, InstallError::NoOwnEntry(_)), "{error}");
    }
}

#[test]
fn what_goes_first_counts_as_room() {
    let (old, new) = (Build::new("1"), Build::new("2"));
    let mut machine = Machine::with(&old);
    machine.files.insert(new.entry("+0-3"), vec![0; 1000]);
    machine.files.insert(new.entry("+3") + ".new", vec![0; 500]);
    let (_, _, mut folder) = machine.open(old.running(false), &Power::cut_after(0));
    folder.free_bytes = 1 << 20;
    let (disk, _) = crate::power::TestDisk::new(machine.disk.clone(), &Power::cut_after(0));
    let sectors = disk_format::gpt::SectorSize::Bytes512;
    let slots = slot_install::slots::Slots::open(disk, sectors, folder, old.running(false));
    let room = slots.expect("valid").room().expect("it can be counted");
    assert_eq!((room.esp, room.root_partition), (1500, 16 * 4096));
}

#[test]
fn a_disk_of_another_system_is_refused() {
    let (old, new) = (Build::new("1"), Build::new("2"));
    let machine = Machine::with(&old);
    let (disk, _) = crate::power::TestDisk::new(machine.disk, &Power::cut_after(0));
    let folder = crate::power::TestFolder::new(machine.files, &Power::cut_after(0));
    let sectors = disk_format::gpt::SectorSize::Bytes512;
    let error =
        slot_install::slots::Slots::open(disk, sectors, folder, new.running(false)).unwrap_err();
    assert!(matches!(error, InstallError::NotHere(_)), "{error}");
}

#[test]
fn the_installed_tree_can_be_read() {
    let old = Build::new("1");
    let machine = Machine::with(&old);
    let (mut slots, _, _) = machine.open(old.running(false), &Power::cut_after(0));
    assert_eq!(slots.idle(), Slot::B);
    let tree = read_tree(&mut slots.tree(Slot::A).expect("it is there"));
    assert!(tree.expect("it is whole") == old.tree);
    read_tree(&mut slots.tree(Slot::B).expect("it is there")).expect_err("it is blank");
}
