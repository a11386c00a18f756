//! The systemd generator: units of the Quadlet files in `/run`, `/etc` and `/usr/share/containers/systemd`, and of
//! the containers that launcherd keeps.
//!
//! A file that is wrong becomes a unit that fails with what is wrong, so that whoever starts it reads the
//! reason in its journal and not that there is no such unit. It starts nothing.

mod records;

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use container_model::quadlet::{self, GeneratedUnit};

use crate::check;
use crate::quadlet_files::{FOLDERS, search};

/// Puts the root elsewhere, for tests.
const ROOT_VARIABLE: &str = "KEELSON_QUADLET_ROOT";

pub(crate) fn run(target: Option<&OsStr>) -> ExitCode {
    let Some(target) = target else {
        log("it needs the folder for units, as systemd gives it to generators");
        return ExitCode::FAILURE;
    };
    let root = std::env::var_os(ROOT_VARIABLE).unwrap_or_default();
    match generate_all(Path::new(&root), Path::new(target)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn generate_all(root: &Path, target: &Path) -> anyhow::Result<()> {
    let below = |folder: &str| root.join(folder.trim_start_matches('/'));
    let folders: Vec<PathBuf> = if root.as_os_str().is_empty() {
        FOLDERS.map(PathBuf::from).into()
    } else {
        FOLDERS.map(below).into()
    };
    for (name, path) in search(&folders)? {
        if let Some(reason) = quadlet::refused_type(&name) {
            log(&format!("{name}: {reason}"));
        } else if quadlet::is_unit_source(&name) {
            let unit = check::judge(&path).unwrap_or_else(|lines| failing(&name, &path, &lines));
            write(&unit, target)?;
        }
    }
    records::link_all(
        if root.as_os_str().is_empty() {
            Path::new("/")
        } else {
            root
        },
        target,
    )
}

/// A unit that says what is wrong whenever it is started.
fn failing(name: &str, path: &Path, lines: &[String]) -> GeneratedUnit {
    for line in lines {
        log(line);
    }
    let unit = quadlet::unit_of(name).unwrap_or_else(|| format!("{name}.service"));
    let stem = unit.trim_end_matches(".service");
    let path = path.display().to_string();
    let word = systemd_unit::words::quote(&path.replace('$', "$$").replace('%', "%%"));
    let text = format!(
        "[Unit]\nDescription={stem}: its file {name} is wrong\nSourcePath={path}\n\n\
         [Service]\nType=oneshot\nExecStart=/usr/bin/launch check {word}\n"
    );
    GeneratedUnit {
        name: unit.clone(),
        text,
        links: Vec::new(),
    }
}

fn write(unit: &GeneratedUnit, target: &Path) -> anyhow::Result<()> {
    let path = target.join(&unit.name);
    std::fs::write(&path, &unit.text).with_context(|| path.display().to_string())?;
    for path in &unit.links {
        let leads_to = match path.split_once('/') {
            Some(_) => format!("../{}", unit.name),
            None => unit.name.clone(),
        };
        link(Path::new(&leads_to), &target.join(path))?;
    }
    Ok(())
}

/// A link that may be there: a unit says it twice, or two units do; systemd takes whichever is first.
fn link(leads_to: &Path, path: &Path) -> anyhow::Result<()> {
    let context = || path.display().to_string();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(context)?;
    }
    match symlink(leads_to, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(context)
        }
        _ => Ok(()),
    }
}

/// To the kernel's log, which the journal reads: a generator runs before there is a journal.
fn log(text: &str) {
    let line = format!("<3>launch-generator[{}]: {text}\n", std::process::id());
    let kernel = std::fs::OpenOptions::new().write(true).open("/dev/kmsg");
    let written = kernel.and_then(|mut kernel| kernel.write_all(line.as_bytes()));
    if written.is_err() {
        eprintln!("launch-generator: {text}");
    }
}
