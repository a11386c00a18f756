//! The command lines of `keelson keys`, `release`, `channel` and `serve`, as clap derives them. No behaviour.

use clap::{Args, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where keys are.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeyPlaces {
    /// Keys of targets, snapshot and timestamp, and the chain of roots
    #[arg(long, value_name = "DIR", env = "KEELSON_KEYS")]
    pub(crate) keys: PathBuf,
    /// Keys of the root, on something that is put away [default: in --keys]
    #[arg(long, value_name = "DIR")]
    pub(crate) root_keys: Option<PathBuf>,
}

/// How long metadata holds.
#[derive(Debug, Clone, Args)]
pub(crate) struct LifetimeArguments {
    /// Days that targets metadata holds
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    pub(crate) targets_days: u16,
    /// Days that snapshot and timestamp hold: sign again before, with `keelson release --refresh`
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    pub(crate) timestamp_days: u16,
}

/// Of `keelson keys`.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeysArguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

/// What can be done with keys.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make keys for all roles, and the first root metadata, which machines trust from the beginning
    Create(KeysCreateArguments),
    /// Replace the keys of a role by new ones, signed by the root's
    Rotate(KeysRotateArguments),
}

/// Of `keelson keys create`.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeysCreateArguments {
    /// Where keys go.
    #[command(flatten)]
    pub(crate) places: KeyPlaces,
    /// How many root keys, and how many of them must sign
    #[arg(long, value_name = "SIGNATURES/KEYS", default_value = "1/1", value_parser = threshold)]
    pub(crate) root: (u64, u64),
    /// How many targets keys, and how many of them must sign
    #[arg(long, value_name = "SIGNATURES/KEYS", default_value = "1/1", value_parser = threshold)]
    pub(crate) targets: (u64, u64),
    /// Days that the root holds
    #[arg(long, value_name = "DAYS", default_value_t = 1095)]
    pub(crate) root_days: u16,
    /// Print what was made as JSON on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// Of `keelson keys rotate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeysRotateArguments {
    /// Where keys are.
    #[command(flatten)]
    pub(crate) places: KeyPlaces,
    /// Whose keys
    #[arg(value_enum)]
    pub(crate) role: RoleName,
    /// Days that the new root holds
    #[arg(long, value_name = "DAYS", default_value_t = 1095)]
    pub(crate) root_days: u16,
    /// Print what was made as JSON on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// Roles of The Update Framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleName {
    /// Says which keys the others have
    Root,
    /// Signs releases
    Targets,
    /// Signs which documents belong together
    Snapshot,
    /// Signs what is the newest
    Timestamp,
}

/// `SIGNATURES/KEYS`.
fn threshold(text: &str) -> Result<(u64, u64), String> {
    let numbers = text.split_once('/').and_then(|(signatures, keys)| {
        let numbers = (signatures.parse().ok()?, keys.parse().ok()?);
        (numbers.0 >= 1 && numbers.0 <= numbers.1).then_some(numbers)
    });
    numbers.ok_or_else(|| "must be like 2/3: so many signatures of so many keys".to_owned())
}

/// Of `keelson release`.
#[derive(Debug, Clone, Args)]
#[command(arg_required_else_help = true)]
#[allow(clippy::struct_excessive_bools)] // each is a flag of the command line
pub(crate) struct ReleaseArguments {
    /// The release directory, which any web server can serve
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Keys of targets, snapshot and timestamp, and the chain of roots
    #[arg(long, value_name = "DIR", env = "KEELSON_KEYS")]
    pub(crate) keys: Option<PathBuf>,
    /// Check everything in the directory as a machine would, and release nothing
    #[arg(long, conflicts_with_all = ["refresh", "image"])]
    pub(crate) check: bool,
    /// The root metadata that --check trusts [default: 1.root.json of --keys, else of the directory]
    #[arg(long, value_name = "FILE", requires = "check")]
    pub(crate) trust: Option<PathBuf>,
    /// What --check saw last time is kept here: nothing older is accepted
    #[arg(long, value_name = "DIR", requires = "check")]
    pub(crate) seen: Option<PathBuf>,
    /// Sign what is there again, so that it holds longer, and release nothing
    #[arg(long)]
    pub(crate) refresh: bool,
    /// Manifest of the image to release
    #[arg(
        long,
        value_name = "FILE",
        default_value = "target/keelson/image/keelson-vm.json"
    )]
    pub(crate) image: PathBuf,
    /// The package lock that the image was built from
    #[arg(long, value_name = "FILE", default_value = "image/packages.lock")]
    pub(crate) lock: PathBuf,
    /// Channel to offer it in; may be given several times
    #[arg(long = "channel", value_name = "NAME", default_value = "edge")]
    pub(crate) channels: Vec<String>,
    /// Share of the machines from some time on, such as 1%@0h,10%@12h,100%@3d [default: all at once]
    #[arg(long, value_name = "WAVES", value_parser = waves)]
    pub(crate) waves: Option<Waves>,
    /// Older machines must run it before anything newer
    #[arg(long)]
    pub(crate) barrier: bool,
    /// Machines older than this must take another release first
    #[arg(long, value_name = "VERSION")]
    pub(crate) minimum_version: Option<String>,
    /// From how many earlier releases to make static deltas
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    pub(crate) deltas: usize,
    /// Zstandard's level, 1 to 22
    #[arg(long, default_value_t = 19, value_parser = clap::value_parser!(i32).range(1..=22))]
    pub(crate) level: i32,
    /// KiB in a frame of what did not change lately: the least that a machine fetches of it
    #[arg(long, value_name = "KIB", default_value_t = 16, value_parser = clap::value_parser!(u16).range(4..=1024))]
    pub(crate) frame_size: u16,
    /// How long metadata holds.
    #[command(flatten)]
    pub(crate) lifetimes: LifetimeArguments,
    /// Time of the release, in seconds since 1970 [default: now]
    #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH")]
    pub(crate) timestamp: Option<i64>,
    /// Print what was released, or found, as JSON on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// Shares in percent and seconds after the start.
