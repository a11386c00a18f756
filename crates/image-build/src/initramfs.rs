//! Step `initramfs`: the static `/init`, the kernel modules it may need and their index, as one cpio,
//! compressed with zstd: the ESP holds two of them, and unpacking two megabytes costs nothing to speak of.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use disk_format::cpio;

use crate::error::{BuildError, Result, read_text, write_bytes};
use crate::tree::Tree;

/// Name of the archive this step leaves in its directory.
pub const INITRAMFS: &str = "initramfs.cpio.zst";

/// Made once per build and read at every boot: worth the time. The kernel's window limit is not reached.
const COMPRESSION_LEVEL: i32 = 19;
/// Name of the file with the modules of each product, in the folder of `/init`.
pub const MODULE_LIST: &str = "modules.toml";

/// Which modules each product's initramfs carries, by product.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct ModuleList {
    products: BTreeMap<String, ProductModules>,
}

/// The modules of one product, by the names modprobe knows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ProductModules {
    /// Loaded at every boot.
    always: Vec<String>,
    /// Loaded before the ESP is mounted.
    for_esp: Vec<String>,
    /// Loaded where a device asks for them.
    by_hardware: Vec<String>,
}

impl ModuleList {
    /// Reads the list.
    pub fn load(path: &Path) -> Result<Self> {
        toml::from_str(&read_text(path)?).map_err(|source| BuildError::Toml {
            path: path.into(),
            source: Box::new(source),
        })
    }
}

/// The modules of a kernel as depmod indexed them.
#[derive(Debug, Default)]
struct ModuleIndex {
    /// Path below the release's folder, by module name.
    paths: BTreeMap<String, String>,
    /// What must be loaded before, by path, in depmod's order (the last first).
    dependencies: BTreeMap<String, Vec<String>>,
    /// Patterns of devices, by module name.
    aliases: BTreeMap<String, Vec<String>>,
    /// Modules that are part of the kernel.
    builtin: BTreeSet<String>,
}

/// The name modprobe knows a module file by.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.trim_end_matches(".ko").replace('-', "_")
}

impl ModuleIndex {
    /// Parses `modules.dep`, `modules.alias` and `modules.builtin`.
    fn parse(dependencies: &str, aliases: &str, builtin: &str) -> Self {
        let mut index = Self::default();
        for line in dependencies.lines() {
            if let Some((path, needs)) = line.split_once(':') {
                let needs = needs.split_whitespace().map(str::to_owned).collect();
                index.paths.insert(module_name(path), path.to_owned());
                index.dependencies.insert(path.to_owned(), needs);
            }
        }
        for line in aliases.lines() {
            if let ["alias", pattern, module] = line.split_whitespace().collect::<Vec<_>>()[..] {
                index
                    .aliases
                    .entry(module.replace('-', "_"))
                    .or_default()
                    .push(pattern.to_owned());
            }
        }
        index.builtin = builtin.lines().map(module_name).collect();
        index
    }

    /// A module's files in the order of loading, itself last; none if it is part of the kernel.
    fn load_order(&self, name: &str) -> Result<Vec<String>> {
        let name = name.replace('-', "_");
        if self.builtin.contains(&name) {
            return Ok(Vec::new());
        }
        let path = self.paths.get(&name).ok_or_else(|| BuildError::Package {
            package: "kernel".to_owned(),
            reason: format!("it has no module {name}, which {MODULE_LIST} names"),
        })?;
        let mut order: Vec<String> = self.dependencies[path].iter().rev().cloned().collect();
        order.push(path.clone());
        Ok(order)
    }
}

/// The files to carry and the text of `/modules/index`, whose format `/init` documents.
fn plan(index: &ModuleIndex, modules: &ProductModules) -> Result<(BTreeSet<String>, String)> {
    let (mut files, mut listed, mut text) = (BTreeSet::new(), BTreeSet::new(), String::new());
    for (keyword, names) in [("always", &modules.always), ("esp", &modules.for_esp)] {
        for path in load_order_of_all(index, names)? {
            if listed.insert(path.clone()) {
                let _ = writeln!(text, "{keyword} {}", file_name(&path));
                files.insert(path);
            }
        }
    }
    for name in &modules.by_hardware {
        let order = index.load_order(name)?;
        let names: Vec<&str> = order.iter().map(|path| file_name(path)).collect();
        for pattern in index
            .aliases
            .get(&name.replace('-', "_"))
            .into_iter()
            .flatten()
        {
            if !names.is_empty() && !pattern.contains(char::is_whitespace) {
                let _ = writeln!(text, "alias {pattern} {}", names.join(" "));
            }
        }
        files.extend(order);
    }
    Ok((files, text))
}

