//! Writes answers as etcd does, for comparing. A node's moment of expiration is left out.
//!
//! Values are not escaped: those of the tests need it not.
use kv_model::event::Content;
use kv_model::query::Tree;
use kv_model::{Action, Event, Node, Refusal};

use crate::fixture::{seconds_left, text};

pub(crate) fn of_refusal(refusal: &Refusal) -> String {
    let number = refusal.code.v2_number().expect("an error of v2");
    let cause = match refusal.cause.as_str() {
        "" => String::new(),
        cause => format!(r#","cause":"{cause}""#),
    };
    let (message, index) = (refusal.code, refusal.index.0);
    format!(r#"{{"errorCode":{number},"message":"{message}"{cause},"index":{index}}}"#)
}

pub(crate) fn of_event(event: &Event) -> String {
    let action = match event.action {
        Action::Set => "set",
        Action::Create => "create",
        Action::Update => "update",
        Action::CompareAndSwap => "compareAndSwap",
        Action::Delete => "delete",
        Action::CompareAndDelete => "compareAndDelete",
        Action::Expire => "expire",
    };
    let node = of_node(&event.node, &[]);
    let previous = match &event.previous {
        Some(previous) => format!(r#","prevNode":{}"#, of_node(previous, &[])),
        None => String::new(),
    };
    format!(r#"{{"action":"{action}","node":{node}{previous}}}"#)
}

pub(crate) fn of_tree(tree: &Tree) -> String {
    let node = of_node(&tree.node, &tree.children);
    format!(r#"{{"action":"get","node":{node}}}"#)
}

fn of_node(node: &Node, children: &[Tree]) -> String {
    let mut fields = Vec::new();
    let is_root = node.key == "/";
    if !is_root {
        fields.push(format!(r#""key":"{}""#, text(&node.key)));
    }
    match &node.content {
        Content::Value(value) => fields.push(format!(r#""value":"{}""#, text(value))),
        Content::Directory | Content::DirectoryGone => fields.push(r#""dir":true"#.to_owned()),
        Content::Gone => {}
    }
    if let Some(expires) = node.expires {
        fields.push(format!(r#""ttl":{}"#, seconds_left(expires)));
    }
    if !children.is_empty() {
        let children = children
            .iter()
            .map(|tree| of_node(&tree.node, &tree.children));
        let children = children.collect::<Vec<_>>().join(",");
        fields.push(format!(r#""nodes":[{children}]"#));
    }
    if !is_root {
        fields.push(format!(r#""modifiedIndex":{}"#, node.modified.0));
        fields.push(format!(r#""createdIndex":{}"#, node.created_index.0));
    }
    format!("{{{}}}", fields.join(","))
}
