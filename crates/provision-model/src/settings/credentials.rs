//! The list `credentials`: secrets for units, which ask for them by name (`LoadCredential=NAME`).
//!
//! They come to files of root's alone where systemd looks (systemd.exec(5), `LoadCredential=`). Nothing is encrypted.

use super::Reading;
use super::keys::{Credential, File};
use crate::key_path::KeyPath;
use crate::plan::Stated;

/// Where systemd looks for a credential that is named without a path.
const FOLDER: &str = "/etc/credstore";
/// Longest name of a file.
const NAME_MAX: usize = 255;

impl Reading {
    pub(super) fn credential(&mut self, one: Credential, key: KeyPath) {
        if !is_name(&one.name) {
            let text = format!("{:?} is no name of a credential", one.name);
            return self.problem(&key.key("name"), text);
        }
        if (&one.contents, &one.contents_base64, &one.source) == (&None, &None, &None) {
            return self.problem(&key, "has none of contents, contents-base64 and source");
        }
        let file = File {
            path: format!("{FOLDER}/{}", one.name),
            contents: one.contents,
            contents_base64: one.contents_base64,
            source: one.source,
            digest: one.digest,
            gzip: one.gzip,
            append: false,
            mode: Some(0o600),
            user: None,
            group: None,
            overwrite: true,
        };
        let file = self.file(file, &key);
        self.plan.files.push(Stated::new(file, key));
    }
}

/// A file's name that a unit can write.
fn is_name(name: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_graphic() && !b"/:%\"'\\".contains(&byte);
    name.len() <= NAME_MAX && !matches!(name, "" | "." | "..") && name.bytes().all(is_known)
}
