//! `get`, `put`, `del` and `compaction`.
//!
//! What they ask is made apart from asking it, for transactions.
use std::io::Read as _;

use etcd_client::{
    CompactionOptions, DeleteOptions, DeleteResponse, GetOptions, GetResponse, PutOptions,
    PutResponse, SortOrder, SortTarget,
};
use serde::Serialize;

use crate::print;
use crate::v3::arguments::{DelArguments, GetArguments, Global, PutArguments};
use crate::v3::failure::{Failure, exit_status};
use crate::v3::message::{Header, KeyValue, header_fields, is_zero};
use crate::v3::output::{Format, Report, Style, Text, show};
use crate::v3::session;

/// What was written.
#[derive(Debug, Serialize)]
pub(crate) struct Put {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_kv: Option<KeyValue>,
}

/// What was read.
#[derive(Debug, Serialize)]
pub(crate) struct Range {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kvs: Vec<KeyValue>,
    #[serde(skip_serializing_if = "is_zero")]
    more: bool,
    #[serde(skip_serializing_if = "is_zero")]
    count: i64,
    #[serde(skip)]
    is_count: bool,
}

/// What was removed.
#[derive(Debug, Serialize)]
#[allow(clippy::struct_field_names)] // etcd's names
pub(crate) struct Deleted {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "is_zero")]
    deleted: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    prev_kvs: Vec<KeyValue>,
}

impl From<&PutResponse> for Put {
    fn from(response: &PutResponse) -> Self {
        Self {
            header: Header::of(response.header()),
            prev_kv: response.prev_key().map(KeyValue::from),
        }
    }
}

impl From<&GetResponse> for Range {
    fn from(response: &GetResponse) -> Self {
        Self {
            header: Header::of(response.header()),
            kvs: response.kvs().iter().map(KeyValue::from).collect(),
            more: response.more(),
            count: response.count(),
            is_count: false,
        }
    }
}

impl From<&DeleteResponse> for Deleted {
    fn from(response: &DeleteResponse) -> Self {
        Self {
            header: Header::of(response.header()),
            deleted: response.deleted(),
            prev_kvs: response.prev_kvs().iter().map(KeyValue::from).collect(),
        }
    }
}

impl Report for Put {
    fn simple(&self, style: Style, text: &mut Text) {
        text.line("OK");
        if let Some(kv) = &self.prev_kv {
            kv.simple(style, text);
        }
    }

    fn fields(&self, text: &mut Text) -> bool {
        header_fields(self.header.as_ref(), text);
        if let Some(kv) = &self.prev_kv {
            kv.fields("Prev", text);
        }
        true
    }
}

impl Report for Range {
    fn simple(&self, style: Style, text: &mut Text) {
        if self.is_count {
            text.line(self.count.to_string());
        }
        self.kvs.iter().for_each(|kv| kv.simple(style, text));
    }

    fn fields(&self, text: &mut Text) -> bool {
        header_fields(self.header.as_ref(), text);
        self.kvs.iter().for_each(|kv| kv.fields("", text));
        text.line(format!("\"More\" : {}", self.more));
        text.line(format!("\"Count\" : {}", self.count));
        true
    }
}

impl Report for Deleted {
    fn simple(&self, style: Style, text: &mut Text) {
        text.line(self.deleted.to_string());
        self.prev_kvs.iter().for_each(|kv| kv.simple(style, text));
    }

    fn fields(&self, text: &mut Text) -> bool {
        header_fields(self.header.as_ref(), text);
        text.line(format!("\"Deleted\" : {}", self.deleted));
        self.prev_kvs.iter().for_each(|kv| kv.fields("Prev", text));
        true
    }
}

/// A key and, if there is one, the end of a range.
fn key_and_end<'a>(
    keys: &'a [String],
    name: &str,
    is_widened: bool,
) -> Result<(&'a str, Option<&'a str>), Failure> {
    match keys {
        [key] => Ok((key, None)),
        [_, _] if is_widened => Err(Failure::arguments(
            "too many arguments, only accept one argument when `--prefix` or `--from-key` is set",
        )),
        [key, end] => Ok((key, Some(end))),
        _ => Err(Failure::arguments(format!(
            "{name} command needs one argument as key and an optional argument as range_end"
        ))),
    }
}

