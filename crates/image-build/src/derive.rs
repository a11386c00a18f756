//! What maintainer scripts would derive from packages alone: module indexes, the linker's cache, the
//! hardware database, the certificate bundle; and the device nodes of modules that are loaded when one
//! is opened, which `kmod static-nodes` would find out again at every boot.

use std::fmt::Write as _;
use std::path::Path;

use crate::error::{BuildError, Result};
use crate::staging::Staging;
use crate::tools::{Tools, run};
use crate::tree::{Node, NodeKind, Tree};

/// Where OpenSSL, `GnuTLS` and rustls look for the bundle on Debian.
const CERTIFICATE_BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";
const CERTIFICATES: &str = "usr/share/ca-certificates/mozilla";
const MODULES: &str = "usr/lib/modules";
const STATIC_NODES: &str = "usr/lib/tmpfiles.d/static-nodes.conf";
const HARDWARE_RULES: &str = "usr/lib/udev/hwdb.d";

/// Adds all of it to the tree; `scratch` is a directory for the tools to work in.
pub fn add_all(tree: &mut Tree, tools: &Tools, scratch: &Path) -> Result<()> {
    add_module_indexes(tree, tools, scratch)?;
    add_linker_cache(tree, tools, scratch)?;
    add_hardware_database(tree, tools, scratch)?;
    add_certificate_bundle(tree)
}

/// The one kernel release whose modules a tree holds.
pub fn kernel_release(tree: &Tree) -> Result<String> {
    let releases: std::collections::BTreeSet<&str> = tree
        .below(MODULES)
        .filter_map(|(path, _)| path[MODULES.len() + 1..].split('/').next())
        .collect();
    let mut releases = releases.into_iter();
    match (releases.next(), releases.next()) {
        (Some(release), None) => Ok(release.to_owned()),
        (None, _) => Err(BuildError::Root(
            "no package brought kernel modules".to_owned(),
        )),
        (Some(one), Some(two)) => Err(BuildError::Root(format!(
            "kernel modules of two releases: {one} and {two}"
        ))),
    }
}

fn add_module_indexes(tree: &mut Tree, tools: &Tools, scratch: &Path) -> Result<()> {
    let release = kernel_release(tree)?;
    let staging = Staging::new(scratch)?;
    staging.export(tree, |path| path.starts_with("usr/lib/modules/"))?;
    // kmod is one program for depmod, insmod, modprobe and others, told apart by the name it is called by.
    let mut command = tools.command("usr/sbin/depmod");
    command.arg("-b").arg(staging.path().join("usr"));
    run("depmod", command.arg(&release), staging.path())?;
    let folder = format!("{MODULES}/{release}");
    for (path, node) in staging.import(&folder)?.iter() {
        let name = path.rsplit('/').next().unwrap_or(path);
        // The text form of the symbols is for people; modprobe reads the binary forms.
        if name.starts_with("modules.") && name != "modules.symbols" && tree.get(path).is_none() {
            tree.insert(path, node.clone());
        }
    }
    let names = staging.read(&format!("{folder}/modules.devname"))?;
    let nodes = static_nodes(&String::from_utf8_lossy(&names))?;
    tree.insert(STATIC_NODES, Node::file(0o644, nodes.into_bytes()));
    Ok(())
}

/// depmod's `modules.devname` as tmpfiles.d(5): a line is `MODULE NAME TYPEMAJOR:MINOR`, such as
/// `tun net/tun c10:200`.
fn static_nodes(names: &str) -> Result<String> {
    let mut text = String::from("# Devices whose module is loaded when somebody opens them.\n");
    let lines = names.lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_module, name, device] = words[..] else {
            return Err(BuildError::Root(format!(
                "modules.devname: what is {line:?}?"
            )));
        };
        let (kind @ ("b" | "c"), number) = device.split_at(1) else {
            return Err(BuildError::Root(format!(
                "modules.devname: what is {device:?}?"
            )));
        };
        if let Some((folder, _)) = name.rsplit_once('/') {
            let _ = writeln!(text, "d /dev/{folder} 0755 - - -");
        }
        let _ = writeln!(text, "{kind}! /dev/{name} 0600 - - - {number}");
    }
    Ok(text)
}

fn add_linker_cache(tree: &mut Tree, tools: &Tools, scratch: &Path) -> Result<()> {
    let staging = Staging::new(scratch)?;
    let is_wanted = |path: &str| {
        path.starts_with("etc/ld.so.conf")
            || (path.starts_with("usr/lib") && path.contains(".so"))
            || matches!(path, "lib" | "lib64" | "usr/lib/x86_64-linux-gnu")
    };
    staging.export(tree, is_wanted)?;
    // A static program: it needs no ld.so. It may leave its auxiliary cache below var, which stays behind.
    let mut command = std::process::Command::new(tools.file("usr/sbin/ldconfig"));
    command.arg("-X").arg("-r").arg(staging.path());
    run("ldconfig", &mut command, staging.path())?;
    tree.insert(
        "etc/ld.so.cache",
        Node::file(0o644, staging.read("etc/ld.so.cache")?),
    );
    Ok(())
}

/// Compiles the rules and leaves out their sources, which are larger and read by nothing.
fn add_hardware_database(tree: &mut Tree, tools: &Tools, scratch: &Path) -> Result<()> {
    let staging = Staging::new(scratch)?;
    staging.export(tree, |path| path.starts_with(HARDWARE_RULES))?;
    // Unlike systemd-hwdb, udevadm does not write the sources' names into the database: they would be paths
    // of this build, different each time.
    let mut command = tools.command("usr/bin/udevadm");
    command.args(["hwdb", "--update", "--usr", "--root"]);
    run("udevadm", command.arg(staging.path()), staging.path())?;
    tree.retain(|path, _| !path.starts_with(HARDWARE_RULES));
    tree.insert(
        "usr/lib/udev/hwdb.bin",
        Node::file(0o644, staging.read("usr/lib/udev/hwdb.bin")?),
    );
    Ok(())
}

fn add_certificate_bundle(tree: &mut Tree) -> Result<()> {
    let mut bundle = Vec::new();
    for (_, node) in tree.below(CERTIFICATES) {
        if let NodeKind::File(content) = &node.kind {
            bundle.extend(content.to_vec()?);
            if bundle.last() != Some(&b'\n') {
                bundle.push(b'\n');
            }
        }
    }
    if bundle.is_empty() {
        return Err(BuildError::Root(
            "no package brought certificates".to_owned(),
        ));
    }
    tree.insert(CERTIFICATE_BUNDLE, Node::file(0o644, bundle));
    tree.retain(|path, _| !path.starts_with("usr/share/ca-certificates"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_nodes_are_those_of_modules_devname() {
        let names = "# Device nodes to trigger on-demand module loading.\n\
                     fuse fuse c10:229\ntun net/tun c10:200\nloop loop-control b7:0\n";
        let expected = "# Devices whose module is loaded when somebody opens them.\n\
                        c! /dev/fuse 0600 - - - 10:229\n\
                        d /dev/net 0755 - - -\nc! /dev/net/tun 0600 - - - 10:200\n\
                        b! /dev/loop-control 0600 - - - 7:0\n";
        assert_eq!(static_nodes(names).unwrap(), expected);
        assert!(static_nodes("fuse fuse").is_err());
        assert!(static_nodes("fuse fuse x10:229").is_err());
    }
}
