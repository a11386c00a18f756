//! Keys from names, and names from keys.
//!
//! Names of units hold no slash, so a key is read from its end.

use fleet_model::MachineId;
use systemd_unit::UnitName;

use crate::keys::Keys;

/// Where the fleet's keys are unless configured otherwise.
pub const DEFAULT_PREFIX: &str = "/keelson/fleet/";

/// The keys below one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    prefix: String,
}

/// What a key is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// `contents/HASH`
    Contents(String),
    /// `units/NAME`
    Unit(UnitName),
    /// `targets/MACHINE/NAME`
    Target(MachineId, UnitName),
    /// `present/MACHINE/NAME`
    Present(MachineId, UnitName),
    /// `actual-states/MACHINE/NAME`
    State(MachineId, UnitName),
    /// `machines/ID/alive`
    Alive(MachineId),
    /// `machines/ID/record`
    Record(MachineId),
    /// `machines/ID/settings`
    Settings(MachineId),
    /// `engine/leader`
    Leader,
}

impl Default for Layout {
    fn default() -> Self {
        Self::new(DEFAULT_PREFIX)
    }
}

impl Layout {
    /// Keys below a prefix; a slash is added if it does not end with one.
    pub fn new(prefix: impl Into<String>) -> Self {
        let mut prefix = prefix.into();
        if !prefix.ends_with('/') {
            prefix.push('/');
        }
        Self { prefix }
    }

    /// The prefix, with its slash.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where contents with this hash are.
    pub fn contents(&self, hash: &str) -> String {
        format!("{}contents/{hash}", self.prefix)
    }

    /// Where a unit is.
    pub fn unit(&self, name: &UnitName) -> String {
        format!("{}units/{}", self.prefix, name.as_str())
    }

    /// Where a machine is told to have a unit.
    pub fn target(&self, machine: &MachineId, name: &UnitName) -> String {
        self.of_machine("targets", machine, name)
    }

    /// Where a machine says that it has a unit.
    pub fn present(&self, machine: &MachineId, name: &UnitName) -> String {
        self.of_machine("present", machine, name)
    }

    /// Where a machine says how a unit is.
    pub fn state(&self, machine: &MachineId, name: &UnitName) -> String {
        self.of_machine("actual-states", machine, name)
    }

    /// Where a machine says that it is alive.
    pub fn alive(&self, machine: &MachineId) -> String {
        format!("{}machines/{machine}/alive", self.prefix)
    }

    /// Where a machine says what it is.
    pub fn record(&self, machine: &MachineId) -> String {
        format!("{}machines/{machine}/record", self.prefix)
    }

    /// Where operators say what they want of a machine.
    pub fn settings(&self, machine: &MachineId) -> String {
        format!("{}machines/{machine}/settings", self.prefix)
    }

    /// Where the engine that leads stands.
    pub fn leader(&self) -> String {
        format!("{}engine/leader", self.prefix)
    }

    /// Everything.
    pub fn everything(&self) -> Keys {
        Keys::Prefix(self.prefix.clone())
    }

    /// All that decisions are made from: everything but the units' states.
    pub fn decisive(&self) -> Keys {
        let of = |name: &str| format!("{}{name}", self.prefix);
        Keys::Range(of("contents/"), of("units0")) // what follows `units/`
    }

    /// All units.
    pub fn units(&self) -> Keys {
        self.all("units")
    }

    /// All that concerns machines themselves.
    pub fn machines(&self) -> Keys {
        self.all("machines")
    }

    /// All targets of all machines.
    pub fn targets(&self) -> Keys {
        self.all("targets")
    }

    /// Where a machine says what it registered for a container.
    pub fn announced(&self, machine: &MachineId, container: &str) -> String {
        format!("{}announced/{machine}/{container}", self.prefix)
    }

    /// What a machine registered for containers.
    pub fn announced_of(&self, machine: &MachineId) -> Keys {
        self.all(&format!("announced/{machine}"))
    }

    /// All states of all machines.
    pub fn states(&self) -> Keys {
        self.all("actual-states")
    }

    /// What one machine shall have: what an agent watches.
    pub fn targets_of(&self, machine: &MachineId) -> Keys {
        self.all(&format!("targets/{machine}"))
    }

    /// What one machine has.
    pub fn present_of(&self, machine: &MachineId) -> Keys {
        self.all(&format!("present/{machine}"))
    }

