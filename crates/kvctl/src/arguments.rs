//! The commands and their flags.
//!
//! What they mean is explained to the user here, and carried out elsewhere.
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::go_flags::parse_duration;

/// The commands by topic; clap can only list them all at once.
const HELP: &str = "\
{about}

{usage-heading} {usage}

Keys:
  set             Set the value of a key
  get             Retrieve the value of a key
  mk              Make a new key with a given value
  update          Update an existing key with a given value
  rm              Remove a key or a directory
  watch           Watch a key for changes
  exec-watch      Watch a key for changes and run a program at each
Directories:
  ls              List a directory
  mkdir           Make a new directory
  setdir          Make a directory
  updatedir       Change the time to live of a directory
  rmdir           Remove a key or an empty directory
Coordination:
  lock            Hold a lock, for a command or until stopped
  elect           Take part in an election, or follow one
Cluster:
  status          Show every member: leader, version, index, size, latency
  cluster-health  Check the health of the cluster
  member          List, add, remove, replace and update members
  migrate         Carry over what another cluster has, and follow it until the switch
  backup          Save everything to a file while the cluster serves
  restore         Where to restore a backup
Access:
  user            Users and their roles
  role            Roles and what they allow
  auth            Switch access control on and off
Other API:
  v3              The same store by etcd's v3 API, with etcdctl 3's commands; also --v3
Tools:
  bench           Measure a server under load
  completions     Print completions for a shell
  help            Explain a command

{options}{after-help}";

const EXAMPLES: &str = "\
Examples:
  kvctl set /message hello
  kvctl --endpoints http://10.0.0.1:2379,http://10.0.0.2:2379 ls --recursive /
  kvctl watch --forever --recursive /config
  kvctl lock /locks/migration ./migrate.sh
  kvctl bench put --connections 64 --duration 10s

  kvctl --v3 get /message

Environment: each of KVCTL_ENDPOINTS, KVCTL_USERNAME, KVCTL_CA_FILE, KVCTL_CERT_FILE and
KVCTL_KEY_FILE stands for the flag; etcdctl's ETCDCTL_ENDPOINTS and so on are understood as well.

Exit codes: 0 done, 1 wrong arguments or refused, 2 no server reached, 3 unknown command,
4 the server refused or failed, 5 no member is healthy.";

/// Talks to a cluster of kvd, or of etcd with its v2 API.
#[derive(Debug, Parser)]
#[command(name = "kvctl", version, help_template = HELP, after_help = EXAMPLES)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // flags, each by itself
pub(crate) struct Global {
    /// Addresses of servers, separated by commas [default: this machine's kvd]
    #[arg(
        long,
        visible_alias = "endpoint",
        visible_alias = "peers",
        short_alias = 'C',
        global = true
    )]
    pub(crate) endpoints: Option<String>,
    /// How to print answers
    #[arg(
        long,
        short,
        global = true,
        default_value = "simple",
        hide_possible_values = true
    )]
    pub(crate) output: String,
    /// Print every request as a curl command
    #[arg(long, global = true)]
    pub(crate) debug: bool,
    /// Ask only the endpoints that are named, not those that the members publish
    #[arg(long, global = true)]
    pub(crate) no_sync: bool,
    /// Our certificate
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) cert_file: Option<PathBuf>,
    /// The key of our certificate
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Who may vouch for servers [default: whom the system trusts]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Who asks; the password is asked for if it is left out
    #[arg(long, short, global = true, value_name = "NAME[:PASSWORD]")]
    pub(crate) username: Option<String>,
    /// How long one server may take to answer
    #[arg(long, global = true, default_value = "2s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
    /// How long the command may take, except for watches and locks
    #[arg(long, global = true, default_value = "5s", value_parser = parse_duration)]
    pub(crate) total_timeout: Duration,
    /// Speak etcd's v3 API: see `kvctl v3 --help`
    #[arg(long, global = true)]
    pub(crate) v3: bool,
    /// Speak etcd's v2 API, even if `KVCTL_API` or `ETCDCTL_API` says 3
    #[arg(long, global = true)]
    pub(crate) v2: bool,
    /// Not supported: name the endpoints instead
    #[arg(long, short = 'D', global = true, hide = true)]
    pub(crate) discovery_srv: Option<String>,
}

