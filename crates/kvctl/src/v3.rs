//! The commands of etcd's v3 API: etcdctl 3's commands with its flags, output and exit codes.
//!
//! It works against kvd and against any other server with etcd's v3 API.
mod access;
pub(crate) mod arguments;
mod contention;
mod endpoint;
pub(crate) mod failure;
mod keys;
mod lease;
mod maintenance;
mod member;
mod message;
mod output;
mod quote;
mod session;
mod transaction;
mod watch;

use std::process::ExitCode;

use crate::v3::arguments::{Arguments, Command};
use crate::v3::failure::Failure;
use crate::v3::output::Style;

pub(crate) async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let global = &arguments.global;
    let style = Style::new(global)?;
    match &arguments.command {
        Command::Get(get) => keys::get(global, style, get).await?,
        Command::Put(put) => keys::put(global, style, put).await?,
        Command::Del(del) => keys::del(global, style, del).await?,
        Command::Txn(txn) => transaction::run(global, style, txn).await?,
        Command::Watch(watch) => watch::run(global, style, watch).await?,
        Command::Compaction {
            arguments,
            physical,
        } => keys::compact(global, arguments, *physical).await?,
        Command::Lease(command) => lease::run(global, style, command).await?,
        Command::Lock(lock) => return contention::lock(global, style, lock).await,
        Command::Elect(elect) => return contention::elect(global, style, elect).await,
        Command::Member(command) => member::run(global, style, command).await?,
        Command::Endpoint(command) => endpoint::run(global, style, *command).await?,
        Command::MoveLeader { arguments } => {
            maintenance::move_leader(global, style, arguments).await?;
        }
        Command::Alarm(command) => maintenance::alarm(global, style, *command).await?,
        Command::Defrag { cluster } => maintenance::defragment(global, *cluster).await?,
        Command::Snapshot(command) => maintenance::snapshot(global, command).await?,
        Command::User(command) => access::user(global, style, command).await?,
        Command::Role(command) => access::role(global, style, command).await?,
        Command::Auth(command) => access::auth(global, *command).await?,
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            crate::print::line(&format!("kvctl version: {version}\nAPI version: 3.4"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