fn only_one_of(prefix: bool, from_key: bool) -> Result<(), Failure> {
    if prefix && from_key {
        let text = "`--prefix` and `--from-key` cannot be set at the same time, choose one";
        return Err(Failure::arguments(text));
    }
    Ok(())
}

fn sort(wanted: &GetArguments) -> Result<Option<(SortTarget, SortOrder)>, Failure> {
    let bad = |text: String| Failure::new(exit_status::BAD_FEATURE, text);
    let order = match wanted.order.to_uppercase().as_str() {
        "" => None,
        "ASCEND" => Some(SortOrder::Ascend),
        "DESCEND" => Some(SortOrder::Descend),
        _ => return Err(bad(format!("bad sort order {}", wanted.order))),
    };
    let target = match wanted.sort_by.to_uppercase().as_str() {
        "" => None,
        "CREATE" => Some(SortTarget::Create),
        "KEY" => Some(SortTarget::Key),
        "MODIFY" => Some(SortTarget::Mod),
        "VALUE" => Some(SortTarget::Value),
        "VERSION" => Some(SortTarget::Version),
        _ => return Err(bad(format!("bad sort target {}", wanted.sort_by))),
    };
    if order.is_none() && target.is_none() {
        return Ok(None);
    }
    Ok(Some((
        target.unwrap_or(SortTarget::Key),
        order.unwrap_or(SortOrder::Ascend),
    )))
}

/// What `get` asks.
pub(crate) fn range(wanted: &GetArguments) -> Result<(Vec<u8>, GetOptions), Failure> {
    only_one_of(wanted.prefix, wanted.from_key)?;
    let is_widened = wanted.prefix || wanted.from_key;
    let (key, end) = key_and_end(&wanted.keys, "get", is_widened)?;
    let mut options = GetOptions::new()
        .with_limit(wanted.limit)
        .with_revision(wanted.rev);
    options = match wanted.consistency.as_str() {
        "l" => options,
        "s" => options.with_serializable(),
        other => {
            let text = format!("unknown consistency flag {other:?}");
            return Err(Failure::new(exit_status::BAD_FEATURE, text));
        }
    };
    if let Some((target, order)) = sort(wanted)? {
        options = options.with_sort(target, order);
    }
    if wanted.keys_only {
        options = options.with_keys_only();
    }
    if wanted.count_only {
        options = options.with_count_only();
    }
    if let Some(end) = end {
        options = options.with_range(end);
    }
    Ok(match (wanted.prefix, wanted.from_key) {
        (true, _) if key.is_empty() => (vec![0], options.with_from_key()),
        (true, _) => (key.into(), options.with_prefix()),
        (_, true) if key.is_empty() => (vec![0], options.with_from_key()),
        (_, true) => (key.into(), options.with_from_key()),
        _ => (key.into(), options),
    })
}

/// A lease's number in hexadecimal.
pub(crate) fn lease_id(text: &str) -> Result<i64, String> {
    i64::from_str_radix(text, 16).map_err(|_| {
        format!("(strconv.ParseInt: parsing {text:?}: invalid syntax), expecting ID in Hex")
    })
}

/// What `put` asks; a value that is not given is read if that is allowed.
pub(crate) fn write(
    wanted: &PutArguments,
    read: impl FnOnce() -> Result<Vec<u8>, Failure>,
) -> Result<(Vec<u8>, Vec<u8>, PutOptions), Failure> {
    let lease = lease_id(&wanted.lease)
        .map_err(|reason| Failure::arguments(format!("bad lease ID {reason}")))?;
    let mut options = PutOptions::new();
    if lease != 0 {
        options = options.with_lease(lease);
    }
    if wanted.prev_kv {
        options = options.with_prev_key();
    }
    if wanted.ignore_value {
        options = options.with_ignore_value();
    }
    if wanted.ignore_lease {
        options = options.with_ignore_lease();
    }
    match wanted.arguments.as_slice() {
        [_, ..] if wanted.ignore_value && wanted.arguments.len() > 1 => Err(Failure::arguments(
            "put command needs only 1 argument when 'ignore-value' is set",
        )),
        [key] if wanted.ignore_value => Ok((key.clone().into(), Vec::new(), options)),
        [key] => Ok((key.clone().into(), read()?, options)),
        [key, value] => Ok((key.clone().into(), value.clone().into(), options)),
        _ => Err(needs_a_value()),
    }
}

