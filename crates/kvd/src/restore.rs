//! `kvd restore`: the data folder of a new cluster from a file that `kvctl backup` saved.
//!
//! How it is made is `kv-cluster`'s affair; nothing is served here.

use std::path::Path;

use anyhow::bail;
use kv_cluster::Settings;

use crate::configuration::{Configuration, Mode};
use crate::member;

/// Makes the folder; what to tell the user.
pub(crate) fn restore(file: &Path, configuration: &Configuration) -> anyhow::Result<String> {
    let Mode::Member(options) = &configuration.mode else {
        bail!("--proxy: a proxy has no data directory to restore");
    };
    let folder = &configuration.data_folder;
    let name = &configuration.name;
    let mut settings = Settings::new(name, folder);
    settings.peer_urls.clone_from(&options.advertise_peer);
    settings.client_urls.clone_from(&options.advertise_client);
    settings.store.window = member::history_window(&configuration.limits);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let cluster = runtime.block_on(kv_cluster::restore(file, settings))?;
    Ok(format!(
        "Restored {file} into {folder}: member {name:?} of the new cluster {cluster}, and the only one.\n\
         Start it with: kvd --name {name} --data-dir {folder}\n",
        file = file.display(),
        folder = folder.display(),
    ))
}
