//! What every Rust file begins with and what none contains.
//!
//! Lints already deny some of it; they can be allowed away, and do not see comments.

use proc_macro2::{TokenStream, TokenTree};

use crate::finding::{Finding, assert_none};
use crate::rust_source::{flatten, is_mark, is_word, line_of, rust_files, tokens};

/// Macros that stand for unfinished work.
const MACROS: &[&str] = &["dbg", "todo", "unimplemented"];
/// Words that mark unfinished work; in halves, so that this file does not contain them.
const MARKERS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
    concat!("HA", "CK"),
];

fn module_doc(path: &str, text: &str) -> Vec<Finding> {
    if text.starts_with("//! ") {
        return Vec::new();
    }
    let advice = "begin with `//!`: what this module does, and what it does not do";
    vec![Finding::new(path, 1, advice)]
}

fn unfinished_work(path: &str, text: &str) -> Vec<Finding> {
    let tokens = flatten(tokens(path, text));
    let macros = tokens
        .windows(2)
        .filter(|pair| is_mark(&pair[1], '!') && MACROS.iter().any(|m| is_word(&pair[0], m)))
        .map(|pair| Finding::new(path, line_of(&pair[0]), "finish it, or return an error"));
    macros.chain(markers(path, text)).collect()
}

/// Markers as whole words, anywhere in a text.
fn markers(path: &str, text: &str) -> Vec<Finding> {
    let is_word_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let marker_in = |line: &str| {
        let mut words = line.split(|c| !is_word_part(c));
        words.find_map(|word| MARKERS.iter().find(|marker| **marker == word).copied())
    };
    (1..)
        .zip(text.lines())
        .filter_map(|(number, line)| Some((number, marker_in(line)?)))
        .map(|(number, marker)| {
            let advice = format!("{marker}: do it, or open an issue and say what holds today");
            Finding::new(path, number, advice)
        })
        .collect()
}

/// `#[allow(…)]` and `#[expect(…)]` without a reason, and `#[ignore]`.
fn attributes(path: &str, text: &str) -> Vec<Finding> {
    let lines: Vec<&str> = text.lines().collect();
    let tokens = flatten(tokens(path, text));
    let mut findings = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let Some(content) = attribute(&tokens, index) else {
            continue;
        };
        let line = line_of(token);
        let content = flatten(content);
        let is = |word: &str| content.first().is_some_and(|first| is_word(first, word));
        let given = content.iter().any(|token| is_word(token, "reason"));
        if (is("allow") || is("expect")) && !given && !has_comment(&lines, line) {
            let advice = "say why: a comment here or on the line above, or `reason = \"…\"`";
            findings.push(Finding::new(path, line, advice));
        }
        if content.iter().any(|token| is_word(token, "ignore")) && (is("ignore") || is("cfg_attr"))
        {
            let advice = "no test is ignored: make it pass, remove it, or name it `soak_…`";
            findings.push(Finding::new(path, line, advice));
        }
    }
    findings
}

/// The content of the attribute that begins at `index`.
fn attribute(tokens: &[TokenTree], index: usize) -> Option<TokenStream> {
    if !is_mark(&tokens[index], '#') {
        return None;
    }
    let next = tokens.get(index + 1)?;
    let group = if is_mark(next, '!') {
        tokens.get(index + 2)?
    } else {
        next
    };
    match group {
        TokenTree::Group(group) => Some(group.stream()),
        _ => None,
    }
}

/// Whether an attribute's line ends in a comment or follows one.
fn has_comment(lines: &[&str], line: usize) -> bool {
    let above = line.checked_sub(2).map_or("", |index| lines[index]);
    let is_plain_comment = |text: &str| text.starts_with("//") && !text.starts_with("//!");
    lines[line - 1].contains(" // ") || is_plain_comment(above.trim_start())
}

fn check_all(checker: fn(&str, &str) -> Vec<Finding>) {
    let files = rust_files();
    assert_none(
        files
            .iter()
            .flat_map(|file| checker(&file.path, &file.text))
            .collect(),
    );
}

#[test]
fn modules_say_what_they_do() {
    check_all(module_doc);
}

#[test]
fn no_work_is_unfinished() {
    check_all(unfinished_work);
    let others: Vec<Finding> = keelson_tests::tracked_files()
        .iter()
        .filter(|file| !file.has_extension("rs") && file.path != "LICENSE")
        .flat_map(|file| markers(&file.path, &file.text))
        .collect();
    assert_none(others);
}

#[test]
fn allowed_lints_have_a_reason_and_no_test_is_ignored() {
    check_all(attributes);
}

#[test]
fn canary_module_doc() {
    assert_eq!(module_doc("a.rs", "//! Does a thing.\n"), []);
    assert_eq!(module_doc("a.rs", "// A comment.\nuse b;\n").len(), 1);
    assert_eq!(module_doc("a.rs", "").len(), 1);
}

#[test]
fn canary_unfinished_work() {
    for name in MACROS {
        let text = format!("fn a() {{\n    b({name}!());\n}}\n");
        assert_eq!(unfinished_work("a.rs", &text).len(), 1, "{text}");
    }
    for marker in MARKERS {
        let text = format!("//! A.\n// {marker}: later\n");
        assert_eq!(unfinished_work("a.rs", &text).len(), 1, "{text}");
    }
    let good = "// todo!() and mktemp -t fooXXXXXX\nfn todo() -> bool { !dbg }\n";
    assert_eq!(unfinished_work("a.rs", good), []);
}

#[test]
fn canary_attributes() {
    let bad = [
        "//! A.\n#![allow(dead_code)]\n",
        "#[allow(dead_code)]\nfn a() {}\n",
        "#[expect(dead_code)]\nfn a() {}\n",
        "/// A.\nfn b() {}\n\n#[allow(dead_code)]\nfn a() {}\n",
        "#[test]\n#[ignore]\nfn a() {}\n",
        "#[test]\n#[ignore = \"slow\"]\nfn a() {}\n",
        "#[cfg_attr(windows, ignore)]\nfn a() {}\n",
    ];
    for text in bad {
        assert_eq!(attributes("a.rs", text).len(), 1, "{text}");
    }
    let good = [
        "#![allow(unsafe_code)] // no safe wrapper exists\n",
        "// Used by one product only.\n#[allow(dead_code)]\nfn a() {}\n",
        "#[allow(dead_code, reason = \"used by one product only\")]\nfn a() {}\n",
        "#[derive(Debug)]\nstruct Ignore;\n",
    ];
    for text in good {
        assert_eq!(attributes("a.rs", text), [], "{text}");
    }
}
