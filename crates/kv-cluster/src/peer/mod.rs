//! How members talk to each other: HTTP/2 on the peer URLs, bodies in postcard.
//!
//! Each kind of traffic has a connection of its own, so that a large transfer never delays a
//! heartbeat. Every request names the cluster, its sender and whom it is for; a member that is not
//! meant refuses it.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /version`, `GET /members` | | JSON, for people |
//! | `POST /hello` | who starts a new cluster | who answers, or the running cluster |
//! | `POST /join` | who joins with an empty folder | its id |
//! | `POST /vote`, `/pre-vote`, `/transfer-leader` | openraft's request | openraft's answer |
//! | `POST /heartbeat` | append without entries | openraft's answer |
//! | `POST /append` | appends, as frames without end | their answers, in order, as frames |
//! | `POST /snapshot` | a frame that says what, then the store's stream | openraft's answer |
//! | `POST /forward` | commands | their outcomes |
//! | `POST /read-index` | | the index to wait for |
//! | `POST /still-member` | | nothing, unless the sender was removed |
//! | `POST /membership` | a change | the member, or why not |

pub(crate) mod client;
pub(crate) mod connect;
pub(crate) mod network;
pub(crate) mod pipeline;
pub(crate) mod server;
pub(crate) mod streams;
pub(crate) mod traffic;
pub(crate) mod wire;
