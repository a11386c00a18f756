//! Which numbers new users and groups get.
//!
//! Numbers that the plan names are never given to somebody else.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use provision_model::plan::Plan;

use super::Accounts;

/// Numbers of people.
const PEOPLE: RangeInclusive<u32> = 1_000..=59_999;
/// Numbers of the owner's system users: those of images stand below and are given from 999 downward.
const SYSTEM: RangeInclusive<u32> = 400..=899;

/// The numbers a plan names.
pub(super) fn reserved(plan: &Plan) -> BTreeSet<u32> {
    let users = plan.users.iter().filter_map(|user| user.value.id);
    let groups = plan.groups.iter().filter_map(|group| group.value.id);
    users.chain(groups).collect()
}

impl Accounts {
    /// The first number that neither a user nor a group has, so that a user and its group have the same.
    pub(super) fn free_id(&self, is_system: bool, reserved: &BTreeSet<u32>) -> Result<u32, String> {
        let users = self.passwd.values(2).chain(self.group.values(2));
        let taken: BTreeSet<u32> = users.filter_map(|id| id.parse().ok()).collect();
        let mut range = if is_system { SYSTEM } else { PEOPLE };
        range
            .find(|id| !taken.contains(id) && !reserved.contains(id))
            .ok_or_else(|| "there is no free number left".to_owned())
    }
}
