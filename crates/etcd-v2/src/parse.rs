//! Requests to `/v2/keys` parsed, with etcd's checks in etcd's order.
//!
//! A refusal here has index 0, as the store was not asked.

use bytes::Bytes;
use kv_model::command::{Expected, KeyAction, KeyWrite, NewContent};
use kv_model::{ErrorCode, Refusal, Revision, UnixNanoseconds};

use crate::form::{Field, Form};
use crate::key_request::{
    KeyRequest, Method, Parsed, RawRequest, ReadRequest, Representation, WatchRequest, WriteRequest,
};
use crate::{path, warning};

mod scalar;

/// Parses a request to `/v2/keys`; `now` is what times to live count from.
///
/// # Errors
/// With the code and cause that etcd answers.
pub fn parse_key_request(
    request: &RawRequest<'_>,
    now: UnixNanoseconds,
) -> Result<Parsed, Refusal> {
    let mut form = Form::parse(request).map_err(|text| refusal(ErrorCode::InvalidForm, text))?;
    let path = clean_path(request.path)?;
    let fields = Fields::check(&form, request)?;
    fields.warn(&mut form, request.method);
    let request = match request.method {
        Method::Get | Method::Head => fields.into_read(path, request, &form)?,
        _ => KeyRequest::Write(WriteRequest {
            no_value_on_success: fields.no_value_on_success,
            command: KeyWrite {
                path,
                action: fields.into_action(request, &mut form, now),
            },
        }),
    };
    Ok(Parsed {
        request,
        warnings: form.warnings,
    })
}

fn refusal(code: ErrorCode, cause: impl Into<String>) -> Refusal {
    Refusal {
        code,
        cause: cause.into(),
        index: Revision::default(),
    }
}

fn clean_path(escaped: &str) -> Result<String, Refusal> {
    path::unescape(escaped)
        .and_then(|path| path::clean(&path))
        .map_err(|error| refusal(ErrorCode::InvalidField, error.to_string()))
}

fn is_accepted(request: &RawRequest<'_>, media_type: &str) -> bool {
    let accepted = request.accept.unwrap_or_default();
    accepted.split(|&b| b == b',').any(|one| {
        let one = one.split(|&b| b == b';').next().unwrap_or_default();
        one.trim_ascii().eq_ignore_ascii_case(media_type.as_bytes())
    })
}

/// The parameters, each checked by itself.
#[allow(
    clippy::struct_excessive_bools,
    reason = "they are the protocol's parameters, one for one"
)]
#[derive(Debug)]
struct Fields {
    previous_index: u64,
    wait_index: u64,
    recursive: bool,
    sorted: bool,
    wait: bool,
    directory: bool,
    quorum: bool,
    stream: bool,
    no_value_on_success: bool,
    previous_value: Option<Bytes>,
    ttl_seconds: Option<u64>,
    previous_exists: Option<bool>,
    refresh: bool,
}

impl Fields {
    fn check(form: &Form<'_>, request: &RawRequest<'_>) -> Result<Self, Refusal> {
        let index = |field| scalar::unsigned(form, field, ErrorCode::IndexNotANumber);
        let boolean = |field| scalar::boolean(form, field).map(Option::unwrap_or_default);
        let previous_index = index(Field::PrevIndex)?;
        let wait_index = index(Field::WaitIndex)?;
        let recursive = boolean(Field::Recursive)?;
        let sorted = boolean(Field::Sorted)?;
        let wait = boolean(Field::Wait)?;
        let directory = boolean(Field::Dir)?;
        let quorum = boolean(Field::Quorum)?;
        let stream = boolean(Field::Stream)?;
        if wait && request.method != Method::Get {
            let cause = "\"wait\" can only be used with GET requests";
            return Err(refusal(ErrorCode::InvalidField, cause));
        }
        if form.get(Field::PrevValue) == Some(b"") {
            let cause = "\"prevValue\" cannot be empty";
            return Err(refusal(ErrorCode::PreviousValueRequired, cause));
        }
        let no_value_on_success = boolean(Field::NoValueOnSuccess)?;
        let ttl_seconds = match form.get(Field::Ttl) {
            None | Some(b"") => None,
            Some(_) => scalar::unsigned(form, Field::Ttl, ErrorCode::TtlNotANumber)?,
        };
        let previous_exists = scalar::boolean(form, Field::PrevExist)?;
        let refresh = scalar::boolean(form, Field::Refresh)?.unwrap_or_default();
        if refresh {
            check_refresh(form, request, ttl_seconds)?;
        }
        let previous_value = form.get(Field::PrevValue).map(Bytes::copy_from_slice);
        Ok(Self {
            previous_index: previous_index.unwrap_or_default(),
            wait_index: wait_index.unwrap_or_default(),
            recursive,
            sorted,
            wait,
            directory,
            quorum,
            stream,
            no_value_on_success,
            previous_value,
            ttl_seconds,
            previous_exists,
            refresh,
        })
    }

