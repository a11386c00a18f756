//! Who runs in a container: `--user`, and what an image's `passwd` and `group` make of it.
//!
//! Opens neither file. Names and numbers are looked up as Docker does: a number needs no entry.

use std::str::FromStr;

use thiserror::Error;

use crate::malformed::Malformed;

/// `USER[:GROUP]`, each a name or a number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserOption {
    user: String,
    group: Option<String>,
}

/// Numbers, as the kernel wants them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedUser {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Groups beside it.
    pub additional_gids: Vec<u32>,
    /// The home, for `HOME`.
    pub home: String,
}

/// Whom the image does not know.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UserError {
    /// No such user.
    #[error("the image's /etc/passwd has no user `{0}`")]
    NoUser(String),
    /// No such group.
    #[error("the image's /etc/group has no group `{0}`")]
    NoGroup(String),
}

impl FromStr for UserOption {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let is_good = |name: &str| !name.contains([':', '\n', '\0', ' ']);
        if !is_good(user) || group.is_some_and(|group| !is_good(group)) {
            let reason = "USER or USER:GROUP is wanted, each a name or a number";
            return Err(Malformed::new("user", text, reason));
        }
        let group = group.filter(|group| !group.is_empty());
        Ok(Self {
            user: user.to_owned(),
            group: group.map(ToOwned::to_owned),
        })
    }
}

impl UserOption {
    /// Looks the names up in the image's files; empty texts if it has none.
    pub fn resolve(&self, passwd: &str, group: &str) -> Result<ResolvedUser, UserError> {
        let entry = find_user(passwd, &self.user);
        let mut resolved = match (&entry, number(&self.user)) {
            (Some(entry), _) => ResolvedUser {
                uid: entry.uid,
                gid: entry.gid,
                additional_gids: groups_of(group, entry.name),
                home: entry.home.to_owned(),
            },
            (None, Some(uid)) => ResolvedUser { uid, ..root() },
            (None, None) if self.user.is_empty() => root(),
            (None, None) => return Err(UserError::NoUser(self.user.clone())),
        };
        if let Some(name) = &self.group {
            resolved.gid = find_group(group, name)
                .or(number(name))
                .ok_or_else(|| UserError::NoGroup(name.clone()))?;
            // As Docker does: whoever names a group wants that one.
            resolved.additional_gids.clear();
        }
        resolved.additional_gids.retain(|gid| *gid != resolved.gid);
        Ok(resolved)
    }
}

/// A group by name or number, for `--group-add`.
pub fn resolve_group(group: &str, name: &str) -> Result<u32, UserError> {
    find_group(group, name)
        .or(number(name))
        .ok_or_else(|| UserError::NoGroup(name.to_owned()))
}

struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn root() -> ResolvedUser {
    ResolvedUser {
        uid: 0,
        gid: 0,
        additional_gids: Vec::new(),
        home: "/".to_owned(),
    }
}

/// The kernel takes the largest as "none".
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| *number != u32::MAX)
}

/// By name first, so that a user may be called `7`; no name is root.
fn find_user<'a>(passwd: &'a str, user: &str) -> Option<PasswdEntry<'a>> {
    let entries = || passwd.lines().filter_map(passwd_entry);
    let uid = if user.is_empty() {
        Some(0)
    } else {
        number(user)
    };
    entries()
        .find(|entry| entry.name == user)
        .or_else(|| entries().find(|entry| Some(entry.uid) == uid))
}

fn passwd_entry(line: &str) -> Option<PasswdEntry<'_>> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, _, home, ..] = fields[..] else {
        return None;
    };
    Some(PasswdEntry {
        name,
        uid: number(uid)?,
        gid: number(gid)?,
        home: if home.is_empty() { "/" } else { home },
    })
}

fn group_entry(line: &str) -> Option<(&str, u32, &str)> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, gid, members, ..] = fields[..] else {
        return None;
    };
    Some((name, number(gid)?, members))
}

fn find_group(group: &str, name: &str) -> Option<u32> {
    let mut entries = group.lines().filter_map(group_entry);
    entries
        .find(|(found, ..)| *found == name)
        .map(|(_, gid, _)| gid)
}

fn groups_of(group: &str, user: &str) -> Vec<u32> {
    let is_member = |members: &str| members.split(',').any(|member| member == user);
    let entries = group.lines().filter_map(group_entry);
    entries
        .filter(|(.., members)| is_member(members))
        .map(|(_, gid, _)| gid)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\nbroken\n7:x:70:71:::\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nextra:x:40:other,web\n";

    fn resolve(text: &str) -> Result<(u32, u32, Vec<u32>, String), String> {
        let option: UserOption = text.parse().unwrap();
        let user = option.resolve(PASSWD, GROUP).map_err(|e| e.to_string())?;
        Ok((user.uid, user.gid, user.additional_gids, user.home))
    }

    #[test]
    fn names_and_numbers_are_looked_up() {
        let is =
            |uid, gid, more: &[u32], home: &str| Ok((uid, gid, more.to_vec(), home.to_owned()));
        assert_eq!(resolve(""), is(0, 0, &[], "/root"));
        assert_eq!(resolve("web"), is(33, 34, &[40], "/srv"));
        assert_eq!(resolve("33"), is(33, 34, &[40], "/srv"));
        assert_eq!(resolve("web:extra"), is(33, 40, &[], "/srv"));
        assert_eq!(resolve("1000"), is(1000, 0, &[], "/"));
        assert_eq!(resolve("1000:1001"), is(1000, 1001, &[], "/"));
        assert_eq!(resolve("7"), is(70, 71, &[], "/"));
    }

    #[test]
    fn strangers_are_errors() {
        assert_eq!(
            resolve("nobody").unwrap_err(),
            "the image's /etc/passwd has no user `nobody`"
        );
        assert!(resolve("web:none").unwrap_err().contains("no group `none`"));
        assert!(resolve("4294967295").is_err());
        for bad in ["a:b:c", "a b", "a\n"] {
            assert!(bad.parse::<UserOption>().is_err(), "{bad}");
        }
        assert_eq!(resolve_group(GROUP, "extra"), Ok(40));
        assert_eq!(resolve_group("", "41"), Ok(41));
    }

    #[test]
    fn an_image_without_files_has_root() {
        let user = UserOption::default().resolve("", "").unwrap();
        assert_eq!((user.uid, user.gid, user.home.as_str()), (0, 0, "/"));
    }
}
