//! `launch check`: all that is wrong with Quadlet files, on standard error.
//!
//! Changes nothing.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use container_model::quadlet::{self, GeneratedUnit};

use crate::cli::CheckArguments;
use crate::quadlet_files;

pub(crate) fn run(arguments: &CheckArguments) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    let files = match arguments.files.as_slice() {
        [] => installed(),
        some => Ok(some.to_vec()),
    };
    let files = files.unwrap_or_else(|error| {
        eprintln!("{error:#}");
        code = ExitCode::FAILURE;
        Vec::new()
    });
    for path in &files {
        match judge(path) {
            Ok(unit) if arguments.print => print!("# {}\n{}", unit.name, unit.text),
            Ok(_) => {}
            Err(lines) => {
                for line in lines {
                    eprintln!("{line}");
                }
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

/// Those that the generator makes units of, or would say why not.
fn installed() -> anyhow::Result<Vec<PathBuf>> {
    let found = quadlet_files::search(&quadlet_files::FOLDERS.map(PathBuf::from))?;
    let is_quadlet =
        |name: &str| quadlet::is_unit_source(name) || quadlet::refused_type(name).is_some();
    let files = found.into_iter().filter(|(name, _)| is_quadlet(name));
    Ok(files.map(|(_, path)| path).collect())
}

/// The unit that a file makes, with the drop-ins beside it, or a line for each thing that is wrong.
pub(crate) fn judge(path: &Path) -> Result<GeneratedUnit, Vec<String>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if let Some(reason) = quadlet::refused_type(&name) {
        return Err(vec![format!("{name}: {reason}")]);
    }
    let beside = path.parent().map(Path::to_path_buf).unwrap_or_default();
    // A file among those that the generator reads has drop-ins in all of its folders.
    let is_searched = quadlet_files::FOLDERS
        .iter()
        .any(|folder| beside == Path::new(folder));
    let folders: Vec<PathBuf> = if is_searched {
        quadlet_files::FOLDERS.map(PathBuf::from).into()
    } else {
        vec![beside]
    };
    let file = quadlet_files::read(path, &folders).map_err(|error| vec![format!("{error:#}")])?;
    let lines =
        |problems: Vec<quadlet::Problem>| problems.iter().map(ToString::to_string).collect();
    let siblings = quadlet_files::siblings(&folders).map_err(|error| vec![format!("{error:#}")])?;
    quadlet::generate_among(&file, &siblings).map_err(lines)
}
