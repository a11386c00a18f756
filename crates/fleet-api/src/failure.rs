//! What the API answers when it refuses.
//!
//! The status line says the same as the code.

use serde::{Deserialize, Serialize};

/// `{"error":{"code":404,"message":"unit does not exist"}}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What is wrong.
    pub error: FailureDetail,
}

/// Code and text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureDetail {
    /// The HTTP status.
    pub code: u16,
    /// For people: it names the unit, the key and the line.
    #[serde(default)]
    pub message: String,
}

impl Failure {
    /// With a status and a text.
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            error: FailureDetail { code, message },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_fleet_wrote_it() {
        let failure = Failure::new(404, "unit does not exist");
        let text = r#"{"error":{"code":404,"message":"unit does not exist"}}"#;
        assert_eq!(serde_json::to_string(&failure).expect("JSON"), text);
    }
}
