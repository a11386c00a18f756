//! Step `compose`: the packages' tree, our own files over it, and what follows from both, as one
//! canonical tar: users, enabled units, os-release, directories, the recipe's promises checked.

use std::fmt::Write as _;
use std::io::BufWriter;
use std::path::Path;

use crate::error::{BuildError, Result, create};
use crate::pattern::matches;
use crate::recipe::Recipe;
use crate::staging::Staging;
use crate::tar_tree;
use crate::tools::{Tools, run};
use crate::tree::{Node, NodeKind, Tree};

/// Name of the archive this step leaves in its directory.
pub const ROOT_TAR: &str = "root.tar";

/// What identifies a build, written into os-release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `IMAGE_VERSION=`: unique per build.
    pub version: String,
    /// `BUILD_ID=`: a hash of everything the root is made of.
    pub build_id: String,
    /// `VARIANT_ID=`: the product.
    pub product: String,
}

/// Composes the root into `directory`.
pub fn compose(
    recipe: &Recipe,
    identity: &Identity,
    packages: &Path,
    overlays: &[Tree],
    tools: &Tools,
    timestamp_seconds: u64,
    directory: &Path,
) -> Result<String> {
    let mut tree = tar_tree::open_tree(packages)?;
    for overlay in overlays {
        tree.overlay(overlay);
    }
    for path in &recipe.files.directories {
        if tree.get(path).is_none() {
            tree.insert(path, Node::directory(0o755));
        }
    }
    add_os_release(&mut tree, recipe, identity);
    add_users(&mut tree, tools, directory)?;
    enable_units(&mut tree, tools, directory)?;
    check(recipe, &tree)?;
    let path = directory.join(ROOT_TAR);
    let target = BufWriter::with_capacity(1 << 20, create(&path)?);
    tar_tree::write(&tree, target, timestamp_seconds)
        .map_err(|e| BuildError::io("write", &path, e))?;
    Ok(format!(
        "{} files, {} MB",
        tree.len(),
        tree.content_bytes() / 1_000_000
    ))
}

/// See os-release(5).
fn add_os_release(tree: &mut Tree, recipe: &Recipe, identity: &Identity) {
    let mut text = String::new();
    let pretty = format!(
        "{} {} ({})",
        recipe.pretty_name, identity.version, identity.product
    );
    let release = identity
        .version
        .split(['~', '-'])
        .next()
        .unwrap_or(&identity.version);
    for (key, value) in [
        ("NAME", recipe.pretty_name.as_str()),
        ("PRETTY_NAME", &pretty),
        ("ID", &recipe.name),
        ("ID_LIKE", "debian"),
        ("VERSION_ID", release),
        ("VERSION", &identity.version),
        ("IMAGE_ID", &recipe.name),
        ("IMAGE_VERSION", &identity.version),
        ("BUILD_ID", &identity.build_id),
        ("VARIANT_ID", &identity.product),
        ("DEFAULT_HOSTNAME", &recipe.name),
        ("HOME_URL", &recipe.home_url),
    ] {
        let _ = writeln!(text, "{key}=\"{value}\"");
    }
    tree.insert("usr/lib/os-release", Node::file(0o644, text.into_bytes()));
    tree.insert("etc/os-release", Node::symlink("../usr/lib/os-release"));
}

/// Users and groups as sysusers.d defines them. Every number is fixed there: a number that moved between
/// two releases would hand one user's files in state to another.
fn add_users(tree: &mut Tree, tools: &Tools, scratch: &Path) -> Result<()> {
    let staging = Staging::new(scratch)?;
    staging.export(tree, |path| path.starts_with("usr/lib/sysusers.d"))?;
    refuse_floating_numbers(tree)?;
    crate::error::make_directory(&staging.path().join("etc"))?;
    let mut command = tools.command("usr/bin/systemd-sysusers");
    command.arg(format!("--root={}", staging.path().display()));
    run("systemd-sysusers", &mut command, staging.path())?;
    for (name, mode, gid) in [
        ("passwd", 0o644, 0),
        ("group", 0o644, 0),
        ("shadow", 0o640, SHADOW_GROUP),
        ("gshadow", 0o640, SHADOW_GROUP),
    ] {
        let contents = stable_shadow(name, &staging.read(&format!("etc/{name}"))?);
        let node = Node {
            gid,
            ..Node::file(mode, contents)
        };
        tree.insert(&format!("etc/{name}"), node);
    }
    Ok(())
}

/// Debian's number of group `shadow`; its setgid programs carry it in their package.
const SHADOW_GROUP: u64 = 42;

