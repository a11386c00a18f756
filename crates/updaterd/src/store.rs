//! The cluster's key-value store, as the settings' section `[store]` names it.
//!
//! Every piece of work connects anew and ends with its connection. Knows no keys.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use kv_client::v3::{Client, Leader};
use kv_client::{Config, Credentials, Tls};
use machine_facts::system_root::SystemRoot;
use machine_facts::update_files;
use update_model::settings::Settings;
use update_model::settings::store::Store;

/// The section, or an error that says where it is missing.
pub fn configured(settings: &Settings) -> anyhow::Result<&Store> {
    match &settings.store {
        Some(store) => Ok(store),
        None => bail!(
            "no key-value store is configured: name its members as `endpoints` in [store] of {}",
            update_files::SETTINGS
        ),
    }
}

/// Does something with the store, and waits for it; each call of it takes some seconds at the most.
///
/// # Errors
/// Those of the work, or if a file that the section names cannot be read. Whether a member can be reached shows
/// with the first call.
pub fn work<T>(
    root: &SystemRoot,
    store: &Store,
    work: impl AsyncFnOnce(Client) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let config = config(root, store)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot wait for the key-value store")?;
    runtime.block_on(async {
        let client = Client::connect(config, Leader::Required).await;
        work(client.context("cannot use the key-value store")?).await
    })
}

fn config(root: &SystemRoot, store: &Store) -> anyhow::Result<Config> {
    let path = |path: &String| -> PathBuf { root.path(path) };
    let mut config = Config::new(&store.endpoints)
        .with_context(|| format!("store.endpoints in {}", update_files::SETTINGS))?;
    let certificate = store.client_certificate.as_ref();
    config.tls = Tls {
        trusted_ca_file: store.trusted_ca_file.as_ref().map(path),
        certificate_file: certificate.map(|files| path(&files.cert_file)),
        key_file: certificate.map(|files| path(&files.key_file)),
    };
    if let Some(credentials) = &store.credentials {
        config.credentials = Some(Credentials {
            user: credentials.user.clone(),
            password: first_line(&root.read_text(&credentials.password_file)?),
        });
    }
    Ok(config)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use update_model::settings::store::Credentials as Named;

    #[test]
    fn the_password_is_the_file_s_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let root = SystemRoot::new(folder.path());
        let store = Store {
            endpoints: vec!["http://127.0.0.1:1".to_owned()],
            trusted_ca_file: None,
            client_certificate: None,
            credentials: Some(Named {
                user: "updates".to_owned(),
                password_file: "/etc/password".to_owned(),
            }),
        };
        let error = format!("{:#}", config(&root, &store).unwrap_err());
        assert!(error.contains("/etc/password"), "{error}");
        root.replace("/etc/password", "secret\nrest\n").unwrap();
        let credentials = config(&root, &store).unwrap().credentials.unwrap();
        assert_eq!(credentials.password, "secret");
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = configured(&Settings::default()).unwrap_err().to_string();
        assert!(error.contains("[store]"), "{error}");
    }
}
