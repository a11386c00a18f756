//! What the messages of the protocol are made of, as tables: for those who read and write them
//! without knowing which they are.
//!
//! They are constants of the program, made from the protocol definitions; nothing is allocated.

/// A kind of message.
#[derive(Debug)]
pub struct Message {
    /// What it is made of, in the order of the definition.
    pub(crate) fields: &'static [Field],
}

/// A part of a message.
#[derive(Debug)]
pub(crate) struct Field {
    /// As the definition has it.
    pub(crate) name: &'static str,
    /// In camel case.
    pub(crate) json_name: &'static str,
    pub(crate) number: u32,
    pub(crate) repeated: bool,
    pub(crate) kind: Kind,
}

/// What a field holds.
#[derive(Debug)]
pub(crate) enum Kind {
    Bool,
    /// Of 32 bits, with or without a sign.
    Number,
    Int64,
    Uint64,
    Text,
    Bytes,
    /// Names and numbers.
    Enum(&'static [(&'static str, i32)]),
    Message(&'static Message),
}

/// A method of a service.
#[derive(Debug)]
pub struct Method {
    /// As gRPC calls it: `/package.Service/Method`.
    pub path: &'static str,
    /// What it takes.
    pub input: &'static Message,
    /// What it answers.
    pub output: &'static Message,
    /// It takes a stream.
    pub takes_many: bool,
    /// It answers a stream.
    pub gives_many: bool,
}

/// The method that gRPC calls so.
pub fn method(path: &str) -> Option<&'static Method> {
    generated::METHODS.iter().find(|method| method.path == path)
}

mod generated {
    #![allow(dead_code)] // some messages are part of no method
    use super::{Field, Kind, Message, Method};

    include!(concat!(env!("OUT_DIR"), "/schema.rs"));
}