/// How to print answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Values only.
    Simple,
    /// With their indexes.
    Extended,
    /// Everything.
    Json,
    /// Something we do not know; said when it is time to print, as etcdctl does.
    Unknown,
}

impl Global {
    pub(crate) fn output(&self) -> Output {
        match self.output.as_str() {
            "simple" => Output::Simple,
            "extended" => Output::Extended,
            "json" => Output::Json,
            _ => Output::Unknown,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Key(KeyCommand),
    /// Watch a key for changes
    Watch(WatchArguments),
    /// Watch a key for changes and run a program at each
    ///
    /// The program finds the change in `ETCD_WATCH_ACTION`, `ETCD_WATCH_KEY`, `ETCD_WATCH_VALUE`
    /// and `ETCD_WATCH_MODIFIED_INDEX`.
    #[command(
        after_help = "Example:\n  kvctl exec-watch --recursive /config -- systemctl reload app"
    )]
    ExecWatch(ExecWatchArguments),
    /// Check the health of the cluster
    ClusterHealth {
        /// Check every 10 seconds until stopped
        #[arg(long, short)]
        forever: bool,
    },
    /// List, add, remove, replace and update members
    #[command(arg_required_else_help = true)]
    Member {
        #[command(subcommand)]
        command: MemberCommand,
    },
    /// Users and their roles
    #[command(arg_required_else_help = true)]
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Roles and what they allow
    #[command(arg_required_else_help = true)]
    Role {
        #[command(subcommand)]
        command: RoleCommand,
    },
    /// Switch access control on and off
    #[command(arg_required_else_help = true)]
    Auth {
        #[command(subcommand)]
        command: AuthCommand,
    },
    /// Hold a lock, for a command or until stopped
    ///
    /// The command finds the lock's key in `KVCTL_LOCK_KEY` and a number that grows with each holder
    /// in `KVCTL_LOCK_INDEX`: give it along with what the command writes elsewhere, so that a holder
    /// that lost the lock without noticing can be refused there. If the lock is lost, the command is
    /// ended.
    #[command(
        after_help = "Example:\n  kvctl lock /locks/migration ./migrate.sh\n\nThe exit code is the command's; 128 and the signal's number if a signal ended it."
    )]
    Lock(LockArguments),
    /// Take part in an election, or follow one
    #[command(
        after_help = "Examples:\n  kvctl elect /leader \"$(hostname)\"\n  kvctl elect --listen /leader"
    )]
    Elect(ElectArguments),
    /// Show every member: leader, version, index, size, latency
    Status,
    /// Carry over what another cluster has, and follow it until the switch
    ///
    /// The target is the cluster in --endpoints. Everything is copied, then changes are followed as they
    /// come, until this is stopped (Ctrl-C): that is the moment to switch clients over. At the end, keys
    /// and values of both are counted and hashed. Times to live are carried over with what is left of
    /// them. Nothing is removed from the target that this did not write, unless told.
    #[command(after_help = MIGRATE_HELP)]
    Migrate(MigrateArguments),
    /// Save everything to a file while the cluster serves
    #[command(
        after_help = "Example:\n  kvctl backup /var/backups/kvd.snapshot\n\nRestore it with: kvd restore FILE --data-dir DIR --name NAME"
    )]
    Backup(BackupArguments),
    /// Where to restore a backup
    #[command(disable_help_flag = true)]
    Restore {
        /// What `kvd restore` shall be given
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The same store by etcd's v3 API, with etcdctl 3's commands
    #[command(disable_help_flag = true)]
    V3 {
        /// What it is given
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure a server under load
    #[command(
        after_help = "Examples:\n  kvctl bench put --connections 64 --duration 10s\n  kvctl bench get --quorum --connections 1 --requests 10000 --output json\n  kvctl bench watch --connections 1000 --requests 20\n  kvctl bench grpc-txn --connections 64\n  kvctl bench grpc-watch --connections 100 --watchers 10000 --requests 10\n\nWithout TLS only. Each connection sends its next request when the last was answered."
    )]
    Bench(BenchArguments),
    /// Print completions for a shell
    #[command(
        after_help = "Example:\n  kvctl completions bash > /usr/share/bash-completion/completions/kvctl"
    )]
    Completions {
        /// Which
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Set the value of a key
    #[command(
        after_help = "A value that begins with a dash needs two before it: kvctl set -- KEY VALUE\nWithout a value, it is read from standard input."
    )]
    Set {
        key: Option<String>,
        value: Option<String>,
        /// The key goes away after so many seconds
        #[arg(long, default_value_t = 0)]
        ttl: u64,
        /// Only if this is its value
        #[arg(long, value_name = "VALUE", default_value = "")]
        swap_with_value: String,
        /// Only if its last change had this index
        #[arg(long, value_name = "INDEX", default_value_t = 0)]
        swap_with_index: u64,
        #[arg(hide = true)]
        ignored: Vec<String>,
    },
    /// Retrieve the value of a key
    Get {
        key: Option<String>,
        /// In the order of names
        #[arg(long)]
        sort: bool,
        /// Never stale: ask the majority
        #[arg(long, short)]
        quorum: bool,
    },
    /// Make a new key with a given value
    Mk {
        key: Option<String>,
        value: Option<String>,
        /// Name it by the index, inside the directory KEY
        #[arg(long)]
        in_order: bool,
        /// The key goes away after so many seconds
        #[arg(long, default_value_t = 0)]
        ttl: u64,
    },
    /// Make a new directory
    Mkdir {
        key: Option<String>,
        /// The directory goes away after so many seconds
        #[arg(long, default_value_t = 0)]
        ttl: u64,
    },
    /// List a directory
    Ls {
        key: Option<String>,
        /// In the order of names
        #[arg(long)]
        sort: bool,
        /// All levels
        #[arg(long, short)]
        recursive: bool,
        /// Append a slash to directories
        #[arg(short = 'p')]
        slash: bool,
        /// Never stale: ask the majority
        #[arg(long, short)]
        quorum: bool,
    },
    /// Remove a key or a directory
    Rm {
        key: Option<String>,
        /// Also an empty directory
        #[arg(long)]
        dir: bool,
        /// With all that is in it
        #[arg(long, short)]
        recursive: bool,
        /// Only if this is its value
        #[arg(long, value_name = "VALUE", default_value = "")]
        with_value: String,
        /// Only if its last change had this index
        #[arg(long, value_name = "INDEX", default_value_t = 0)]
        with_index: u64,
    },
    /// Remove a key or an empty directory
    Rmdir { key: Option<String> },
    /// Make a directory
    Setdir {
        key: Option<String>,
        /// The directory goes away after so many seconds
        #[arg(long, default_value_t = 0)]
        ttl: u64,
    },
    /// Update an existing key with a given value
    Update {
        key: Option<String>,
        value: Option<String>,
        /// The key goes away after so many seconds
        #[arg(long, default_value_t = 0)]
        ttl: u64,
    },
    /// Change the time to live of a directory
    Updatedir {
        key: Option<String>,
        #[arg(hide = true)]
        ignored: Option<String>,
        /// The directory goes away after so many seconds
        #[arg(long, default_value_t = 0)]
        ttl: u64,
    },
}

