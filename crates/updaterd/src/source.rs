//! Where releases come from, as the settings or a command say.
//!
//! Does not fetch anything.

use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
use update_client::http::{HttpOptions, HttpSource, Patience};
use update_client::source::{DirectorySource, Source};
use update_model::settings::{Settings, check_sources};

/// Opens the source in `from`, or else the one in the settings.
pub fn open(settings: &Settings, from: Option<&str>) -> anyhow::Result<Arc<dyn Source>> {
    let sources = match from {
        Some(from) => vec![from.to_owned()],
        None => settings.sources.clone(),
    };
    if let Err(problem) = check_sources(&sources) {
        bail!("{problem}");
    }
    match sources.first() {
        None => bail!(
            "no source of releases is configured: name one as `sources` in \
             /etc/keelson/update.toml, or give one with --from"
        ),
        Some(folder) if folder.starts_with('/') => {
            Ok(Arc::new(DirectorySource::new(Path::new(folder))))
        }
        Some(_) => Ok(Arc::new(HttpSource::new(&HttpOptions {
            mirrors: sources,
            proxy: settings.proxy.clone(),
            bytes_per_second: settings.bandwidth_limit,
            patience: Patience::default(),
        })?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_s_source_wins() {
        let settings = Settings {
            sources: vec!["http://a/".to_owned(), "http://b".to_owned()],
            ..Settings::default()
        };
        assert_eq!(open(&settings, None).unwrap().name(), "http://a, http://b");
        assert_eq!(open(&settings, Some("/mnt/x")).unwrap().name(), "/mnt/x");
    }

    #[test]
    fn nothing_and_nonsense_are_errors() {
        let text = open(&Settings::default(), None).unwrap_err().to_string();
        assert!(text.contains("/etc/keelson/update.toml"), "{text}");
        let text = open(&Settings::default(), Some("x"))
            .unwrap_err()
            .to_string();
        assert!(text.contains("\"x\" is neither"), "{text}");
    }
}
