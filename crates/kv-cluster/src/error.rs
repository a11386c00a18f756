//! Why a member cannot start, or cannot do what it was asked.
//!
//! Refusals of commands by the store's rules are not errors here: they are outcomes.
use std::path::PathBuf;

use crate::member::{ClusterId, MemberId};

/// Any error of a lower layer, kept as the source.
pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a member does not start. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A peer URL that is none.
    #[error("peer URL {url:?} is not of the form http://HOST:PORT or https://HOST:PORT")]
    PeerUrl {
        /// The URL.
        url: String,
    },
    /// A socket could not be opened.
    #[error("cannot listen on {url}")]
    Listen {
        /// The URL.
        url: String,
        /// Why.
        source: std::io::Error,
    },
    /// Two members of the initial list have one name.
    #[error("two members are named {name:?} in the initial cluster: give each its own name")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// Two members of the initial list have one URL.
    #[error("two members have the peer URL {url} in the initial cluster")]
    DuplicateUrl {
        /// The URL.
        url: String,
    },
    /// The initial list does not have this member, or with other URLs.
    #[error(
        "the initial cluster does not list {name:?} with the peer URLs {urls:?} that it advertises"
    )]
    NotInInitialCluster {
        /// This member's name.
        name: String,
        /// This member's URLs.
        urls: Vec<String>,
    },
    /// Another process answers at a member's URL with another name.
    #[error(
        "{url} is {found:?}, but the initial cluster lists {expected:?} there: two members with one URL, or one name used twice"
    )]
    OtherName {
        /// Where.
        url: String,
        /// Who should be there.
        expected: String,
        /// Who is there.
        found: String,
    },
    /// Two processes were started under one name.
    #[error(
        "a member named {name:?} is already being started elsewhere (seen by {url}): give this one another name, or stop the other"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// Who says so.
        url: String,
    },
    /// A peer was told another initial list or token.
    #[error(
        "{url} forms cluster {found}, this member would form {expected}: the initial cluster and token must be the same on all members"
    )]
    OtherInitialCluster {
        /// Where.
        url: String,
        /// This member's.
        expected: ClusterId,
        /// The peer's.
        found: ClusterId,
    },
    /// The data folder holds a member with another name.
    #[error(
        "{folder} belongs to member {found:?}, not {name:?}: use the folder of {name:?}, or start with the name {found:?}"
    )]
    OtherMember {
        /// The data folder.
        folder: PathBuf,
        /// Whose it is.
        found: String,
        /// Who was started.
        name: String,
    },
    /// The data folder holds a member of another cluster.
    #[error(
        "{folder} belongs to cluster {found}, but the initial cluster and token say {expected}: use an empty folder to form a new cluster"
    )]
    OtherCluster {
        /// The data folder.
        folder: PathBuf,
        /// Whose it is.
        found: ClusterId,
        /// What was asked for.
        expected: ClusterId,
    },
    /// The cluster knows a member of this name or URL that has run before, and this folder is empty.
    #[error(
        "the cluster at {url} has {name:?} as member {id}, which has run before, but the data folder is empty: a member must never come back without its log. Run `kvctl member replace {id} {peer_url}` and start again with --initial-cluster-state existing"
    )]
    LostData {
        /// Who says so.
        url: String,
        /// The member's name.
        name: String,
        /// Its id.
        id: MemberId,
        /// The URL for the command.
        peer_url: String,
    },
    /// The cluster does not know a member with these URLs.
    #[error(
        "the cluster at {url} was not told of a member with the peer URLs {peer_urls:?}. Run `kvctl member add {name} {first_url}` first"
    )]
    NotAdded {
        /// Who says so.
        url: String,
        /// This member's name.
        name: String,
        /// This member's URLs.
        peer_urls: Vec<String>,
        /// The first of them.
        first_url: String,
    },
    /// The cluster runs already, and was told of this member: it must join, not form another.
    #[error(
        "the cluster at {url} runs already and expects this member: start {name:?} with --initial-cluster-state existing"
    )]
    MustJoin {
        /// Who says so.
        url: String,
        /// This member's name.
        name: String,
    },
    /// The cluster has a member of that name already.
    #[error(
        "the cluster at {url} already has a member named {name:?} ({id}): give this one another name"
    )]
    NameInUse {
        /// Who says so.
        url: String,
        /// The name.
        name: String,
        /// The other member.
        id: MemberId,
    },
    /// This member was removed.
    #[error(
        "member {id} was removed from the cluster for good. To come back, delete {folder}, run `kvctl member add {name} URL` and start with --initial-cluster-state existing"
    )]
    Removed {
        /// This member.
        id: MemberId,
        /// Its name.
        name: String,
        /// Its data folder.
        folder: PathBuf,
    },
    /// To force a new cluster, there must be data.
    #[error("{folder} holds no member, so there is nothing to force a new cluster from")]
    NothingToForce {
        /// The data folder.
        folder: PathBuf,
    },
    /// The identity file cannot be used.
    #[error("cannot read or write the member's identity {path}")]
    Identity {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Source,
    },
    /// The log cannot be opened.
    #[error("cannot open the log in {folder}")]
    Log {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: Source,
    },
    /// The store cannot be opened.
    #[error("cannot open the store in {folder}")]
    Store {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: Source,
    },
    /// openraft does not start.
    #[error("replication does not start")]
    Raft(#[source] Source),
}

