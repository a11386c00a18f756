//! Listings of v2 directories, whole or page by page.
//!
//! A page's order is that of names on each level, a directory before what is in it. What goes
//! before a page's first node is read again only along the path to it.
use super::find::{Found, find};
use super::level::{Child, Level};
use super::{Queried, Tree, TreePage, TreeQuery, refuse};
use crate::path;
use crate::tables::{TableError, Tables};

/// The state of one listing.
struct Listing<'t> {
    tables: &'t dyn Tables,
    recursive: bool,
    /// How many more nodes the page takes.
    left: Option<usize>,
    /// The last node taken.
    last: Option<String>,
    /// There is a node that the page did not take.
    is_cut: bool,
}

pub(super) fn tree(tables: &dyn Tables, query: &TreeQuery) -> Queried<TreePage> {
    let found = find(tables, &query.path)?;
    let is_directory = matches!(found, Found::Root | Found::Directory(_));
    let node = match found.into_node(&query.path) {
        Ok(node) => node,
        Err((code, cause)) => return refuse(tables, code, cause),
    };
    let mut listing = Listing {
        tables,
        recursive: query.recursive,
        left: query.limit,
        last: query.after.clone(),
        is_cut: false,
    };
    let start = Start::of(&query.path, query.after.as_deref());
    let children = match start {
        Some(start) if is_directory => listing.children(&query.path, start)?,
        _ => Vec::new(),
    };
    let continue_after = if listing.is_cut {
        Some(listing.last.unwrap_or_else(|| query.path.clone()))
    } else {
        None
    };
    let tree = Tree { node, children };
    Ok(Ok(TreePage {
        tree,
        continue_after,
    }))
}

/// From where on a directory is listed.
#[derive(Debug, Clone, Copy)]
enum Start<'a> {
    Beginning,
    /// After this path, which is below the directory.
    After(&'a str),
}

impl<'a> Start<'a> {
    /// Where to start in a directory; `None` if all of it goes before.
    fn of(directory: &str, after: Option<&'a str>) -> Option<Self> {
        let Some(after) = after else {
            return Some(Self::Beginning);
        };
        if path::is_below(after, directory) {
            return Some(Self::After(after));
        }
        let is_earlier = after.split('/').le(directory.split('/'));
        (is_earlier || directory == path::ROOT).then_some(Self::Beginning)
    }

    /// The first name that is not wholly before it.
    fn first_name(self, directory: &str) -> &'a str {
        match self {
            Self::Beginning => "",
            Self::After(after) => {
                let below = &after[path::children_prefix(directory).len()..];
                below.split('/').next().unwrap_or("")
            }
        }
    }

    /// Where to start inside a child that was taken by an earlier page; `None` for any other.
    fn inside_of(self, child: &str) -> Option<Self> {
        match self {
            Self::After(after) if after == child => Some(Self::Beginning),
            Self::After(after) if path::is_below(after, child) => Some(self),
            _ => None,
        }
    }
}

impl Listing<'_> {
    fn children(&mut self, directory: &str, start: Start<'_>) -> Result<Vec<Tree>, TableError> {
        let mut level = Level::new(self.tables, directory, start.first_name(directory));
        let mut taken = Vec::new();
        while let Some(child) = level.next()? {
            let key = child.node().key.clone();
            // The tables hold no path that is not UTF-8; the level passes by keys that are not.
            let Ok(child_path) = std::str::from_utf8(&key) else {
                continue;
            };
            if path::is_hidden(child_path) {
                continue;
            }
            let tree = match start.inside_of(child_path) {
                Some(inside) => self.resume(child, child_path, inside)?,
                None => self.take(child, child_path)?,
            };
            taken.extend(tree);
            if self.is_cut {
                break;
            }
        }
        Ok(taken)
    }

    /// What an earlier page did not take of a child that it took.
    fn resume(
        &mut self,
        child: Child,
        child_path: &str,
        start: Start<'_>,
    ) -> Result<Option<Tree>, TableError> {
        let Child::Directory(node) = child else {
            return Ok(None);
        };
        if !self.recursive {
            return Ok(None);
        }
        let children = self.children(child_path, start)?;
        Ok((!children.is_empty()).then_some(Tree { node, children }))
    }

    fn take(&mut self, child: Child, child_path: &str) -> Result<Option<Tree>, TableError> {
        match &mut self.left {
            Some(0) => {
                self.is_cut = true;
                return Ok(None);
            }
            Some(left) => {
                *left -= 1;
                self.last = Some(child_path.to_owned());
            }
            None => {}
        }
        let (node, children) = match child {
            Child::Directory(node) if self.recursive => {
                (node, self.children(child_path, Start::Beginning)?)
            }
            Child::Directory(node) | Child::Key(node) => (node, Vec::new()),
        };
        Ok(Some(Tree { node, children }))
    }
}
