//! Which program a container runs: the image's entry point and command, and what replaces them.
//!
//! Looks for no program.

use crate::malformed::Malformed;

/// `--entrypoint`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Entrypoint {
    /// The image's.
    #[default]
    Image,
    /// Another one; an empty list is none.
    Replaced(Vec<String>),
}

/// Reads `--entrypoint`: one word, or a JSON list of words as Quadlet has it. Empty is none.
pub fn parse_entrypoint(text: &str) -> Result<Entrypoint, Malformed> {
    if text.is_empty() {
        return Ok(Entrypoint::Replaced(Vec::new()));
    }
    if !text.starts_with('[') {
        return Ok(Entrypoint::Replaced(vec![text.to_owned()]));
    }
    serde_json::from_str(text)
        .map(Entrypoint::Replaced)
        .map_err(|error| Malformed::new("list of words", text, error.to_string()))
}

/// The words that are run. An entry point of one's own forgets the image's command.
pub fn words(
    entrypoint: &Entrypoint,
    arguments: &[String],
    image_entrypoint: &[String],
    image_command: &[String],
) -> Vec<String> {
    let (first, default) = match entrypoint {
        Entrypoint::Image => (image_entrypoint, image_command),
        Entrypoint::Replaced(words) => (words.as_slice(), &[][..]),
    };
    let rest = if arguments.is_empty() {
        default
    } else {
        arguments
    };
    first.iter().chain(rest).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &[&str]) -> Vec<String> {
        words.iter().copied().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn arguments_replace_the_command_and_an_entry_point_both() {
        let image = |entrypoint: &Entrypoint, arguments: &[&str]| {
            words(entrypoint, &list(arguments), &list(&["/e"]), &list(&["c"]))
        };
        assert_eq!(image(&Entrypoint::Image, &[]), list(&["/e", "c"]));
        assert_eq!(image(&Entrypoint::Image, &["a"]), list(&["/e", "a"]));
        let own = parse_entrypoint("sh").unwrap();
        assert_eq!(image(&own, &[]), list(&["sh"]));
        assert_eq!(image(&own, &["a"]), list(&["sh", "a"]));
        let none = parse_entrypoint("").unwrap();
        assert_eq!(image(&none, &["a"]), list(&["a"]));
        let several = parse_entrypoint("[\"sh\", \"-c\"]").unwrap();
        assert_eq!(image(&several, &["a b"]), list(&["sh", "-c", "a b"]));
        assert!(parse_entrypoint("[1]").is_err());
    }
}
