//! The Docker Engine API as values: which request is what, what a container that is to be made becomes as
//! options of `launch run` and as a systemd unit, in which state a container is, and what is answered.
//!
//! The reference is the API's own description, version 1.41 and later. Whatever of a request means something
//! and is not done is refused by its name: a field that is not known may only have a value that means nothing.
//! Generated types of the API would drop such fields in silence.
//!
//! It opens no socket, asks neither systemd nor containerd, and knows no clock.

pub mod api_error;
pub mod container_answer;
pub mod create;
pub mod endpoint;
pub mod event;
pub mod exec;
pub mod fields;
pub mod filters;
pub mod frame;
pub mod health_answer;
pub mod human;
pub mod image_answer;
pub mod path_stat;
pub mod query;
pub mod record;
pub mod registry_auth;
pub mod route;
pub mod state;
pub mod unit_file;
pub mod update;
pub mod version;
pub mod window;

pub use api_error::ApiError;
pub use record::Record;
pub use route::Route;
pub use state::State;