#[derive(Debug, Args)]
pub(crate) struct WatchArguments {
    pub(crate) key: Option<String>,
    /// Until stopped, not only one change
    #[arg(long, short)]
    pub(crate) forever: bool,
    /// Begin after this index, which may be in the past
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    pub(crate) after_index: u64,
    /// Everything below the key too
    #[arg(long, short)]
    pub(crate) recursive: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExecWatchArguments {
    /// Begin after this index, which may be in the past
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    pub(crate) after_index: u64,
    /// Everything below the key too
    #[arg(long, short)]
    pub(crate) recursive: bool,
    pub(crate) key: Option<String>,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    /// List the members
    List {
        #[arg(hide = true)]
        ignored: Vec<String>,
    },
    /// Make room for a new member, and print what to start it with
    Add {
        #[arg(value_names = ["NAME", "PEER_URL"])]
        arguments: Vec<String>,
    },
    /// Remove a member for good
    Remove {
        #[arg(value_name = "ID")]
        arguments: Vec<String>,
    },
    /// Put a new member in the place of one whose data are lost, and print what to start it with
    ///
    /// A member must never come back without its log: the lost one is removed for good, and the new
    /// one gets an id of its own. Without NAME, it takes the name of the lost one.
    #[command(override_usage = "kvctl member replace ID [NAME] PEER_URL")]
    #[command(
        after_help = "Example:\n  kvctl member replace 8e9e05c52164694d http://10.0.0.3:2380"
    )]
    Replace {
        #[arg(value_names = ["ID", "NAME", "PEER_URL"])]
        arguments: Vec<String>,
    },
    /// Change where other members reach a member
    Update {
        #[arg(value_names = ["ID", "PEER_URLS"])]
        arguments: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Create a user
    Add {
        #[arg(value_name = "NAME[:PASSWORD]")]
        name: Option<String>,
    },
    /// Show a user
    Get { name: Option<String> },
    /// List the users
    List {
        #[arg(hide = true)]
        ignored: Vec<String>,
    },
    /// Remove a user
    Remove { name: Option<String> },
    /// Give roles to a user
    Grant {
        name: Option<String>,
        /// Which; may be given more than once
        #[arg(long, value_delimiter = ',')]
        roles: Vec<String>,
    },
    /// Take roles away from a user
    Revoke {
        name: Option<String>,
        /// Which; may be given more than once
        #[arg(long, value_delimiter = ',')]
        roles: Vec<String>,
    },
    /// Give a user another password
    Passwd { name: Option<String> },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RoleCommand {
    /// Create a role
    Add { name: Option<String> },
    /// Show a role
    Get { name: Option<String> },
    /// List the roles
    List {
        #[arg(hide = true)]
        ignored: Vec<String>,
    },
    /// Remove a role
    Remove { name: Option<String> },
    /// Let a role use keys
    Grant(PermissionArguments),
    /// No longer let a role use keys
    Revoke(PermissionArguments),
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // one for each of etcdctl's flags
pub(crate) struct PermissionArguments {
    pub(crate) name: Option<String>,
    /// A key, or the beginning of keys followed by `*`
    #[arg(long)]
    pub(crate) path: Option<String>,
    /// Reading
    #[arg(long)]
    pub(crate) read: bool,
    /// Writing
    #[arg(long)]
    pub(crate) write: bool,
    /// Both
    #[arg(long, visible_alias = "rw")]
    pub(crate) readwrite: bool,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum AuthCommand {
    /// Users and roles matter from now on
    Enable,
    /// Everybody may do everything from now on
    Disable,
}

#[derive(Debug, Args)]
pub(crate) struct LockArguments {
    /// The directory of keys that stands for the lock
    pub(crate) name: String,
    /// How long the lock outlives its holder, in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..=3600))]
    pub(crate) ttl: u64,
    /// The program and its arguments; without one, the lock's key is printed and the lock held until stopped
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ElectArguments {
    /// The directory of keys that stands for the election
    pub(crate) name: String,
    /// What to publish when elected
    #[arg(required_unless_present = "listen")]
    pub(crate) value: Option<String>,
    /// Print who is elected, now and after each change
    #[arg(long, short, conflicts_with = "value")]
    pub(crate) listen: bool,
    /// How long a leadership outlives its holder, in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..=3600))]
    pub(crate) ttl: u64,
}

const MIGRATE_HELP: &str = "\
Examples:
  kvctl --endpoints http://new:2379 migrate --from-v2 http://old:2379
  kvctl --endpoints http://new:2379 migrate --from-v3 http://old:2379 --prefix /app/ --once

Run again after an interruption, it compares everything and writes what differs. By then it cannot
tell what it wrote itself: say --overwrite to let it replace values that differ. Keys that the source
removed in between are counted and stay, unless --delete-others is given.

v2 tells nobody which hidden keys there are: what begins with `_` is carried over if it stands at the
top in `_coreos.com` or `_etcd`, or below a path named with --hidden.

Exit code 0 only if both sides were found equal at the end.";

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // flags, each by itself
pub(crate) struct MigrateArguments {
    /// Servers of an etcd 2, or of a newer one with its v2 API; separated by commas
    #[arg(
        long,
        value_name = "URLS",
        required_unless_present = "from_v3",
        conflicts_with = "from_v3"
    )]
    pub(crate) from_v2: Option<String>,
    /// Servers of an etcd 3; separated by commas
    #[arg(long, value_name = "URLS")]
    pub(crate) from_v3: Option<String>,
    /// Who asks there; the password is asked for if it is left out
    #[arg(long, value_name = "NAME[:PASSWORD]")]
    pub(crate) from_username: Option<String>,
    /// Who may vouch for servers there
    #[arg(long, value_name = "FILE")]
    pub(crate) from_ca_file: Option<PathBuf>,
    /// Our certificate there
    #[arg(long, value_name = "FILE")]
    pub(crate) from_cert_file: Option<PathBuf>,
    /// The key of that certificate
    #[arg(long, value_name = "FILE")]
    pub(crate) from_key_file: Option<PathBuf>,
    /// Only what begins with this; for v2, only what is at or below this path. May be given more than once
    #[arg(long)]
    pub(crate) prefix: Vec<String>,
    /// A hidden path of v2, with all below it. May be given more than once
    #[arg(long, value_name = "PATH", conflicts_with = "from_v3")]
    pub(crate) hidden: Vec<String>,
    /// Stop as soon as all is copied and both sides are found equal
    #[arg(long)]
    pub(crate) once: bool,
    /// Replace values of the target that differ
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Remove keys of the target, among those that are migrated, that the source does not have
    #[arg(long)]
    pub(crate) delete_others: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// A file that does not exist yet, a directory, or `-` for standard output
    pub(crate) target: Option<String>,
    /// Not supported: etcd's own way, from the files of a stopped member
    #[arg(long, hide = true)]
    pub(crate) data_dir: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) wal_dir: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) backup_dir: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) backup_wal_dir: Option<String>,
    #[arg(long, hide = true)]
    pub(crate) with_v3: bool,
}

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchKind {
    /// Writes of keys
    Put,
    /// Reads of keys, which are written first
    Get,
    /// From a write to the notification of each of many watchers
    Watch,
    /// Puts by gRPC
    GrpcPut,
    /// Ranges of one key by gRPC; with --quorum linearizable, otherwise serializable
    GrpcRange,
    /// Transactions by gRPC: a comparison and a put
    GrpcTxn,
    /// Watchers by gRPC, spread over the connections
    GrpcWatch,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// What to measure
    pub(crate) kind: BenchKind,
    /// Connections, each with one request under way; for `watch`, watchers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) connections: u32,
    /// Watchers of `grpc-watch` [default: one a connection]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) watchers: Option<u32>,
    /// For how long [default: 10s, unless --requests is given]
    #[arg(long, value_parser = parse_duration, conflicts_with = "requests")]
    pub(crate) duration: Option<Duration>,
    /// So many in all; for `watch`, so many writes
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: Option<u64>,
    /// Bytes of a value
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) value_bytes: u32,
    /// Different keys
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=99_999_999))]
    pub(crate) keys: u32,
    /// Reads ask the majority
    #[arg(long)]
    pub(crate) quorum: bool,
    /// The keys that are read were written before
    #[arg(long)]
    pub(crate) prepared: bool,
    /// One key after the other, not at random
    #[arg(long)]
    pub(crate) sequential: bool,
    /// The directory of the keys
    #[arg(long, default_value = "/kvctl-bench")]
    pub(crate) prefix: String,
}
