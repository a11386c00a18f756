//! Single parameters read as Go's `strconv` reads them.
//!
//! Which of them go together is not checked here.

use kv_model::{ErrorCode, Refusal};

use super::refusal;
use crate::form::{Field, Form};
use crate::path;

/// A whole number, if the parameter was given.
pub(super) fn unsigned(
    form: &Form<'_>,
    field: Field,
    code: ErrorCode,
) -> Result<Option<u64>, Refusal> {
    let Some(text) = form.get(field) else {
        return Ok(None);
    };
    let number = parse_unsigned(text);
    number.map(Some).ok_or_else(|| invalid(code, field))
}

/// Digits only: no sign, no spaces.
pub(super) fn parse_unsigned(text: &[u8]) -> Option<u64> {
    let text = str::from_utf8(text).ok()?;
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// A boolean, if the parameter was given.
pub(super) fn boolean(form: &Form<'_>, field: Field) -> Result<Option<bool>, Refusal> {
    Ok(Some(match form.get(field) {
        None => return Ok(None),
        Some(b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True") => true,
        Some(b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False") => false,
        Some(_) => return Err(invalid(ErrorCode::InvalidField, field)),
    }))
}

/// How many nodes a page of a listing has; not 0.
pub(super) fn limit(form: &Form<'_>) -> Result<Option<usize>, Refusal> {
    let number = unsigned(form, Field::Limit, ErrorCode::InvalidField)?;
    match number.map(usize::try_from) {
        None => Ok(None),
        Some(Ok(1..)) => Ok(number.and_then(|number| usize::try_from(number).ok())),
        Some(_) => Err(invalid(ErrorCode::InvalidField, Field::Limit)),
    }
}

/// The path after which a page of a listing begins.
pub(super) fn after(form: &Form<'_>) -> Result<Option<String>, Refusal> {
    let Some(text) = form.get(Field::After) else {
        return Ok(None);
    };
    let path = str::from_utf8(text).ok().filter(|p| p.starts_with('/'));
    path.and_then(|path| path::clean(path).ok())
        .map(Some)
        .ok_or_else(|| invalid(ErrorCode::InvalidField, Field::After))
}

/// The cause in etcd's words; two of them it writes without quotes.
fn invalid(code: ErrorCode, field: Field) -> Refusal {
    let name = field.name();
    let cause = match field {
        Field::PrevExist | Field::Refresh => format!("invalid value for {name}"),
        _ => format!("invalid value for \"{name}\""),
    };
    refusal(code, cause)
}