    /// How the units of one machine are.
    pub fn states_of(&self, machine: &MachineId) -> Keys {
        self.all(&format!("actual-states/{machine}"))
    }

    /// What concerns one machine itself.
    pub fn machine(&self, machine: &MachineId) -> Keys {
        self.all(&format!("machines/{machine}"))
    }

    /// Reads a key; nothing for one that is not the fleet's.
    pub fn parse(&self, key: &str) -> Option<Key> {
        let (kind, rest) = key.strip_prefix(&self.prefix)?.split_once('/')?;
        match kind {
            "contents" => Some(Key::Contents(rest.to_owned())),
            "units" => UnitName::new(rest).ok().map(Key::Unit),
            "targets" => machine_and_unit(rest).map(|(id, name)| Key::Target(id, name)),
            "present" => machine_and_unit(rest).map(|(id, name)| Key::Present(id, name)),
            "actual-states" => machine_and_unit(rest).map(|(id, name)| Key::State(id, name)),
            "machines" => machine_key(rest),
            "engine" => (rest == "leader").then_some(Key::Leader),
            _ => None,
        }
    }

    fn all(&self, what: &str) -> Keys {
        Keys::Prefix(format!("{}{what}/", self.prefix))
    }

    fn of_machine(&self, kind: &str, machine: &MachineId, name: &UnitName) -> String {
        format!("{}{kind}/{machine}/{}", self.prefix, name.as_str())
    }
}

fn machine_and_unit(rest: &str) -> Option<(MachineId, UnitName)> {
    let (machine, name) = rest.rsplit_once('/')?;
    Some((MachineId::new(machine), UnitName::new(name).ok()?))
}

fn machine_key(rest: &str) -> Option<Key> {
    let (machine, what) = rest.rsplit_once('/')?;
    let machine = MachineId::new(machine);
    match what {
        "alive" => Some(Key::Alive(machine)),
        "record" => Some(Key::Record(machine)),
        "settings" => Some(Key::Settings(machine)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_made() {
        let layout = Layout::new("/a/b");
        let machine = MachineId::new("m1");
        let name = UnitName::new("foo@1.service").expect("a name");
        let rows = [
            (layout.contents("ab12"), Key::Contents("ab12".to_owned())),
            (layout.unit(&name), Key::Unit(name.clone())),
            (
                layout.target(&machine, &name),
                Key::Target(machine.clone(), name.clone()),
            ),
            (
                layout.present(&machine, &name),
                Key::Present(machine.clone(), name.clone()),
            ),
            (
                layout.state(&machine, &name),
                Key::State(machine.clone(), name.clone()),
            ),
            (layout.alive(&machine), Key::Alive(machine.clone())),
            (layout.record(&machine), Key::Record(machine.clone())),
            (layout.settings(&machine), Key::Settings(machine.clone())),
            (layout.leader(), Key::Leader),
        ];
        for (text, key) in rows {
            assert!(layout.everything().contains(&text), "{text}");
            let is_state = matches!(key, Key::State(..));
            assert_eq!(layout.decisive().contains(&text), !is_state, "{text}");
            assert_eq!(layout.parse(&text), Some(key), "{text}");
        }
        assert_eq!(layout.unit(&name), "/a/b/units/foo@1.service");
        // Engines are not woken by it.
        let announced = layout.announced(&machine, "web");
        assert!(layout.announced_of(&machine).contains(&announced));
        assert!(!layout.decisive().contains(&announced));
    }

    #[test]
    fn other_keys_are_nothing() {
        let layout = Layout::default();
        for key in [
            "/keelson/fleet",
            "/keelson/other/units/a.service",
            "/keelson/fleet/units/no name",
            "/keelson/fleet/targets/a.service",
            "/keelson/fleet/machines/m1/other",
            "/keelson/fleet/engine/other",
            "/keelson/fleet/later/a",
        ] {
            assert_eq!(layout.parse(key), None, "{key}");
        }
    }

    #[test]
    fn a_machines_prefix_is_not_that_of_one_whose_id_begins_so() {
        let layout = Layout::default();
        let name = UnitName::new("a.service").expect("a name");
        let keys = layout.targets_of(&MachineId::new("m1"));
        assert!(keys.contains(&layout.target(&MachineId::new("m1"), &name)));
        assert!(!keys.contains(&layout.target(&MachineId::new("m10"), &name)));
    }
}
