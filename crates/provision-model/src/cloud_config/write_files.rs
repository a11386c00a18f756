//! `write_files`.
//!
//! A file that is there is overwritten, as cloud-init does it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Reading;
use super::keys::{Permissions, WriteFile};
use crate::key_path::KeyPath;
use crate::plan::{Account, Compression, Contents, File, Mode, Node, Overwrite, Stated, Writing};

impl Reading<'_> {
    pub(super) fn write_file(&mut self, one: WriteFile, key: KeyPath) {
        let Some(contents) = self.file_contents(&one, &key) else {
            return;
        };
        let (user, group) = one.owner.as_deref().map_or((None, None), owners);
        let file = File {
            mode: self.permissions(one.permissions.as_ref(), &key),
            node: Node {
                path: one.path,
                user,
                group,
                overwrite: Overwrite::Replace,
            },
            writing: if one.append {
                Writing::Append(vec![contents])
            } else {
                Writing::Whole(contents)
            },
        };
        self.plan.files.push(Stated::new(file, key));
    }

    fn file_contents(&mut self, one: &WriteFile, key: &KeyPath) -> Option<Contents> {
        let encoding = one.encoding.as_deref().unwrap_or("text/plain");
        let (is_base64, is_gzip) = match encoding {
            "text/plain" => (false, false),
            "b64" | "base64" => (true, false),
            // gzip's bytes are no text: YAML carries them in base64 only.
            "gz" | "gzip" | "gz+b64" | "gz+base64" | "gzip+b64" | "gzip+base64" => (true, true),
            other => {
                let text = format!("{other:?} is no encoding: b64, gzip+b64 or none");
                self.problem(&key.key("encoding"), text);
                return None;
            }
        };
        let bytes = if is_base64 {
            let text: String = one.content.split_ascii_whitespace().collect();
            match STANDARD.decode(text) {
                Ok(bytes) => bytes,
                Err(error) => {
                    self.problem(&key.key("content"), format!("not base64: {error}"));
                    return None;
                }
            }
        } else {
            one.content.clone().into_bytes()
        };
        let compression = if is_gzip {
            Compression::Gzip
        } else {
            Compression::None
        };
        Some(Contents {
            compression,
            ..Contents::inline(bytes)
        })
    }

    fn permissions(&mut self, permissions: Option<&Permissions>, key: &KeyPath) -> Option<Mode> {
        let bits = match permissions? {
            Permissions::Number(number) => Some(*number),
            Permissions::Octal(text) => i64::from_str_radix(text.trim_start_matches("0o"), 8).ok(),
        };
        let mode = bits.and_then(Mode::new);
        if mode.is_none() {
            self.problem(
                &key.key("permissions"),
                "no mode: they are written as '0644'",
            );
        }
        mode
    }
}

/// Of `user:group`, `user` or `:group`; numbers are ids.
fn owners(text: &str) -> (Option<Account>, Option<Account>) {
    let account = |name: &str| {
        let id = name.parse().map(Account::Id);
        (!name.is_empty()).then(|| id.unwrap_or_else(|_| Account::Name(name.to_owned())))
    };
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    (account(user), account(group))
}
