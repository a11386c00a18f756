//! Every flag: those of etcd 3.4, and our own under "kvd's own".
//!
//! A flag without a meaning here stands in the table all the same, with the reason that its warning
//! gives. No value is judged here.

use super::Kind::{Duration, Number, Switch, Text};
use super::Treatment::{Fixed, Ignored, Used};
use super::{Flag, Kind, Treatment};

/// Builds one entry; `const`, so that the table costs nothing at start.
const fn flag(
    (group, name, kind, default): (&'static str, &'static str, Kind, &'static str),
    treatment: Treatment,
    help: &'static str,
) -> Flag {
    Flag {
        name,
        group,
        kind,
        default,
        treatment,
        help,
    }
}

/// One line an entry: group, then its flags as `name kind = default, treatment: help`.
macro_rules! flags {
    ($($group:literal { $($name:literal $kind:ident = $default:literal, $treatment:expr, $help:literal;)* })*) => {
        &[$($(flag(($group, $name, $kind, $default), $treatment, $help),)*)*]
    };
}

const FIXED: Treatment = Ignored("the v3 API does this in one way, which cannot be set");
const BACKEND: Treatment = Ignored("the store commits by itself, in the background");
const NO_FILES: Treatment =
    Ignored("old log segments are removed by themselves, and a snapshot is not a file");
const NO_ADVANCE: Treatment = Ignored("there are no ticks to skip at start");
const CHECKSUMS: Treatment =
    Ignored("every block of the store and every record of the log carries a checksum already");
const ONE_LOG: Treatment = Ignored("warnings and errors go to standard error");

/// Every flag that is known.
pub(crate) const FLAGS: &[Flag] = flags! {
    "Member" {
        "name" Text = "default", Used, "Name of this member, unique in the cluster";
        "data-dir" Text = "", Used, "Folder of this member's data [default: what systemd names as StateDirectory=, else <NAME>.kvd]";
        "wal-dir" Text = "", Ignored("the log stands in the data directory, in segments of its own"), "Folder of the log";
        "listen-client-urls" Text = "http://127.0.0.1:2379", Used, "Where clients are served: http, https, unix or unixs URLs, separated by commas";
        "listen-peer-urls" Text = "http://127.0.0.1:2380", Used, "Where other members are served";
        "heartbeat-interval" Number = "100", Used, "Milliseconds between a leader's heartbeats";
        "election-timeout" Number = "1000", Used, "Milliseconds without a heartbeat until an election";
        "snapshot-count" Number = "20000", Used, "Log entries after which the store is made durable and the log shortened";
        "max-request-bytes" Number = "1572864", Used, "Largest request of a client, in bytes";
        "quota-backend-bytes" Number = "0", Ignored("writes are refused when the disk is nearly full, and taken again when there is space"), "Largest size of the store";
        "initial-election-tick-advance" Switch = "true", NO_ADVANCE, "Skip ticks before the first election";
        "max-snapshots" Number = "5", NO_FILES, "Snapshot files to keep";
        "max-wals" Number = "5", NO_FILES, "Log files to keep";
        "backend-batch-interval" Text = "", BACKEND, "Longest time until a commit";
        "backend-batch-limit" Number = "0", BACKEND, "Most operations until a commit";
        "max-txn-ops" Number = "128", FIXED, "Most operations of a transaction";
        "max-concurrent-streams" Text = "math.MaxUint32", FIXED, "Most streams of a client";
        "grpc-keepalive-min-time" Duration = "5s", FIXED, "Shortest time between a client's pings";
        "grpc-keepalive-interval" Duration = "2h", FIXED, "Time between pings of a client";
        "grpc-keepalive-timeout" Duration = "20s", FIXED, "Time until an unanswered ping ends a connection";
    }
    "Clustering" {
        "initial-advertise-peer-urls" Text = "", Used, "This member's peer URLs, as others reach them [default: --listen-peer-urls]";
        "advertise-client-urls" Text = "", Used, "This member's client URLs, as clients reach them [default: --listen-client-urls]";
        "initial-cluster" Text = "", Used, "The first members: NAME=PEER-URL, separated by commas [default: this one]";
        "initial-cluster-state" Text = "new", Used, "new, or existing to join a cluster that has this member added already";
        "initial-cluster-token" Text = "etcd-cluster", Used, "Keeps clusters apart that are made of the same addresses";
        "discovery" Text = "", Used, "URL of a discovery token, at which the first members find each other";
        "discovery-fallback" Text = "proxy", Used, "When the discovered cluster is full: proxy or exit";
        "discovery-proxy" Text = "", Used, "HTTP proxy to reach the discovery URL by";
        "discovery-srv" Text = "", Used, "Domain whose SRV records name the first members";
        "discovery-srv-name" Text = "", Used, "Suffix of the SRV records' service names";
        "strict-reconfig-check" Switch = "true", Fixed("true", "changes of membership that would lose the quorum are always refused"), "Refuse changes of membership that would lose the quorum";
        "pre-vote" Switch = "false", Fixed("true", "pre-vote is always on"), "Ask before an election whether it could be won";
        "enable-v2" Switch = "true", Fixed("true", "the v2 API is always served"), "Serve the v2 API";
        "auto-compaction-retention" Text = "0", Used, "How much of the past v3 may read: hours or a time such as 30m, or revisions; 0 for what --history-… keep";
        "auto-compaction-mode" Text = "periodic", Used, "Unit of --auto-compaction-retention: periodic or revision";
        "force-new-cluster" Switch = "false", Used, "Make a new cluster of this member alone, with its data: only when the others are lost";
    }
    "Security" {
        "cert-file" Text = "", Used, "Certificate for clients, PEM; read again when it changes";
        "key-file" Text = "", Used, "Its key, PEM";
        "trusted-ca-file" Text = "", Used, "CAs that clients' certificates are checked against, PEM";
        "client-cert-auth" Switch = "false", Used, "Ask clients for a certificate; its CN is the user";
        "client-cert-allowed-hostname" Text = "", Used, "DNS name that clients' certificates must carry";
        "client-crl-file" Text = "", Used, "Revoked certificates of clients, PEM or DER";
        "auto-tls" Switch = "false", Used, "Serve clients by TLS with a certificate made at start";
        "peer-cert-file" Text = "", Used, "Certificate for members, as a server and as a client, PEM";
        "peer-key-file" Text = "", Used, "Its key, PEM";
        "peer-trusted-ca-file" Text = "", Used, "CAs that members' certificates are checked against, PEM";
        "peer-client-cert-auth" Switch = "false", Used, "Ask members for a certificate";
        "peer-cert-allowed-cn" Text = "", Used, "CN that members' certificates must have";
        "peer-cert-allowed-hostname" Text = "", Used, "DNS name that members' certificates must carry";
        "peer-crl-file" Text = "", Used, "Revoked certificates of members, PEM or DER";
        "peer-auto-tls" Switch = "false", Used, "Talk TLS among members with certificates made at start, which nobody checks";
        "tls-min-version" Text = "TLS1.2", Used, "Oldest version: TLS1.2 or TLS1.3";
        "tls-max-version" Text = "", Used, "Newest version: TLS1.2 or TLS1.3 [default: TLS1.3]";
        "cipher-suites" Text = "", Used, "Cipher suites of TLS, separated by commas [default: all safe ones]";
        "cors" Text = "*", Used, "Origins that browsers may call from, separated by commas; * for all";
        "host-whitelist" Text = "*", Used, "Names that clients without TLS may call this member by; * for all";
        "bcrypt-cost" Number = "10", Ignored("passwords are hashed with a cost of 10"), "Cost of a new password's hash";
        "auth-token" Text = "simple", FIXED, "Kind of tokens";
        "auth-token-ttl" Number = "300", FIXED, "Life of a token";
        "experimental-peer-skip-client-san-verification" Switch = "false", Ignored("a member's address is not compared with its certificate"), "Do not compare a member's address with its certificate";
    }
    "Logging and monitoring" {
        "log-level" Text = "info", Used, "debug, info, warn, error, panic or fatal";
        "debug" Switch = "false", Used, "The same as --log-level=debug";
        "log-outputs" Text = "default", ONE_LOG, "Where the log goes";
        "log-package-levels" Text = "", Ignored("there is one level, --log-level"), "Levels of single packages";
        "logger" Text = "capnslog", ONE_LOG, "Kind of log";
        "metrics" Text = "basic", Ignored("histograms are always there"), "Detail of /metrics";
        "listen-metrics-urls" Text = "", Used, "Further URLs at which only /metrics and /health are served";
        "enable-pprof" Switch = "false", Ignored("there is no profiler inside"), "Serve profiles";
        "experimental-warning-apply-duration" Duration = "100ms", Ignored("how long applying takes is in /metrics"), "Warn of requests that take longer";
    }
    "Proxy" {
        "proxy" Text = "off", Used, "on or readonly: be no member, forward clients to the members";
        "proxy-failure-wait" Number = "5000", Used, "Milliseconds until a member that failed is tried again";
        "proxy-refresh-interval" Number = "30000", Used, "Milliseconds between looks at the list of members";
        "proxy-dial-timeout" Number = "1000", Used, "Milliseconds a connection to a member may take";
        "proxy-write-timeout" Number = "5000", Used, "Milliseconds that sending a request to a member may stall; 0 for no limit";
        "proxy-read-timeout" Number = "0", Used, "Milliseconds that a member's answer may stall; 0, for watches, is no limit";
    }
    "kvd's own" {
        "config-file" Text = "", Used, "Settings as TOML, keys named as the flags [default: /etc/keelson/kvd.toml, if it is there]";
        "linearizable-reads" Switch = "false", Used, "Plain GET answers the newest state, as with ?quorum=true";
        "history-events" Number = "100000", Used, "Most events kept, for watches that resume and for reads of the past; 0 for no limit";
        "history-bytes" Number = "67108864", Used, "Most bytes of them";
        "history-age" Duration = "0s", Used, "Oldest of them; 0s for no limit";
        "max-connections" Number = "10000", Used, "Most connections of clients at once";
    }
    "Of etcd, without effect" {
        "experimental-initial-corrupt-check" Switch = "false", CHECKSUMS, "Compare members' data at start";
        "experimental-corrupt-check-time" Duration = "0s", CHECKSUMS, "Time between comparisons";
        "experimental-enable-v2v3" Text = "", Ignored("the v2 API has all keys, without a prefix"), "Prefix of v2 keys among v3 keys";
        "experimental-backend-bbolt-freelist-type" Text = "array", BACKEND, "Kind of free list";
        "experimental-enable-lease-checkpoint" Switch = "false", FIXED, "Keep leases' remaining time";
        "experimental-compaction-batch-limit" Number = "1000", FIXED, "Most revisions compacted at once";
        "experimental-watch-progress-notify-interval" Duration = "10m", FIXED, "Time between watches' progress reports";
    }
};
