//! The v3 commands and their flags, as etcdctl 3.4 has them.
//!
//! What they mean is explained to the user here, and carried out elsewhere.
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::go_flags::parse_duration;

const EXAMPLES: &str = "\
Examples:
  kvctl --v3 put /message hello
  kvctl --v3 get /config --prefix --keys-only
  kvctl --v3 watch /config --prefix -- systemctl reload app
  printf 'mod(\"a\") > \"0\"\\n\\nput a 1\\n\\nget a\\n\\n' | kvctl --v3 txn
  kvctl --v3 lock migration -- ./migrate.sh

`kvctl --v3 COMMAND` and `kvctl v3 COMMAND` are the same; with KVCTL_API=3 (or ETCDCTL_API=3) in the
environment neither is needed, and --v2 asks for the other commands.

Environment: KVCTL_ENDPOINTS, KVCTL_USER, KVCTL_PASSWORD, KVCTL_CACERT, KVCTL_CERT and KVCTL_KEY stand
for the flags; etcdctl's ETCDCTL_ENDPOINTS and so on are understood as well.

Exit codes: 0 done, 1 refused or failed, 2 no server reached, 3 a transaction that cannot be read,
4 an unknown value of a flag, 5 a watch ended by the server, 6 a file failed, 128 wrong arguments.";

