//! Versions of the API: what is spoken, and which of them a path asks for.

use crate::ApiError;

/// The newest that is spoken.
pub const NEWEST: &str = "1.47";
/// The oldest that is.
pub const OLDEST: &str = "1.41";
/// What a client takes as the engine's own version: features are told by the API's version alone.
pub const ENGINE: &str = env!("CARGO_PKG_VERSION");

/// Takes the version off a path. Without one the newest is meant.
pub fn strip(path: &str) -> Result<&str, ApiError> {
    let Some(rest) = path.strip_prefix("/v") else {
        return Ok(path);
    };
    let Some((version, _)) = rest.split_once('/') else {
        return Ok(path);
    };
    let Some(wanted) = number(version) else {
        return Ok(path);
    };
    if Some(wanted) < number(OLDEST) {
        return Err(ApiError::bad_request(format!(
            "client version {version} is too old. Minimum supported API version is {OLDEST}, please upgrade your client to a newer version"
        )));
    }
    if Some(wanted) > number(NEWEST) {
        return Err(ApiError::bad_request(format!(
            "client version {version} is too new. Maximum supported API version is {NEWEST}"
        )));
    }
    Ok(&path[2 + version.len()..])
}

/// Whether the version that a path asks for has a name of its own for streams with headers; before, it called
/// both kinds raw.
pub fn names_multiplexed(path: &str) -> bool {
    let version = path
        .strip_prefix("/v")
        .and_then(|rest| rest.split_once('/'));
    version
        .and_then(|(version, _)| number(version))
        .is_none_or(|version| version >= (1, 42))
}

fn number(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_negotiated() {
        assert_eq!(strip("/v1.41/info"), Ok("/info"));
        assert_eq!(strip("/v1.47/info"), Ok("/info"));
        assert_eq!(strip("/info"), Ok("/info"));
        assert_eq!(strip("/volumes/x"), Ok("/volumes/x"));
        let error = strip("/v1.24/info").unwrap_err();
        assert!(error.message.contains("too old"), "{error}");
        assert!(strip("/v1.99/info").is_err());
        assert!(names_multiplexed("/v1.42/x") && names_multiplexed("/containers/volumes"));
        assert!(!names_multiplexed("/v1.41/x"));
    }
}
