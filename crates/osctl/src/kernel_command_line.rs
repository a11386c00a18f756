//! The one option of the kernel command line that is for this program: `keelson.soak=SECONDS`.
//!
//! What `/init` obeys is none of its business.
use std::time::Duration;

use machine_facts::error::{Fact, FactError};
use machine_facts::system_root::SystemRoot;

const PATH: &str = "/proc/cmdline";
const KEY: &str = "keelson.soak";

/// The soak time, if the command line gives one; the last one counts.
pub(crate) fn read_soak(root: &SystemRoot) -> Fact<Option<Duration>> {
    parse_soak(&root.read_text(PATH)?)
}

fn parse_soak(command_line: &str) -> Fact<Option<Duration>> {
    let mut soak = None;
    for word in words(command_line) {
        if let Some((KEY, value)) = word.split_once('=') {
            let seconds = value.parse().map_err(|_| {
                FactError::malformed(PATH, format!("{word} is not a number of seconds"))
            })?;
            soak = Some(Duration::from_secs(seconds));
        }
    }
    Ok(soak)
}

/// Splits as the kernel does: at blanks outside double quotes, which are dropped.
fn words(command_line: &str) -> Vec<String> {
    let mut quoted = false;
    let separated = command_line.split(|character: char| {
        quoted ^= character == '"';
        character.is_ascii_whitespace() && !quoted
    });
    separated.map(|word| word.replace('"', "")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_soak_counts() {
        let soak = |line| parse_soak(line).unwrap().map(|soak| soak.as_secs());
        assert_eq!(soak("quiet keelson.soak=5 keelson.soak=0\n"), Some(0));
        assert_eq!(soak("\"keelson.soak=7\""), Some(7));
        assert_eq!(
            soak("x=\"a keelson.soak=5\" soak=1 keelson.soaking=2"),
            None
        );
        assert_eq!(soak(""), None);
    }

    #[test]
    fn what_is_no_number_is_an_error() {
        for value in ["", "-1", "soon", "1s"] {
            let error = parse_soak(&format!("keelson.soak={value}")).unwrap_err();
            assert!(error.reason().contains("keelson.soak="), "{value}");
        }
    }
}
