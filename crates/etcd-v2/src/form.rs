//! Parameters of a key request, from its query and its body, as Go's `Request.ParseForm` reads them.
//!
//! It knows which parameters there are, not what their values mean.

use std::borrow::Cow;

use crate::key_request::{Method, RawRequest};
use crate::media_type;
use crate::quote::quote;
use crate::warning;

/// What etcd reads of a form at most.
const FORM_BYTES_MAX: usize = 10 << 20;

/// A parameter of a key request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Recursive,
    Sorted,
    Wait,
    Dir,
    Quorum,
    Stream,
    NoValueOnSuccess,
    PrevIndex,
    WaitIndex,
    PrevValue,
    PrevExist,
    Refresh,
    Ttl,
    Value,
    Limit,
    After,
}

impl Field {
    const ALL: [Self; 16] = [
        Self::Value,
        Self::Ttl,
        Self::PrevIndex,
        Self::PrevValue,
        Self::PrevExist,
        Self::Recursive,
        Self::Sorted,
        Self::Wait,
        Self::WaitIndex,
        Self::Quorum,
        Self::Dir,
        Self::Stream,
        Self::NoValueOnSuccess,
        Self::Refresh,
        Self::Limit,
        Self::After,
    ];

    /// As it stands in a form.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Recursive => "recursive",
            Self::Sorted => "sorted",
            Self::Wait => "wait",
            Self::Dir => "dir",
            Self::Quorum => "quorum",
            Self::Stream => "stream",
            Self::NoValueOnSuccess => "noValueOnSuccess",
            Self::PrevIndex => "prevIndex",
            Self::WaitIndex => "waitIndex",
            Self::PrevValue => "prevValue",
            Self::PrevExist => "prevExist",
            Self::Refresh => "refresh",
            Self::Ttl => "ttl",
            Self::Value => "value",
            Self::Limit => "limit",
            Self::After => "after",
        }
    }

    fn named(name: &[u8]) -> Option<Self> {
        let is_named = |field: &Self| field.name().as_bytes() == name;
        Self::ALL.into_iter().find(is_named)
    }
}

/// The first value of each parameter; the body's come before the query's.
#[derive(Debug, Default)]
pub(crate) struct Form<'a> {
    values: [Option<Cow<'a, [u8]>>; Field::ALL.len()],
    /// The body, if it is no form but the value itself.
    pub(crate) octets: bool,
    /// What was silently left out.
    pub(crate) warnings: Vec<String>,
}

impl<'a> Form<'a> {
    /// The value of a parameter, if it was given at all.
    pub(crate) fn get(&self, field: Field) -> Option<&[u8]> {
        self.values[field as usize].as_deref()
    }

    /// Takes the value of a parameter; empty if it was not given.
    pub(crate) fn take(&mut self, field: Field) -> Cow<'a, [u8]> {
        self.values[field as usize].take().unwrap_or_default()
    }

    /// Reads body and query.
    ///
    /// # Errors
    /// With Go's text for a content type, escape or separator that cannot be read.
    pub(crate) fn parse(request: &RawRequest<'a>) -> Result<Self, String> {
        let mut form = Self::default();
        let body = form.read_body(request);
        let query = form.read_pairs(request.query.as_bytes());
        body.and(query).map(|()| form)
    }

    fn read_body(&mut self, request: &RawRequest<'a>) -> Result<(), String> {
        if !matches!(request.method, Method::Put | Method::Post) {
            if !request.body.is_empty() {
                self.warnings.push(warning::body_of(request.method));
            }
            return Ok(());
        }
        let media_type = match request.content_type {
            Some(b"application/x-www-form-urlencoded") => Ok(Cow::Borrowed(FORM)),
            None | Some(b"") => Ok(Cow::Borrowed("")),
            Some(text) => media_type::parse(text).map(Cow::Owned),
        };
        match media_type.as_deref() {
            // Go gives a form's parameters back with the error, but etcd does not look at them.
            Err(error) => return Err(error.to_string()),
            Ok(FORM) if request.body.len() > FORM_BYTES_MAX => {
                return Err("http: POST too large".to_owned());
            }
            Ok(FORM) => return self.read_pairs(request.body),
            Ok(crate::OCTETS) => self.octets = true,
            Ok(_) if request.body.is_empty() => {}
            Ok(other) => self.warnings.push(warning::body_not_read(other)),
        }
        Ok(())
    }

    /// Reads `name=value&…`. Pairs that cannot be read are left out, and the error reported at the
    /// end is the first, or that of a semicolon, as in Go.
    fn read_pairs(&mut self, text: &'a [u8]) -> Result<(), String> {
        let mut result = Ok(());
        for pair in text.split(|&b| b == b'&').filter(|pair| !pair.is_empty()) {
            if pair.contains(&b';') {
                result = Err("invalid semicolon separator in query".to_owned());
                continue;
            }
            let mut halves = pair.splitn(2, |&b| b == b'=');
            let [name, value] = [(); 2].map(|()| unescape(halves.next().unwrap_or_default()));
            match (name, value) {
                (Ok(name), Ok(value)) => self.add(&name, value),
                (Err(error), _) | (_, Err(error)) => result = result.and(Err(error)),
            }
        }
        result
    }

    fn add(&mut self, name: &[u8], value: Cow<'a, [u8]>) {
        let Some(field) = Field::named(name) else {
            self.warnings.push(warning::unknown_parameter(name));
            return;
        };
        let place = &mut self.values[field as usize];
        if place.is_none() {
            *place = Some(value);
        } else if place.as_deref() != Some(&*value) {
            self.warnings.push(warning::repeated(field));
        }
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

/// `+` is a space and `%` begins two hexadecimal digits.
fn unescape(text: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let special = |&byte: &u8| matches!(byte, b'%' | b'+');
    let Some(first) = text.iter().position(special) else {
        return Ok(Cow::Borrowed(text));
    };
    let mut bytes = text[..first].to_vec();
    let mut rest = &text[first..];
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let Some(value) = after.get(..2).and_then(hexadecimal) else {
                    let escape: Vec<u8> = [&b"%"[..], &after[..after.len().min(2)]].concat();
                    return Err(format!("invalid URL escape {}", quote(&escape)));
                };
                bytes.push(value);
                rest = &after[2..];
            }
            _ => bytes.push(byte),
        }
    }
    Ok(Cow::Owned(bytes))
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(u8::try_from)?.ok();
    Some(digit(digits[0])? << 4 | digit(digits[1])?)
}
