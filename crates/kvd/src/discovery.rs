//! Finding the first members of a cluster: at a token's URL, or by DNS.
//!
//! Only for members whose data folder is empty; whoever has data knows its cluster.

mod dns;
mod token;

pub(crate) use dns::find_by_dns;
pub(crate) use token::{DiscoveryError, Members, Registration, discover, members_at};