    fn is_conditional(&self) -> bool {
        self.previous_value.is_some() || self.previous_index > 0
    }

    fn expected(&mut self) -> Expected {
        Expected {
            value: self.previous_value.take(),
            index: (self.previous_index > 0).then_some(Revision(self.previous_index)),
        }
    }

    fn into_read(
        self,
        path: String,
        request: &RawRequest<'_>,
        form: &Form<'_>,
    ) -> Result<KeyRequest, Refusal> {
        // etcd sends a quorum read through the log and forgets that it should wait.
        if self.wait && !self.quorum {
            return Ok(KeyRequest::Watch(self.into_watch(path, request)));
        }
        Ok(KeyRequest::Read(ReadRequest {
            path,
            recursive: self.recursive,
            sorted: self.sorted,
            quorum: self.quorum,
            limit: scalar::limit(form)?,
            after: scalar::after(form)?,
            representation: if is_accepted(request, crate::OCTETS) {
                Representation::Octets
            } else {
                Representation::Json
            },
        }))
    }

    fn into_watch(self, path: String, request: &RawRequest<'_>) -> WatchRequest {
        let server_sent_events = is_accepted(request, crate::EVENT_STREAM);
        let continued = request.last_event_id.filter(|_| server_sent_events);
        let continued = continued.and_then(scalar::parse_unsigned);
        let wait_index = match continued {
            Some(last) => last.saturating_add(1),
            None => self.wait_index,
        };
        WatchRequest {
            path,
            recursive: self.recursive,
            wait_index: (wait_index > 0).then_some(Revision(wait_index)),
            stream: self.stream || server_sent_events,
            server_sent_events,
        }
    }

    fn into_action(
        mut self,
        request: &RawRequest<'_>,
        form: &mut Form<'_>,
        now: UnixNanoseconds,
    ) -> KeyAction {
        let expires = self.expires(form, now);
        match request.method {
            Method::Delete if self.is_conditional() => KeyAction::CompareAndDelete {
                expected: self.expected(),
            },
            Method::Delete => KeyAction::Delete {
                directory: self.directory,
                recursive: self.recursive,
            },
            Method::Post => KeyAction::CreateInOrder {
                content: self.content(request, form),
                expires,
            },
            _ if self.previous_exists == Some(false) => KeyAction::Create {
                content: self.content(request, form),
                expires,
            },
            _ if self.is_conditional() => KeyAction::CompareAndSwap {
                expected: self.expected(),
                value: self.changed_value(request, form),
                expires,
                refresh: self.refresh,
            },
            _ if self.previous_exists.is_some() => KeyAction::Update {
                value: self.changed_value(request, form),
                expires,
                refresh: self.refresh,
            },
            _ if self.refresh => KeyAction::SetRefresh { expires },
            _ => KeyAction::Set {
                content: self.content(request, form),
                expires,
            },
        }
    }

