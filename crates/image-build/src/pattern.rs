//! Path patterns of the recipe: `*` and `?` stay within one component, `**` crosses components.
//!
//! `a/**` matches everything below `a`, not `a` itself. No brackets, no escapes.

/// Whether `path` (relative, `/`-separated) matches `pattern`.
pub fn matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    components_match(&pattern, &path)
}

/// Whether any of the patterns matches.
pub fn matches_any(patterns: &[String], path: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, path))
}

fn components_match(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) | (Some((&"**", [])), Some(_)) => true,
        (Some((&"**", rest)), Some((_, deeper))) => {
            components_match(rest, path) || components_match(pattern, deeper)
        }
        (Some((first, rest)), Some((name, deeper))) => {
            name_matches(first.as_bytes(), name.as_bytes()) && components_match(rest, deeper)
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn name_matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            name_matches(rest, name)
                || name
                    .split_first()
                    .is_some_and(|(_, shorter)| name_matches(pattern, shorter))
        }
        (Some((b'?', rest)), Some((_, shorter))) => name_matches(rest, shorter),
        (Some((a, rest)), Some((b, shorter))) => a == b && name_matches(rest, shorter),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn one_star_stays_in_its_component() {
        assert!(matches("usr/bin/apt*", "usr/bin/apt-get"));
        assert!(!matches("usr/*", "usr/bin/apt"));
        assert!(matches(
            "usr/share/doc/*/copyright",
            "usr/share/doc/bash/copyright"
        ));
        assert!(!matches(
            "usr/share/doc/*/copyright",
            "usr/share/doc/bash/x/copyright"
        ));
    }

    #[test]
    fn two_stars_cross_components_but_not_the_directory_itself() {
        assert!(matches("var/**", "var/lib/dpkg/status"));
        assert!(!matches("var/**", "var"));
        assert!(matches("a/**/z", "a/b/c/z"));
        assert!(!matches("boot/**", "bootx/y"));
    }
}
