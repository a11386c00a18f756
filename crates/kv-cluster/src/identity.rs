//! Who a data folder belongs to: a small file, written before anybody hears of it.
//!
//! It never says who else is in the cluster; the replicated membership does.
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::StartError;
use crate::member::{ClusterId, MemberId};

const FILE: &str = "member.json";
const FORMAT: u32 = 1;

/// How far a member has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stage {
    /// Has chosen its id and forms a cluster with others.
    Forming,
    /// Asks a cluster for its id.
    Joining,
    /// Belongs to its cluster.
    Member,
    /// Was removed, and must not start again.
    Removed,
}

/// Who a data folder belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The member's name.
    pub(crate) name: String,
    /// Its id; 0 while it asks for one.
    pub(crate) id: MemberId,
    /// Its cluster; 0 while it asks.
    pub(crate) cluster_id: ClusterId,
    /// The token of a cluster that was formed statically; otherwise empty.
    pub(crate) token: String,
    /// A random number of this folder.
    pub(crate) incarnation: u64,
    /// How far it has come.
    pub(crate) stage: Stage,
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    name: String,
    id: String,
    cluster_id: String,
    token: String,
    incarnation: String,
    stage: Stage,
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::Identity {
        path,
        source: source.into(),
    }
}

impl Identity {
    /// The folder's, if it has one.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, StartError> {
        let path = folder.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&path)(error)),
        };
        Self::parse(&text).map(Some).map_err(failed(&path))
    }

    fn parse(text: &[u8]) -> io::Result<Self> {
        let written: Written = serde_json::from_slice(text)?;
        if written.format != FORMAT {
            let message = format!("its format is {}, not {FORMAT}", written.format);
            return Err(io::Error::other(message));
        }
        let number = |text: &str| u64::from_str_radix(text, 16).map_err(io::Error::other);
        Ok(Self {
            name: written.name,
            id: MemberId(number(&written.id)?),
            cluster_id: ClusterId(number(&written.cluster_id)?),
            token: written.token,
            incarnation: number(&written.incarnation)?,
            stage: written.stage,
        })
    }

    /// Writes it, durably: the file is either the old one or this.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), StartError> {
        let path = folder.join(FILE);
        self.replace(folder, &path).map_err(failed(&path))
    }

    fn replace(&self, folder: &Path, path: &PathBuf) -> io::Result<()> {
        let written = Written {
            format: FORMAT,
            name: self.name.clone(),
            id: self.id.to_string(),
            cluster_id: self.cluster_id.to_string(),
            token: self.token.clone(),
            incarnation: format!("{:x}", self.incarnation),
            stage: self.stage,
        };
        let new = folder.join(format!("{FILE}.new"));
        let mut file = File::create(&new)?;
        serde_json::to_writer_pretty(&mut file, &written)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_was_written() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        assert_eq!(Identity::read(folder.path())?, None);
        let identity = Identity {
            name: "a \"quoted\" name".to_owned(),
            id: MemberId(u64::MAX),
            cluster_id: ClusterId(0xabc),
            token: "token".to_owned(),
            incarnation: 7,
            stage: Stage::Joining,
        };
        identity.write(folder.path())?;
        assert_eq!(Identity::read(folder.path())?, Some(identity));
        fs::write(folder.path().join(FILE), b"{\"format\":2}")?;
        assert!(matches!(
            Identity::read(folder.path()),
            Err(StartError::Identity { .. })
        ));
        Ok(())
    }
}
