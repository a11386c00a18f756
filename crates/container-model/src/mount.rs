//! What is mounted into a container: `--volume`, `--mount` and `--tmpfs`.
//!
//! Does not look whether a source exists, and makes no volume. Drivers other than the local one,
//! `type=image`, `type=cluster` and `type=npipe` are refused by name.

use std::fmt;

use crate::malformed::Malformed;
use crate::name::Name;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Absolute, in the container, without `.` and `..`.
    pub target: String,
    /// What is seen there.
    pub source: MountSource,
    /// Whether the container may write to it.
    pub access: Access,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// A file or folder of the machine.
    Bind {
        /// Absolute.
        path: String,
        /// Whether later mounts go through.
        propagation: Propagation,
        /// What happens if there is none.
        missing: MissingSource,
    },
    /// A volume by name.
    Volume(Name),
    /// A volume that lives as long as the container.
    AnonymousVolume,
    /// Memory, with options for the file system such as `size=64m`.
    Tmpfs(Vec<String>),
}

/// Whether a mount can be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It can.
    ReadWrite,
    /// It cannot.
    ReadOnly,
}

/// Docker's two answers to a bind source that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingSource {
    /// `--volume`: a folder is made.
    Create,
    /// `--mount`: it is an error.
    Refuse,
}

/// How mounts below a bind mount spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Not at all, whatever is below included.
    Private,
    /// Not at all, with what is below; Docker's default.
    RecursivePrivate,
    /// Into the container.
    Slave,
    /// Into the container, with what is below.
    RecursiveSlave,
    /// Both ways.
    Shared,
    /// Both ways, with what is below.
    RecursiveShared,
}

impl Propagation {
    /// The word for it in options, and in a runtime specification.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::RecursivePrivate => "rprivate",
            Self::Slave => "slave",
            Self::RecursiveSlave => "rslave",
            Self::Shared => "shared",
            Self::RecursiveShared => "rshared",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let all = [
            Self::Private,
            Self::RecursivePrivate,
            Self::Slave,
            Self::RecursiveSlave,
            Self::Shared,
            Self::RecursiveShared,
        ];
        all.into_iter().find(|one| one.as_str() == text)
    }

    /// Whether what is mounted below the source comes along.
    pub fn is_recursive(self) -> bool {
        self.as_str().starts_with('r')
    }
}

impl fmt::Display for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads `--volume`: `[SOURCE:]TARGET[:OPTIONS]`.
pub fn parse_volume(text: &str) -> Result<Mount, Malformed> {
    let refuse = |reason: &str| Malformed::new("volume", text, reason);
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => (None, target, ""),
        // `/a:ro` is a folder `ro` to nobody.
        [source, target] => (Some(source), target, ""),
        [source, target, options] => (Some(source), target, options),
        _ => {
            return Err(refuse(
                "SOURCE:TARGET:OPTIONS is wanted; a path with a colon needs --mount",
            ));
        }
    };
    let target = absolute(target).map_err(|reason| refuse(&reason))?;
    let (access, propagation) = volume_options(options).map_err(|reason| refuse(&reason))?;
    let source = match source {
        None => MountSource::AnonymousVolume,
        Some(path) if path.starts_with('/') => MountSource::Bind {
            path: absolute(path).map_err(|reason| refuse(&reason))?,
            propagation: propagation.unwrap_or(Propagation::RecursivePrivate),
            missing: MissingSource::Create,
        },
        Some(name) => {
            if propagation.is_some() {
                return Err(refuse("a named volume has no propagation"));
            }
            MountSource::Volume(name.parse().map_err(|_| {
                refuse("the source is neither an absolute path nor a volume's name")
            })?)
        }
    };
    Ok(Mount {
        target,
        source,
        access,
    })
}

fn volume_options(text: &str) -> Result<(Access, Option<Propagation>), String> {
    let mut access = None;
    let mut propagation = None;
    for option in text.split(',').filter(|option| !option.is_empty()) {
        let is_new = match option {
            "ro" => access.replace(Access::ReadOnly).is_none(),
            "rw" => access.replace(Access::ReadWrite).is_none(),
            // SELinux is not in the image: there is nothing to relabel.
            "z" | "Z" => true,
            _ => match Propagation::parse(option) {
                Some(found) => propagation.replace(found).is_none(),
                None => return Err(format!("the option `{option}` is not supported")),
            },
        };
        if !is_new {
            return Err(format!("`{option}` says again what was said already"));
        }
    }
    Ok((access.unwrap_or(Access::ReadWrite), propagation))
}

/// Reads `--tmpfs`: `TARGET[:OPTIONS]`.
pub fn parse_tmpfs(text: &str) -> Result<Mount, Malformed> {
    let refuse = |reason: &str| Malformed::new("tmpfs", text, reason);
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let mut access = Access::ReadWrite;
    let mut kept = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => access = Access::ReadOnly,
            "rw" => access = Access::ReadWrite,
            _ => kept.push(tmpfs_option(option).map_err(|reason| refuse(&reason))?),
        }
    }
    Ok(Mount {
        target: absolute(target).map_err(|reason| refuse(&reason))?,
        source: MountSource::Tmpfs(kept),
        access,
    })
}

