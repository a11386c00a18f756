//! `--secret NAME[,target=…][,mode=…][,uid=…][,gid=…]`: one of the unit's systemd credentials as a file.
//!
//! Reads no credential. `type=env` is refused: an environment is inherited, and is seen by others.

use std::str::FromStr;

use crate::malformed::Malformed;
use crate::mount::absolute;
use crate::name::Name;

/// Where secrets appear, as with Docker.
const FOLDER: &str = "/run/secrets";

/// A secret for a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretOption {
    /// The credential, as `LoadCredential=` names it.
    pub credential: Name,
    /// Its file in the container.
    pub target: String,
    /// Who may read it, in permission bits.
    pub mode: u32,
    /// The file's owner.
    pub uid: u32,
    /// The file's group.
    pub gid: u32,
}

impl FromStr for SecretOption {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let refuse = |reason: String| Malformed::new("secret", text, reason);
        let mut fields = text.split(',');
        let credential: Name = fields.next().unwrap_or_default().parse()?;
        let mut secret = Self {
            target: format!("{FOLDER}/{credential}"),
            credential,
            mode: 0o444,
            uid: 0,
            gid: 0,
        };
        for field in fields {
            secret.take(field).map_err(refuse)?;
        }
        Ok(secret)
    }
}

impl SecretOption {
    fn take(&mut self, field: &str) -> Result<(), String> {
        let split = field.split_once('=');
        let (key, value) = split.ok_or_else(|| format!("`{field}` has no `=`"))?;
        let number = |radix| {
            u32::from_str_radix(value, radix)
                .map_err(|_| format!("`{value}` is no number for `{key}`"))
        };
        match key {
            "target" if value.starts_with('/') => self.target = absolute(value)?,
            "target" => {
                let name: Name = value.parse().map_err(|e: Malformed| e.to_string())?;
                self.target = format!("{FOLDER}/{name}");
            }
            "mode" => self.mode = number(8)? & 0o777,
            "uid" => self.uid = number(10)?,
            "gid" => self.gid = number(10)?,
            "type" if value == "mount" => {}
            "type" => {
                return Err(format!(
                    "the type `{value}` is not supported: secrets are files"
                ));
            }
            _ => return Err(format!("the field `{key}` is not supported")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_files() {
        let secret: SecretOption = "key".parse().unwrap();
        assert_eq!(secret.target, "/run/secrets/key");
        assert_eq!((secret.mode, secret.uid), (0o444, 0));
        let secret: SecretOption = "key,target=/etc/key,mode=0400,uid=33,type=mount"
            .parse()
            .unwrap();
        assert_eq!(secret.target, "/etc/key");
        assert_eq!((secret.mode, secret.uid), (0o400, 33));
        let secret: SecretOption = "key,target=other".parse().unwrap();
        assert_eq!(secret.target, "/run/secrets/other");
        for bad in [
            "",
            "a/b",
            "key,type=env",
            "key,what=1",
            "key,mode=9",
            "key,target",
            "key,target=../a",
        ] {
            assert!(bad.parse::<SecretOption>().is_err(), "{bad}");
        }
    }
}
