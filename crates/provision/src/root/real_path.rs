//! Where a path really leads inside a root, link by link.
//!
//! The last name is not followed: it is what is written.

use std::collections::VecDeque;
use std::io;

use super::{Kind, Root, join};

/// As many links as the kernel follows.
const LINKS_MAX: usize = 40;

/// Why a path leads nowhere that could be written.
#[derive(Debug, thiserror::Error)]
pub enum PathProblem {
    /// A link goes upward beyond the root.
    #[error("goes through the link {link}, which leads out of the root")]
    LeadsOut {
        /// Where the link is.
        link: String,
    },
    /// Something on the way is not a directory.
    #[error("goes through {path}, which is {kind}")]
    NotADirectory {
        /// What it is.
        path: String,
        /// In words.
        kind: &'static str,
    },
    /// Links that never end.
    #[error("goes through more than {LINKS_MAX} links")]
    TooManyLinks,
    /// The kernel refuses to look.
    #[error("cannot be looked at: {0}")]
    Unreadable(#[from] io::Error),
}

/// A path on its way.
struct Way<'a> {
    /// What is to come.
    ahead: VecDeque<String>,
    /// What was gone, free of links.
    behind: Vec<String>,
    links: usize,
    root: &'a Root,
}

impl Root {
    /// The same place without links on the way. What does not exist yet is taken as it is written.
    ///
    /// # Errors
    /// If the path leads out of the root, through a file, or in a circle.
    pub fn real_path(&self, path: &str) -> Result<String, PathProblem> {
        let mut way = Way {
            ahead: parts(path).collect(),
            behind: Vec::new(),
            links: 0,
            root: self,
        };
        while let Some(part) = way.ahead.pop_front() {
            way.go(part)?;
        }
        Ok(way.here())
    }
}

fn parts(path: &str) -> impl DoubleEndedIterator<Item = String> + '_ {
    let parts = path.split('/');
    parts
        .filter(|part| !part.is_empty() && *part != ".")
        .map(str::to_owned)
}

impl Way<'_> {
    fn here(&self) -> String {
        format!("/{}", self.behind.join("/"))
    }

    fn go(&mut self, part: String) -> Result<(), PathProblem> {
        if part == ".." {
            // In a link only, where the caller has seen that it stays inside.
            self.behind.pop();
            return Ok(());
        }
        if self.ahead.is_empty() {
            self.behind.push(part);
            return Ok(());
        }
        let path = join(&self.here(), &part);
        match self.root.look(&path)?.map(|seen| seen.kind) {
            None | Some(Kind::Directory) => {
                self.behind.push(part);
                Ok(())
            }
            Some(Kind::Link(target)) => self.follow(&path, &target),
            Some(kind) => Err(PathProblem::NotADirectory {
                path,
                kind: kind.name(),
            }),
        }
    }

    fn follow(&mut self, link: &str, target: &str) -> Result<(), PathProblem> {
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(PathProblem::TooManyLinks);
        }
        if target.starts_with('/') {
            self.behind.clear();
        }
        let mut depth = self.behind.len();
        for part in parts(target) {
            if part != ".." {
                depth += 1;
            } else if let Some(less) = depth.checked_sub(1) {
                depth = less;
            } else {
                let link = link.to_owned();
                return Err(PathProblem::LeadsOut { link });
            }
        }
        for part in parts(target).rev() {
            self.ahead.push_front(part);
        }
        Ok(())
    }
}
