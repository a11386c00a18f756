//! Units' files: those of this machine, and `cat` for those of the cluster.
//!
//! A unit that is asked for by name is looked for in the cluster, then here, then its template in the
//! same two places.

use std::path::{Path, PathBuf};

use fleet_api::{DropIn, Unit};
use fleet_model::FleetOptions;
use systemd_unit::{UnitFile, UnitName};

use crate::connect::Session;
use crate::failure::Failure;
use crate::names;

/// A file longer than what the API takes is not read.
const SIZE_MAX: u64 = systemd_unit::file::SIZE_MAX as u64;

/// `cat`
pub(crate) async fn cat(session: &Session<'_>, given: &str) -> Result<u8, Failure> {
    let unit = session.existing_unit(given).await?;
    session.output().text(&text_of(&unit)?, &unit)?;
    Ok(0)
}

/// A unit as its files, drop-ins after a comment with their name.
pub(crate) fn text_of(unit: &Unit) -> Result<String, Failure> {
    let bad = |error| {
        Failure::new(format!(
            "Unit {} cannot be written as a file: {error}",
            unit.name
        ))
    };
    let mut text = unit.to_file().map_err(bad)?.text().to_owned();
    for drop_in in &unit.drop_ins {
        let file = drop_in.to_file().map_err(bad)?;
        text.extend(["\n# ", &unit.name, ".d/", &drop_in.name, "\n"]);
        text.push_str(file.text());
    }
    Ok(text)
}

/// Where a local file for an argument would be: as it is given, with a type.
pub(crate) fn local_path(given: &str) -> PathBuf {
    let path = Path::new(given);
    match path.file_name() {
        Some(name) => path.with_file_name(names::with_type(&name.to_string_lossy())),
        None => path.to_path_buf(),
    }
}

/// The unit in a file, with the drop-ins beside it; nothing if there is no such file.
pub(crate) fn read(path: &Path, name: &str) -> Result<Option<Unit>, Failure> {
    let Some(file) = read_file(path)? else {
        return Ok(None);
    };
    for problem in file.problems() {
        eprintln!("WARNING: {}: {problem}", path.display());
    }
    let mut unit = Unit::from_file(name, &file);
    unit.drop_ins = drop_ins(path)?;
    check(path, &unit, &file)?;
    Ok(Some(unit))
}

/// What fleetd would refuse, with the line in the file.
fn check(path: &Path, unit: &Unit, file: &UnitFile) -> Result<(), Failure> {
    let failed = |reason: String| Failure::new(format!("{}: {reason}", path.display()));
    let name = UnitName::new(&unit.name).map_err(|error| failed(error.to_string()))?;
    let alone = FleetOptions::parse(&name, file.assignments());
    if unit.drop_ins.is_empty() {
        alone.map_err(|error| failed(error.to_string()))?;
    } else {
        let whole = unit.fleet_options(&name);
        whole.map_err(|error| failed(format!("with its drop-ins, as one file: {error}")))?;
    }
    Ok(())
}

/// The unit of a local file by that argument, or of a local template of it.
pub(crate) fn find(given: &str) -> Result<Option<(PathBuf, Unit)>, Failure> {
    let name = names::mangle(given);
    let path = local_path(given);
    if let Some(unit) = read(&path, &name)? {
        return Ok(Some((path, unit)));
    }
    let Some(template) = names::template(&name) else {
        return Ok(None);
    };
    let path = path.with_file_name(template);
    Ok(read(&path, &name)?.map(|unit| (path, unit)))
}

/// What is to be uploaded for an argument that names no unit of the cluster.
pub(crate) async fn find_anywhere(session: &Session<'_>, given: &str) -> Result<Unit, Failure> {
    let name = names::mangle(given);
    let path = local_path(given);
    if let Some(unit) = read(&path, &name)? {
        return Ok(unit);
    }
    let Some(template) = names::template(&name) else {
        return Err(Failure::new(format!(
            "unable to find Unit({name}) in Registry or on filesystem"
        )));
    };
    let known = session.client()?.unit(&template).await;
    let known = known.map_err(Failure::on(format!(
        "error retrieving template Unit({template}) from Registry"
    )))?;
    if let Some(known) = known {
        warn_if_different(&known, &path.with_file_name(&template), &name, "template ")?;
        return Ok(Unit {
            name,
            options: known.options,
            drop_ins: known.drop_ins,
            ..Unit::default()
        });
    }
    read(&path.with_file_name(&template), &name)?.ok_or_else(|| {
        Failure::new(format!(
            "unable to find Unit({name}) or template Unit({template}) in Registry or on filesystem"
        ))
    })
}

