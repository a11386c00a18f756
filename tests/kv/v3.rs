//! etcd's v3 API: its own client, and a client library, driven against kvd and etcd.
//!
//! What both answer is compared with numbers counted from the beginning of a test.

mod client;
mod differential;
mod etcdctl;
mod faces;
mod gateway;
mod history;
mod kvctl;
mod leases;
mod library;
mod members;
mod normal;
mod operation;
mod recipes;
mod security;
mod users;
mod watches;
