//! A state of the store that is read from: the present one, or an earlier one.
//!
//! An earlier one is the present with the changes since undone ([`Past`]), which takes memory for the
//! keys of the range that have changed since. How far back it goes is what the history holds, and what
//! was not compacted.
use etcd_v3::Status;
use kv_model::command::RangeQuery;
use kv_model::outcome::RangeReply;
use kv_model::query::listing::Cursor;
use kv_model::query::{Listing, Past};
use kv_model::{Event, Node, Revision, Tables, query};

use super::call::unreadable;
use crate::http::state::ServerState;
use crate::watch::HistoryError;

/// A range and the state it is read from.
pub(super) struct Reading {
    view: Box<dyn Tables + Send>,
    /// Of the present, whichever is read.
    pub(super) revision: Revision,
    query: RangeQuery,
    past: Option<Past>,
}

impl Reading {
    /// Looks at the store as it is now.
    pub(super) async fn open(state: &ServerState, query: RangeQuery) -> Result<Self, Status> {
        let mut reading = Self::present(state, query)?;
        undo(state, std::slice::from_mut(&mut reading)).await?;
        Ok(reading)
    }

    /// The same of several ranges, for which the history is gone through once.
    pub(super) async fn open_all(
        state: &ServerState,
        queries: Vec<RangeQuery>,
    ) -> Result<Vec<Self>, Status> {
        let queries = queries.into_iter();
        let readings = queries.map(|query| Self::present(state, query));
        let mut readings = readings.collect::<Result<Vec<_>, _>>()?;
        undo(state, &mut readings).await?;
        Ok(readings)
    }

    /// Before any change is undone.
    fn present(state: &ServerState, query: RangeQuery) -> Result<Self, Status> {
        let view = state.backend.view();
        query::check_revision(&*view, &query).map_err(unreadable)??;
        let revision = query::revision(&*view).map_err(unreadable)?;
        let past = Past::of(&*view, &query).map_err(unreadable)?;
        if let Some(earlier) = query.earlier_than(revision)
            && earlier.next() < state.backend.history().oldest()
        {
            return Err(Status::COMPACTED);
        }
        Ok(Self {
            view,
            revision,
            query,
            past,
        })
    }

    /// The first and the last revision whose changes are to be undone.
    fn changes(&self) -> Option<(Revision, Revision)> {
        let past = self.past.as_ref()?;
        let earlier = self.query.earlier_than(self.revision)?;
        (!past.is_complete()).then_some((earlier.next(), self.revision))
    }

    fn undo(&mut self, event: &Event) {
        let changes = self.changes();
        let is_wanted = |(first, last)| first <= event.revision && event.revision <= last;
        if let Some(past) = &mut self.past
            && changes.is_some_and(is_wanted)
        {
            past.undo(event);
        }
    }

    /// The answer as a whole.
    pub(super) fn whole(&self) -> Result<RangeReply, Status> {
        let read = query::range(&*self.view, &self.query, self.past.as_ref());
        Ok(read.map_err(unreadable)??)
    }

    /// The same, if it takes no more than so many bytes.
    pub(super) fn within(&self, bytes_max: usize) -> Result<Option<RangeReply>, Status> {
        let past = self.past.as_ref();
        let read = query::range_within(&*self.view, &self.query, past, bytes_max);
        Ok(read.map_err(unreadable)??)
    }

    /// What the answer is made of, without holding it.
    pub(super) fn listing(&self, measure: impl Fn(&Node) -> u64) -> Result<Listing, Status> {
        let listing = Listing::new(&*self.view, &self.query, self.past.as_ref(), measure);
        listing.map_err(unreadable)
    }

    /// The next part of a listing.
    pub(super) fn page(
        &self,
        listing: &Listing,
        cursor: &mut Cursor,
        bytes_max: usize,
    ) -> Result<Vec<Node>, kv_model::TableError> {
        listing.page(&*self.view, self.past.as_ref(), cursor, bytes_max)
    }
}

/// Undoes what has to be.
async fn undo(state: &ServerState, readings: &mut [Reading]) -> Result<(), Status> {
    let first = readings.iter().filter_map(Reading::changes).min();
    let Some((mut from, _)) = first else {
        return Ok(());
    };
    let history = state.backend.history();
    let until = |readings: &[Reading]| {
        let last = readings.iter().filter_map(Reading::changes);
        last.map(|(_, last)| last).max()
    };
    while until(readings).is_some_and(|until| from <= until) {
        let page = history.page(from).await.map_err(|error| match error {
            HistoryError::Cleared { .. } => Status::COMPACTED,
            HistoryError::Storage(error) => unreadable(error),
        })?;
        // Revisions without an event changed no key.
        let Some(last) = page.events.last() else {
            break;
        };
        from = last.revision.next();
        for event in &page.events {
            for reading in &mut *readings {
                reading.undo(event);
            }
        }
    }
    Ok(())
}