/// What is said if there is no value.
pub(crate) fn needs_a_value() -> Failure {
    Failure::arguments("put command needs 1 argument and input from stdin or 2 arguments")
}

fn value_from_stdin() -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut value);
    read.map_err(|error| Failure::plain(format!("cannot read the value: {error}")))?;
    if value.is_empty() {
        return Err(needs_a_value());
    }
    Ok(value)
}

/// What `del` asks.
pub(crate) fn deletion(wanted: &DelArguments) -> Result<(Vec<u8>, DeleteOptions), Failure> {
    only_one_of(wanted.prefix, wanted.from_key)?;
    let is_widened = wanted.prefix || wanted.from_key;
    let (key, end) = key_and_end(&wanted.keys, "del", is_widened)?;
    let mut options = DeleteOptions::new();
    if wanted.prev_kv {
        options = options.with_prev_key();
    }
    if let Some(end) = end {
        options = options.with_range(end);
    }
    Ok(match (wanted.prefix, wanted.from_key) {
        (true, _) | (_, true) if key.is_empty() => (vec![0], options.with_from_key()),
        (true, _) => (key.into(), options.with_prefix()),
        (_, true) => (key.into(), options.with_from_key()),
        _ => (key.into(), options),
    })
}

pub(crate) async fn get(
    global: &Global,
    style: Style,
    wanted: &GetArguments,
) -> Result<(), Failure> {
    if wanted.print_value_only && style.format != Format::Simple {
        let text = "print-value-only is only for `--write-out=simple`";
        return Err(Failure::arguments(text));
    }
    if wanted.count_only && (wanted.keys_only || wanted.print_value_only) {
        let text = "--count-only goes with neither --keys-only nor --print-value-only";
        return Err(Failure::arguments(text));
    }
    let (key, options) = range(wanted)?;
    let client = session::open(global).await?;
    let response = client.get(key, options).await?;
    let style = Style {
        value_only: wanted.print_value_only,
        ..style
    };
    let report = Range {
        is_count: wanted.count_only,
        ..Range::from(&response)
    };
    show(&report, style)
}

pub(crate) async fn put(
    global: &Global,
    style: Style,
    wanted: &PutArguments,
) -> Result<(), Failure> {
    let (key, value, options) = write(wanted, value_from_stdin)?;
    let client = session::open(global).await?;
    show(&Put::from(&client.put(key, value, options).await?), style)
}

pub(crate) async fn del(
    global: &Global,
    style: Style,
    wanted: &DelArguments,
) -> Result<(), Failure> {
    let (key, options) = deletion(wanted)?;
    let client = session::open(global).await?;
    show(&Deleted::from(&client.delete(key, options).await?), style)
}

pub(crate) async fn compact(
    global: &Global,
    arguments: &[String],
    physical: bool,
) -> Result<(), Failure> {
    let [revision] = arguments else {
        return Err(Failure::arguments("compaction command needs 1 argument"));
    };
    let revision: i64 = revision.parse().map_err(|_| {
        Failure::plain(format!(
            "strconv.ParseInt: parsing {revision:?}: invalid syntax"
        ))
    })?;
    let client = session::open(global).await?;
    let ask = |mut etcd: etcd_client::Client| async move {
        let options = CompactionOptions::new();
        let options = if physical {
            options.with_physical()
        } else {
            options
        };
        etcd.compact(revision, Some(options)).await
    };
    client.once(ask).await?;
    print::line(&format!("compacted revision {revision}"))?;
    Ok(())
}
