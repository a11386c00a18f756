//! Units: their files and drop-ins, and what enabling, disabling and masking come to.
//!
//! systemd is not asked: it is not running yet, or has to be told to read its units again.

mod find;
mod install;
mod preset;

use std::collections::BTreeSet;

use provision_model::KeyPath;
use provision_model::plan::{Enablement, Plan, Stated, Unit};
use systemd_unit::{DropIn, MergedUnit, NameKind, UnitFile, UnitName};

use crate::contents::Bytes;
use crate::operation::{Attributes, FileWork, LinkKind, LinkWork, Operation};
use crate::prepare::Preparation;
use crate::root::{Kind, Owner, join};
use find::{ETC, Found};

/// What wants a unit that coreos-cloudinit would have started.
const MULTI_USER_WANTS: &str = "/etc/systemd/system/multi-user.target.wants";
/// What a masked unit leads to.
const NOTHING: &str = "/dev/null";
/// Folders of links to units that are enabled.
const DEPENDENCY_FOLDERS: &[&str] = &[".wants", ".requires", ".upholds"];

/// Adds what all units of the plan need.
pub(crate) fn add(plan: &Plan, preparation: &mut Preparation<'_>) {
    for unit in &plan.units {
        let mut units = Units {
            plan,
            preparation: &mut *preparation,
            key: &unit.key,
        };
        units.files(&unit.value);
        if let Err(text) = units.enablement(&unit.value) {
            preparation.findings.add(&unit.key, text);
        }
    }
}

/// A file of root's that everybody may read.
pub(crate) fn public_file(path: String, text: &str) -> Operation {
    Operation::File(FileWork {
        path,
        bytes: Bytes::Whole(text.as_bytes().to_vec()),
        attributes: Attributes::fixed(0o644, Owner::default()),
        replaces: true,
    })
}

/// The units of the plan, at one of them.
struct Units<'a, 'b> {
    plan: &'a Plan,
    preparation: &'a mut Preparation<'b>,
    key: &'a KeyPath,
}

impl Units<'_, '_> {
    fn files(&mut self, unit: &Unit) {
        let path = join(ETC, unit.name.as_str());
        match &unit.contents {
            _ if unit.enablement == Enablement::Masked => self.link(&path, NOTHING),
            Some(text) => self.file(&path, text),
            None => {}
        }
        for drop_in in &unit.drop_ins {
            let path = format!("{ETC}/{}.d/{}", unit.name, drop_in.name);
            self.file(&path, &drop_in.contents);
        }
    }

    fn file(&mut self, path: &str, text: &str) {
        if let Some(path) = self.preparation.take_place(path, self.key) {
            self.preparation.operations.push(public_file(path, text));
        }
    }

    fn link(&mut self, path: &str, target: &str) {
        if let Some(path) = self.preparation.place(path, self.key) {
            let link = Operation::Link(LinkWork {
                path,
                kind: LinkKind::Symbolic(target.to_owned()),
                attributes: Attributes::default(),
                replaces: true,
            });
            if !self.preparation.operations.contains(&link) {
                self.preparation.operations.push(link);
            }
        }
    }

    fn enablement(&mut self, unit: &Unit) -> Result<(), String> {
        let name = &unit.name;
        match unit.enablement {
            Enablement::Masked => Ok(()),
            Enablement::Enabled => self.enable(name, &mut BTreeSet::new()),
            Enablement::Disabled => self.disable(name, &mut BTreeSet::new()),
            Enablement::Wanted => {
                let source = self.source(name)?;
                let (path, _) = source.ok_or_else(|| no_unit(name))?;
                self.link(&join(MULTI_USER_WANTS, name.as_str()), &path);
                Ok(())
            }
            Enablement::Preset if unit.contents.is_none() => Ok(()),
            Enablement::Preset => {
                let enables = preset::enables(self.preparation.root, name);
                if enables.map_err(|error| format!("cannot read the presets: {error}"))? {
                    return self.enable(name, &mut BTreeSet::new());
                }
                Ok(())
            }
        }
    }

