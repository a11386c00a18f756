//! The command line of `keelson`, as clap derives it. No behaviour.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

use crate::release_cli::{ChannelArguments, KeysArguments, ReleaseArguments, ServeArguments};

/// Builds, boots, inspects and releases Keelson disk images.
#[derive(Debug, Parser)]
#[command(name = "keelson", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build a disk image from the recipe image/os.toml
    Build(BuildArguments),
    /// Boot an image in QEMU, with its console in this terminal
    Run(RunArguments),
    /// Resolve the recipe's packages anew into image/packages.lock
    Lock(LockArguments),
    /// Say what an image, a boot image or an initramfs consists of
    Inspect(InspectArguments),
    /// Make and rotate the keys that sign releases
    Keys(KeysArguments),
    /// Put a built image into a release directory, or check one
    Release(ReleaseArguments),
    /// Change what a channel says of a release
    Channel(ChannelArguments),
    /// Show a release directory over HTTP, for trying it out
    Serve(ServeArguments),
    /// Check a first-boot configuration: Ignition, cloud-config or Keelson's TOML
    Config {
        /// What to do with it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Copy a disk image, with a first-boot configuration in it
    Customize(CustomizeArguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Of `keelson config`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say what a configuration would do, or all that is wrong with it, with line, column and key
    Check {
        /// The configuration; `-` is standard input
        file: PathBuf,
        /// Print what would be done, or the problems, as JSON on standard output
        #[arg(long)]
        json: bool,
    },
}

/// Where sources and caches are.
#[derive(Debug, Clone, Args)]
pub(crate) struct Places {
    /// The checkout with image/, units/ and initramfs/
    #[arg(
        long,
        value_name = "DIR",
        default_value = ".",
        env = "KEELSON_CHECKOUT"
    )]
    pub(crate) checkout: PathBuf,
    /// Cached steps and fetched packages [default: target/keelson in the checkout]
    #[arg(long, value_name = "DIR", env = "KEELSON_CACHE")]
    pub(crate) cache: Option<PathBuf>,
    /// Debian mirror to fetch from [default: what this machine's apt uses]
    #[arg(long, value_name = "URL", env = "KEELSON_MIRROR")]
    pub(crate) mirror: Option<String>,
    /// Mirror of the security archive [default: what this machine's apt uses, or beside --mirror]
    #[arg(long, value_name = "URL", env = "KEELSON_SECURITY_MIRROR")]
    pub(crate) security_mirror: Option<String>,
}

/// Logical sector sizes of disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SectorBytes {
    /// Most disks
    #[value(name = "512")]
    Small,
    /// 4K-native disks
    #[value(name = "4096")]
    Large,
}

/// Of `keelson build`.
#[derive(Debug, Clone, Args)]
pub(crate) struct BuildArguments {
    /// Sources and caches.
    #[command(flatten)]
    pub(crate) places: Places,
    /// Which product: vm (cloud kernel) or metal (full kernel)
    #[arg(long, default_value = "vm")]
    pub(crate) product: String,
    /// Version of the image [default: the recipe's, the lock's date and a hash]
    #[arg(long)]
    pub(crate) version: Option<String>,
    /// Logical sectors of the disk the image is for
    #[arg(long, value_enum, default_value = "512")]
    pub(crate) sector_size: SectorBytes,
    /// Where the image goes [default: target/keelson/image in the checkout]
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Say what would be rebuilt and why, and build nothing
    #[arg(long)]
    pub(crate) explain: bool,
    /// Renew lock entries whose package the archive no longer has, and only those
    #[arg(long)]
    pub(crate) renew_vanished: bool,
    /// Take our own programs from this directory instead of building them with cargo
    #[arg(long, value_name = "DIR")]
    pub(crate) programs: Option<PathBuf>,
    /// Time stamp of everything in the image, in seconds since 1970 [default: the lock's]
    #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH")]
    pub(crate) timestamp: Option<u64>,
    /// Print the manifest, or the explanation, as JSON on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// Of `keelson lock`.
#[derive(Debug, Clone, Args)]
pub(crate) struct LockArguments {
    /// Sources and caches.
    #[command(flatten)]
    pub(crate) places: Places,
}

/// Disk interfaces a machine can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Interface {
    /// virtio-blk
    Virtio,
    /// virtio-scsi
    Scsi,
    /// `NVMe`
    Nvme,
}

/// Of `keelson run`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArguments {
    /// Sources and caches.
    #[command(flatten)]
    pub(crate) places: Places,
    /// Manifest of the image to boot [default: build the vm image first]
    #[arg(long, value_name = "FILE")]
    pub(crate) image: Option<PathBuf>,
    /// Renew lock entries whose package the archive no longer has, and only those
    #[arg(long)]
    pub(crate) renew_vanished: bool,
    /// Log in by SSH instead of the serial console
    #[arg(long)]
    pub(crate) ssh: bool,
    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub(crate) memory: u32,
    /// Processors
    #[arg(long, default_value_t = 2)]
    pub(crate) cpus: u32,
    /// Size the disk grows to, in GiB
    #[arg(long, value_name = "GIB", default_value_t = 16)]
    pub(crate) disk_size: u64,
    /// Keep the disk in this file and boot from it again next time [default: thrown away]
    #[arg(long, value_name = "FILE")]
    pub(crate) disk: Option<PathBuf>,
    /// Join a second network with every machine here that runs with this name of it
    #[arg(long, value_name = "NAME")]
    pub(crate) network: Option<String>,
    /// How the disk is attached
    #[arg(long, value_enum, default_value = "virtio")]
    pub(crate) interface: Interface,
    /// Boot the kernel directly, without firmware and boot loader
    #[arg(long)]
    pub(crate) direct: bool,
    /// More kernel command line
    #[arg(long, value_name = "WORDS", default_value = "")]
    pub(crate) append: String,
    /// Let SSH in with this public key too
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Configure the machine at its first boot: Ignition, cloud-config or Keelson's TOML
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Give the machine a TPM 2.0 (by swtpm), whose state is kept in this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) tpm: Option<PathBuf>,
    /// Pass a systemd credential
    #[arg(long = "credential", value_name = "NAME=VALUE")]
    pub(crate) credentials: Vec<String>,
    /// kvm or tcg [default: kvm if it really works]
    #[arg(long, env = "KEELSON_ACCEL")]
    pub(crate) acceleration: Option<String>,
}

/// Of `keelson customize`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CustomizeArguments {
    /// The disk image; it is left as it is
    pub(crate) image: PathBuf,
    /// The configuration: Ignition, cloud-config or Keelson's TOML
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The copy; it must not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// Of `keelson inspect`.
#[derive(Debug, Clone, Args)]
pub(crate) struct InspectArguments {
    /// A disk image, unified kernel image, initramfs or manifest
    pub(crate) file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
