//! Which command is carried out where.
//!
//! Nothing is done here itself, but for the version.

use crate::arguments::{Arguments, Command};
use crate::connect::Session;
use crate::failure::Failure;
use crate::{
    apply, change, completions, explain, files, forward, journal, list, machines, moving, shell,
    status, top, update, verify, watch,
};

/// Carries out a command; what fleetctl exits with.
pub(crate) async fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let session = Session::new(&arguments.global);
    match &arguments.command {
        Command::ListUnits(list) => list::units(&session, list).await,
        Command::ListUnitFiles(list) => list::unit_files(&session, list).await,
        Command::ListMachines(list) => list::machines(&session, list).await,
        Command::Submit(change) => change::submit(&session, change).await,
        Command::Load(change) => change::load(&session, change).await,
        Command::Start(change) => change::start(&session, change).await,
        Command::Stop(change) => change::stop(&session, change).await,
        Command::Unload(change) => change::unload(&session, change).await,
        Command::Restart(change) => change::restart(&session, change).await,
        Command::Destroy(change) => change::destroy(&session, change).await,
        Command::Cat { unit } => files::cat(&session, unit).await,
        Command::Status(status) => status::run(&session, status).await,
        Command::Journal(journal) => journal::run(&session, journal).await,
        Command::Ssh(shell) => shell::run(&session, shell).await,
        Command::FdForward { socket } => forward::run(socket).await,
        Command::Verify { .. } => verify::run(),
        Command::Version => version(&session),
        Command::Explain { unit } => explain::run(&session, unit).await,
        Command::Cordon(change) => machines::cordon(&session, change).await,
        Command::Uncordon(change) => machines::uncordon(&session, change).await,
        Command::Drain(drain) => machines::drain(&session, drain).await,
        Command::Move(change) => moving::run(&session, change).await,
        Command::Top(top) => top::run(&session, top).await,
        Command::Watch { unit } => watch::run(&session, unit).await,
        Command::Apply(apply) => apply::run(&session, apply).await,
        Command::Update(update) => update::run(&session, update).await,
        Command::Completions { shell } => completions::print(*shell),
    }
}

fn version(session: &Session<'_>) -> Result<u8, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    session.output().line(
        &format!("fleetctl version {version}"),
        &serde_json::json!({ "version": version }),
    )?;
    Ok(0)
}
