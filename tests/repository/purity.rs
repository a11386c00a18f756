//! Model crates compute only: what they read and write, the time and random numbers are passed in.
//!
//! Their tests may do what they like. Dependencies are judged by the table of layers, not here.

use proc_macro2::{TokenStream, TokenTree};

use crate::finding::{Finding, assert_none};
use crate::rust_source::{
    flatten, is_mark, is_test_file, is_test_item, is_word, line_of, parse, rust_files, test_lines,
    tokens,
};

/// Source folders of the model crates.
const MODEL_FOLDERS: &[&str] = &[
    "crates/container-model/src/",
    "crates/disk-format/src/",
    "crates/engine-api/src/",
    "crates/etcd-v2/src/",
    "crates/etcd-v3/src/",
    "crates/fleet-model/src/",
    "crates/kv-model/src/",
    "crates/luks-format/src/",
    "crates/monitor-protocol/src/",
    "crates/provision-model/src/",
    "crates/seekable-zstd/src/",
    "crates/update-model/src/",
    "crates/systemd-unit/src/",
];
/// Files that may name a module all the same.
const EXCEPTIONS: &[(&str, &str)] = &[
    // `Disk` for `File`: whoever opened the file passes it in, and the barrier needs its `sync_data`.
    ("crates/disk-format/src/disk.rs", "fs"),
];
/// Modules of `std` that reach out of the program.
const STD_MODULES: &[&str] = &["env", "fs", "net", "os", "process", "thread"];
/// Names that give a different answer at each call.
const WORDS: &[&str] = &["Instant", "SystemTime", "getrandom", "rand"];

/// The names after `std::` at `index`: one, or those of a group.
fn names_after_std(tokens: &[TokenTree], index: usize) -> Vec<&TokenTree> {
    let is_path = is_word(&tokens[index], "std")
        && tokens.len() > index + 3
        && is_mark(&tokens[index + 1], ':')
        && is_mark(&tokens[index + 2], ':');
    match tokens.get(index + 3) {
        Some(TokenTree::Group(group)) if is_path => {
            let end = index + 4 + flatten(group.stream()).len();
            beginnings(&tokens[index + 4..end], group.stream())
        }
        Some(token) if is_path => vec![token],
        _ => Vec::new(),
    }
}

/// The first name of each path in a group of `use`: what follows its start or a comma.
fn beginnings(flat: &[TokenTree], stream: TokenStream) -> Vec<&TokenTree> {
    let mut found = Vec::new();
    let mut position = 0;
    let mut at_start = true;
    for token in stream {
        if at_start {
            found.extend(flat.get(position));
        }
        at_start = is_mark(&token, ',');
        position += match &token {
            TokenTree::Group(group) => 1 + flatten(group.stream()).len(),
            _ => 1,
        };
    }
    found
}

fn check(path: &str, text: &str) -> Vec<Finding> {
    let allowed = |name: &str| EXCEPTIONS.contains(&(path, name));
    let advice = |name: &str| {
        format!(
            "`{name}` in a model crate: take what it gives as an argument or a Read, Write, Seek"
        )
    };
    let tokens = flatten(tokens(path, text));
    let test_lines = test_lines(path, text);
    let mut findings = Vec::new();
    let mut find = |token: &TokenTree, name: &str| {
        let line = line_of(token);
        if !test_lines.iter().any(|lines| lines.contains(&line)) {
            findings.push(Finding::new(path, line, advice(name)));
        }
    };
    for (index, token) in tokens.iter().enumerate() {
        for name in names_after_std(&tokens, index) {
            let module = name.to_string();
            if STD_MODULES.contains(&module.as_str()) && !allowed(&module) {
                find(name, &format!("std::{module}"));
            }
        }
        if let Some(word) = WORDS.iter().find(|word| is_word(token, word)) {
            find(token, word);
        }
    }
    findings
}

#[test]
fn model_crates_do_no_input_or_output() {
    let files: Vec<_> = rust_files()
        .into_iter()
        .filter(|file| MODEL_FOLDERS.iter().any(|f| file.path.starts_with(f)))
        .filter(|file| !is_test_file(&file.path) && !is_declared_for_tests(&file.path))
        .collect();
    assert!(
        files.len() > 20,
        "the model crates moved: correct the table"
    );
    assert_none(
        files
            .iter()
            .flat_map(|file| check(&file.path, &file.text))
            .collect(),
    );
}

/// Whether the crate's root declares the file as `#[cfg(test)] mod`.
fn is_declared_for_tests(path: &str) -> bool {
    let Some(folder) = MODEL_FOLDERS.iter().find(|f| path.starts_with(**f)) else {
        return false;
    };
    let module = path[folder.len()..].trim_end_matches(".rs");
    let root = format!("{folder}lib.rs");
    let text = std::fs::read_to_string(keelson_tests::checkout().join(&root)).expect("lib.rs");
    parse(&root, &text).items.iter().any(|item| {
        matches!(item, syn::Item::Mod(declared) if declared.ident == module) && is_test_item(item)
    })
}

#[test]
fn canary_reaching_out() {
    let bad = [
        "use std::fs;",
        "use std::fs::File;",
        "use std::{io, fs::File};",
        "use std::{env};",
        "use std::{collections::BTreeMap, thread};",
        "fn f() { std::process::exit(1) }",
        "fn f() { let now = SystemTime::now(); }",
        "use std::time::Instant;",
        "fn f() -> u8 { rand::random() }",
    ];
    for text in bad {
        assert_eq!(check("a.rs", text).len(), 1, "{text}");
    }
    let good = [
        "use std::io::{Read, Write};",
        "use std::{io::{self, Read}, collections::BTreeMap};",
        "#[cfg(test)] mod tests { use std::fs; }",
        "#[cfg(test)] use std::fs;",
        "fn f() { let fs = \"std::fs\"; } // std::fs",
    ];
    for text in good {
        assert_eq!(check("a.rs", text), [], "{text}");
    }
    assert_eq!(
        check("crates/disk-format/src/disk.rs", "use std::fs::File;"),
        []
    );
}
