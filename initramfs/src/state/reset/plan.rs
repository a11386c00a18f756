//! What a reset takes away and what it leaves, found by walking through state. Changes nothing.
//!
//! A kept path is followed through folders only, never through a symbolic link.
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use disk_format::meta::{Identity, Kept, KeptPath, RESET_REMAINS};

use crate::report::error::{ActionFailed, Context};
use crate::state::{etc_layers, folders, marker};

/// One step; each is done whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// This folder stays, for something in it is kept.
    Open(PathBuf),
    /// This goes, with all that is in it.
    Away(PathBuf),
}

/// A name on the way to what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    This(String),
    Any,
}

/// What becomes of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    /// Something in it stays.
    Partly,
    Goes,
}

/// Ways from the root folder of state to what is kept.
#[derive(Debug)]
struct Ways(Vec<Vec<Name>>);

/// The steps, parents before what is in them.
pub(super) fn plan(state: &Path, kept: &Kept) -> Result<Vec<Step>, ActionFailed> {
    let mut steps = Vec::new();
    walk(state, &mut Vec::new(), &Ways::of(kept), &mut steps)?;
    Ok(steps)
}

fn walk(
    folder: &Path,
    names: &mut Vec<OsString>,
    ways: &Ways,
    steps: &mut Vec<Step>,
) -> Result<(), ActionFailed> {
    let listing = || format!("list {}", folder.display());
    for entry in fs::read_dir(folder).context(listing)? {
        let entry = entry.context(listing)?;
        let is_folder = entry.file_type().context(listing)?.is_dir();
        names.push(entry.file_name());
        match (ways.fate(names), is_folder) {
            (Fate::Stays, _) => {}
            (Fate::Partly, true) => {
                steps.push(Step::Open(entry.path()));
                walk(&entry.path(), names, ways, steps)?;
            }
            (Fate::Partly, false) | (Fate::Goes, _) => steps.push(Step::Away(entry.path())),
        }
        names.pop();
    }
    Ok(())
}

impl Ways {
    fn of(kept: &Kept) -> Self {
        // Whose file system it is, and what goes already.
        let mut ways = vec![way(&[marker::NAME]), way(&[RESET_REMAINS])];
        if kept.identity == Identity::Kept {
            ways.push(way(&[folders::SHARED]));
        }
        ways.extend(kept.paths.iter().flat_map(ways_to));
        Self(ways)
    }

    fn fate(&self, names: &[OsString]) -> Fate {
        let fits = |way: &&Vec<Name>| way.iter().zip(names).all(|(name, found)| name.fits(found));
        let lengths = self.0.iter().filter(fits).map(Vec::len);
        match lengths.min() {
            Some(length) if length <= names.len() => Fate::Stays,
            Some(_) => Fate::Partly,
            None => Fate::Goes,
        }
    }
}

impl Name {
    fn fits(&self, found: &OsStr) -> bool {
        match self {
            Self::This(name) => found == name.as_str(),
            Self::Any => true,
        }
    }
}

fn way(names: &[&str]) -> Vec<Name> {
    names
        .iter()
        .map(|name| Name::This((*name).to_owned()))
        .collect()
}

/// A path of `/etc` is kept in each version's layer, and with it what makes them layers.
fn ways_to(path: &KeptPath) -> Vec<Vec<Name>> {
    let (place, names) = path.split();
    let below = names.map(|name| Name::This(name.to_owned()));
    let Some(folder) = folders::name_of(place) else {
        let layer = |name: &str| {
            let mut way = way(&[folders::ETC]);
            way.extend([Name::Any, Name::This(name.to_owned())]);
            way
        };
        let mut upper = layer(etc_layers::UPPER);
        upper.extend(below);
        let current = way(&[folders::ETC, etc_layers::CURRENT]);
        return vec![
            upper,
            current,
            layer(etc_layers::WORK),
            layer(etc_layers::LAST_USED),
        ];
    };
    let mut way = way(&[folder]);
    way.extend(below);
    vec![way]
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk_format::meta::STATE_PLACES;

    fn ways(identity: Identity, paths: &[&str]) -> Ways {
        let paths = paths.iter().map(|path| path.parse().unwrap()).collect();
        Ways::of(&Kept { identity, paths })
    }

    fn fate(ways: &Ways, path: &str) -> Fate {
        let names: Vec<OsString> = path.split('/').map(OsString::from).collect();
        ways.fate(&names)
    }

    #[test]
    fn without_a_wish_only_the_marker_stays() {
        let ways = ways(Identity::New, &[]);
        assert_eq!(fate(&ways, ".keelson-state"), Fate::Stays);
        assert_eq!(fate(&ways, ".reset"), Fate::Stays);
        for gone in [
            "var",
            "etc",
            "shared",
            "lost+found",
            ".keelson-state.new",
            "x",
        ] {
            assert_eq!(fate(&ways, gone), Fate::Goes, "{gone}");
        }
    }

    #[test]
    fn folders_on_the_way_stay_partly() {
        let ways = ways(Identity::Kept, &["/var/lib/x", "/usr/local"]);
        assert_eq!(fate(&ways, "shared"), Fate::Stays);
        assert_eq!(fate(&ways, "shared/ssh"), Fate::Stays);
        assert_eq!(fate(&ways, "usr-local/bin"), Fate::Stays);
        assert_eq!(fate(&ways, "var"), Fate::Partly);
        assert_eq!(fate(&ways, "var/lib"), Fate::Partly);
        assert_eq!(fate(&ways, "var/lib/x"), Fate::Stays);
        assert_eq!(fate(&ways, "var/lib/x/y"), Fate::Stays);
        assert_eq!(fate(&ways, "var/lib/xy"), Fate::Goes);
        assert_eq!(fate(&ways, "var/log"), Fate::Goes);
    }

    #[test]
    fn a_wider_wish_wins_over_a_narrower_one() {
        let ways = ways(Identity::New, &["/var/lib/x", "/var"]);
        assert_eq!(fate(&ways, "var"), Fate::Stays);
        assert_eq!(fate(&ways, "var/log"), Fate::Stays);
    }

    #[test]
    fn a_path_of_etc_stays_in_every_layer() {
        let ways = ways(Identity::New, &["/etc/a/b"]);
        for layer in ["etc/1234", "etc/5678"] {
            for (name, expected) in [
                ("", Fate::Partly),
                ("/upper", Fate::Partly),
                ("/upper/a", Fate::Partly),
                ("/upper/a/b", Fate::Stays),
                ("/upper/hosts", Fate::Goes),
                ("/work", Fate::Stays),
                ("/last-used", Fate::Stays),
                ("/other", Fate::Goes),
            ] {
                assert_eq!(fate(&ways, &format!("{layer}{name}")), expected, "{name}");
            }
        }
        assert_eq!(fate(&ways, "etc/current"), Fate::Stays);
    }

    #[test]
    fn every_place_is_a_folder_of_state() {
        for place in STATE_PLACES {
            assert!(
                place == "/etc" || folders::name_of(place).is_some(),
                "{place}"
            );
        }
    }
}
