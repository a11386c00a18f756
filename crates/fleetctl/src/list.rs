//! `list-units`, `list-unit-files`, `list-machines`: fleetctl's columns, and a few more.
//!
//! The order is the server's: by name, then by machine.

use fleet_api::{Machine, Unit, UnitState};

use crate::arguments::List;
use crate::connect::{Session, id_legend};
use crate::failure::Failure;
use crate::fields::{choose, or_dash, short_hash};
use crate::output::Output;
use crate::table::Table;

const UNIT_COLUMNS: &[&str] = &[
    "unit",
    "load",
    "active",
    "sub",
    "machine",
    "hash",
    "invocation",
    "problem",
];
const UNIT_COLUMNS_USUAL: &str = "unit,machine,active,sub";
const FILE_COLUMNS: &[&str] = &[
    "unit", "hash", "dstate", "state", "target", "tmachine", "global", "desc",
];
const FILE_COLUMNS_USUAL: &str = "unit,hash,dstate,state,target";
const MACHINE_COLUMNS: &[&str] = &["machine", "ip", "metadata", "availability", "version"];
const MACHINE_COLUMNS_USUAL: &str = "machine,ip,metadata";

/// `list-units`
pub(crate) async fn units(session: &Session<'_>, list: &List) -> Result<u8, Failure> {
    let columns = choose(list.fields.as_deref(), UNIT_COLUMNS_USUAL, UNIT_COLUMNS)?;
    let states = session.client()?.states(None).await;
    let mut states = states.map_err(Failure::on(
        "Error retrieving list of units from repository",
    ))?;
    states.sort_by(|a, b| (&a.name, &a.machine_id).cmp(&(&b.name, &b.machine_id)));
    let mut table = Table::new(&columns, !list.no_legend);
    for state in &states {
        let mut row = Vec::new();
        for column in &columns {
            row.push(unit_cell(session, state, column, list.full).await);
        }
        table.push(row);
    }
    session.output().list(&table, &states)?;
    if session.output() == Output::Text && !columns.contains(&"problem") {
        warn_of_problems(session, &states).await;
    }
    Ok(0)
}

/// The columns are fleet's: whoever reads them shall not find a problem there.
async fn warn_of_problems(session: &Session<'_>, states: &[UnitState]) {
    for state in states.iter().filter(|state| !state.problem.is_empty()) {
        let machine = session.machine_legend(&state.machine_id, false).await;
        let (name, problem) = (&state.name, &state.problem);
        eprintln!("WARNING: {machine} cannot run {name}: {problem}");
    }
}

async fn unit_cell(session: &Session<'_>, state: &UnitState, column: &str, full: bool) -> String {
    match column {
        "unit" => state.name.clone(),
        "load" => or_dash(&state.systemd_load_state),
        "active" => or_dash(&state.systemd_active_state),
        "sub" => or_dash(&state.systemd_sub_state),
        "problem" => or_dash(&state.problem),
        "invocation" => or_dash(&state.systemd_invocation_id),
        "machine" if state.machine_id.is_empty() => "-".to_owned(),
        "machine" => session.machine_legend(&state.machine_id, full).await,
        _ => short_hash(&state.hash, full),
    }
}

/// `list-unit-files`
pub(crate) async fn unit_files(session: &Session<'_>, list: &List) -> Result<u8, Failure> {
    let columns = choose(list.fields.as_deref(), FILE_COLUMNS_USUAL, FILE_COLUMNS)?;
    if columns.contains(&"tmachine") {
        eprintln!("WARNING: The \"tmachine\" field is deprecated. Use \"target\" instead");
    }
    let units = session.client()?.units().await;
    let mut units = units.map_err(Failure::on(
        "Error retrieving list of units from repository",
    ))?;
    units.sort_by(|a, b| a.name.cmp(&b.name));
    let mut table = Table::new(&columns, !list.no_legend);
    for unit in &units {
        let mut row = Vec::new();
        for column in &columns {
            row.push(file_cell(session, unit, column, list.full).await);
        }
        table.push(row);
    }
    session.output().list(&table, &units)?;
    Ok(0)
}

async fn file_cell(session: &Session<'_>, unit: &Unit, column: &str, full: bool) -> String {
    match column {
        "unit" => unit.name.clone(),
        "hash" => short_hash(&unit.hash().unwrap_or_default(), full),
        "dstate" => unit
            .desired_state
            .map_or("-", |state| state.as_str())
            .to_owned(),
        "state" if unit.is_global() => "-".to_owned(),
        "state" => unit
            .current_state
            .map_or("-", |state| state.as_str())
            .to_owned(),
        "global" => unit.is_global().to_string(),
        "desc" => or_dash(unit.description()),
        _ if unit.is_global() => "global".to_owned(),
        _ if unit.machine_id.is_empty() => "-".to_owned(),
        _ => session.machine_legend(&unit.machine_id, full).await,
    }
}

/// `list-machines`
pub(crate) async fn machines(session: &Session<'_>, list: &List) -> Result<u8, Failure> {
    let columns = choose(
        list.fields.as_deref(),
        MACHINE_COLUMNS_USUAL,
        MACHINE_COLUMNS,
    )?;
    let machines = session.client()?.machines().await;
    let mut machines = machines.map_err(Failure::on("Error retrieving list of active machines"))?;
    machines.sort_by(|a, b| a.id.cmp(&b.id));
    let mut table = Table::new(&columns, !list.no_legend);
    for machine in &machines {
        let row = columns
            .iter()
            .map(|column| machine_cell(machine, column, list.full));
        table.push(row.collect());
    }
    session.output().list(&table, &machines)?;
    Ok(0)
}

fn machine_cell(machine: &Machine, column: &str, full: bool) -> String {
    match column {
        "machine" => id_legend(&machine.id, full),
        "ip" => or_dash(&machine.primary_ip),
        "availability" => machine.availability.to_string(),
        "version" => or_dash(&machine.version),
        _ => {
            let pairs = machine.metadata.iter();
            let pairs: Vec<String> = pairs.map(|(key, value)| format!("{key}={value}")).collect();
            or_dash(&pairs.join(","))
        }
    }
}
