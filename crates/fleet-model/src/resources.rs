//! What units reserve, and what machines have.
//!
//! Reservations are promises: what units really use is not looked at.

use std::fmt;

/// What can be reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// In bytes.
    Memory,
    /// In thousandths of one.
    Cpu,
    /// Processes and threads.
    Tasks,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "bytes of memory",
            Self::Cpu => "thousandths of a CPU",
            Self::Tasks => "tasks",
        })
    }
}

/// What a unit reserves; 0 is nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Resources {
    /// In bytes.
    pub memory: u64,
    /// In thousandths of a CPU.
    pub cpu: u64,
    /// Processes and threads.
    pub tasks: u64,
}

/// What a machine has for units. What is not known is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capacity {
    /// In bytes.
    pub memory: Option<u64>,
    /// In thousandths of a CPU.
    pub cpu: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
}

impl Resources {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            memory: self.memory.saturating_add(other.memory),
            cpu: self.cpu.saturating_add(other.cpu),
            tasks: self.tasks.saturating_add(other.tasks),
        }
    }

    /// What is left when one of those that were added goes.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            memory: self.memory.saturating_sub(other.memory),
            cpu: self.cpu.saturating_sub(other.cpu),
            tasks: self.tasks.saturating_sub(other.tasks),
        }
    }
}

impl Capacity {
    /// The first resource of which a unit needs more than is left, with what it needs and what is left.
    pub fn shortage(self, reserved: Resources, needed: Resources) -> Option<(Resource, u64, u64)> {
        let rows = [
            (
                Resource::Memory,
                self.memory,
                reserved.memory,
                needed.memory,
            ),
            (Resource::Cpu, self.cpu, reserved.cpu, needed.cpu),
            (Resource::Tasks, self.tasks, reserved.tasks, needed.tasks),
        ];
        rows.into_iter()
            .find_map(|(resource, has, reserved, needed)| {
                let left = has?.saturating_sub(reserved);
                (needed > left).then_some((resource, needed, left))
            })
    }
}