pub(crate) type Waves = Vec<(u8, u32)>;

/// `PERCENT%@NUMBER[smhd],…`.
fn waves(text: &str) -> Result<Waves, String> {
    let one = |wave: &str| {
        let (percent, after) = wave.split_once("%@")?;
        let unit = after.chars().last()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        let number: u32 = after.strip_suffix(unit)?.parse().ok()?;
        Some((percent.parse().ok()?, number.checked_mul(seconds)?))
    };
    let waves: Option<Waves> = text.split(',').map(one).collect();
    waves.ok_or_else(|| "must be like 1%@0h,10%@12h,100%@3d".to_owned())
}

/// Of `keelson channel`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ChannelArguments {
    /// The release directory
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// The channel
    pub(crate) channel: String,
    /// The release
    pub(crate) version: String,
    /// The product
    #[arg(long, default_value = "vm")]
    pub(crate) product: String,
    /// Keys of targets, snapshot and timestamp, and the chain of roots
    #[arg(long, value_name = "DIR", env = "KEELSON_KEYS")]
    pub(crate) keys: PathBuf,
    /// What changes.
    #[command(flatten)]
    pub(crate) change: ChannelChange,
    /// How the release reaches the machines, such as 1%@0h,10%@12h,100%@3d; with --add, or to replace it
    #[arg(long, value_name = "WAVES", value_parser = waves)]
    pub(crate) waves: Option<Waves>,
    /// How long metadata holds.
    #[command(flatten)]
    pub(crate) lifetimes: LifetimeArguments,
}

/// What changes of a release in a channel.
#[derive(Debug, Clone, Args)]
#[group(multiple = false)]
pub(crate) struct ChannelChange {
    /// Offer the release in this channel too
    #[arg(long)]
    pub(crate) add: bool,
    /// Offer it again
    #[arg(long)]
    pub(crate) resume: bool,
    /// Offer it to nobody for now
    #[arg(long, value_name = "REASON")]
    pub(crate) pause: Option<String>,
    /// Offer it to nobody any more; whoever runs it updates away from it
    #[arg(long, value_name = "REASON")]
    pub(crate) withdraw: Option<String>,
    /// Offer it to nobody, and tell whoever runs it that it cannot be updated
    #[arg(long, value_name = "REASON")]
    pub(crate) dead_end: Option<String>,
    /// Let older machines run it before anything newer, or no longer so
    #[arg(long, value_name = "BOOL")]
    pub(crate) barrier: Option<bool>,
}

/// Of `keelson serve`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArguments {
    /// The release directory
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8000")]
    pub(crate) listen: SocketAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves_and_thresholds() {
        assert_eq!(waves("1%@0h,100%@3d"), Ok(vec![(1, 0), (100, 259_200)]));
        for bad in ["", "1", "1%@3", "1%@3w", "300%@1h", "1%@1h,"] {
            assert!(waves(bad).is_err(), "{bad}");
        }
        assert_eq!(threshold("2/3"), Ok((2, 3)));
        for bad in ["", "3/2", "0/1", "1"] {
            assert!(threshold(bad).is_err(), "{bad}");
        }
    }
}
