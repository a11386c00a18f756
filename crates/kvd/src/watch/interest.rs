//! Which events a watcher wants: by path, by tree, and when a directory goes with all that is in it;
//! or, through v3, by key.
//!
//! Only the rule; finding the watchers of an event quickly is [`super::hub`]'s affair.
use kv_model::command::KeyRange;
use kv_model::event::{Content, Event, Node};

/// What a client watches, by either protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    /// A path of v2.
    Path(Interest),
    /// Keys of v3.
    Keys(KeyRange),
}

impl From<Interest> for Watched {
    fn from(interest: Interest) -> Self {
        Self::Path(interest)
    }
}

impl Watched {
    /// Whether this event is to be told.
    pub fn wants(&self, event: &Event) -> bool {
        match self {
            Self::Path(interest) => interest.wants(event),
            Self::Keys(range) => keys_of(event).any(|key| range.contains(key)),
        }
    }
}

/// The keys that an event changes, as v3 sees it: directories are none, and a key whose time to live
/// was renewed is one.
pub(super) fn keys_of(event: &Event) -> impl Iterator<Item = &[u8]> {
    event.key_changes().map(|change| change.key.as_ref())
}

/// What a client watches through v2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    /// Cleaned and absolute; the root is `/`.
    pub path: String,
    /// All below it, too.
    pub recursive: bool,
}

impl Interest {
    /// Whether this event is to be told.
    ///
    /// Hidden keys (a name that begins with `_`) are told to those who watch at or below the hidden
    /// name, not to those who watch from above. Removing a directory is told to those who watch
    /// something that was in it.
    pub fn wants(&self, event: &Event) -> bool {
        let (path, key) = (self.path.as_bytes(), event.node.key.as_ref());
        if event.refresh {
            return false;
        }
        match below(key, path) {
            Some(b"") => true,
            Some(rest) => self.recursive && !is_hidden(rest),
            None => removes(event, path),
        }
    }
}

/// Whether the event takes this path away together with its directory.
pub(super) fn removes(event: &Event, path: &[u8]) -> bool {
    // Directories first, then keys, each in order.
    let is_directory =
        |node: &Node| matches!(node.content, Content::Directory | Content::DirectoryGone);
    let directories = event.removed_keys.partition_point(is_directory);
    let (directories, keys) = event.removed_keys.split_at(directories);
    [directories, keys].into_iter().any(|nodes| {
        let found = nodes.binary_search_by(|node| node.key.as_ref().cmp(path));
        found.is_ok()
    })
}

/// The rest of a path after one that it is at or below: empty, or with a slash in front.
pub(super) fn below<'a>(path: &'a [u8], ancestor: &[u8]) -> Option<&'a [u8]> {
    if ancestor == b"/" {
        return match path {
            b"/" => Some(b""),
            [b'/', ..] => Some(path),
            _ => None,
        };
    }
    let rest = path.strip_prefix(ancestor)?;
    matches!(rest, [] | [b'/', ..]).then_some(rest)
}

/// Whether one of the names in this rest of a path is hidden.
pub(super) fn is_hidden(rest: &[u8]) -> bool {
    rest.windows(2).any(|pair| pair == b"/_")
}

#[cfg(test)]
mod tests {
    use kv_model::Action;

    use super::Interest;
    use crate::watch::tests::{directory_removal, event, refresh};

    #[test]
    fn a_watcher_wants_its_path_its_tree_and_the_end_of_its_directories() {
        // (watched path, recursive, changed path, wanted)
        let cases = [
            ("/a", false, "/a", true),
            ("/a", false, "/a/b", false),
            ("/a", false, "/ab", false),
            ("/a", true, "/ab", false),
            ("/a", true, "/a", true),
            ("/a", true, "/a/b/c", true),
            ("/a/b", true, "/a", false),
            ("/", false, "/a", false),
            ("/", true, "/a", true),
            ("/", true, "/_a", false),
            ("/", true, "/a/_b/c", false),
            ("/", true, "/a_/b_c", true),
            ("/a", true, "/a/_b", false),
            ("/_a", true, "/_a", true),
            ("/_a", true, "/_a/b", true),
            ("/_a", false, "/_a", true),
            ("/a/_b", true, "/a/_b/c", true),
            ("/a/_b", true, "/a/_b/_c", false),
            ("/", true, "not a path of v2", false),
            ("/", true, "", false),
        ];
        for (path, recursive, changed, wanted) in cases {
            let path = path.to_owned();
            let interest = Interest { path, recursive };
            let got = interest.wants(&event(1, Action::Set, changed));
            assert_eq!(got, wanted, "{interest:?} {changed}");
        }
    }

    #[test]
    fn a_removed_directory_is_told_to_those_who_watch_what_was_in_it() {
        let removal = directory_removal(1, "/a", &["/a/b", "/a/e"], &["/a/_h", "/a/b/c"]);
        let cases = [
            ("/a", false, true),
            ("/a", true, true),
            ("/a/b", false, true),
            ("/a/b", true, true),
            ("/a/e", false, true),
            ("/a/b/c", false, true),
            ("/a/_h", true, true),
            ("/a/x", true, false),
            ("/a/b/c/d", false, false),
            ("/ab", false, false),
            ("/", true, true),
            ("/", false, false),
        ];
        for (path, recursive, wanted) in cases {
            let path = path.to_owned();
            let interest = Interest { path, recursive };
            assert_eq!(interest.wants(&removal), wanted, "{interest:?}");
        }
    }

    #[test]
    fn a_refresh_is_told_to_nobody() {
        for recursive in [false, true] {
            let path = "/a".to_owned();
            assert!(!Interest { path, recursive }.wants(&refresh(1, "/a")));
        }
    }
}
