//! Shell-style matching as module aliases use it: `*`, `?`, `[abc]`, `[a-z]`, `[!a-z]`.
//!
//! No brace expansion, no escapes, no path semantics: aliases have none of these.

/// Whether the whole of `text` matches `pattern`.
///
/// Backtracks to the last `*` only, so the time is at most the product of both lengths.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            last_star = Some((p, t));
            p += 1;
        } else if let Some(length) = match_one(&pattern[p..], text[t]) {
            p += length;
            t += 1;
        } else if let Some((star, matched)) = last_star {
            last_star = Some((star, matched + 1));
            (p, t) = (star + 1, matched + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Matches one byte against the head of a pattern; the length of that head if it fits.
fn match_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern.first()? {
        b'?' => Some(1),
        b'[' => match class(pattern) {
            Some((inside, length)) => class_holds(inside, byte).then_some(length),
            None => (byte == b'[').then_some(1), // never closed: an ordinary character
        },
        literal => (*literal == byte).then_some(1),
    }
}

/// What stands between `[` and its `]`, and the length of all of it.
fn class(pattern: &[u8]) -> Option<(&[u8], usize)> {
    // A `]` directly behind `[` or `[!` is a member, not the end.
    let negation = usize::from(matches!(pattern.get(1), Some(b'!' | b'^')));
    let first_end = 2 + negation;
    let end = (first_end..pattern.len()).find(|index| pattern[*index] == b']')?;
    Some((&pattern[1..end], end + 1))
}

fn class_holds(inside: &[u8], byte: u8) -> bool {
    let (negated, mut members) = match inside.split_first() {
        Some((b'!' | b'^', rest)) => (true, rest),
        _ => (false, inside),
    };
    let mut found = false;
    while let Some((first, rest)) = members.split_first() {
        if let [b'-', last, tail @ ..] = rest {
            found |= (*first..=*last).contains(&byte);
            members = tail;
        } else {
            found |= *first == byte;
            members = rest;
        }
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn literals_match_themselves_only() {
        assert!(matches("", ""));
        assert!(matches("xen:vbd", "xen:vbd"));
        assert!(!matches("xen:vbd", "xen:vb"));
        assert!(!matches("xen:vb", "xen:vbd"));
        assert!(!matches("", "x"));
    }

    #[test]
    fn stars_match_any_run() {
        assert!(matches("*", ""));
        assert!(matches("scsi:t-0x00*", "scsi:t-0x00"));
        assert!(matches("a*b*c", "aXbYbZc"));
        assert!(!matches("a*b*c", "aXbYbZ"));
        assert!(matches("**a**", "xax"));
        assert!(!matches("*a", "ab"));
    }

    #[test]
    fn real_aliases() {
        let ahci = "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01";
        assert!(matches("pci:v00008086d00002922sv*sd*bc*sc*i*", ahci));
        assert!(matches("pci:v*d*sv*sd*bc01sc06i01*", ahci));
        assert!(!matches("pci:v*d*sv*sd*bc01sc08i02*", ahci));
        assert!(matches("virtio:d00000002v*", "virtio:d00000002v00001AF4"));
        assert!(!matches("virtio:d00000008v*", "virtio:d00000002v00001AF4"));
        let stick = "usb:v0781p5567d0100dc00dsc00dp00ic08isc06ip50in00";
        assert!(matches("usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*", stick));
        assert!(matches(
            "usb:v0781p55[0-9a-f]*d*dc*dsc*dp*ic*isc*ip*in*",
            stick
        ));
    }

    #[test]
    fn question_marks_and_classes_take_one_character() {
        assert!(matches("a?c", "abc"));
        assert!(!matches("a?c", "ac"));
        assert!(matches("[a-c]x", "bx"));
        assert!(!matches("[a-c]x", "dx"));
        assert!(matches("[!a-c]x", "dx"));
        assert!(matches("[^a-c]", "-"));
        assert!(matches("[]x]", "]"));
        assert!(matches("[a-]", "-"));
        assert!(!matches("[a]", ""));
    }

    #[test]
    fn an_unclosed_class_is_literal() {
        assert!(matches("a[b", "a[b"));
        assert!(!matches("a[b", "ab"));
    }

    #[test]
    fn hostile_patterns_end_soon() {
        let pattern = "a*".repeat(200) + "b";
        assert!(!matches(&pattern, &"a".repeat(2000)));
    }
}
