//! Users and groups.
//!
//! Nobody is removed: `shouldExist: false` is refused.

use ignition_config::v3_5::{self, Passwd};

use super::reading::Reading;
use crate::key_path::KeyPath;
use crate::plan::{Group, PasswordHash, Plan, Stated, User};

/// Reads the section.
pub(super) fn read(passwd: &Passwd, key: &KeyPath, reading: &mut Reading, plan: &mut Plan) {
    for (index, one) in passwd.groups.iter().flatten().enumerate() {
        let key = key.key("groups").index(index);
        refuse_removal(one.should_exist, &key, reading);
        plan.groups
            .push(Stated::new(group(one, &key, reading), key));
    }
    for (index, one) in passwd.users.iter().flatten().enumerate() {
        let key = key.key("users").index(index);
        refuse_removal(one.should_exist, &key, reading);
        plan.users.push(Stated::new(user(one, &key, reading), key));
    }
}

fn refuse_removal(should_exist: Option<bool>, key: &KeyPath, reading: &mut Reading) {
    if should_exist == Some(false) {
        let text = "removing is not supported: the image has none but the system's own";
        reading.problem(&key.key("shouldExist"), text);
    }
}

fn group(group: &v3_5::Group, key: &KeyPath, reading: &mut Reading) -> Group {
    Group {
        name: group.name.clone(),
        id: reading.number(group.gid, &key.key("gid")),
        is_system: group.system == Some(true),
        password: group.password_hash.clone().map(PasswordHash),
    }
}

fn user(user: &v3_5::User, key: &KeyPath, reading: &mut Reading) -> User {
    if user.no_user_group == Some(true) && user.primary_group.is_none() {
        let text = "needs `primaryGroup`: every user has a group";
        reading.problem(&key.key("noUserGroup"), text);
    }
    User {
        name: user.name.clone(),
        id: reading.number(user.uid, &key.key("uid")),
        is_system: user.system == Some(true),
        full_name: user.gecos.clone(),
        home: user.home_dir.clone(),
        without_home: user.no_create_home == Some(true),
        shell: user.shell.clone(),
        primary_group: user.primary_group.clone(),
        groups: user.groups.clone().unwrap_or_default(),
        password: user.password_hash.clone().map(PasswordHash),
        ssh_keys: user.ssh_authorized_keys.clone().unwrap_or_default(),
        sudo: Vec::new(),
    }
}
