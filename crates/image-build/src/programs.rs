//! Step `programs`: our own programs and `/init`, built by cargo from the workspace.
//!
//! Cargo decides what is stale. `/init` is linked statically, so it has a target folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{BuildError, Result, read_bytes};
use crate::recipe::{Program, Recipe};
use crate::tree::{Node, Tree};

/// The target that a static program is built for: naming it keeps cargo's build scripts dynamic.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Cargo package of `/init`, and the name of its binary.
const INIT: (&str, &str) = ("keelson-init", "init");

/// Built programs.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The static `/init`.
    pub init: Vec<u8>,
    /// The others, where they go in the root.
    pub tree: Tree,
}

/// Where programs come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Built by cargo in this workspace.
    Workspace(PathBuf),
    /// Already built, in this directory, by the names of their packages and `init`.
    Prebuilt(PathBuf),
}

/// Builds the programs of a recipe where they are not built already, and collects them.
pub fn programs(recipe: &Recipe, source: &Source) -> Result<Programs> {
    if let Source::Workspace(workspace) = source {
        build(workspace, recipe)?;
    }
    collect(recipe, source)
}

/// Collects the programs as they stand.
pub fn collect(recipe: &Recipe, source: &Source) -> Result<Programs> {
    let (init, folder) = match source {
        Source::Prebuilt(folder) => (folder.join(INIT.1), folder.clone()),
        Source::Workspace(workspace) => {
            let target = target_directory(workspace);
            (
                target.join(TARGET).join("release").join(INIT.1),
                target.join("release"),
            )
        }
    };
    let mut tree = Tree::default();
    for Program { package, path } in &recipe.program {
        tree.insert(path, Node::file(0o755, read_bytes(&folder.join(package))?));
    }
    Ok(Programs {
        init: read_bytes(&init)?,
        tree,
    })
}

fn target_directory(workspace: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from)
}

fn build(workspace: &Path, recipe: &Recipe) -> Result<()> {
    let flags = path_flags(workspace);
    // `--workspace` makes cargo choose the same features as when everything is built and tested.
    let mut dynamic = vec!["build", "--release", "--quiet", "--workspace"];
    for program in &recipe.program {
        dynamic.extend(["--bin", &program.package]);
    }
    if !recipe.program.is_empty() {
        cargo(workspace, &dynamic, &flags)?;
    }
    let flags = format!("{flags} -C target-feature=+crt-static");
    cargo(
        workspace,
        &[
            "build",
            "--release",
            "--quiet",
            "--package",
            INIT.0,
            "--target",
            TARGET,
        ],
        &flags,
    )
}

/// No path of the build machine gets into a program; the same flags as the Makefile's, so that cargo
/// builds nothing twice.
fn path_flags(workspace: &Path) -> String {
    std::env::var("RUSTFLAGS").unwrap_or_else(|_| {
        format!(
            "--remap-path-prefix={}=/keelson --remap-path-prefix={}=/cargo",
            workspace.display(),
            cargo_home()
        )
    })
}

/// The same for dependencies that are written in C.
fn path_flags_of_c() -> String {
    std::env::var("CFLAGS").unwrap_or_else(|_| format!("-ffile-prefix-map={}=/cargo", cargo_home()))
}

fn cargo_home() -> String {
    let home = std::env::var("HOME").unwrap_or_default();
    std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{home}/.cargo"))
}

fn cargo(workspace: &Path, arguments: &[&str], flags: &str) -> Result<()> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(arguments)
        .current_dir(workspace)
        .env("RUSTFLAGS", flags)
        .env("CFLAGS", path_flags_of_c())
        .stdin(Stdio::null())
        .status()
        .map_err(|source| BuildError::ToolMissing {
            program: "cargo".to_owned(),
            advice: "install the Rust toolchain, or name built programs with --programs".to_owned(),
            source,
        })?;
    if status.success() {
        return Ok(());
    }
    Err(BuildError::Tool {
        program: "cargo build".to_owned(),
        status: status.to_string(),
        output: "its messages stand above".to_owned(),
    })
}
