//! The model seen from outside: commands go in, answers, events and rows come out.
//!
//! Nothing here starts a server; what etcd answers was taken down once.
mod answer;
mod auth;
mod deadlines;
mod etcd_answers;
mod faces;
mod fixture;
mod grants;
mod pages;
mod past;
mod request;
mod transactions;