/// Why a command has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// No leader was elected in time. The command was not carried out.
    #[error("no leader")]
    NoLeader,
    /// The time was up before the command was put into the log. It was not carried out.
    #[error("request timed out")]
    TimedOut,
    /// The command may or may not be carried out: it was on its way when the leader was lost or the
    /// time was up.
    #[error("request timed out or lost its leader; it may have been carried out")]
    OutcomeUnknown,
    /// Too many commands wait already. It was not carried out.
    #[error("too many requests")]
    TooManyRequests,
    /// The command is larger than a request may be.
    #[error("request is too large: {bytes} bytes, at most {max}")]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// No room for it on the leader's disk. It was not carried out.
    #[error("no space left")]
    NoSpace,
    /// This member is stopping, has failed, or was removed.
    #[error("this member has stopped")]
    Stopped,
}

/// Why a read cannot be linearized.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader was elected in time.
    #[error("no leader")]
    NoLeader,
    /// The time was up: the leader could not reach a majority, or this member is too far behind.
    #[error("request timed out")]
    TimedOut,
    /// This member is stopping, has failed, or was removed.
    #[error("this member has stopped")]
    Stopped,
}

/// Why the membership is not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub enum MembershipError {
    /// No such member.
    #[error("member {0} is not in the cluster")]
    NotFound(MemberId),
    /// It was removed earlier.
    #[error("member {0} was permanently removed")]
    Removed(MemberId),
    /// A member has this URL.
    #[error("peer URL {url} belongs to member {id}")]
    UrlInUse {
        /// The URL.
        url: String,
        /// Whose it is.
        id: MemberId,
    },
    /// No URLs, or not URLs.
    #[error("no valid peer URLs")]
    InvalidUrls,
    /// A member has this name.
    #[error("the name {name:?} belongs to member {id}")]
    NameInUse {
        /// The name.
        name: String,
        /// Whose it is.
        id: MemberId,
    },
    /// Too few members answer for the cluster to go on after the change.
    #[error(
        "{healthy} of the {voters} voting members that would be left answer, {needed} are needed: start the others first"
    )]
    WouldLoseQuorum {
        /// Members that answer, of those left.
        healthy: usize,
        /// Voting members left.
        voters: usize,
        /// A majority of them.
        needed: usize,
    },
    /// It is the only voting member.
    #[error("{0} is the last voting member")]
    LastMember(MemberId),
    /// Another change is being made.
    #[error("another change of the membership is being made: try again")]
    InProgress,
    /// A member that ran before asks to join with an empty folder.
    #[error("member {0} has run before, with another data folder")]
    AlreadyStarted(MemberId),
    /// No leader.
    #[error("no leader")]
    NoLeader,
    /// It was not finished in time; it may be made yet.
    #[error("request timed out")]
    TimedOut,
    /// This member is stopping, has failed, or was removed.
    #[error("this member has stopped")]
    Stopped,
    /// It has a vote already.
    #[error("member {0} is no learner")]
    NotLearner(MemberId),
    /// It has not started, or lacks too much of the log.
    #[error("learner {0} has not caught up with the leader yet")]
    NotReady(MemberId),
}

/// Why no data folder was made of a snapshot. The place where it should be is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is something in the folder.
    #[error(
        "the data directory {} is not empty, {entry:?} is in it: name one that is empty or absent with --data-dir", .folder.display()
    )]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
        /// Something that is in it.
        entry: String,
    },
    /// Somebody else makes it, or was interrupted.
    #[error("{} is there already: wait for the other restore, or remove it if that one was interrupted", .folder.display())]
    Unfinished {
        /// The folder beside the place.
        folder: PathBuf,
    },
    /// The snapshot cannot be read.
    #[error("cannot read the backup {}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The snapshot ends too early.
    #[error("the backup {} is cut off after {frames} whole frames: copy it again, or use another", .file.display())]
    CutOff {
        /// The file.
        file: PathBuf,
        /// Frames that are whole.
        frames: u64,
    },
    /// The snapshot goes on after its end.
    #[error("the backup {} goes on after its end: it is not what was saved; copy it again, or use another", .file.display())]
    TooLong {
        /// The file.
        file: PathBuf,
    },
    /// The sum that was saved with the snapshot is not its sum.
    #[error("the backup {} is damaged, its SHA-256 is another: copy it again, or use another", .file.display())]
    WrongSum {
        /// The file.
        file: PathBuf,
    },
    /// The snapshot is not what was saved.
    #[error("the backup {} is damaged at frame {frame}, {reason}: copy it again, or use another", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The frame's number, from 0.
        frame: u64,
        /// What was found.
        reason: String,
    },
    /// The snapshot is of a later version.
    #[error("cannot read the backup {}", .file.display())]
    TooNew {
        /// The file.
        file: PathBuf,
        /// Which version.
        source: kv_store::InstallError,
    },
    /// The folder cannot be made or moved.
    #[error("cannot use the folder {}", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The snapshot cannot be stored.
    #[error("cannot restore into {}", .folder.display())]
    Store {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: kv_store::InstallError,
    },
    /// Log or identity cannot be made.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Why the leadership was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This member is not the leader.
    #[error("this member is not the leader")]
    NotLeader,
    /// No other voting member is there to take it.
    #[error("no other voting member to hand the leadership to")]
    NoTarget,
    /// The other did not take it in time.
    #[error("the leadership was not taken over in time")]
    TimedOut,
    /// This member is stopping or has failed.
    #[error("this member has stopped")]
    Stopped,
}
