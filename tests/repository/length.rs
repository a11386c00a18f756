//! Lengths of functions and files.
//!
//! What is too long today stands in a table, with its length, and may only shrink. Blank lines and
//! comments count; closures count as part of their function, nested functions on their own too.

use std::collections::BTreeMap;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Block, ImplItemFn, ItemFn, Signature, TraitItemFn};

use crate::finding::{Finding, assert_none};
use crate::rust_source::{parse, rust_files};

/// Lines from a function's `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Lines of a file.
const FILE_LINES_MAX: usize = 800;

/// Longer functions, with the lines they may have: `("crates/x/src/a.rs", "function", 75)`.
const LONG_FUNCTIONS: &[(&str, &str, usize)] = &[];
/// Longer files, with the lines they may have.
const LONG_FILES: &[(&str, &str, usize)] = &[];

/// A function, or a file under an empty name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Measured {
    path: String,
    name: String,
    line: usize,
    lines: usize,
}

#[derive(Default)]
struct Functions {
    path: String,
    found: Vec<Measured>,
}

impl Functions {
    fn measure(&mut self, signature: &Signature, block: &Block) {
        let begin = signature.fn_token.span.start().line;
        let end = block.span().end().line;
        self.found.push(Measured {
            path: self.path.clone(),
            name: signature.ident.to_string(),
            line: begin,
            lines: end - begin + 1,
        });
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(block) = &function.default {
            self.measure(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

fn functions(path: &str, text: &str) -> Vec<Measured> {
    let mut functions = Functions {
        path: path.to_owned(),
        found: Vec::new(),
    };
    functions.visit_file(&parse(path, text));
    functions.found
}

fn file(path: &str, text: &str) -> Measured {
    Measured {
        path: path.to_owned(),
        name: String::new(),
        line: 1,
        lines: text.lines().count(),
    }
}

/// What is longer than `limit` or its exception allows, and exceptions that are no longer needed.
fn check(
    measured: &[Measured],
    limit: usize,
    exceptions: &[(&str, &str, usize)],
    advice: &str,
) -> Vec<Finding> {
    let mut allowed: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut longest: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (path, name, lines) in exceptions {
        allowed.insert((path, name), *lines);
        longest.insert((path, name), 0);
    }
    let mut findings = Vec::new();
    for one in measured {
        let key = (one.path.as_str(), one.name.as_str());
        if let Some(lines) = longest.get_mut(&key) {
            *lines = one.lines.max(*lines);
        }
        let limit = allowed.get(&key).copied().unwrap_or(limit);
        if one.lines > limit {
            let text = format!(
                "{} has {} lines, {limit} are allowed: {advice}",
                one.name, one.lines
            );
            findings.push(Finding::new(&one.path, one.line, text.trim_start()));
        }
    }
    for ((path, name), lines) in longest {
        if lines <= limit {
            let advice = format!("`{name}` needs no exception any more: remove it from the table");
            findings.push(Finding::new(path, 1, advice));
        } else if lines < allowed[&(path, name)] {
            let advice = format!("`{name}` has shrunk: write {lines} into the table of exceptions");
            findings.push(Finding::new(path, 1, advice));
        }
    }
    findings
}

#[test]
fn functions_are_short() {
    let measured: Vec<Measured> = rust_files()
        .iter()
        .flat_map(|file| functions(&file.path, &file.text))
        .collect();
    let mut lines: Vec<usize> = measured.iter().map(|one| one.lines).collect();
    lines.sort_unstable();
    println!(
        "{} functions; lines: median {}, nine of ten up to {}, longest {}",
        lines.len(),
        lines[lines.len() / 2],
        lines[lines.len() * 9 / 10],
        lines[lines.len() - 1],
    );
    let advice = "split it where a step has a name";
    assert_none(check(&measured, FUNCTION_LINES_MAX, LONG_FUNCTIONS, advice));
}

#[test]
fn files_are_short() {
    let measured: Vec<Measured> = rust_files()
        .iter()
        .map(|f| file(&f.path, &f.text))
        .collect();
    let advice = "give one of its nouns a file of its own";
    assert_none(check(&measured, FILE_LINES_MAX, LONG_FILES, advice));
}

#[cfg(test)]
mod canaries {
    use super::*;

    fn of_length(lines: usize) -> Vec<Measured> {
        let body = "    work();\n".repeat(lines - 2);
        functions("a.rs", &format!("#[attribute]\nfn long() {{\n{body}}}\n"))
    }

    #[test]
    fn canary_long_functions() {
        assert_eq!(check(&of_length(5), 5, &[], "split"), []);
        let too_long = check(&of_length(6), 5, &[], "split");
        assert_eq!(
            too_long,
            [Finding::new(
                "a.rs",
                2,
                "long has 6 lines, 5 are allowed: split"
            )]
        );
    }

    #[test]
    fn canary_methods_and_nested_functions() {
        let text =
            "impl A {\n fn a() {\n fn b() {\n }\n }\n}\ntrait T {\n fn c() {}\n fn d();\n}\n";
        let found: Vec<(String, usize)> = functions("a.rs", text)
            .into_iter()
            .map(|one| (one.name, one.lines))
            .collect();
        let expected = [("a", 4), ("b", 2), ("c", 1)];
        assert_eq!(
            found,
            expected.map(|(name, lines)| (name.to_owned(), lines))
        );
    }

    #[test]
    fn canary_exceptions_only_shrink() {
        let exception = [("a.rs", "long", 8)];
        assert_eq!(check(&of_length(8), 5, &exception, ""), []);
        assert_eq!(check(&of_length(9), 5, &exception, "").len(), 1);
        let shrunk = check(&of_length(7), 5, &exception, "");
        assert!(shrunk[0].to_string().contains("write 7"), "{shrunk:?}");
        let done = check(&of_length(5), 5, &exception, "");
        assert!(done[0].to_string().contains("remove it"), "{done:?}");
        let gone = check(&[], 5, &exception, "");
        assert!(gone[0].to_string().contains("remove it"), "{gone:?}");
    }

    #[test]
    fn canary_long_files() {
        let long = [file("a.rs", "//! A.\n\n\n")];
        assert_eq!(check(&long, 3, &[], ""), []);
        assert_eq!(check(&long, 2, &[], "").len(), 1);
    }
}
