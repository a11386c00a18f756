//! `migrate`: carries over what another cluster has, and follows it until the switch.
//!
//! v2 goes to v2 and v3 to v3; with kvd both are one store. Nothing is remembered between runs.
mod digest;
mod progress;
mod tree;
mod v2;
mod v3;

use std::process::ExitCode;
use std::time::Duration;

use kv_client::{Config, Tls};
use tokio::time::{Instant, timeout};

use crate::arguments::{Global, MigrateArguments};
use crate::failure::{Failure, exit_status};
use crate::migrate::digest::Comparison;
use crate::signals::Stop;
use crate::{password, print, session};

/// How often both sides are compared at the end before they are told to differ: changes of the last
/// moment may be on their way.
const COMPARISONS_MAX: u32 = 10;
/// Without news for so long, all that was on its way has come.
const QUIET: Duration = Duration::from_millis(500);
/// So long may it take until there is no news; by then the source still changes.
const CATCH_UP_MAX: Duration = Duration::from_mins(1);

/// What the flags allow.
#[derive(Debug, Clone, Copy)]
struct Rules {
    overwrite: bool,
    delete_others: bool,
}

/// One side and the other, with what can be done to them.
trait Migration {
    /// Copies everything.
    async fn copy(&mut self) -> Result<(), Failure>;
    /// Carries over what changes. Can be given up at any time and called again.
    async fn follow(&mut self) -> Result<(), Failure>;
    /// Whether changes are known that were not carried over.
    fn is_behind(&self) -> bool;
    /// Reads both sides.
    async fn compare(&mut self) -> Result<Comparison, Failure>;
}

/// The source, as the flags describe it.
fn source(wanted: &MigrateArguments, urls: &str, target: &Config) -> Result<Config, Failure> {
    let mut config = Config::new(urls.split(',')).map_err(Failure::plain)?;
    config.tls = Tls {
        trusted_ca_file: wanted.from_ca_file.clone(),
        certificate_file: wanted.from_cert_file.clone(),
        key_file: wanted.from_key_file.clone(),
    };
    let user = wanted.from_username.as_deref();
    let ask = |user| password::split_or_ask(user, "Password at the source: ");
    config.credentials = user.map(ask).transpose()?;
    config.request_timeout = target.request_timeout;
    config.connect_timeout = target.connect_timeout;
    config.total_timeout = target.total_timeout;
    Ok(config)
}

pub(crate) async fn run(global: &Global, wanted: &MigrateArguments) -> Result<ExitCode, Failure> {
    let target = session::config(global)?;
    let rules = Rules {
        overwrite: wanted.overwrite,
        delete_others: wanted.delete_others,
    };
    let mut stop = Stop::new()?;
    let found = if let Some(urls) = &wanted.from_v3 {
        let source = source(wanted, urls, &target)?;
        let migration = v3::V3::new(source, target, &wanted.prefix, rules).await?;
        Box::pin(migrate(migration, wanted.once, &mut stop)).await?
    } else {
        let urls = wanted.from_v2.as_deref().unwrap_or_default();
        let source = source(wanted, urls, &target)?;
        let migration = v2::V2::new(source, target, &wanted.prefix, &wanted.hidden, rules)?;
        Box::pin(migrate(migration, wanted.once, &mut stop)).await?
    };
    print::line(&found.to_string())?;
    Ok(if found.is_equal() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit_status::ERROR)
    })
}

async fn migrate(
    mut migration: impl Migration,
    once: bool,
    stop: &mut Stop,
) -> Result<Comparison, Failure> {
    tokio::select! {
        copied = migration.copy() => copied?,
        () = stop.wanted() => {
            let text = "stopped before everything was copied; run it again with --overwrite";
            return Err(Failure::Plain(text.to_owned()));
        }
    }
    if !once {
        eprintln!("everything is copied; following changes until stopped");
        tokio::select! {
            // It ends only with a failure.
            followed = migration.follow() => followed?,
            () = stop.wanted() => {}
        }
    }
    let mut tries = 0;
    loop {
        catch_up(&mut migration).await?;
        let found = migration.compare().await?;
        tries += 1;
        if found.is_equal() || tries == COMPARISONS_MAX {
            return Ok(found);
        }
    }
}

/// Carries over what is on its way.
async fn catch_up(migration: &mut impl Migration) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        // It ends with a failure, or is given up without news or in the middle of a change.
        if let Ok(failed) = timeout(QUIET, migration.follow()).await {
            return failed;
        }
        if !migration.is_behind() || begun.elapsed() > CATCH_UP_MAX {
            return Ok(());
        }
    }
}
