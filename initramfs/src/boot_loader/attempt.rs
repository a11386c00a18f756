//! Gives back the attempt that this boot took from its version, because the version is not what ends it.
//!
//! A machine whose owner's configuration is wrong stops at every boot; with the other version it would stop, too. So
//! neither the boot record nor the entry's counter may come nearer to it. What cannot be given back is a warning.
use disk_format::boot_entry::{BootEntry, Counter};

use crate::boot_loader::boot_path::BootPath;
use crate::boot_loader::{esp_entries, record};
use crate::boot_options::BootOptions;
use crate::disk::choice::BootDisk;
use crate::kernel::modules::KernelModules;
use crate::report::console;
use crate::report::error::{ActionFailed, chain};

/// Gives it back and returns how many boots in a row have failed without it; 0 if nobody knows.
pub(crate) fn give_back(
    disk: &BootDisk,
    options: &BootOptions,
    boot_path: &BootPath,
    modules: &KernelModules,
) -> u32 {
    if let (true, Some(esp), Some(version)) = (boot_path.is_counted(), disk.esp, &options.version) {
        modules.load_for_esp();
        if let Err(error) = give_try_back(&disk.path(esp), version) {
            let reason = chain(&error);
            console::warning(&format!(
                "the boot loader's try is not given back: {reason}"
            ));
        }
    }
    let uncounted = record::change(disk, |record| {
        record.uncount_failed_boot(&options.root_hash)
    });
    uncounted.unwrap_or_else(|error| {
        console::warning(&format!("this boot stays counted: {}", chain(&error)));
        0
    })
}

fn give_try_back(esp_path: &str, version: &str) -> Result<(), ActionFailed> {
    esp_entries::visit(esp_path, |names| match renaming(version, names) {
        Some((from, to)) => esp_entries::rename(&from, &to),
        None => Ok(()),
    })
}

/// The running version's entry, and its name with one try more left and one less done.
fn renaming(version: &str, file_names: &[String]) -> Option<(String, String)> {
    file_names.iter().find_map(|name| {
        let entry = BootEntry::parse(name)?;
        let Counter::Counted {
            tries_left,
            tries_done,
        } = entry.counter
        else {
            return None;
        };
        if entry.version != version {
            return None;
        }
        let counter = Counter::Counted {
            tries_left: tries_left.checked_add(1)?,
            tries_done: tries_done.checked_sub(1)?,
        };
        let entry = BootEntry { counter, ..entry };
        Some((name.clone(), entry.file_name()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_try_of_this_boot_comes_back() {
        let names = ["keelson_1.efi", "keelson_2+2-1.efi", "keelson_3+0-3.efi"];
        let names = names.map(str::to_owned);
        let renaming = |version| renaming(version, &names);
        let some = |from: &str, to: &str| Some((from.to_owned(), to.to_owned()));
        assert_eq!(renaming("2"), some("keelson_2+2-1.efi", "keelson_2+3.efi"));
        assert_eq!(
            renaming("3"),
            some("keelson_3+0-3.efi", "keelson_3+1-2.efi")
        );
        assert_eq!(renaming("1"), None, "nobody counts");
        assert_eq!(renaming("4"), None);
    }

    #[test]
    fn a_try_that_was_never_taken_is_not_given_back() {
        assert_eq!(renaming("2", &["keelson_2+3.efi".to_owned()]), None);
    }
}
