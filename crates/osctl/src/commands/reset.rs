//! `osctl reset`: orders that the next boot resets state, or takes that back.
//!
//! It removes nothing itself; `/init` does, before anything uses state.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail, ensure};
use disk_format::meta::{BootRecord, Identity, Kept, KeptPath, ResetOrder};
use machine_facts::boot_facts::BootFacts;
use machine_facts::provision_record::GIVEN;
use machine_facts::system_root::SystemRoot;
use machine_facts::update_files;

use crate::boot_record;
use crate::cli::ResetArguments;
use crate::commands::update::{ensure_root, reboot};
use crate::reset_state::{ResetState, kept_in_words};

/// What a terminal must answer.
const CONFIRMATION: &str = "reset";

/// Runs the command.
pub(crate) fn run(arguments: &ResetArguments) -> anyhow::Result<ExitCode> {
    ensure_root()?;
    let root = SystemRoot::new("/");
    let boot = BootFacts::read(&root).map_err(|error| anyhow!(error.reason()))?;
    if arguments.cancel {
        println!("{}", cancel(&root, &boot)?);
        return Ok(ExitCode::SUCCESS);
    }
    let order = order(&root, arguments)?;
    eprint!("{}", in_words(&order));
    if !arguments.yes {
        confirm()?;
    }
    give(&root, &boot, order)?;
    if arguments.now {
        println!("the machine reboots, and is reset");
        reboot()?;
    } else {
        println!(
            "the next boot resets this machine: `systemctl reboot` does it now, \
             `osctl reset --cancel` takes it back"
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn order(root: &SystemRoot, arguments: &ResetArguments) -> anyhow::Result<ResetOrder> {
    if arguments.erase {
        return Ok(ResetOrder::Erase);
    }
    let mut paths = Vec::new();
    for path in &arguments.keep {
        paths.push(kept_path(root, path)?);
    }
    for memory in update_files::MEMORY {
        paths.push(memory.parse()?);
    }
    if root.exists(GIVEN) {
        // Or else the machine that starts again would not know what it is.
        paths.push(GIVEN.parse()?);
    }
    paths.sort();
    paths.dedup();
    let identity = if arguments.keep_identity {
        Identity::Kept
    } else {
        Identity::New
    };
    Ok(ResetOrder::Clear(Kept { identity, paths }))
}

/// The path without links before its last name, as `/init` will look for it. One that is not there is a typing
/// error, and its price would be what was to be kept.
fn kept_path(root: &SystemRoot, path: &Path) -> anyhow::Result<KeptPath> {
    let absolute = std::path::absolute(path).context("cannot find the current folder")?;
    let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        bail!(
            "{} cannot be kept: it names no file or folder",
            path.display()
        );
    };
    let real = real_folder(root, folder).map(|folder| folder.join(name));
    let missing = || format!("{} cannot be kept: it is not there", path.display());
    let real = real.with_context(missing)?;
    root.path(&real.to_string_lossy())
        .symlink_metadata()
        .with_context(missing)?;
    let text = real.to_str();
    let text = text.with_context(|| format!("{} cannot be kept: not UTF-8", path.display()))?;
    text.parse()
        .with_context(|| format!("{} cannot be kept", path.display()))
}

/// A folder's path on the machine with all links followed.
fn real_folder(root: &SystemRoot, folder: &Path) -> anyhow::Result<PathBuf> {
    let folder = folder.to_str().context("its path is not UTF-8")?;
    let real = root.path(folder).canonicalize()?;
    let top = root.path("/").canonicalize()?;
    Ok(Path::new("/").join(real.strip_prefix(&top)?))
}

fn in_words(order: &ResetOrder) -> String {
    let lost = match order {
        ResetOrder::Erase => "everything on the state partition; its file system is made anew",
        ResetOrder::Clear(_) => {
            "all in /var, /home, /root, /opt, /srv and /usr/local, all changes to /etc, all users, keys and \
             containers, and the data of kvd"
        }
    };
    format!(
        "Lost:  {lost}\nKept:  {}\nThe installed versions and their boot entries stay as they are.\n",
        kept_in_words(order)
    )
}

fn confirm() -> anyhow::Result<()> {
    ensure!(
        io::stdin().is_terminal(),
        "nothing is ordered: nobody can be asked here, `--yes` confirms"
    );
    eprint!("Type {CONFIRMATION} to order it: ");
    io::stderr().flush().context("cannot ask")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("no answer")?;
    ensure!(answer.trim() == CONFIRMATION, "nothing is ordered");
    Ok(())
}

fn give(root: &SystemRoot, boot: &BootFacts, order: ResetOrder) -> anyhow::Result<()> {
    let given = boot_record::change(root, boot, |record| record.order_reset(order));
    given.map_err(|error| anyhow!(error.reason()).context("the reset cannot be ordered"))??;
    Ok(())
}

fn cancel(root: &SystemRoot, boot: &BootFacts) -> anyhow::Result<&'static str> {
    let forgotten = boot_record::change(root, boot, BootRecord::forget_reset);
    if forgotten.map_err(|error| anyhow!(error.reason()))? {
        return Ok("the reset is not ordered any more");
    }
    match ResetState::read(root, boot) {
        Ok(ResetState::Remains) => bail!("no reset is ordered: the last one was carried out"),
        _ => bail!("no reset is ordered"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_machine::facts;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn machine() -> (tempfile::TempDir, SystemRoot) {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path();
        for path in [
            "dev",
            "var/lib/app",
            "etc/keelson",
            "usr/share",
            "home",
            "opt",
        ] {
            fs::create_dir_all(base.join(path)).unwrap();
        }
        fs::write(base.join("dev/vda6"), vec![0; 1 << 20]).unwrap();
        fs::write(base.join("etc/keelson/update.toml"), "").unwrap();
        symlink("var/lib/app", base.join("short")).unwrap();
        symlink("nowhere", base.join("opt/dangling")).unwrap();
        fs::write(base.join("var/lib/app/file"), "").unwrap();
        let root = SystemRoot::new(base);
        (folder, root)
    }

    fn arguments(keep: &[&str]) -> ResetArguments {
        ResetArguments {
            keep: keep.iter().map(PathBuf::from).collect(),
            ..ResetArguments::default()
        }
    }

    #[test]
    fn what_is_known_of_updates_stays_unless_all_is_erased() {
        let (_folder, root) = machine();
        let ResetOrder::Clear(kept) = order(&root, &arguments(&["/home"])).unwrap() else {
            panic!("not an erasure");
        };
        assert_eq!(kept.identity, Identity::New);
        let paths: Vec<&str> = kept.paths.iter().map(KeptPath::as_str).collect();
        let expected = [
            "/home",
            "/var/lib/keelson/update/metadata",
            "/var/lib/keelson/update/record.json",
        ];
        assert_eq!(paths, expected);
        let erase = ResetArguments {
            erase: true,
            ..arguments(&[])
        };
        assert_eq!(order(&root, &erase).unwrap(), ResetOrder::Erase);
    }

    #[test]
    fn the_configuration_of_the_next_first_boot_stays_if_it_is_nowhere_else() {
        let (_folder, root) = machine();
        root.replace(GIVEN, "{}").unwrap();
        let ResetOrder::Clear(kept) = order(&root, &arguments(&[])).unwrap() else {
            panic!("not an erasure");
        };
        assert!(kept.paths.iter().any(|path| path.as_str() == GIVEN));
    }

    #[test]
    fn links_are_followed_to_the_folder_and_kept_themselves() {
        let (_folder, root) = machine();
        let kept = |path: &str| kept_path(&root, Path::new(path)).unwrap().to_string();
        assert_eq!(kept("/short/file"), "/var/lib/app/file");
        assert_eq!(kept("/opt/dangling"), "/opt/dangling");
        assert_eq!(kept("/etc/keelson/"), "/etc/keelson");
        assert_eq!(kept("/var"), "/var");
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_the_reason() {
        let (_folder, root) = machine();
        for (path, reason) in [
            ("/var/lib/ap", "it is not there"),
            ("/var/nothing/file", "it is not there"),
            ("/usr/share", "not below one of /etc"),
            ("/dev/vda6", "not below one of /etc"),
            ("/", "names no file"),
            ("/var/..", "names no file"),
        ] {
            let error = kept_path(&root, Path::new(path)).unwrap_err();
            assert!(format!("{error:#}").contains(reason), "{path}: {error:#}");
        }
    }

    #[test]
    fn an_order_is_given_replaced_and_taken_back() {
        let (_folder, root) = machine();
        let boot = facts();
        let state = || ResetState::read(&root, &boot).unwrap();
        assert!(cancel(&root, &boot).is_err());
        give(&root, &boot, ResetOrder::Erase).unwrap();
        let second = order(&root, &arguments(&["/var/lib/app"])).unwrap();
        give(&root, &boot, second.clone()).unwrap();
        assert_eq!(state(), ResetState::Ordered(second));
        cancel(&root, &boot).unwrap();
        assert_eq!(state(), ResetState::None);
        fs::create_dir_all(root.path("/state/.reset")).unwrap();
        assert_eq!(state(), ResetState::Remains);
    }

    #[test]
    fn too_many_paths_are_refused_and_nothing_is_ordered() {
        let (folder, root) = machine();
        let mut keep = Vec::new();
        for number in 0..40 {
            let path = format!("/var/{}{number}", "x".repeat(200));
            fs::write(folder.path().join(&path[1..]), "").unwrap();
            keep.push(PathBuf::from(path));
        }
        let arguments = ResetArguments {
            keep,
            ..ResetArguments::default()
        };
        let order = order(&root, &arguments).unwrap();
        let error = give(&root, &facts(), order).unwrap_err().to_string();
        assert!(error.contains("name their folders"), "{error}");
        assert_eq!(ResetState::read(&root, &facts()).unwrap(), ResetState::None);
    }

    #[test]
    fn what_is_lost_and_kept_is_said() {
        let (_folder, root) = machine();
        let text = in_words(&order(&root, &arguments(&["/home"])).unwrap());
        assert!(text.starts_with("Lost:  all in /var, "), "{text}");
        assert!(text.contains("\nKept:  /home, /var/lib/keelson"), "{text}");
        assert!(in_words(&ResetOrder::Erase).contains("made anew"));
    }
}