    /// The path and the text of a unit, from the plan or from the root.
    fn source(&self, name: &UnitName) -> Result<Option<(String, String)>, String> {
        let template = name.template();
        for name in [Some(name), template.as_ref()].into_iter().flatten() {
            if let Some(text) = self
                .planned(name)
                .and_then(|unit| unit.value.contents.as_ref())
            {
                return Ok(Some((join(ETC, name.as_str()), text.clone())));
            }
        }
        match find::find(self.preparation.root, name) {
            Err(error) => Err(format!("cannot read the unit {name}: {error}")),
            Ok(Some(Found::Masked)) => Err(format!("the unit {name} is masked")),
            Ok(Some(Found::File { path, text })) => Ok(Some((path, text))),
            Ok(None) => Ok(None),
        }
    }

    fn planned(&self, name: &UnitName) -> Option<&Stated<Unit>> {
        self.plan.units.iter().find(|unit| unit.value.name == *name)
    }

    fn merged(&self, name: &UnitName, text: &str) -> Result<MergedUnit, String> {
        let folder = format!("{name}.d");
        let planned = self.planned(name).into_iter();
        let drop_ins = planned.flat_map(|unit| &unit.value.drop_ins);
        let drop_ins: Vec<_> = drop_ins
            .map(|one| DropIn {
                folder: &folder,
                file: &one.name,
                text: &one.contents,
            })
            .collect();
        let unit = UnitFile::parse(text).map_err(|error| format!("{name}: {error}"))?;
        MergedUnit::new(name, unit, &drop_ins).map_err(|error| error.to_string())
    }

    fn enable(&mut self, name: &UnitName, seen: &mut BTreeSet<UnitName>) -> Result<(), String> {
        if !seen.insert(name.clone()) {
            return Ok(());
        }
        let (path, text) = self.source(name)?.ok_or_else(|| no_unit(name))?;
        let install = install::read(name, &self.merged(name, &text)?)?;
        for alias in &install.aliases {
            self.check_alias(alias, &path)?;
        }
        for link in install.links {
            self.link(&link, &path);
        }
        for other in &install.also {
            self.enable(other, seen)?;
        }
        Ok(())
    }

    /// Another name must be free, or lead to the unit already.
    fn check_alias(&self, alias: &UnitName, path: &str) -> Result<(), String> {
        let at = join(ETC, alias.as_str());
        let seen = self.preparation.root.look(&at);
        let seen = seen.map_err(|error| format!("cannot look at {at}: {error}"))?;
        match seen.map(|seen| seen.kind) {
            None => Ok(()),
            Some(Kind::Link(target)) if target == path => Ok(()),
            Some(_) => Err(format!("its other name {alias} is that of another unit")),
        }
    }

    fn disable(&mut self, name: &UnitName, seen: &mut BTreeSet<UnitName>) -> Result<(), String> {
        if !seen.insert(name.clone()) {
            return Ok(());
        }
        let links = self.links_to(name);
        for path in links.map_err(|error| format!("cannot read {ETC}: {error}"))? {
            let why = format!("{name} is disabled");
            let removal = Operation::Removal { path, why };
            self.preparation.operations.push(removal);
        }
        // A masked unit or one that is not there has nobody to be disabled along with.
        if let Ok(Some((_, text))) = self.source(name) {
            let also = install::read(name, &self.merged(name, &text)?);
            for other in also.map(|install| install.also).unwrap_or_default() {
                self.disable(&other, seen)?;
            }
        }
        Ok(())
    }

    /// Links that want the unit, and its other names.
    fn links_to(&self, name: &UnitName) -> std::io::Result<Vec<String>> {
        let root = self.preparation.root;
        let is_it = |other: &str| {
            let template = UnitName::new(other).ok().and_then(|other| other.template());
            let is_instance = name.kind() == NameKind::Template && template.as_ref() == Some(name);
            other == name.as_str() || is_instance
        };
        let mut found = Vec::new();
        for entry in root.names(ETC)? {
            let path = join(ETC, &entry);
            if DEPENDENCY_FOLDERS.iter().any(|end| entry.ends_with(end)) {
                let names = root.names(&path)?.into_iter();
                found.extend(
                    names
                        .filter(|name| is_it(name))
                        .map(|name| join(&path, &name)),
                );
            } else if let Some(Kind::Link(target)) = root.look(&path)?.map(|seen| seen.kind) {
                let (_, leads_to) = crate::root::split(&target);
                if leads_to == name.as_str() && entry != leads_to {
                    found.push(path);
                }
            }
        }
        Ok(found)
    }
}

fn no_unit(name: &UnitName) -> String {
    format!("the image has no unit {name}, and the configuration no contents for it")
}
