//! Which of all capabilities there are to give: on a machine that is itself a container, not all that the kernel knows.
//!
//! Single ones that are asked for by name and cannot be given are an error of the runtime's.

use container_model::capability::{self, CapabilityOption};
use container_model::oci_spec::runtime::{Capabilities, Spec};
use container_model::options::ContainerOptions;

/// Leaves out of all what this process, from which the container has them, does not have itself.
pub(super) fn limit(spec: &mut Spec, options: &ContainerOptions) {
    let wants_all =
        options.privileged || options.added_capabilities.contains(&CapabilityOption::All);
    if wants_all && let Some(held) = held() {
        keep(spec, &held);
    }
}

fn held() -> Option<Capabilities> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("CapPrm:"))?;
    capability::of_mask(mask)
}

fn keep(spec: &mut Spec, held: &Capabilities) {
    let Some(mut process) = spec.process().clone() else {
        return;
    };
    let Some(mut sets) = process.capabilities().clone() else {
        return;
    };
    let kept = |set: &Option<Capabilities>| {
        let set = set.as_ref()?;
        Some(set.intersection(held).copied().collect())
    };
    let (bounding, effective) = (kept(sets.bounding()), kept(sets.effective()));
    let permitted = kept(sets.permitted());
    sets.set_bounding(bounding)
        .set_effective(effective)
        .set_permitted(permitted);
    process.set_capabilities(Some(sets));
    spec.set_process(Some(process));
}

#[cfg(test)]
mod tests {
    use container_model::oci_spec::runtime::Capability;

    use super::*;

    #[test]
    fn what_is_not_held_is_not_given() {
        let mut spec = Spec::default();
        let held = [Capability::Kill, Capability::SysTime].into();
        keep(&mut spec, &held);
        let process = spec.process().clone().unwrap();
        let sets = process.capabilities().clone().unwrap();
        assert_eq!(sets.permitted(), &Some([Capability::Kill].into()));
        assert_eq!(sets.bounding(), &Some([Capability::Kill].into()));
    }
}
