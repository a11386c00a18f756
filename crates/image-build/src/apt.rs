//! Resolving package names by the build machine's apt, in a directory of its own.
//!
//! The machine's own apt configuration, lists and installed packages play no part. Nothing is installed
//! and nothing is fetched here but the archive's signed indexes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::error::{BuildError, Result, make_directory, write_bytes};
use crate::lock::{ArchiveKind, LockedPackage, PackagesLock, TREE_ROOT, TREE_TOOLS, trees};
use crate::mirror::Mirrors;
use crate::recipe::Recipe;

/// An apt whose whole world is one directory.
#[derive(Debug)]
pub struct PrivateApt {
    directory: PathBuf,
    configuration: PathBuf,
    mirrors: Mirrors,
}

impl PrivateApt {
    /// Lays out the directory and fetches the signed indexes of the recipe's suites.
    pub fn new(directory: &Path, recipe: &Recipe, mirrors: &Mirrors) -> Result<Self> {
        for folder in [
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "etc/apt/sources.list.d",
            "etc/apt/trusted.gpg.d",
            "var/lib/apt/lists/partial",
            "var/cache/apt/archives/partial",
        ] {
            make_directory(&directory.join(folder))?;
        }
        let configuration = directory.join("apt.conf");
        write_bytes(
            &configuration,
            configuration_text(directory, recipe).as_bytes(),
        )?;
        let sources = directory.join("etc/apt/sources.list");
        write_bytes(&sources, sources_text(recipe, mirrors).as_bytes())?;
        write_bytes(&directory.join("status"), b"")?;
        let apt = Self {
            directory: directory.into(),
            configuration,
            mirrors: mirrors.clone(),
        };
        apt.run("apt-get", &["update", "-q", "--error-on=any"], "update")?;
        Ok(apt)
    }

    /// Resolves every tree of the recipe; `now` is the time written into the lock.
    pub fn resolve(&self, recipe: &Recipe, now: jiff::Timestamp) -> Result<PackagesLock> {
        let mut packages = Vec::new();
        for (tree, names) in trees(recipe) {
            let resolved = self.resolve_tree(recipe, &tree, &names)?;
            packages.extend(without_root_packages(resolved, &packages));
        }
        packages.sort_by(|a, b| (&a.tree, &a.name).cmp(&(&b.tree, &b.name)));
        Ok(PackagesLock {
            resolved: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            release: recipe.archive.release.clone(),
            packages,
        })
    }

    fn resolve_tree(
        &self,
        recipe: &Recipe,
        tree: &str,
        names: &[String],
    ) -> Result<Vec<LockedPackage>> {
        let status = if tree == TREE_TOOLS {
            String::new()
        } else {
            pretended_status(recipe)
        };
        write_bytes(&self.directory.join("status"), status.as_bytes())?;
        let mut arguments = vec!["install", "--yes", "--quiet=2", "--print-uris"];
        arguments.extend(names.iter().map(String::as_str));
        let output = self.run("apt-get", &arguments, &format!("install (tree {tree})"))?;
        let chosen: Vec<ChosenFile> = output.lines().filter_map(parse_uri_line).collect();
        let stanzas = self.stanzas(&chosen)?;
        chosen
            .iter()
            .map(|file| self.locked(tree, file, &stanzas))
            .collect()
    }

    /// The index entries of the chosen packages, by `name=version`.
    fn stanzas(&self, chosen: &[ChosenFile]) -> Result<BTreeMap<String, Stanza>> {
        let exact: Vec<String> = chosen.iter().map(ChosenFile::exact).collect();
        let mut arguments = vec!["show"];
        arguments.extend(exact.iter().map(String::as_str));
        let output = self.run("apt-cache", &arguments, "show")?;
        Ok(parse_stanzas(&output))
    }

    fn locked(
        &self,
        tree: &str,
        file: &ChosenFile,
        stanzas: &BTreeMap<String, Stanza>,
    ) -> Result<LockedPackage> {
        let refuse = |reason: &str| BuildError::Package {
            package: file.name.clone(),
            reason: reason.to_owned(),
        };
        let stanza = stanzas
            .get(&file.exact())
            .ok_or_else(|| refuse("apt chose it but shows no index entry for it"))?;
        let archive = [ArchiveKind::Security, ArchiveKind::Main]
            .into_iter()
            .find(|&kind| {
                file.uri
                    .starts_with(&format!("{}/", self.mirrors.base(kind)))
            })
            .ok_or_else(|| refuse("apt chose it from none of the recipe's archives"))?;
        Ok(LockedPackage {
            tree: tree.to_owned(),
            name: file.name.clone(),
            version: file.version.clone(),
            archive,
            path: stanza.path.clone(),
            size: stanza.size,
            sha256: stanza.sha256.clone(),
        })
    }

