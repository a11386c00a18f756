//! The list `credentials`: secrets for units, which ask for them by name (`LoadCredential=NAME`).
//!
//! They come to files of root's alone where systemd looks (systemd.exec(5), `LoadCredential=`). Nothing is encrypted.

use super::Reading;
use super::keys::Credential;
use crate::key_path::KeyPath;
use crate::plan::{File, Mode, Node, Overwrite, Stated, Writing};

/// Where systemd looks for a credential that is named without a path.
const FOLDER: &str = "/etc/credstore";
/// Longest name of a file.
const NAME_MAX: usize = 255;

impl Reading {
    pub(super) fn credential(&mut self, mut one: Credential, key: KeyPath) {
        if !is_name(&one.name) {
            let text = format!("{:?} is no name of a credential", one.name);
            return self.problem(&key.key("name"), text);
        }
        let contents = one.take_contents();
        if contents.is_none() {
            return self.problem(&key, "has none of contents, contents-base64 and source");
        }
        let Some(contents) = self.contents(contents, &key) else {
            return;
        };
        let node = Node {
            overwrite: Overwrite::Replace,
            ..Node::new(format!("{FOLDER}/{}", one.name))
        };
        let file = File {
            node,
            mode: Mode::new(0o600),
            writing: Writing::Whole(contents),
        };
        self.plan.files.push(Stated::new(file, key));
    }
}

/// A file's name that a unit can write.
fn is_name(name: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_graphic() && !b"/:%\"'\\".contains(&byte);
    name.len() <= NAME_MAX && !matches!(name, "" | "." | "..") && name.bytes().all(is_known)
}
