//! One command's change of the tables while it is made.
//!
//! It keeps the rows that go together in step: a key, what hangs it on a lease, and its deadline.
//! It decides nothing.
use bytes::Bytes;

use crate::error_code::ErrorCode;
use crate::event::{Action, Content, Event, Node};
use crate::outcome::Refusal;
use crate::query::Queried;
use crate::record::deadline::{Deadline, Kind};
use crate::record::directory::DirectoryRecord;
use crate::record::key::{KeyNumbers, KeyRecord};
use crate::record::lease::leased_key;
use crate::record::setting;
use crate::tables::{Table, TableError, Tables, TablesMut};
use crate::units::{Revision, UnixNanoseconds};

/// The tables, the revision that was reached, and what happened.
pub(super) struct Change<'t> {
    tables: &'t mut dyn TablesMut,
    before: Revision,
    revision: Revision,
    events: Vec<Event>,
}

impl<'t> Change<'t> {
    pub(super) fn begin(tables: &'t mut dyn TablesMut) -> Result<Self, TableError> {
        let before = setting::revision(tables)?;
        Ok(Self {
            tables,
            before,
            revision: before,
            events: Vec::new(),
        })
    }

    /// Writes down the revision that was reached.
    pub(super) fn finish(self) -> Vec<Event> {
        if self.revision != self.before {
            setting::set_revision(self.tables, self.revision);
        }
        self.events
    }

    pub(super) fn tables(&self) -> &dyn Tables {
        self.tables
    }

    pub(super) fn tables_mut(&mut self) -> &mut dyn TablesMut {
        self.tables
    }

    /// The revision of the change that is being made; before [`Self::advance`], of the last one.
    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// Takes the next revision: from now on the command changes something.
    pub(super) fn advance(&mut self) -> Revision {
        self.revision = self.revision.next();
        self.revision
    }

    /// Takes the next revision, if the command has not taken one.
    pub(super) fn advance_once(&mut self) {
        if self.revision == self.before {
            self.advance();
        }
    }

    // Refusals come back as every outcome does, so that callers can return them as they are.
    #[allow(clippy::unnecessary_wraps)]
    pub(super) fn refuse<T>(&self, code: ErrorCode, cause: String) -> Queried<T> {
        let index = self.before;
        Ok(Err(Refusal { code, cause, index }))
    }

    pub(super) fn record(&mut self, event: Event) {
        self.events.push(event);
    }

    /// A new value of a key as v3 counts versions.
    pub(super) fn next_numbers(&self, before: Option<&KeyRecord>) -> KeyNumbers {
        KeyNumbers {
            created_index: self.revision,
            create_revision: before.map_or(self.revision, |old| old.numbers.create_revision),
            modified: self.revision,
            version: before.map_or(0, |old| old.numbers.version) + 1,
            expires: None,
            lease: None,
        }
    }

    /// Sets a key. Its directories are not this function's affair.
    pub(super) fn put_key(&mut self, key: &Bytes, before: Option<&KeyRecord>, after: &KeyRecord) {
        let old = before.map(|record| record.numbers);
        let (old_lease, new_lease) = (old.and_then(|old| old.lease), after.numbers.lease);
        if old_lease != new_lease {
            if let Some(lease) = old_lease {
                self.tables
                    .remove(Table::LeasedKeys, &leased_key(lease, key));
            }
            if let Some(lease) = new_lease {
                let row_key = leased_key(lease, key);
                self.tables.put(Table::LeasedKeys, row_key, Bytes::new());
            }
        }
        let old_expires = old.and_then(|old| old.expires);
        self.move_deadline(Kind::Key, key, old_expires, after.numbers.expires);
        self.tables.put(Table::Keys, key.clone(), after.encode());
    }

    /// Removes a key. Its directories are not this function's affair.
    pub(super) fn remove_key(&mut self, key: &Bytes, record: &KeyRecord) {
        if let Some(lease) = record.numbers.lease {
            self.tables
                .remove(Table::LeasedKeys, &leased_key(lease, key));
        }
        self.move_deadline(Kind::Key, key, record.numbers.expires, None);
        self.tables.remove(Table::Keys, key);
    }

    pub(super) fn put_directory(
        &mut self,
        path: &Bytes,
        before: Option<&DirectoryRecord>,
        after: &DirectoryRecord,
    ) {
        let old_expires = before.and_then(|old| old.expires);
        self.move_deadline(Kind::Directory, path, old_expires, after.expires);
        self.tables
            .put(Table::Directories, path.clone(), after.encode());
    }

    pub(super) fn remove_directory(&mut self, path: &Bytes, record: &DirectoryRecord) {
        self.move_deadline(Kind::Directory, path, record.expires, None);
        self.tables.remove(Table::Directories, path);
    }

    fn move_deadline(
        &mut self,
        kind: Kind,
        path: &Bytes,
        before: Option<UnixNanoseconds>,
        after: Option<UnixNanoseconds>,
    ) {
        if before == after {
            return;
        }
        if let Some(at) = before {
            let row_key = Deadline::row_key(at, kind, path);
            self.tables.remove(Table::Deadlines, &row_key);
        }
        if let Some(at) = after {
            let row_key = Deadline::row_key(at, kind, path);
            self.tables.put(Table::Deadlines, row_key, Bytes::new());
        }
    }

    /// The event of something that was removed, without what was removed with it.
    pub(super) fn removal(&self, action: Action, previous: Node) -> Event {
        let content = match previous.content {
            Content::Directory | Content::DirectoryGone => Content::DirectoryGone,
            Content::Value(_) | Content::Gone => Content::Gone,
        };
        let node = Node {
            key: previous.key.clone(),
            content,
            created_index: previous.created_index,
            create_revision: Revision(0),
            modified: self.revision,
            version: 0,
            expires: None,
            lease: None,
        };
        Event {
            revision: self.revision,
            action,
            node,
            previous: Some(previous),
            removed_keys: Vec::new(),
            refresh: false,
        }
    }
}
