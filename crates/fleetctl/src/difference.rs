//! What differs between two texts, line by line.
//!
//! For people to read: no program applies it.

/// Lines around a change that are shown.
const CONTEXT: usize = 2;
/// Longer texts are compared as a whole between what they begin and end with alike.
const LINES_MAX: usize = 2000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit<'a> {
    Same(&'a str),
    Removed(&'a str),
    Added(&'a str),
}

/// Lines with ` `, `-` or `+` before them; nothing if the texts are the same.
pub(crate) fn difference(old: &str, new: &str) -> String {
    let old: Vec<&str> = old.lines().collect();
    let new: Vec<&str> = new.lines().collect();
    let edits = edits(&old, &new);
    let is_near = |index: usize| {
        let from = index.saturating_sub(CONTEXT);
        let to = (index + CONTEXT + 1).min(edits.len());
        edits[from..to]
            .iter()
            .any(|edit| !matches!(edit, Edit::Same(_)))
    };
    let mut text = String::new();
    let mut is_gap = false;
    for (index, edit) in edits.iter().enumerate() {
        if !is_near(index) {
            is_gap = true;
            continue;
        }
        if is_gap && !text.is_empty() {
            text.push_str("...\n");
        }
        is_gap = false;
        let (mark, line) = match edit {
            Edit::Same(line) => (' ', line),
            Edit::Removed(line) => ('-', line),
            Edit::Added(line) => ('+', line),
        };
        text.extend([mark]);
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// By the longest common subsequence of what is between equal beginnings and ends.
fn edits<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Edit<'a>> {
    let pairs = old.iter().zip(new);
    let begin = pairs.take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[begin..], &new[begin..]);
    let pairs = old_rest.iter().rev().zip(new_rest.iter().rev());
    let end = pairs.take_while(|(a, b)| a == b).count();
    let old_middle = &old_rest[..old_rest.len() - end];
    let new_middle = &new_rest[..new_rest.len() - end];
    let mut found: Vec<Edit<'_>> = old[..begin].iter().copied().map(Edit::Same).collect();
    if old_middle.len() > LINES_MAX || new_middle.len() > LINES_MAX {
        found.extend(old_middle.iter().copied().map(Edit::Removed));
        found.extend(new_middle.iter().copied().map(Edit::Added));
    } else {
        found.extend(middle(old_middle, new_middle));
    }
    let tail = &old_rest[old_rest.len() - end..];
    found.extend(tail.iter().copied().map(Edit::Same));
    found
}

fn middle<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Edit<'a>> {
    // `lengths[i][j]`: how much old[i..] and new[j..] have in common.
    let mut lengths = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            lengths[i][j] = if old[i] == new[j] {
                lengths[i + 1][j + 1] + 1
            } else {
                lengths[i + 1][j].max(lengths[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut found = Vec::new();
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            found.push(Edit::Same(old[i]));
            i += 1;
            j += 1;
        } else if j == new.len() || (i < old.len() && lengths[i + 1][j] >= lengths[i][j + 1]) {
            found.push(Edit::Removed(old[i]));
            i += 1;
        } else {
            found.push(Edit::Added(new[j]));
            j += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_shown_with_what_is_around() {
        let old = "[Unit]\nDescription=a\n\n[Service]\nExecStart=/bin/a\nUser=x\n";
        let new = "[Unit]\nDescription=a\n\n[Service]\nExecStart=/bin/b\nUser=x\nGroup=y\n";
        assert_eq!(
            difference(old, new),
            " \n [Service]\n-ExecStart=/bin/a\n+ExecStart=/bin/b\n User=x\n+Group=y\n"
        );
    }

    #[test]
    fn far_changes_have_a_gap_between() {
        let old: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let mut new = old.clone();
        new[1] = "a".to_owned();
        new[18] = "b".to_owned();
        let text = difference(&old.join("\n"), &new.join("\n"));
        assert_eq!(text, " 0\n-1\n+a\n 2\n 3\n...\n 16\n 17\n-18\n+b\n 19\n");
    }

    #[test]
    fn nothing_differs_from_itself() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), "");
        assert_eq!(difference("", "a\n"), "+a\n");
        assert_eq!(difference("a\n", ""), "-a\n");
    }
}
