//! Answers in etcdctl's three forms.
//!
//! Errors are not printed here.
use std::io::{self, Write};

use kv_client::{Action, Answer, Node};
use serde::Serialize;

use crate::arguments::Output;
use crate::failure::Failure;

/// A node as etcdctl prints it: not as servers send it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PrintedNode<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dir: bool,
    value: &'a str,
    nodes: Option<Vec<Self>>,
    created_index: u64,
    modified_index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PrintedAnswer<'a> {
    action: &'a str,
    node: PrintedNode<'a>,
    prev_node: Option<PrintedNode<'a>>,
}

impl<'a> From<&'a Node> for PrintedNode<'a> {
    fn from(node: &'a Node) -> Self {
        let nodes: Vec<Self> = node.nodes.iter().map(Self::from).collect();
        Self {
            key: &node.key,
            dir: node.dir,
            value: node.value(),
            nodes: Some(nodes).filter(|nodes| !nodes.is_empty()),
            created_index: node.created_index,
            modified_index: node.modified_index,
            expiration: node.expiration.as_deref(),
            ttl: node.ttl,
        }
    }
}

/// An answer as JSON, as Go writes it.
pub(crate) fn json(answer: &Answer) -> String {
    let printed = PrintedAnswer {
        action: answer.action.as_str(),
        node: PrintedNode::from(&answer.node),
        prev_node: answer.previous.as_ref().map(PrintedNode::from),
    };
    let text = serde_json::to_string(&printed)
        .unwrap_or_else(|_| unreachable!("text and numbers can be written"));
    go_escaped(&text)
}

/// JSON with the characters escaped that Go escapes; they stand inside strings only.
pub(crate) fn go_escaped(text: &str) -> String {
    text.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// Prints an answer about one key.
pub(crate) fn answer(answer: &Answer, output: Output) -> Result<(), Failure> {
    let text = match output {
        Output::Simple => simple(answer),
        Output::Extended => extended(answer),
        Output::Json => json(answer),
        Output::Unknown => {
            eprintln!("Unsupported output format; use simple, extended or json");
            return Ok(());
        }
    };
    line(&text)
}

fn simple(answer: &Answer) -> String {
    if answer.action == Action::Delete {
        let previous = answer.previous.as_ref().map(Node::value);
        format!("PrevNode.Value: {}", previous.unwrap_or_default())
    } else {
        answer.node.value().to_owned()
    }
}

fn extended(answer: &Answer) -> String {
    let node = &answer.node;
    let mut lines = vec![
        format!("Key: {}", node.key),
        format!("Created-Index: {}", node.created_index),
        format!("Modified-Index: {}", node.modified_index),
    ];
    let previous = answer.previous.as_ref();
    lines.extend(previous.map(|previous| format!("PrevNode.Value: {}", previous.value())));
    lines.push(format!("TTL: {}", node.ttl.unwrap_or_default()));
    lines.push(format!("Index: {}", answer.index));
    if answer.action != Action::Delete {
        lines.extend([String::new(), node.value().to_owned()]);
    }
    lines.join("\n")
}

/// Prints what a directory holds, or a key's name.
pub(crate) fn listing(answer: &Answer, slash: bool, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return line(&json(answer));
    }
    let mut names = Vec::new();
    if !answer.node.dir {
        names.push(answer.node.key.clone());
    }
    for node in &answer.node.nodes {
        push_names(&mut names, node, slash);
    }
    names.iter().try_for_each(|name| line(name))
}

fn push_names(names: &mut Vec<String>, node: &Node, slash: bool) {
    let end = if slash && node.dir { "/" } else { "" };
    names.push(format!("{}{end}", node.key));
    for node in &node.nodes {
        push_names(names, node, slash);
    }
}

/// Prints a line, at once. Whoever reads it may be gone.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::Plain(format!("cannot print: {error}")))
}