/// Says that a local file is another one than what the cluster has.
pub(crate) fn warn_if_different(
    known: &Unit,
    path: &Path,
    name: &str,
    kind: &str,
) -> Result<bool, Failure> {
    let Some(local) = read(path, name)? else {
        return Ok(false);
    };
    let is_different = !is_same(&local, known);
    if is_different {
        eprintln!(
            "WARNING: Unit {} in registry differs from local {kind}unit file {}. Add --replace to override.",
            known.name,
            path.display()
        );
    }
    Ok(is_different)
}

/// Whether two units have the same files.
pub(crate) fn is_same(one: &Unit, other: &Unit) -> bool {
    one.options == other.options && one.drop_ins == other.drop_ins
}

/// Every unit of a folder, by name.
pub(crate) fn read_folder(folder: &Path) -> Result<Vec<Unit>, Failure> {
    let failed = |error| Failure::new(format!("cannot read {}: {error}", folder.display()));
    let mut units = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_hidden = name.starts_with('.');
        if is_hidden || path.is_dir() || UnitName::new(name.as_ref()).is_err() {
            continue;
        }
        units.extend(read(&path, &name)?);
    }
    if units.is_empty() {
        return Err(Failure::new(format!(
            "there are no units in {}: their files end in .service, .timer and so on",
            folder.display()
        )));
    }
    units.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(units)
}

fn read_file(path: &Path) -> Result<Option<UnitFile>, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(format!(
            "failed getting Unit from file {}: {error}",
            path.display()
        ))
    };
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&error)),
    };
    if !metadata.is_file() {
        return Err(failed(&"it is no file"));
    }
    if metadata.len() > SIZE_MAX {
        return Err(failed(&format!("it is longer than {SIZE_MAX} bytes")));
    }
    let bytes = std::fs::read(path).map_err(|error| failed(&error))?;
    let file = UnitFile::parse_bytes(&bytes).map_err(|error| failed(&error))?;
    Ok(Some(file))
}

/// The files in the `.d` folder beside a unit's file, by name.
fn drop_ins(path: &Path) -> Result<Vec<DropIn>, Failure> {
    let mut folder = path.as_os_str().to_owned();
    folder.push(".d");
    let folder = PathBuf::from(folder);
    let failed = |error| Failure::new(format!("cannot read {}: {error}", folder.display()));
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_conf = path
            .extension()
            .is_some_and(|extension| extension == "conf");
        if !is_conf || name.starts_with('.') {
            continue;
        }
        if let Some(file) = read_file(&path)? {
            found.push(DropIn::from_file(name, &file));
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_with_its_drop_ins() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.service");
        std::fs::write(&path, "[Service]\nExecStart=/bin/true\n").expect("written");
        std::fs::create_dir(folder.path().join("a.service.d")).expect("made");
        for (name, text) in [
            ("20-b.conf", "[Service]\nUser=b\n"),
            ("10-a.conf", "[Service]\nUser=a\n"),
            ("notes.txt", "not a drop-in"),
        ] {
            let path = folder.path().join("a.service.d").join(name);
            std::fs::write(path, text).expect("written");
        }
        let (found, unit) = find(&path.to_string_lossy()).expect("good").expect("there");
        assert_eq!(found, path);
        assert_eq!(
            text_of(&unit).expect("text"),
            "[Service]\nExecStart=/bin/true\n\n# a.service.d/10-a.conf\n[Service]\nUser=a\n\n# a.service.d/20-b.conf\n[Service]\nUser=b\n"
        );
    }

    #[test]
    fn an_instance_is_found_by_its_template() {
        let folder = tempfile::tempdir().expect("a folder");
        let template = folder.path().join("a@.service");
        std::fs::write(&template, "[Service]\nExecStart=/bin/true\n").expect("written");
        let given = folder.path().join("a@1");
        let (found, unit) = find(&given.to_string_lossy())
            .expect("good")
            .expect("there");
        assert_eq!((found, unit.name.as_str()), (template, "a@1.service"));
        let other = folder.path().join("b@1");
        assert!(find(&other.to_string_lossy()).expect("good").is_none());
    }

    #[test]
    fn a_bad_file_is_named_with_its_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.service");
        std::fs::write(&path, "[Service]\nUser=a\n[Bad\n").expect("written");
        let error = find(&path.to_string_lossy()).expect_err("bad");
        let text = format!("{error:?}");
        assert!(text.contains("a.service: line 3: "), "{text}");
    }
}