/// systemd-sysusers writes the day of the build as the last password change; a fixed one is as good.
fn stable_shadow(name: &str, contents: &[u8]) -> Vec<u8> {
    if name != "shadow" {
        return contents.to_vec();
    }
    let text = String::from_utf8_lossy(contents);
    let mut stable = String::new();
    for line in text.lines() {
        let mut fields: Vec<&str> = line.split(':').collect();
        if let Some(last_change) = fields.get_mut(2) {
            *last_change = "1";
        }
        let _ = writeln!(stable, "{}", fields.join(":"));
    }
    stable.into_bytes()
}

fn refuse_floating_numbers(tree: &Tree) -> Result<()> {
    for (path, node) in tree.below("usr/lib/sysusers.d") {
        let NodeKind::File(content) = &node.kind else {
            continue;
        };
        let contents = content.to_vec()?;
        for line in String::from_utf8_lossy(&contents).lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let ["u" | "u!" | "g", name, id, ..] = words[..]
                && !id.starts_with(|c: char| c.is_ascii_digit())
            {
                return Err(BuildError::Root(format!(
                    "{path}: {name} has no fixed number ({id}); give it one in units/usr/lib/sysusers.d and leave that file out"
                )));
            }
        }
    }
    Ok(())
}

/// Links of enabled units, as the presets say; whatever no preset names is disabled.
fn enable_units(tree: &mut Tree, tools: &Tools, scratch: &Path) -> Result<()> {
    let staging = Staging::new(scratch)?;
    let wanted = |path: &str| {
        path.starts_with("usr/lib/systemd/system/")
            || path.starts_with("usr/lib/systemd/system-preset/")
            || path.starts_with("etc/systemd/system/")
    };
    staging.export(tree, wanted)?;
    let mut command = tools.command("usr/bin/systemctl");
    command
        .arg(format!("--root={}", staging.path().display()))
        .args(["preset-all", "--quiet"]);
    run("systemctl preset-all", &mut command, staging.path())?;
    for (path, node) in staging.import("etc/systemd/system")?.iter() {
        tree.insert(path, node.clone());
    }
    Ok(())
}

/// The promises of the recipe.
fn check(recipe: &Recipe, tree: &Tree) -> Result<()> {
    for (path, _) in tree.iter() {
        if let Some(pattern) = recipe
            .files
            .forbid
            .iter()
            .find(|pattern| matches(pattern, path))
        {
            return Err(BuildError::Root(format!(
                "it holds {path}, which files.forbid names ({pattern})"
            )));
        }
    }
    for program in &recipe.program {
        if tree.file(&program.path).is_none() {
            return Err(BuildError::Root(format!(
                "program {} is not in it",
                program.path
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_without_a_fixed_number_is_refused() {
        let mut tree = Tree::default();
        let path = "usr/lib/sysusers.d/x.conf";
        tree.insert(
            path,
            Node::file(0o644, &b"# c\nu root 0 - /root\ng kvd -\n"[..]),
        );
        let message = refuse_floating_numbers(&tree)
            .expect_err("floating")
            .to_string();
        assert!(
            message.contains("kvd") && message.contains(path),
            "{message}"
        );
        tree.insert(
            path,
            Node::file(0o644, &b"u root 0 - /root\nu kvd 800:801 - /\nm a b\n"[..]),
        );
        assert!(refuse_floating_numbers(&tree).is_ok());
    }

    #[test]
    fn the_day_of_the_build_is_not_in_shadow() {
        let stable = stable_shadow("shadow", b"root:!*:20779::::::\n");
        assert_eq!(stable, b"root:!*:1::::::\n");
    }

    #[test]
    fn a_dev_build_has_the_release_as_its_version_id() {
        let mut tree = Tree::default();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../image/os.toml");
        let recipe = Recipe::load(Path::new(path)).expect("valid");
        let identity = Identity {
            version: "0.1.0~20261122.ab".to_owned(),
            build_id: "ab".to_owned(),
            product: "vm".to_owned(),
        };
        add_os_release(&mut tree, &recipe, &identity);
        let text = tree
            .file("usr/lib/os-release")
            .expect("there")
            .to_vec()
            .expect("memory");
        let text = String::from_utf8(text).expect("text");
        assert!(text.contains("VERSION_ID=\"0.1.0\"\n"), "{text}");
        assert!(
            text.contains("IMAGE_VERSION=\"0.1.0~20261122.ab\"\n"),
            "{text}"
        );
    }
}