fn load_order_of_all(index: &ModuleIndex, names: &[String]) -> Result<Vec<String>> {
    let orders: Result<Vec<Vec<String>>> =
        names.iter().map(|name| index.load_order(name)).collect();
    Ok(orders?.concat())
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Makes the initramfs of a product in `directory`.
pub fn initramfs(
    product: &str,
    init: &[u8],
    list: &ModuleList,
    root: &Tree,
    timestamp_seconds: u64,
    directory: &Path,
) -> Result<String> {
    let modules = list
        .products
        .get(product)
        .ok_or_else(|| BuildError::UnknownProduct {
            name: product.to_owned(),
            known: format!(
                "{} (in {MODULE_LIST})",
                list.products.keys().cloned().collect::<Vec<_>>().join(", ")
            ),
        })?;
    let folder = format!("usr/lib/modules/{}", crate::derive::kernel_release(root)?);
    let text = |name: &str| -> Result<String> {
        let content =
            root.file(&format!("{folder}/{name}"))
                .ok_or_else(|| BuildError::Package {
                    package: "kernel".to_owned(),
                    reason: format!("it has no {name}"),
                })?;
        Ok(String::from_utf8_lossy(&content.to_vec()?).into_owned())
    };
    let index = ModuleIndex::parse(
        &text("modules.dep")?,
        &text("modules.alias")?,
        &text("modules.builtin")?,
    );
    let (files, index_text) = plan(&index, modules)?;
    let mut contents = Vec::new();
    for path in &files {
        let content = root
            .file(&format!("{folder}/{path}"))
            .expect("depmod lists what is there");
        contents.push((file_name(path), content.to_vec()?));
    }
    let archive = archive(init, &index_text, &contents, timestamp_seconds)
        .map_err(|e| BuildError::format("initramfs", e))?;
    let compressed = zstd::bulk::compress(&archive, COMPRESSION_LEVEL)
        .map_err(|e| BuildError::format("initramfs", e))?;
    write_bytes(&directory.join(INITRAMFS), &compressed)?;
    Ok(format!(
        "{} KB, {} KB unpacked, {} modules",
        compressed.len() / 1000,
        archive.len() / 1000,
        files.len()
    ))
}

fn archive(
    init: &[u8],
    index: &str,
    modules: &[(&str, Vec<u8>)],
    timestamp_seconds: u64,
) -> std::result::Result<Vec<u8>, cpio::CpioError> {
    let modified = u32::try_from(timestamp_seconds).unwrap_or(u32::MAX);
    let mut writer = cpio::Writer::new(Vec::new(), modified);
    for path in ["dev", "proc", "sys", "run", "sysroot", "modules"] {
        writer.directory(path, 0o755)?;
    }
    // The kernel opens it for /init before devtmpfs is mounted.
    writer.device_node("dev/console", 0o600, 5, 1)?;
    writer.file("init", 0o755, init)?;
    writer.file("modules/index", 0o644, index.as_bytes())?;
    for (name, contents) in modules {
        writer.file(&format!("modules/{name}"), 0o644, contents)?;
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ModuleIndex {
        ModuleIndex::parse(
            "kernel/d/dm-verity.ko: kernel/d/dm-bufio.ko kernel/d/dm-mod.ko\n\
             kernel/d/dm-bufio.ko: kernel/d/dm-mod.ko\nkernel/d/dm-mod.ko:\n\
             kernel/v/virtio_blk.ko:\n",
            "# comment\nalias virtio:d00000002v* virtio_blk\nalias other x y\n",
            "kernel/drivers/nvme/host/nvme.ko\n",
        )
    }

    fn modules(always: &[&str], by_hardware: &[&str]) -> ProductModules {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        ProductModules {
            always: owned(always),
            for_esp: Vec::new(),
            by_hardware: owned(by_hardware),
        }
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let (files, text) =
            plan(&sample(), &modules(&["dm_verity", "dm_mod"], &[])).expect("known");
        assert_eq!(
            text,
            "always dm-mod.ko\nalways dm-bufio.ko\nalways dm-verity.ko\n"
        );
        assert_eq!(files.len(), 3);
    }

    #[test]
    fn drivers_are_listed_by_alias_and_builtin_ones_need_nothing() {
        let (_, text) = plan(&sample(), &modules(&[], &["virtio_blk", "nvme"])).expect("known");
        assert_eq!(text, "alias virtio:d00000002v* virtio_blk.ko\n");
    }

    #[test]
    fn a_module_the_kernel_lacks_is_an_error_that_names_it() {
        let error = plan(&sample(), &modules(&["vfat"], &[])).expect_err("unknown");
        assert!(error.to_string().contains("vfat"), "{error}");
    }
}
