//! An order to reset the machine's state at its next boot, and its bytes in the boot record.
//!
//! They stand behind the failed boots: the kind (4 bytes; 0 none, 1 [`ResetOrder::Erase`], 2
//! [`ResetOrder::Clear`]), and for the latter the identity (4 bytes; 0 new, 1 kept), the number of paths
//! (4 bytes), and of each path its length (2 bytes) and its bytes. Another kind comes from a later version
//! and is no order for this one, which could not carry it out. Removes nothing; what is ordered is done by
//! `/init`.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use thiserror::Error;

use super::CopyProblem;

/// The most bytes that an order can take: the record's room without the failed boots.
pub const RESET_ORDER_LIMIT_BYTES: usize = 3584;
/// Where a reset puts what it takes away until it is removed, in the state file system's root folder.
pub const RESET_REMAINS: &str = ".reset";
/// Where state appears on the machine: what is below can be kept.
pub const STATE_PLACES: [&str; 7] = [
    "/etc",
    "/home",
    "/opt",
    "/root",
    "/srv",
    "/usr/local",
    "/var",
];

const NONE: u32 = 0;
const ERASE: u32 = 1;
const CLEAR: u32 = 2;

/// What shall happen to state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResetOrder {
    /// A new file system is made: nothing is left.
    Erase,
    /// Everything is removed that is not kept.
    Clear(Kept),
}

/// What a reset leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Machine id and host keys.
    pub identity: Identity,
    /// Files, and folders with all that is in them.
    pub paths: Vec<KeptPath>,
}

/// What becomes of machine id and host keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// They are made anew: to others it is another machine.
    New,
    /// They stay.
    Kept,
}

/// An absolute path of the machine, without `.` and `..`, at or below one of [`STATE_PLACES`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptPath(String);

/// A path that a reset cannot keep.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidKeptPath {
    /// Not absolute, or with `.`, `..`, an empty name or a NUL in it.
    #[error("{0:?} is no absolute path without . and ..")]
    Form(String),
    /// Nothing of state appears there.
    #[error("{0} is not below one of {places}", places = STATE_PLACES.join(", "))]
    Elsewhere(String),
}

/// The paths do not fit into the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the paths to keep take {bytes} bytes, and there is room for {RESET_ORDER_LIMIT_BYTES}: name their \
     folders instead"
)]
pub struct OrderTooLong {
    bytes: usize,
}

impl KeptPath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The place of [`STATE_PLACES`] and the names below it.
    pub fn split(&self) -> (&'static str, impl Iterator<Item = &str>) {
        // It was checked when the path was made.
        let place = place_of(&self.0).unwrap_or(STATE_PLACES[0]);
        let names = self.0[place.len()..].split('/');
        (place, names.filter(|name| !name.is_empty()))
    }
}

impl FromStr for KeptPath {
    type Err = InvalidKeptPath;

    fn from_str(text: &str) -> Result<Self, InvalidKeptPath> {
        let path = text.strip_suffix('/').unwrap_or(text);
        let malformed = |name: &str| matches!(name, "" | "." | "..") || name.contains('\0');
        if !path.starts_with('/') || path[1..].split('/').any(malformed) {
            return Err(InvalidKeptPath::Form(text.to_owned()));
        }
        match place_of(path) {
            Some(_) => Ok(Self(path.to_owned())),
            None => Err(InvalidKeptPath::Elsewhere(path.to_owned())),
        }
    }
}

