//! What a step is bound to, tried out in a store: a decision that was overtaken must not be carried out.

use fleet_model::schedule;
use fleet_store::memory::MemoryStore;
use fleet_store::{
    Alive, Contents, Keys, LeaseRecord, MachineRecord, MachineSettings, Presence, Transaction,
};
use tokio::time::Instant;

use super::*;

const UNIT: &str = "a.service";

/// A store with machines m1 and m2, and a unit that m1 shall have and has.
struct Scene {
    store: MemoryStore,
    layout: Layout,
}

fn machine(text: &str) -> MachineId {
    MachineId::new(text)
}

fn name() -> UnitName {
    UnitName::new(UNIT).expect("a name")
}

impl Scene {
    fn new() -> Self {
        let scene = Self {
            store: MemoryStore::new(1),
            layout: Layout::default(),
        };
        for id in ["m1", "m2"] {
            let lease = Some(LeaseRecord {
                id: 1,
                ttl_seconds: 30,
            });
            let record = MachineRecord {
                lease,
                ..MachineRecord::default()
            };
            scene.put(scene.layout.record(&machine(id)), &record);
            scene.revive(id);
        }
        let contents = Contents {
            file: "[Service]\nExecStart=/bin/true\n".to_owned(),
            drop_ins: Vec::new(),
        };
        scene.put(scene.layout.contents("h"), &contents);
        let record = UnitRecord::new("h", State::Launched);
        scene.put(scene.layout.unit(&name()), &record);
        let target = Target {
            hash: "h".to_owned(),
            desired: State::Launched,
            replacing: Vec::new(),
        };
        scene.put(scene.layout.target(&machine("m1"), &name()), &target);
        let presence = Presence {
            hash: "h".to_owned(),
        };
        scene.put(scene.layout.present(&machine("m1"), &name()), &presence);
        scene
    }

    fn write(&self, operation: Operation) {
        let transaction = Transaction {
            conditions: Vec::new(),
            operations: vec![operation],
        };
        let outcome = self.store.put_through(&transaction);
        assert!(outcome.is_some_and(fleet_store::Outcome::is_committed));
    }

    fn put(&self, key: String, value: &impl Value) {
        self.write(Operation::put(key, value.to_bytes()));
    }

    fn revive(&self, id: &str) {
        let alive = Alive {
            boot_id: "b".to_owned(),
        };
        self.put(self.layout.alive(&machine(id)), &alive);
    }

    fn lose(&self, id: &str) {
        self.write(Operation::Delete(self.layout.alive(&machine(id))));
    }

    fn drain(&self, id: &str) {
        let settings = MachineSettings {
            availability: fleet_store::MachineAvailability::Draining,
            ..MachineSettings::default()
        };
        self.put(self.layout.settings(&machine(id)), &settings);
    }

    /// The steps that an engine would make now.
    fn steps(&self) -> Vec<Step> {
        let range = fleet_store::Range {
            revision: self.store.revision(),
            pairs: self.store.look(&self.layout.everything()),
        };
        let mirror = Mirror::new(self.layout.clone(), range, Instant::now());
        plan(&mirror, &schedule(mirror.view()))
    }

    /// Whether the store carries a step out.
    fn carries_out(&self, step: &Step) -> bool {
        let transaction = Transaction {
            conditions: step.conditions.clone(),
            operations: step.operations.clone(),
        };
        let outcome = self.store.put_through(&transaction);
        outcome.is_some_and(fleet_store::Outcome::is_committed)
    }

    /// The machines that shall have the unit.
    fn places(&self) -> Vec<&'static str> {
        let is_there = |id: &&str| {
            let key = Keys::One(self.layout.target(&machine(id), &name()));
            !self.store.look(&key).is_empty()
        };
        ["m1", "m2"].into_iter().filter(is_there).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_lost_machine_loses_another_gets_in_the_same_step() {
    let scene = Scene::new();
    scene.lose("m1");
    let steps = scene.steps();
    let [step] = &steps[..] else {
        panic!("one step: {steps:?}");
    };
    assert!(scene.carries_out(step));
    assert_eq!(scene.places(), ["m2"]);
    assert_eq!(scene.steps(), Vec::new(), "there is nothing left to do");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_came_back_keeps_its_units() {
    let scene = Scene::new();
    scene.lose("m1");
    let steps = scene.steps();
    // It still sees its target, and starts the unit again.
    scene.revive("m1");
    for step in &steps {
        assert!(!scene.carries_out(step), "{step:?}");
    }
    assert_eq!(scene.places(), ["m1"]);
}

#[tokio::test(start_paused = true)]
async fn a_unit_does_not_come_to_a_machine_that_was_lost_meanwhile() {
    let scene = Scene::new();
    scene.lose("m1");
    let steps = scene.steps();
    scene.lose("m2");
    scene.revive("m2"); // another life: its agent knows nothing of this one
    for step in &steps {
        assert!(!scene.carries_out(step), "{step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_living_machine_has_to_give_up_nobody_gets_before_it_is_gone() {
    let scene = Scene::new();
    scene.drain("m1");
    for step in scene.steps() {
        assert!(scene.carries_out(&step));
    }
    assert_eq!(scene.places(), Vec::<&str>::new());
    assert_eq!(scene.steps(), Vec::new(), "m1 says that it has it still");
    scene.write(Operation::Delete(
        scene.layout.present(&machine("m1"), &name()),
    ));
    for step in scene.steps() {
        assert!(scene.carries_out(&step));
    }
    assert_eq!(scene.places(), ["m2"]);
}

/// The engine decides while the machine, which has only just been told, has not said that it has the unit.
#[tokio::test(start_paused = true)]
async fn what_a_living_machine_may_be_starting_nobody_gets_before_that_is_known() {
    let scene = Scene::new();
    let present = scene.layout.present(&machine("m1"), &name());
    scene.write(Operation::Delete(present.clone()));
    scene.drain("m1");
    let steps = scene.steps();
    let presence = Presence {
        hash: "h".to_owned(),
    };
    scene.put(present, &presence);
    for step in steps {
        assert!(scene.carries_out(&step));
    }
    assert_eq!(scene.places(), Vec::<&str>::new());
    assert_eq!(scene.steps(), Vec::new(), "m1 has it");
}

#[tokio::test(start_paused = true)]
async fn what_was_decided_on_a_unit_that_changed_meanwhile_is_not_carried_out() {
    let scene = Scene::new();
    scene.lose("m1");
    let steps = scene.steps();
    let record = UnitRecord::new("h", State::Inactive);
    scene.put(scene.layout.unit(&name()), &record);
    for step in &steps {
        assert!(!scene.carries_out(step), "{step:?}");
    }
    assert_eq!(scene.places(), ["m1"]);
}
