//! The ordered maps that hold all state, as whoever stores them must offer them.
//!
//! Keys and values are bytes; what they mean is this crate's affair (each module that writes a table
//! says so). Nothing here stores anything.
use bytes::Bytes;

/// One of the ordered maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Key to its record.
    Keys = 0,
    /// Path of a v2 directory to its record.
    Directories = 1,
    /// Lease to its record.
    Leases = 2,
    /// Lease and key, for the keys that hang on a lease.
    LeasedKeys = 3,
    /// Point in time and path, for what v2 lets expire by itself.
    Deadlines = 4,
    /// User to its record.
    Users = 5,
    /// Role to its record.
    Roles = 6,
    /// Single values: the revision, what was compacted, whether authentication is on.
    Settings = 7,
}

impl Table {
    /// Every table, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Keys,
        Self::Directories,
        Self::Leases,
        Self::LeasedKeys,
        Self::Deadlines,
        Self::Users,
        Self::Roles,
        Self::Settings,
    ];
}

/// The storage could not be read, or holds what cannot be understood. There is no going on after
/// it: applying half a command would make this member differ from the others.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the stored state")]
pub struct TableError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Rows in ascending order of their keys.
pub type Rows<'a> = Box<dyn Iterator<Item = Result<(Bytes, Bytes), TableError>> + 'a>;

/// A consistent view of all tables.
pub trait Tables {
    /// The value at a key.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, TableError>;

    /// The rows with `from <= key`, and `key < to` if `to` is given.
    fn range<'a>(&'a self, table: Table, from: &[u8], to: Option<&[u8]>) -> Rows<'a>;
}

/// Tables that can be changed. A change is seen by the very next read.
pub trait TablesMut: Tables {
    /// Sets a row.
    fn put(&mut self, table: Table, key: Bytes, value: Bytes);

    /// Removes a row, if there is one.
    fn remove(&mut self, table: Table, key: &[u8]);
}
