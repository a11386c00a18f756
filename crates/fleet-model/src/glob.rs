//! Patterns for names of units, as Go's `path.Match` reads them.
//!
//! `*`, `?`, `[a-z]`, `[^a-z]`, and a backslash before what shall mean itself. Names have no slash, so
//! its special role is left out.

use std::fmt;

use thiserror::Error;

/// A pattern that matches a whole name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob {
    text: String,
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Token {
    Character(char),
    AnyCharacter,
    AnyText,
    Class {
        is_negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// A pattern that Go calls malformed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("syntax error in pattern `{0}`")]
pub struct GlobError(String);

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// For an unfinished or empty class, a range without an end, and a backslash at the end.
    pub fn new(text: impl Into<String>) -> Result<Self, GlobError> {
        let text = text.into();
        match tokens(&text) {
            Some(tokens) => Ok(Self { text, tokens }),
            None => Err(GlobError(text)),
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What every match begins with.
    pub fn literal_prefix(&self) -> String {
        let characters = self.tokens.iter().map_while(|token| match token {
            Token::Character(character) => Some(*character),
            _ => None,
        });
        characters.collect()
    }

    /// The only name it matches, if there is only one.
    pub fn only_match(&self) -> Option<String> {
        let prefix = self.literal_prefix();
        (prefix.chars().count() == self.tokens.len()).then_some(prefix)
    }

    /// Whether it matches all of a name. Takes at most pattern times name steps.
    pub fn matches(&self, name: &str) -> bool {
        let mut at = 0;
        let mut rest = name.chars();
        let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            if self.tokens.get(at) == Some(&Token::AnyText) {
                at += 1;
                retry = Some((at, rest.clone()));
                continue;
            }
            let mut after = rest.clone();
            let next = after.next();
            match (self.tokens.get(at), next) {
                (None, None) => return true,
                (Some(token), Some(character)) if token.takes(character) => {
                    at += 1;
                    rest = after;
                    continue;
                }
                _ => {}
            }
            // What the last `*` took was too short: one character more.
            let Some((token, from)) = &mut retry else {
                return false;
            };
            if from.next().is_none() {
                return false;
            }
            at = *token;
            rest = from.clone();
        }
    }
}

impl Token {
    fn takes(&self, character: char) -> bool {
        match self {
            Self::Character(own) => *own == character,
            Self::AnyCharacter => true,
            Self::AnyText => false,
            Self::Class { is_negated, ranges } => {
                let is_in = |(low, high): &(char, char)| (*low..=*high).contains(&character);
                ranges.iter().any(is_in) != *is_negated
            }
        }
    }
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut found = Vec::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        found.push(match character {
            '*' if found.last() == Some(&Token::AnyText) => continue,
            '*' => Token::AnyText,
            '?' => Token::AnyCharacter,
            '[' => class(&mut rest)?,
            '\\' => Token::Character(rest.next()?),
            character => Token::Character(character),
        });
    }
    Some(found)
}

fn class(rest: &mut std::str::Chars<'_>) -> Option<Token> {
    let is_negated = rest.as_str().starts_with('^');
    if is_negated {
        rest.next();
    }
    let mut ranges = Vec::new();
    while ranges.is_empty() || !rest.as_str().starts_with(']') {
        let low = class_character(rest)?;
        let mut high = low;
        if rest.as_str().starts_with('-') {
            rest.next();
            high = class_character(rest)?;
        }
        ranges.push((low, high));
    }
    rest.next();
    Some(Token::Class { is_negated, ranges })
}

fn class_character(rest: &mut std::str::Chars<'_>) -> Option<char> {
    match rest.next()? {
        '-' | ']' => None,
        '\\' => rest.next(),
        character => Some(character),
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
