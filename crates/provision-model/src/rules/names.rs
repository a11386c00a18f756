//! Which texts are names of hosts, time zones, users and groups.
//!
//! Whether the machine knows the zone is not known here.

/// Longest name of a host that Linux takes.
const HOSTNAME_MAX: usize = 64;
/// Longest name of a user that utmp takes.
const ACCOUNT_MAX: usize = 31;

/// RFC 1123's, of one or several labels.
pub fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        (1..=63).contains(&bytes.len())
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= HOSTNAME_MAX && text.split('.').all(is_label)
}

/// A path below `/usr/share/zoneinfo`, by its form.
pub(super) fn is_time_zone(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-_".contains(&byte))
    };
    text.split('/').all(is_part)
}

/// What useradd and systemd-sysusers both take.
pub(super) fn is_account(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_first = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'_';
    bytes.first().is_some_and(is_first)
        && bytes.len() <= ACCOUNT_MAX
        && bytes
            .iter()
            .all(|byte| is_first(byte) || byte.is_ascii_digit() || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for good in ["a", "node-1", "node1.example.com", "1", "A.b"] {
            assert!(is_hostname(good), "{good}");
        }
        let long = "a".repeat(65);
        for bad in [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a_b",
            "a b",
            "ü",
            long.as_str(),
        ] {
            assert!(!is_hostname(bad), "{bad}");
        }
    }

    #[test]
    fn zones_and_accounts() {
        assert!(is_time_zone("Etc/GMT+1") && is_time_zone("UTC"));
        assert!(!is_time_zone("/etc/passwd") && !is_time_zone("../x") && !is_time_zone(""));
        assert!(is_account("core") && is_account("_x-1"));
        for bad in ["", "Core", "1a", "a:b", "a b", "a\n", &"a".repeat(32)] {
            assert!(!is_account(bad), "{bad}");
        }
    }
}
