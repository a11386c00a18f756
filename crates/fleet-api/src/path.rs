//! Where everything is, below `/fleet/v1` (and fleet's older `/v1-alpha`).
//!
//! | address | method | request | answer |
//! |---|---|---|---|
//! | `/discovery` | GET | | fleet's discovery document |
//! | `/units` | GET | `?nextPageToken=` | [`crate::UnitPage`] |
//! | `/units/NAME` | GET | | [`crate::Unit`], or 404 |
//! | `/units/NAME` | PUT | [`crate::Unit`] | 201, 204; 400, 409, 415 |
//! | `/units/NAME` | DELETE | | 204, 404 |
//! | `/state` | GET | `?machineID=&unitName=&nextPageToken=` | [`crate::StatePage`] |
//! | `/state/NAME` | GET | | [`crate::UnitState`] of its first machine, or 404 |
//! | `/machines` | GET | `?nextPageToken=` | [`crate::MachinePage`] |
//! | `/machines` | PATCH | list of [`crate::PatchOperation`] | 204, 400 |
//!
//! Not in fleet:
//!
//! | address | method | request | answer |
//! |---|---|---|---|
//! | `/units/NAME/explain` | GET | | [`crate::Explanation`], or 404 |
//! | `/explain` | POST | [`crate::Unit`], which is not stored | [`crate::Explanation`]; 400 as PUT has it |
//! | `/units/NAME/move` | POST | [`crate::MoveRequest`] | 204 once it is written; 404; 409 if it is on no machine, or no other can take it |
//! | `/units/NAME/status` | GET | `?machineID=` | [`crate::StatusPage`], an entry for each machine it is on; 404 if there is no such unit |
//! | `/units/NAME/journal` | GET | [`crate::JournalQuery`] | lines of [`crate::JournalRecord`]; 404 if there is no such unit |
//! | `/machines/ID/availability` | PUT | [`crate::AvailabilityRequest`] | 204, 404 |
//! | `/usage` | GET | `?machineID=` | [`crate::UsagePage`], an entry for each machine; 404 if there is no such machine |
//! | `/events` | GET | | lines of [`crate::EventRecord`], without an end |
//!
//! Lines are JSON objects, each with `\n` after it, of the type `application/x-ndjson`. An empty line
//! says that the connection is alive.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Before every address.
pub const PREFIX: &str = "/fleet/v1";
/// The same, for old clients.
pub const OLD_PREFIX: &str = "/v1-alpha";
/// The media type of streams of lines.
pub const LINES_TYPE: &str = "application/x-ndjson";

/// What a segment of a path may hold as it is (RFC 3986's unreserved characters, and those of units' names).
const IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@')
    .remove(b':');

/// The address of something below [`PREFIX`]: each segment is escaped.
pub fn of(segments: &[&str]) -> String {
    let mut path = PREFIX.to_owned();
    for segment in segments {
        path.push('/');
        path.extend(utf8_percent_encode(segment, IN_SEGMENT));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_escaped() {
        assert_eq!(of(&["units"]), "/fleet/v1/units");
        assert_eq!(
            of(&["units", "a@b:c.service", "move"]),
            "/fleet/v1/units/a@b:c.service/move"
        );
        assert_eq!(of(&["units", "a/b?c\\d"]), "/fleet/v1/units/a%2Fb%3Fc%5Cd");
    }
}
