//! Rust files as syntax: what is code, what belongs to tests, and where it stands.
//!
//! It judges nothing.

use std::ops::RangeInclusive;

use keelson_tests::{TrackedFile, tracked_files};
use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::{Attribute, File, Item, Meta};

/// The tracked Rust files.
pub(crate) fn rust_files() -> Vec<TrackedFile> {
    let mut files = tracked_files();
    files.retain(|file| file.has_extension("rs"));
    assert!(files.len() > 100, "only {} Rust files found", files.len());
    files
}

/// A file's syntax.
pub(crate) fn parse(path: &str, text: &str) -> File {
    syn::parse_file(text).unwrap_or_else(|e| panic!("{path}:{}: {e}", e.span().start().line))
}

/// A file's tokens: no comments, and strings are one token each.
pub(crate) fn tokens(path: &str, text: &str) -> TokenStream {
    text.parse().unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The tokens of a stream and of all groups in it, in the order they are written.
pub(crate) fn flatten(stream: TokenStream) -> Vec<TokenTree> {
    let mut flat = Vec::new();
    for token in stream {
        let inner = match &token {
            TokenTree::Group(group) => group.stream(),
            _ => TokenStream::new(),
        };
        flat.push(token);
        flat.extend(flatten(inner));
    }
    flat
}

/// A token's line, counting from 1.
pub(crate) fn line_of(token: &TokenTree) -> usize {
    token.span().start().line
}

/// Whether a token is this identifier.
pub(crate) fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

/// Whether a token is this character.
pub(crate) fn is_mark(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

/// Whether a file is compiled only for tests, by its path.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// Whether an item is compiled only for tests.
pub(crate) fn is_test_item(item: &Item) -> bool {
    attributes(item).iter().any(is_test_attribute)
}

/// The lines of a file that are compiled only for tests.
pub(crate) fn test_lines(path: &str, text: &str) -> Vec<RangeInclusive<usize>> {
    parse(path, text)
        .items
        .iter()
        .filter(|item| is_test_item(item))
        .map(|item| item.span().start().line..=item.span().end().line)
        .collect()
}

fn is_test_attribute(attribute: &Attribute) -> bool {
    match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        Meta::NameValue(_) => false,
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
