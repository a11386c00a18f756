//! One error for "the kernel refused this": an action in words and the reason.
//!
//! It does not classify errors; a module whose caller must tell cases apart has its own enum
//! and wraps this one.
use std::error::Error;
use std::io;

/// An action on a file, device or mount that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub(crate) struct ActionFailed {
    action: String,
    #[source]
    source: io::Error,
}

/// Says what was being done when a system call failed.
pub(crate) trait Context<T> {
    /// Turns the error into an [`ActionFailed`]; `action` continues the words "cannot …".
    fn context(self, action: impl FnOnce() -> String) -> Result<T, ActionFailed>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, action: impl FnOnce() -> String) -> Result<T, ActionFailed> {
        self.map_err(|source| ActionFailed {
            action: action(),
            source: source.into(),
        })
    }
}

/// The error and all its sources on one line, outermost first.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_names_the_action_before_the_reason() {
        let failed: Result<(), io::Error> = Err(io::Error::other("no medium"));
        let error = failed.context(|| "read /dev/sda".to_owned()).unwrap_err();
        assert_eq!(chain(&error), "cannot read /dev/sda: no medium");
    }

    #[test]
    fn an_errno_converts() {
        let failed: Result<(), rustix::io::Errno> = Err(rustix::io::Errno::NOENT);
        let error = failed.context(|| "open /x".to_owned()).unwrap_err();
        assert!(
            chain(&error).starts_with("cannot open /x: No such file"),
            "{}",
            chain(&error)
        );
    }
}