/// The same store by etcd's v3 API, with etcdctl 3's commands
#[derive(Debug, Parser)]
#[command(name = "v3", bin_name = "kvctl v3", version, after_help = EXAMPLES)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Addresses of servers, separated by commas [default: this machine's kvd]
    #[arg(long, global = true)]
    pub(crate) endpoints: Option<String>,
    /// How to print answers: simple, json, table or fields
    #[arg(long, short, global = true, default_value = "simple")]
    pub(crate) write_out: String,
    /// Print keys and values as hexadecimal bytes
    #[arg(long, global = true)]
    pub(crate) hex: bool,
    /// Who asks; the password is asked for if it is left out
    #[arg(long, global = true, value_name = "NAME[:PASSWORD]")]
    pub(crate) user: Option<String>,
    /// The password, if --user has none
    #[arg(long, global = true)]
    pub(crate) password: Option<String>,
    /// Who may vouch for servers [default: whom the system trusts]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
    /// Our certificate
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// The key of our certificate
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// How long a command may take, except for watches and locks
    #[arg(long, global = true, default_value = "5s", value_parser = parse_duration)]
    pub(crate) command_timeout: Duration,
    /// How long connecting may take
    #[arg(long, global = true, default_value = "2s", value_parser = parse_duration)]
    pub(crate) dial_timeout: Duration,
    /// Not supported: name the endpoints instead
    #[arg(long, short = 'd', global = true, hide = true)]
    pub(crate) discovery_srv: Option<String>,
    /// Taken for etcdctl's sake; http:// and https:// say what is spoken
    #[arg(long, global = true, hide = true)]
    pub(crate) insecure_transport: bool,
    /// Taken for etcdctl's sake
    #[arg(long, global = true, hide = true)]
    pub(crate) keepalive_time: Option<String>,
    /// Taken for etcdctl's sake
    #[arg(long, global = true, hide = true)]
    pub(crate) keepalive_timeout: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Get a key or a range of keys
    Get(GetArguments),
    /// Put a key
    #[command(
        after_help = "A value that begins with a dash needs two before it: kvctl --v3 put KEY -- VALUE\nWithout a value, it is read from standard input."
    )]
    Put(PutArguments),
    /// Remove a key or a range of keys
    Del(DelArguments),
    /// Carry out a transaction that is read from standard input
    #[command(
        after_help = "Three parts, each ended by an empty line: comparisons, requests if all hold, requests if not.\n  mod(\"KEY\") > \"0\"     also create, ver, val and lease; with =, !=, < or >\n  put KEY VALUE        put, get and del with their flags"
    )]
    Txn(TxnArguments),
    /// Watch keys for changes
    #[command(
        after_help = "A command after `--` is run at each change; it finds it in ETCD_WATCH_REVISION, ETCD_WATCH_EVENT_TYPE, ETCD_WATCH_KEY and ETCD_WATCH_VALUE."
    )]
    Watch(WatchArguments),
    /// Forget what was before a revision
    Compaction {
        #[arg(value_name = "REVISION")]
        arguments: Vec<String>,
        /// Wait until it is done on the disk too
        #[arg(long)]
        physical: bool,
    },
    /// Leases: time to live that keys share
    #[command(subcommand, arg_required_else_help = true)]
    Lease(LeaseCommand),
    /// Hold a lock, for a command or until stopped
    #[command(
        after_help = "The command finds the lock's key in ETCD_LOCK_KEY and a number that grows with each holder in ETCD_LOCK_REV. If the lock is lost, the command is ended. The exit code is the command's."
    )]
    Lock(LockArguments),
    /// Take part in an election, or follow one
    Elect(ElectArguments),
    /// List, add, remove, update and promote members
    #[command(subcommand, arg_required_else_help = true)]
    Member(MemberCommand),
    /// What each endpoint says of itself
    #[command(subcommand, arg_required_else_help = true)]
    Endpoint(EndpointCommand),
    /// Make another member the leader
    MoveLeader {
        #[arg(value_name = "MEMBER_ID")]
        arguments: Vec<String>,
    },
    /// Alarms of members
    #[command(subcommand, arg_required_else_help = true)]
    Alarm(AlarmCommand),
    /// Give disk space back, where a server needs to be told
    Defrag {
        /// All members, not only those in --endpoints
        #[arg(long)]
        cluster: bool,
    },
    /// Save everything to a file
    #[command(subcommand, arg_required_else_help = true)]
    Snapshot(SnapshotCommand),
    /// Users and their roles
    #[command(subcommand, arg_required_else_help = true)]
    User(UserCommand),
    /// Roles and what they allow
    #[command(subcommand, arg_required_else_help = true)]
    Role(RoleCommand),
    /// Switch access control on and off
    #[command(subcommand, arg_required_else_help = true)]
    Auth(AuthCommand),
    /// Print the version
    Version,
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // one for each of etcdctl's flags
pub(crate) struct GetArguments {
    #[arg(value_names = ["KEY", "RANGE_END"])]
    pub(crate) keys: Vec<String>,
    /// All keys that begin with KEY
    #[arg(long)]
    pub(crate) prefix: bool,
    /// All keys from KEY on
    #[arg(long)]
    pub(crate) from_key: bool,
    /// As it was at this revision
    #[arg(long, value_name = "REVISION", default_value_t = 0)]
    pub(crate) rev: i64,
    /// So many at most
    #[arg(long, default_value_t = 0)]
    pub(crate) limit: i64,
    /// CREATE, KEY, MODIFY, VALUE or VERSION
    #[arg(
        long,
        value_name = "TARGET",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) sort_by: String,
    /// ASCEND or DESCEND
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) order: String,
    /// l: linearizable; s: serializable, what one member has
    #[arg(long, default_value = "l")]
    pub(crate) consistency: String,
    /// Without values
    #[arg(long)]
    pub(crate) keys_only: bool,
    /// Only how many there are
    #[arg(long)]
    pub(crate) count_only: bool,
    /// Without keys
    #[arg(long)]
    pub(crate) print_value_only: bool,
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // one for each of etcdctl's flags
pub(crate) struct PutArguments {
    #[arg(value_names = ["KEY", "VALUE"])]
    pub(crate) arguments: Vec<String>,
    /// The lease it is attached to, in hexadecimal
    #[arg(long, default_value = "0", hide_default_value = true)]
    pub(crate) lease: String,
    /// Print what was there before
    #[arg(long)]
    pub(crate) prev_kv: bool,
    /// Keep the value
    #[arg(long)]
    pub(crate) ignore_value: bool,
    /// Keep the lease
    #[arg(long)]
    pub(crate) ignore_lease: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DelArguments {
    #[arg(value_names = ["KEY", "RANGE_END"])]
    pub(crate) keys: Vec<String>,
    /// All keys that begin with KEY
    #[arg(long)]
    pub(crate) prefix: bool,
    /// All keys from KEY on
    #[arg(long)]
    pub(crate) from_key: bool,
    /// Print what was there before
    #[arg(long)]
    pub(crate) prev_kv: bool,
}

/// A flag that is on when named, and can be told off.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Interactive {
    /// Ask for each part
    #[arg(long, short, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", hide_default_value = true)]
    pub(crate) interactive: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TxnArguments {
    #[arg(hide = true)]
    pub(crate) ignored: Vec<String>,
    #[command(flatten)]
    pub(crate) mode: Interactive,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArguments {
    #[arg(value_names = ["KEY", "RANGE_END"])]
    pub(crate) keys: Vec<String>,
    #[command(flatten)]
    pub(crate) mode: Interactive,
    /// All keys that begin with KEY
    #[arg(long)]
    pub(crate) prefix: bool,
    /// From this revision on, which may be in the past
    #[arg(long, value_name = "REVISION", default_value_t = 0)]
    pub(crate) rev: i64,
    /// Print what was there before
    #[arg(long)]
    pub(crate) prev_kv: bool,
    /// Print now and then how far the server is
    #[arg(long)]
    pub(crate) progress_notify: bool,
    /// The program and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LeaseCommand {
    /// Make a lease
    Grant {
        #[arg(value_name = "SECONDS")]
        arguments: Vec<String>,
    },
    /// End a lease and remove its keys
    Revoke {
        #[arg(value_name = "ID")]
        arguments: Vec<String>,
    },
    /// How long a lease lives
    Timetolive {
        #[arg(value_name = "ID")]
        arguments: Vec<String>,
        /// And which keys it has
        #[arg(long)]
        keys: bool,
    },
    /// List the leases
    List,
    /// Keep a lease alive until stopped
    KeepAlive {
        #[arg(value_name = "ID")]
        arguments: Vec<String>,
        /// Only once
        #[arg(long)]
        once: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct LockArguments {
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// How long the lock outlives its holder, in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..))]
    pub(crate) ttl: u64,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ElectArguments {
    #[arg(value_names = ["NAME", "PROPOSAL"])]
    pub(crate) arguments: Vec<String>,
    /// Print who is elected, now and after each change
    #[arg(long, short)]
    pub(crate) listen: bool,
    /// How long a leadership outlives its holder, in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..))]
    pub(crate) ttl: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    /// List the members
    List,
    /// Make room for a new member, and print what to start it with
    Add {
        #[arg(value_name = "NAME")]
        arguments: Vec<String>,
        /// Where other members will reach it, separated by commas
        #[arg(long, default_value = "", hide_default_value = true)]
        peer_urls: String,
        /// Without a vote at first
        #[arg(long)]
        learner: bool,
    },
    /// Remove a member for good
    Remove {
        #[arg(value_name = "ID")]
        arguments: Vec<String>,
    },
    /// Change where other members reach a member
    Update {
        #[arg(value_name = "ID")]
        arguments: Vec<String>,
        /// Where other members reach it, separated by commas
        #[arg(long, default_value = "", hide_default_value = true)]
        peer_urls: String,
    },
    /// Give a learner its vote
    Promote {
        #[arg(value_name = "ID")]
        arguments: Vec<String>,
    },
}

/// Which members.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Everywhere {
    /// All members, not only those in --endpoints
    #[arg(long)]
    pub(crate) cluster: bool,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum EndpointCommand {
    /// Whether each serves
    Health(Everywhere),
    /// Version, size, leader, indexes
    Status(Everywhere),
    /// A hash of the history of keys, to compare members
    Hashkv {
        #[command(flatten)]
        everywhere: Everywhere,
        /// Up to this revision
        #[arg(long, value_name = "REVISION", default_value_t = 0)]
        rev: i64,
    },
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum AlarmCommand {
    /// List them
    List,
    /// End all of them
    Disarm,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    /// Save what one endpoint streams, in the server's own format
    Save {
        #[arg(value_name = "FILE")]
        arguments: Vec<String>,
    },
}

/// A flag that can be told off.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct AtTerminal {
    /// Ask for the password twice; with =false, read it once from standard input
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true")]
    pub(crate) interactive: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Create a user
    Add {
        #[arg(value_name = "NAME[:PASSWORD]")]
        arguments: Vec<String>,
        /// The password
        #[arg(long, default_value = "", hide_default_value = true)]
        new_user_password: String,
        /// Without a password: known by certificate only
        #[arg(long)]
        no_password: bool,
        #[command(flatten)]
        mode: AtTerminal,
    },
    /// Remove a user
    Delete {
        #[arg(value_name = "NAME")]
        arguments: Vec<String>,
    },
    /// Show a user
    Get {
        #[arg(value_name = "NAME")]
        arguments: Vec<String>,
        /// With what the roles allow
        #[arg(long)]
        detail: bool,
    },
    /// List the users
    List,
    /// Give a user another password
    Passwd {
        #[arg(value_name = "NAME")]
        arguments: Vec<String>,
        #[command(flatten)]
        mode: AtTerminal,
    },
    /// Give a role to a user
    GrantRole {
        #[arg(value_names = ["USER", "ROLE"])]
        arguments: Vec<String>,
    },
    /// Take a role away from a user
    RevokeRole {
        #[arg(value_names = ["USER", "ROLE"])]
        arguments: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RoleCommand {
    /// Create a role
    Add {
        #[arg(value_name = "NAME")]
        arguments: Vec<String>,
    },
    /// Remove a role
    Delete {
        #[arg(value_name = "NAME")]
        arguments: Vec<String>,
    },
    /// Show a role
    Get {
        #[arg(value_name = "NAME")]
        arguments: Vec<String>,
    },
    /// List the roles
    List,
    /// Let a role use keys: read, write or readwrite
    GrantPermission {
        #[arg(value_names = ["ROLE", "TYPE", "KEY", "RANGE_END"])]
        arguments: Vec<String>,
        /// All keys that begin with KEY
        #[arg(long)]
        prefix: bool,
        /// All keys from KEY on
        #[arg(long)]
        from_key: bool,
    },
    /// No longer let a role use keys
    RevokePermission {
        #[arg(value_names = ["ROLE", "KEY", "RANGE_END"])]
        arguments: Vec<String>,
        /// All keys that begin with KEY
        #[arg(long)]
        prefix: bool,
        /// All keys from KEY on
        #[arg(long)]
        from_key: bool,
    },
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum AuthCommand {
    /// Users and roles matter from now on
    Enable,
    /// Everybody may do everything from now on
    Disable,
    /// Whether users and roles matter
    Status,
}