fn place_of(path: &str) -> Option<&'static str> {
    STATE_PLACES.into_iter().find(|place| {
        let below = path.strip_prefix(place);
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

impl Display for KeptPath {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether the record has room for the order.
pub(super) fn check_length(order: Option<&ResetOrder>) -> Result<(), OrderTooLong> {
    match to_bytes(order).len() {
        bytes if bytes > RESET_ORDER_LIMIT_BYTES => Err(OrderTooLong { bytes }),
        _ => Ok(()),
    }
}

pub(super) fn to_bytes(order: Option<&ResetOrder>) -> Vec<u8> {
    match order {
        None => NONE.to_le_bytes().to_vec(),
        Some(ResetOrder::Erase) => ERASE.to_le_bytes().to_vec(),
        Some(ResetOrder::Clear(kept)) => clear_to_bytes(kept),
    }
}

fn clear_to_bytes(kept: &Kept) -> Vec<u8> {
    let identity = match kept.identity {
        Identity::New => 0,
        Identity::Kept => 1,
    };
    let count = u32::try_from(kept.paths.len()).unwrap_or(u32::MAX);
    let mut bytes: Vec<u8> = [CLEAR, identity, count]
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect();
    for KeptPath(path) in &kept.paths {
        // Longer ones never get into a record.
        let length = u16::try_from(path.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(path.as_bytes());
    }
    bytes
}

/// Reads what stands behind the failed boots; nothing there is no order.
pub(super) fn from_bytes(bytes: &[u8]) -> Result<Option<ResetOrder>, CopyProblem> {
    let mut rest = bytes;
    let Some(kind) = take_u32(&mut rest) else {
        return Ok(None);
    };
    match kind {
        ERASE => Ok(Some(ResetOrder::Erase)),
        CLEAR => {
            let kept = parse_kept(&mut rest).ok_or(CopyProblem::Payload)?;
            Ok(Some(ResetOrder::Clear(kept)))
        }
        _ => Ok(None),
    }
}

fn parse_kept(rest: &mut &[u8]) -> Option<Kept> {
    let identity = match take_u32(rest)? {
        0 => Identity::New,
        1 => Identity::Kept,
        _ => return None,
    };
    let count = take_u32(rest)?;
    let paths = (0..count).map(|_| parse_path(rest)).collect::<Option<_>>();
    Some(Kept {
        identity,
        paths: paths?,
    })
}

fn parse_path(rest: &mut &[u8]) -> Option<KeptPath> {
    let (length, behind) = rest.split_first_chunk()?;
    let (path, behind) = behind.split_at_checked(u16::from_le_bytes(*length).into())?;
    *rest = behind;
    std::str::from_utf8(path).ok()?.parse().ok()
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (number, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(u32::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(identity: Identity, paths: &[&str]) -> ResetOrder {
        let paths = paths.iter().map(|path| path.parse().unwrap()).collect();
        ResetOrder::Clear(Kept { identity, paths })
    }

    #[test]
    fn orders_survive_their_bytes() {
        for order in [
            None,
            Some(ResetOrder::Erase),
            Some(kept(Identity::New, &[])),
            Some(kept(Identity::Kept, &["/var/lib/x", "/etc", "/srv/a b"])),
        ] {
            let mut bytes = to_bytes(order.as_ref());
            assert_eq!(from_bytes(&bytes).unwrap(), order);
            bytes.extend_from_slice(b"of a later version");
            assert_eq!(from_bytes(&bytes).unwrap(), order);
        }
    }

    #[test]
    fn the_bytes_are_as_documented() {
        let order = kept(Identity::Kept, &["/srv/x"]);
        let expected = b"\x02\0\0\0\x01\0\0\0\x01\0\0\0\x06\0/srv/x";
        assert_eq!(to_bytes(Some(&order)), expected);
    }

    #[test]
    fn what_a_later_version_ordered_is_no_order_and_what_is_cut_short_an_error() {
        assert_eq!(from_bytes(b"\x03\0\0\0").unwrap(), None);
        assert_eq!(from_bytes(b"").unwrap(), None);
        let whole = to_bytes(Some(&kept(Identity::New, &["/var/a", "/var/b"])));
        for length in 4..whole.len() {
            assert!(from_bytes(&whole[..length]).is_err(), "{length} bytes");
        }
        let elsewhere = b"\x02\0\0\0\0\0\0\0\x01\0\0\0\x04\0/usr";
        assert!(from_bytes(elsewhere).is_err());
    }

    #[test]
    fn only_paths_of_state_can_be_kept() {
        for good in ["/var", "/var/", "/usr/local/bin", "/etc/a.d/..b"] {
            assert!(good.parse::<KeptPath>().is_ok(), "{good}");
        }
        for malformed in [
            "",
            "/",
            "var",
            "/var/../x",
            "/var/./x",
            "/var//x",
            "/var/\0",
        ] {
            let error = malformed.parse::<KeptPath>().unwrap_err();
            assert!(matches!(error, InvalidKeptPath::Form(_)), "{malformed:?}");
        }
        for elsewhere in ["/usr", "/usr/localx", "/state/var", "/varx"] {
            let error = elsewhere.parse::<KeptPath>().unwrap_err();
            assert!(matches!(error, InvalidKeptPath::Elsewhere(_)));
        }
    }

    #[test]
    fn a_path_is_its_place_and_the_names_below() {
        let path: KeptPath = "/usr/local/lib/x".parse().unwrap();
        let (place, names) = path.split();
        assert_eq!(
            (place, names.collect::<Vec<_>>()),
            ("/usr/local", vec!["lib", "x"])
        );
        let whole: KeptPath = "/var".parse().unwrap();
        assert_eq!(whole.split().1.count(), 0);
    }
}
