//! `yes` and `no` in the spellings systemd takes.
//!
//! Settings that are more than a boolean (`Restart=`) are not known here.

/// What a text says; none if it is neither.
pub fn parse(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn spellings() {
        assert_eq!(super::parse("YES"), Some(true));
        assert_eq!(super::parse("off"), Some(false));
        assert_eq!(super::parse(""), None);
        assert_eq!(super::parse(" yes"), None);
    }
}
