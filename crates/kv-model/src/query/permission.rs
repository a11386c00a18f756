//! Whether somebody may use keys.
//!
//! Permissions of v2 and v3 are all taken as ranges of keys, so that either protects both. Who
//! somebody is has been checked before.
use bytes::Bytes;

use crate::auth::{Access, GUEST, ROOT, Subject, successor};
use crate::command::KeyRange;
use crate::path;
use crate::record::{auth, setting};
use crate::tables::{TableError, Tables};

/// Keys from one on, to before another if there is one.
type Interval = (Bytes, Option<Bytes>);

pub(super) fn may(
    tables: &dyn Tables,
    user: Option<&str>,
    access: Access,
    subject: &Subject,
) -> Result<bool, TableError> {
    if !setting::is_auth_enabled(tables)? {
        return Ok(true);
    }
    let roles = match user {
        None => [GUEST.to_owned()].into(),
        Some(name) => auth::user(tables, name)?
            .map(|user| user.roles)
            .unwrap_or_default(),
    };
    let mut allowed = Vec::new();
    for role in roles {
        if role == ROOT {
            return Ok(true);
        }
        let permissions = auth::role(tables, &role)?.map(|role| role.permissions);
        allowed.extend(permissions.unwrap_or_default());
    }
    let allowed = allowed
        .into_iter()
        .filter(|permission| permission.access == access)
        .map(|permission| permission.pattern.range());
    Ok(covers(allowed.collect(), wanted(subject)))
}

fn wanted(subject: &Subject) -> Interval {
    match subject {
        Subject::Path(path) => (path.clone().into(), Some(successor(path.as_bytes()))),
        Subject::Tree(path) => {
            let end = path::after_children(&path::children_prefix(path));
            (path.clone().into(), Some(end.into()))
        }
        Subject::Keys(KeyRange::Single(key)) => (key.clone(), Some(successor(key))),
        // A range that ends before it begins still names its beginning.
        Subject::Keys(KeyRange::HalfOpen(from, to)) => {
            let to = to.clone().max(successor(from));
            (from.clone(), Some(to))
        }
        Subject::Keys(KeyRange::From(from)) => (from.clone(), None),
    }
}

/// Whether the intervals together hold all of the wanted one.
fn covers(mut allowed: Vec<Interval>, (mut from, to): Interval) -> bool {
    allowed.sort();
    for (begin, end) in allowed {
        if begin > from {
            return false;
        }
        match end {
            None => return true,
            Some(end) if to.as_ref().is_some_and(|to| end >= *to) => return true,
            Some(end) => from = from.max(end),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(from: &'static str, to: Option<&'static str>) -> Interval {
        (from.into(), to.map(Bytes::from))
    }

    #[test]
    fn touching_intervals_cover_together_and_a_gap_does_not() {
        let touching = vec![interval("c", Some("e")), interval("a", Some("c"))];
        assert!(covers(touching.clone(), interval("b", Some("d"))));
        assert!(covers(touching.clone(), interval("a", Some("e"))));
        assert!(!covers(touching.clone(), interval("a", Some("f"))));
        assert!(!covers(touching, interval("a", None)));
        let gap = vec![interval("a", Some("c")), interval("d", Some("e"))];
        assert!(!covers(gap.clone(), interval("b", Some("e"))));
        assert!(covers(gap, interval("d", Some("e"))));
        assert!(covers(vec![interval("a", None)], interval("b", None)));
        assert!(!covers(vec![], interval("b", Some("c"))));
    }

    #[test]
    fn an_empty_range_of_v3_needs_what_it_names() {
        let allowed = vec![interval("a", Some("c"))];
        let range = |from, to| wanted(&Subject::Keys(KeyRange::HalfOpen(from, to)));
        assert!(!covers(allowed.clone(), range("x".into(), "b".into())));
        assert!(covers(allowed, range("b".into(), "a".into())));
    }
}
