//! Files that the launcher makes for a container: `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`, secrets, and the
//! folder of the notify socket.
//!
//! They are in the container's folder and go with it.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use container_model::host_entry::hosts_file;
use container_model::mount::Access;
use container_model::network::Network;
use container_model::options::ContainerOptions;
use container_model::spec::{BoundFile, INIT_TARGET};
use container_model::user_namespace::IdRange;
use container_network::Attachment;

use super::held::Held;
use super::network;

/// Linked statically, so that it runs in every image.
const INIT: &str = "/usr/bin/catatonit";
/// Where the container finds the socket for `sd_notify`.
pub(crate) const NOTIFY_FOLDER: &str = "/run/notify";

/// Makes them, and says where each belongs. Those of names are the pod's for a container in one.
pub(super) fn make(
    folder: &Path,
    options: &ContainerOptions,
    host_name: &str,
    held: &Held,
) -> anyhow::Result<Vec<BoundFile>> {
    let mut bound = match &held.pod {
        Some(pod) => pod.files(),
        None => write_names(folder, options, host_name, held.attachment.as_ref())?,
    };
    let notify = folder.join("notify");
    std::fs::create_dir(&notify).with_context(|| notify.display().to_string())?;
    std::fs::set_permissions(&notify, std::fs::Permissions::from_mode(0o755))?;
    bound.push(bind(notify, NOTIFY_FOLDER, Access::ReadWrite));
    bound.extend(secrets(folder, options)?);
    if options.init {
        bound.push(bind(INIT.into(), INIT_TARGET, Access::ReadOnly));
    }
    Ok(bound)
}

/// Makes those that say what a container, or a pod, and others are called.
pub(super) fn write_names(
    folder: &Path,
    options: &ContainerOptions,
    host_name: &str,
    attachment: Option<&Attachment>,
) -> anyhow::Result<Vec<BoundFile>> {
    let mut bound = Vec::new();
    let mut put = |name: &str, target: &str, text: &str| {
        let source = folder.join(name);
        std::fs::write(&source, text).with_context(|| source.display().to_string())?;
        // Whoever runs in the container reads it.
        std::fs::set_permissions(&source, std::fs::Permissions::from_mode(0o644))?;
        bound.push(bind(source, target, Access::ReadWrite));
        anyhow::Ok(())
    };
    put("hostname", "/etc/hostname", &format!("{host_name}\n"))?;
    put(
        "hosts",
        "/etc/hosts",
        &hosts(options, host_name, attachment)?,
    )?;
    if let Some(text) = network::resolver(options, attachment)? {
        put("resolv.conf", "/etc/resolv.conf", &text)?;
    }
    Ok(bound)
}

/// Gives those of the container's folder to the users that they are meant for.
pub(crate) fn own(folder: &Path, files: &[BoundFile], range: IdRange) -> anyhow::Result<()> {
    for file in files.iter().filter(|file| file.source.starts_with(folder)) {
        let path = || file.source.display().to_string();
        let status = std::fs::metadata(&file.source).with_context(path)?;
        let outside = |number: u32| {
            let outside = range.outside(number);
            outside.with_context(|| {
                format!(
                    "{}: {number} is not among the users of --userns=auto",
                    file.target
                )
            })
        };
        let (user, group) = (outside(status.uid())?, outside(status.gid())?);
        chown(&file.source, Some(user), Some(group)).with_context(path)?;
    }
    Ok(())
}

fn bind(source: PathBuf, target: &str, access: Access) -> BoundFile {
    BoundFile {
        source,
        target: target.to_owned(),
        access,
    }
}

/// In the machine's network the machine's names hold.
fn hosts(
    options: &ContainerOptions,
    host_name: &str,
    attachment: Option<&Attachment>,
) -> anyhow::Result<String> {
    let own = hosts_file(
        host_name,
        &network::own_addresses(attachment),
        &options.hosts,
    );
    if *options.network() != Network::Host {
        return Ok(own);
    }
    Ok(format!("{}{own}", read_or_empty("/etc/hosts")?))
}

/// A file, or nothing if it is not there.
pub(super) fn read_or_empty(path: &str) -> anyhow::Result<String> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other.context(path.to_owned()),
    }
}

/// Copies of the unit's credentials: their folder is the unit's alone.
fn secrets(folder: &Path, options: &ContainerOptions) -> anyhow::Result<Vec<BoundFile>> {
    if options.secrets.is_empty() {
        return Ok(Vec::new());
    }
    let Some(credentials) = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from) else {
        bail!("--secret needs a unit with LoadCredential= or SetCredential=");
    };
    let mut bound = Vec::new();
    for (number, secret) in options.secrets.iter().enumerate() {
        let source = credentials.join(secret.credential.as_str());
        let target = folder.join(format!("secret-{number}"));
        std::fs::copy(&source, &target)
            .with_context(|| format!("the unit has no credential {}", secret.credential))?;
        chown(&target, Some(secret.uid), Some(secret.gid))?;
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(secret.mode))?;
        bound.push(bind(target, &secret.target, Access::ReadOnly));
    }
    Ok(bound)
}