    fn run(&self, program: &str, arguments: &[&str], action: &str) -> Result<String> {
        let output = Command::new(program)
            .args(arguments)
            .env("APT_CONFIG", &self.configuration)
            .env("LC_ALL", "C.UTF-8")
            .output()
            .map_err(|source| BuildError::ToolMissing {
                program: program.to_owned(),
                advice: "resolving packages needs apt, as Debian and its derivatives have it"
                    .to_owned(),
                source,
            })?;
        if !output.status.success() {
            return Err(BuildError::Apt {
                action: action.to_owned(),
                output: complaint(&output),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// A kernel's tree is laid over the root: what the root brings already is not in it.
fn without_root_packages(
    mut resolved: Vec<LockedPackage>,
    earlier: &[LockedPackage],
) -> Vec<LockedPackage> {
    let is_in_root = |name: &str| {
        earlier
            .iter()
            .any(|package| package.tree == TREE_ROOT && package.name == name)
    };
    resolved.retain(|package| package.tree == TREE_TOOLS || !is_in_root(&package.name));
    resolved
}

/// The lines of apt's output that say what is wrong.
fn complaint(output: &Output) -> String {
    let text = [&output.stderr[..], b"\n", &output.stdout[..]].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let telling = |line: &&str| {
        ["E:", "W:", "Depends:", "Conflicts:", "Err:"]
            .iter()
            .any(|mark| line.contains(mark))
    };
    let lines: Vec<&str> = text.lines().filter(telling).map(str::trim).collect();
    if lines.is_empty() {
        text.trim().to_owned()
    } else {
        lines.join("\n")
    }
}

fn configuration_text(directory: &Path, recipe: &Recipe) -> String {
    let directory = directory.display();
    let architecture = &recipe.architecture;
    format!(
        "Dir \"{directory}\";\nDir::State::status \"{directory}/status\";\n\
         APT::Architecture \"{architecture}\";\nAPT::Architectures \"{architecture}\";\n\
         APT::Install-Recommends \"false\";\nAPT::Install-Suggests \"false\";\n\
         APT::Sandbox::User \"\";\nAcquire::Languages \"none\";\nAcquire::Retries \"2\";\n"
    )
}

fn sources_text(recipe: &Recipe, mirrors: &Mirrors) -> String {
    let archive = &recipe.archive;
    let components = archive.components.join(" ");
    let keyring = archive.keyring.display();
    let main = archive.suites.iter().map(|suite| (&mirrors.main, suite));
    let security = archive
        .security_suites
        .iter()
        .map(|suite| (&mirrors.security, suite));
    main.chain(security)
        .fold(String::new(), |mut text, (address, suite)| {
            let _ = writeln!(
                text,
                "deb [signed-by={keyring}] {address} {suite} {components}"
            );
            text
        })
}

/// A dpkg status in which every excluded package is installed, at a version that satisfies anything.
fn pretended_status(recipe: &Recipe) -> String {
    let provides = recipe.packages.exclude_provides.join(", ");
    let stanza = |name: &str, provides: &str| {
        format!(
            "Package: {name}\nStatus: install ok installed\nArchitecture: {}\nMulti-Arch: foreign\n\
             Maintainer: none\nVersion: 9999\n{provides}Description: left out by the recipe\n\n",
            recipe.architecture
        )
    };
    let mut text: String = recipe
        .packages
        .exclude
        .iter()
        .map(|name| stanza(name, ""))
        .collect();
    if !provides.is_empty() {
        text += &stanza("keelson-excluded", &format!("Provides: {provides}\n"));
    }
    text
}

/// A package file that apt would fetch.
#[derive(Debug, PartialEq, Eq)]
struct ChosenFile {
    uri: String,
    name: String,
    version: String,
}

impl ChosenFile {
    fn exact(&self) -> String {
        format!("{}={}", self.name, self.version)
    }
}

/// A line of `apt-get --print-uris`: `'URI' NAME_VERSION_ARCH.deb SIZE HASH`, where the version's colon
/// is written `%3a`.
fn parse_uri_line(line: &str) -> Option<ChosenFile> {
    let (uri, rest) = line.strip_prefix('\'')?.split_once("' ")?;
    let file = rest.split(' ').next()?.strip_suffix(".deb")?;
    let mut parts = file.split('_');
    let (name, version) = (parts.next()?, parts.next()?);
    Some(ChosenFile {
        uri: uri.to_owned(),
        name: name.to_owned(),
        version: version.replace("%3a", ":"),
    })
}

/// What the lock needs of an index entry.
#[derive(Debug, PartialEq, Eq)]
struct Stanza {
    path: String,
    size: u64,
    sha256: String,
}

fn parse_stanzas(text: &str) -> BTreeMap<String, Stanza> {
    text.split("\n\n").filter_map(parse_stanza).collect()
}

fn parse_stanza(text: &str) -> Option<(String, Stanza)> {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let stanza = Stanza {
        path: field("Filename")?.to_owned(),
        size: field("Size")?.parse().ok()?,
        sha256: field("SHA256")?.to_owned(),
    };
    Some((
        format!("{}={}", field("Package")?, field("Version")?),
        stanza,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uri_lines() {
        let line = "'http://mirror/debian/pool/main/l/login_1%3a4.16_amd64.deb' login_1%3a4.16_amd64.deb 5 MD5Sum:0";
        let file = parse_uri_line(line).expect("a line of apt's");
        assert_eq!(file.exact(), "login=1:4.16");
        assert_eq!(parse_uri_line("Reading package lists..."), None);
    }

    #[test]
    fn stanzas_by_exact_version() {
        let text = "Package: a\nVersion: 1\nFilename: pool/a.deb\nSize: 7\nSHA256: ff\n\n\
                    Package: b\nVersion: 2\nDescription: no file\n";
        let stanzas = parse_stanzas(text);
        assert_eq!(stanzas.len(), 1);
        assert_eq!(stanzas["a=1"].size, 7);
    }
}
