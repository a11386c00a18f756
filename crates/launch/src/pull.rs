//! `launch pull`, and the pull before a run: images from registries, with what is seen of it.
//!
//! How an image comes is `image_store::pull`'s.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use container_model::ImageReference;
use image_registry::{Patience, Settings};
use image_store::policy;
use image_store::pull::{PullOptions, Pulled};
use image_store::store::{Image, Store};
use systemd_unit::time_span::{self, TimeSpan};

use crate::cli::PullArguments;
use crate::progress::{Progress, Show};

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PullWhen {
    /// If it is not on this machine
    Missing,
    /// Each time, to have what its name means now
    Always,
    /// Not at all
    Never,
}

/// How images come.
#[derive(Debug, Args)]
pub(crate) struct PullSettings {
    /// Say nothing of a pull but what goes wrong; print digests alone
    #[arg(short, long)]
    quiet: bool,
    /// Logins in Docker's format, instead of /etc/keelson/registry-auth.json
    #[arg(long, value_name = "FILE")]
    auth_file: Option<PathBuf>,
    /// How often something is tried again that fails for a moment: 5 times without it, and 2 times if the
    /// registry's name cannot be resolved
    #[arg(long, value_name = "COUNT")]
    retry: Option<u32>,
    /// The pause before that, such as 2s; it doubles each time, up to half a minute
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = delay)]
    retry_delay: Duration,
}

/// A time as systemd and Quadlet write it.
pub(crate) fn delay(text: &str) -> Result<Duration, String> {
    match time_span::parse(text) {
        Some(TimeSpan::Finite(time)) => Ok(time),
        _ => Err("it is no time, such as 500ms or 2s".to_owned()),
    }
}

impl PullSettings {
    fn show(&self) -> Show {
        if self.quiet {
            Show::Trouble
        } else {
            Show::Layers
        }
    }

    fn patience(&self) -> Patience {
        let mut patience = Patience {
            first_pause: self.retry_delay,
            ..Patience::default()
        };
        if let Some(retry) = self.retry {
            patience.attempts = retry.saturating_add(1);
            patience.lookups = patience.attempts;
        }
        patience
    }

    fn options(&self, progress: &Arc<Progress>) -> anyhow::Result<PullOptions> {
        let settings = Settings::read()?;
        Ok(PullOptions {
            settings: match &self.auth_file {
                Some(path) => settings.with_logins(path)?,
                None => settings,
            },
            patience: self.patience(),
            observer: progress.observer(),
        })
    }
}

/// Pulls images one after the other, and prints what each name leads to.
pub(crate) async fn run(arguments: &PullArguments) -> anyhow::Result<()> {
    let store = Store::connect().await?;
    let settings = &arguments.settings;
    for reference in &arguments.images {
        let Pulled { image, is_new } =
            obtain(&store, reference, arguments.policy, settings).await?;
        if settings.quiet {
            println!("{}", image.digest);
        } else {
            let news = if is_new { "new" } else { "unchanged" };
            println!("{}\t{}\t{news}", image.name, image.digest);
        }
    }
    Ok(())
}

/// The image of a name for a run, pulled if that is wanted, and allowed by the policy.
pub(crate) async fn image(
    store: &Store,
    reference: &ImageReference,
    when: PullWhen,
    settings: &PullSettings,
) -> anyhow::Result<Image> {
    Ok(obtain(store, reference, when, settings).await?.image)
}

async fn obtain(
    store: &Store,
    reference: &ImageReference,
    when: PullWhen,
    settings: &PullSettings,
) -> anyhow::Result<Pulled> {
    let stored = match when {
        PullWhen::Always => None,
        PullWhen::Missing | PullWhen::Never => store.find(reference).await?,
    };
    match (stored, when) {
        (Some(image), _) => {
            let options = settings.options(&Progress::new(reference, settings.show()))?;
            policy::check_stored(store, reference, &image, &options).await?;
            let is_new = false;
            Ok(Pulled { image, is_new })
        }
        (None, PullWhen::Never) => anyhow::bail!(
            "{reference} is not on this machine, and --pull=never: use `launch pull` or `launch load`"
        ),
        (None, _) => pull(store, reference, settings).await,
    }
}

/// Pulls an image; a unit that waits for it is kept from running out of time.
async fn pull(
    store: &Store,
    reference: &ImageReference,
    settings: &PullSettings,
) -> anyhow::Result<Pulled> {
    let progress = Progress::new(reference, settings.show());
    let options = settings.options(&progress)?;
    let pulled = tokio::select! {
        pulled = image_store::pull::pull(store, reference, &options) => pulled,
        () = progress.tell_manager() => unreachable!("it goes on for ever"),
    };
    pulled.with_context(|| format!("{reference} is not pulled"))
}