fn tmpfs_option(option: &str) -> Result<String, String> {
    const FLAGS: &[&str] = &[
        "exec", "noexec", "suid", "nosuid", "dev", "nodev", "atime", "noatime", "sync", "async",
    ];
    const KEYS: &[&str] = &["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks"];
    let key = option.split_once('=').map(|(key, _)| key);
    let is_known = FLAGS.contains(&option) || key.is_some_and(|key| KEYS.contains(&key));
    is_known
        .then(|| option.to_owned())
        .ok_or_else(|| format!("the option `{option}` is not supported"))
}

/// Reads `--mount`: `type=bind,source=…,target=…,readonly`.
pub fn parse_mount(text: &str) -> Result<Mount, Malformed> {
    let refuse = |reason: String| Malformed::new("mount", text, reason);
    let mut fields = MountFields::default();
    for field in text.split(',') {
        fields.take(field).map_err(refuse)?;
    }
    fields.finish().map_err(refuse)
}

/// What `--mount` says, field by field.
#[derive(Default)]
struct MountFields<'a> {
    kind: Option<&'a str>,
    source: Option<&'a str>,
    target: Option<&'a str>,
    access: Option<Access>,
    propagation: Option<Propagation>,
    tmpfs: Vec<String>,
}

impl<'a> MountFields<'a> {
    fn take(&mut self, field: &'a str) -> Result<(), String> {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field, None),
        };
        let needed = || value.ok_or_else(|| format!("`{key}` needs a value"));
        let is_new = match key {
            "type" => self.kind.replace(needed()?).is_none(),
            "source" | "src" => self.source.replace(needed()?).is_none(),
            "target" | "dst" | "destination" => self.target.replace(needed()?).is_none(),
            "readonly" | "ro" => self.access.replace(read_only(key, value)?).is_none(),
            "bind-propagation" => {
                let value = needed()?;
                let found = Propagation::parse(value);
                let found = found.ok_or_else(|| format!("`{value}` is no propagation"))?;
                self.propagation.replace(found).is_none()
            }
            "tmpfs-size" => {
                self.tmpfs.push(format!("size={}", needed()?));
                true
            }
            "tmpfs-mode" => {
                self.tmpfs.push(format!("mode={}", needed()?));
                true
            }
            _ => return Err(format!("the field `{key}` is not supported")),
        };
        is_new
            .then_some(())
            .ok_or_else(|| format!("`{key}` comes twice"))
    }

    fn finish(self) -> Result<Mount, String> {
        let target = absolute(self.target.ok_or("`target` is missing")?)?;
        let kind = self.kind.unwrap_or("volume");
        if self.propagation.is_some() && kind != "bind" {
            return Err(format!("`bind-propagation` is not for type `{kind}`"));
        }
        if !self.tmpfs.is_empty() && kind != "tmpfs" {
            return Err(format!(
                "`tmpfs-size` and `tmpfs-mode` are not for type `{kind}`"
            ));
        }
        let source = match (kind, self.source) {
            ("bind", Some(path)) => MountSource::Bind {
                path: absolute(path)?,
                propagation: self.propagation.unwrap_or(Propagation::RecursivePrivate),
                missing: MissingSource::Refuse,
            },
            ("bind", None) => return Err("`source` is missing".to_owned()),
            ("volume", None) => MountSource::AnonymousVolume,
            ("volume", Some(name)) => {
                MountSource::Volume(name.parse().map_err(|error: Malformed| error.to_string())?)
            }
            ("tmpfs", None) => MountSource::Tmpfs(self.tmpfs),
            ("tmpfs", Some(_)) => return Err("a tmpfs has no source".to_owned()),
            (other, _) => {
                return Err(format!(
                    "the type `{other}` is not supported: `bind`, `volume` and `tmpfs` are"
                ));
            }
        };
        Ok(Mount {
            target,
            source,
            access: self.access.unwrap_or(Access::ReadWrite),
        })
    }
}

fn read_only(key: &str, value: Option<&str>) -> Result<Access, String> {
    match value {
        None | Some("true" | "1") => Ok(Access::ReadOnly),
        Some("false" | "0") => Ok(Access::ReadWrite),
        Some(other) => Err(format!("`{key}={other}` is neither true nor false")),
    }
}

/// A path in one form: no `.`, no empty component, no slash at its end. It has no `..`, since where
/// that leads depends on links.
pub fn absolute(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err(format!("the path `{path}` is not absolute"));
    }
    if path.contains('\0') {
        return Err("the path has a zero byte".to_owned());
    }
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return Err(format!("the path `{path}` has `..` in it"));
    }
    Ok(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests;
