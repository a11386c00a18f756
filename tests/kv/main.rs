//! The key-value store as clients see it: real servers, real connections.
//!
//! What a crate can test by itself is tested there.

mod altering_proxy;
mod answer;
mod backup;
mod differential;
mod etcdctl;
mod faults;
#[path = "../../crates/updaterd/tests/update/fixture.rs"]
#[allow(dead_code, reason = "updaterd's own tests use all of it")]
mod fixture;
mod generator;
#[path = "../../crates/updaterd/tests/update/host.rs"]
mod host;
mod isolation;
mod json;
#[path = "../../crates/updaterd/tests/update/machine.rs"]
#[allow(dead_code, reason = "updaterd's own tests use all of it")]
mod machine;
mod migrate;
mod normal_form;
mod outcomes;
mod raw_http;
mod reboot_lock;
mod request;
mod script;
mod server;
mod v3;