    /// What etcd lets overflow, into the past or to a time that was never meant, is permanent.
    fn expires(&self, form: &mut Form<'_>, now: UnixNanoseconds) -> Option<UnixNanoseconds> {
        let nanoseconds = i64::try_from(self.ttl_seconds?)
            .ok()
            .and_then(|seconds| seconds.checked_mul(1_000_000_000))
            .and_then(|ttl| now.0.checked_add(ttl));
        if nanoseconds.is_none() {
            form.warnings.push(warning::TTL_TOO_LONG.to_owned());
        }
        nanoseconds.map(UnixNanoseconds)
    }

    fn content(&self, request: &RawRequest<'_>, form: &mut Form<'_>) -> NewContent {
        if self.directory {
            NewContent::Directory
        } else {
            NewContent::Value(value(request, form))
        }
    }

    fn changed_value(&self, request: &RawRequest<'_>, form: &mut Form<'_>) -> Option<Bytes> {
        if self.refresh {
            return None;
        }
        // An update without a value sets an empty one, and leaves a directory alone.
        Some(value(request, form))
    }

    fn warn(&self, form: &mut Form<'_>, method: Method) {
        let mut no_effect = |applies: bool, fields: &[Field], reason: &str| {
            let given = fields.iter().filter(|&&field| form.get(field).is_some());
            let texts: Vec<String> = given
                .filter(|_| applies)
                .map(|&field| warning::has_no_effect(field, reason))
                .collect();
            form.warnings.extend(texts);
        };
        let is_read = matches!(method, Method::Get | Method::Head);
        let is_put = method == Method::Put;
        let conditions = [Field::PrevValue, Field::PrevIndex];
        let with_quorum = self.wait && self.quorum;
        no_effect(with_quorum, &[Field::Wait], "together with 'quorum'");
        no_effect(is_read, &WRITE_FIELDS, "on a read");
        no_effect(!is_read, &READ_FIELDS, "on a write");
        no_effect(method == Method::Post, &conditions, "on a POST");
        no_effect(!is_put && !is_read, &PUT_FIELDS, "but on a PUT");
        let created = is_put && self.previous_exists == Some(false);
        no_effect(created, &conditions, "with 'prevExist=false'");
        let index_is_zero = form.get(Field::PrevIndex).is_some() && self.previous_index == 0;
        if index_is_zero && !is_read {
            let text = warning::has_no_effect(Field::PrevIndex, "as 0, which means any");
            form.warnings.push(text);
        }
        if self.directory && !is_read && form.get(Field::Value).is_some_and(|v| !v.is_empty()) {
            let text = warning::has_no_effect(Field::Value, "together with 'dir'");
            form.warnings.push(text);
        }
    }
}

const WRITE_FIELDS: [Field; 7] = [
    Field::Value,
    Field::Ttl,
    Field::PrevValue,
    Field::PrevIndex,
    Field::PrevExist,
    Field::Refresh,
    Field::NoValueOnSuccess,
];
const READ_FIELDS: [Field; 4] = [Field::WaitIndex, Field::Stream, Field::Limit, Field::After];
const PUT_FIELDS: [Field; 2] = [Field::PrevExist, Field::Refresh];

fn check_refresh(
    form: &Form<'_>,
    request: &RawRequest<'_>,
    ttl_seconds: Option<u64>,
) -> Result<(), Refusal> {
    let has_octets = form.octets && !request.body.is_empty();
    if has_octets
        || form
            .get(Field::Value)
            .is_some_and(|value| !value.is_empty())
    {
        let cause = "A value was provided on a refresh";
        return Err(refusal(ErrorCode::RefreshWithValue, cause));
    }
    if ttl_seconds.is_none() {
        let cause = "No TTL value set";
        return Err(refusal(ErrorCode::RefreshWithoutTtl, cause));
    }
    Ok(())
}

/// The body itself if it is raw bytes, or else the parameter.
fn value(request: &RawRequest<'_>, form: &mut Form<'_>) -> Bytes {
    if form.octets && !request.body.is_empty() {
        return request.body.clone();
    }
    Bytes::from(form.take(Field::Value).into_owned())
}

#[cfg(test)]
mod tests;
