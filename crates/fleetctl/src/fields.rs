//! `--fields`: which columns a list has.
//!
//! What stands in them is the list's affair.

use crate::failure::Failure;

/// The columns that are asked for, or the usual ones; each must be among those there are.
pub(crate) fn choose<'a>(
    asked: Option<&'a str>,
    usual: &'a str,
    known: &[&str],
) -> Result<Vec<&'a str>, Failure> {
    let text = asked.unwrap_or(usual);
    if text.is_empty() {
        return Err(Failure::new("Must define output format"));
    }
    let columns: Vec<&str> = text.split(',').collect();
    match columns.iter().find(|column| !known.contains(column)) {
        None => Ok(columns),
        Some(unknown) => Err(Failure::new(format!(
            "Invalid key in output format: \"{unknown}\"; valid are {}",
            known.join(",")
        ))),
    }
}

/// `-` for nothing.
pub(crate) fn or_dash(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}

/// fleet's short hash.
pub(crate) fn short_hash(hash: &str, full: bool) -> String {
    match hash.get(..7) {
        Some(short) if !full => short.to_owned(),
        _ => or_dash(hash),
    }
}
