//! The D-Bus objects of units.
//!
//! The rules are those of `sd_bus_path_encode(3)`: letters and digits stay, everything else, and a digit at
//! the beginning, is `_` and two hexadecimal digits.

/// All units are below it.
pub(super) const UNITS: &str = "/org/freedesktop/systemd1/unit";

/// The unit of an object; nothing for other objects.
pub(super) fn unit_of(path: &str) -> Option<String> {
    let label = path.strip_prefix(UNITS)?.strip_prefix('/')?;
    let mut name = Vec::with_capacity(label.len());
    let mut rest = label.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'_' {
            name.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        name.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `busctl tree org.freedesktop.systemd1` shows them.
    #[test]
    fn objects_of_units() {
        for (name, label) in [
            ("hello.service", "hello_2eservice"),
            ("-.mount", "_2d_2emount"),
            ("a@b_1.service", "a_40b_5f1_2eservice"),
            (r"dev-sda\x2d.swap", "dev_2dsda_5cx2d_2eswap"),
            ("1.target", "_31_2etarget"),
        ] {
            let path = format!("{UNITS}/{label}");
            assert_eq!(unit_of(&path).as_deref(), Some(name));
        }
        assert_eq!(unit_of("/org/freedesktop/systemd1/job/1"), None);
        assert_eq!(unit_of("/org/freedesktop/systemd1/unit/a_2"), None);
    }
}
