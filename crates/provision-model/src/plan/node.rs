//! Files, directories and links.
//!
//! What is there already is known on the machine.

use std::fmt;

use super::contents::Contents;

/// What all of them have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Absolute.
    pub path: String,
    /// Owner; root if it is not said.
    pub user: Option<Account>,
    /// Owner; root if it is not said.
    pub group: Option<Account>,
    /// What to do with something else that is there.
    pub overwrite: Overwrite,
}

impl Node {
    /// Root's, refusing what is there.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            user: None,
            group: None,
            overwrite: Overwrite::Refuse,
        }
    }
}

/// A user or a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// By number.
    Id(u32),
    /// By name, looked up on the machine after users and groups are made.
    Name(String),
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// What happens to something that is at the path already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// Something of another kind or content is an error.
    Refuse,
    /// It is removed.
    Replace,
}

/// Permissions, with set-user-id, set-group-id and sticky: at most 0o7777.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(u16);

impl Mode {
    /// `None` if it has other bits.
    pub fn new(bits: i64) -> Option<Self> {
        let bits = u16::try_from(bits).ok()?;
        (bits <= 0o7777).then_some(Self(bits))
    }

    /// As chmod(2) takes it.
    pub fn bits(self) -> u32 {
        self.0.into()
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// A directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Path and owners.
    pub node: Node,
    /// 0755 if it is not said.
    pub mode: Option<Mode>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Path and owners.
    pub node: Node,
    /// 0644 if it is not said.
    pub mode: Option<Mode>,
    /// What is written.
    pub writing: Writing,
}

/// How a file gets its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writing {
    /// It is there with what it has, or empty.
    Touch,
    /// It has these bytes.
    Whole(Contents),
    /// These are put to its end, in order.
    Append(Vec<Contents>),
    /// It has these bytes, and others after them.
    WholeAndAppend(Contents, Vec<Contents>),
}

impl Writing {
    /// All that is written, in order.
    pub fn parts(&self) -> impl Iterator<Item = &Contents> {
        let (whole, appended) = match self {
            Self::Touch => (None, &[][..]),
            Self::Whole(contents) => (Some(contents), &[][..]),
            Self::Append(parts) => (None, &parts[..]),
            Self::WholeAndAppend(contents, parts) => (Some(contents), &parts[..]),
        };
        whole.into_iter().chain(appended)
    }
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Path and owners.
    pub node: Node,
    /// Where it points.
    pub target: String,
    /// Whether it is a hard one.
    pub is_hard: bool,
}
