//! `watch`: what changes in the cluster, as it happens.
//!
//! It goes on through a lost connection, and is ended by the user.

use std::time::Duration;

use fleet_api::{Event, EventRecord};
use jiff::Zoned;

use crate::connect::Session;
use crate::failure::Failure;
use crate::fields::or_dash;
use crate::names::mangle;
use crate::output::Output;

/// Between two attempts to connect.
const RETRY: Duration = Duration::from_secs(1);

/// Runs until it is ended.
pub(crate) async fn run(session: &Session<'_>, given: &[String]) -> Result<u8, Failure> {
    let names: Vec<String> = given.iter().map(|given| mangle(given)).collect();
    let mut is_first = true;
    loop {
        let mut events = match session.client()?.events().await {
            Ok(events) => events,
            Err(error) if !is_first && error.is_passing() => {
                tokio::time::sleep(RETRY).await;
                continue;
            }
            Err(error) if error.is_not_found() => {
                return Err(Failure::new(
                    "this fleetd tells no events: it is an older one",
                ));
            }
            Err(error) => return Err(error.into()),
        };
        is_first = false;
        let mut is_synced = false;
        while let Some(record) = events.next().await {
            match record {
                Ok(record) => {
                    is_synced |= record.event == Event::Synced;
                    print(session, &names, &record, is_synced).await?;
                }
                Err(error) => {
                    eprintln!("WARNING: {error}; connecting again");
                    break;
                }
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Text is for what changes only; JSON has what was there before, too.
async fn print(
    session: &Session<'_>,
    names: &[String],
    record: &EventRecord,
    is_synced: bool,
) -> Result<(), Failure> {
    let is_asked = names.is_empty()
        || unit_of(&record.event).is_some_and(|name| names.iter().any(|asked| asked == name));
    let is_text = session.output() == Output::Text;
    if !is_asked || (is_text && !is_synced) {
        return Ok(());
    }
    let text = if is_text {
        text(session, &record.event).await
    } else {
        String::new()
    };
    if !is_text || !text.is_empty() {
        let time = Zoned::now().strftime("%H:%M:%S").to_string();
        session.output().line(&format!("{time} {text}"), record)?;
    }
    Ok(())
}

fn unit_of(event: &Event) -> Option<&str> {
    match event {
        Event::Unit { unit } => Some(&unit.name),
        Event::UnitGone { name } | Event::StateGone { name, .. } => Some(name),
        Event::State { state } => Some(&state.name),
        Event::Machine { .. } | Event::MachineGone { .. } | Event::Synced => None,
    }
}

async fn text(session: &Session<'_>, event: &Event) -> String {
    match event {
        Event::Unit { unit } => {
            let state = |state: Option<fleet_model::State>| state.map_or("-", |one| one.as_str());
            let machine = if unit.machine_id.is_empty() {
                "no machine".to_owned()
            } else {
                session.machine_legend(&unit.machine_id, false).await
            };
            format!(
                "unit {}: wanted {}, is {}, {machine}",
                unit.name,
                state(unit.desired_state),
                state(unit.current_state)
            )
        }
        Event::UnitGone { name } => format!("unit {name}: destroyed"),
        Event::State { state } => {
            let text = format!(
                "unit {}: {} {} on {}",
                state.name,
                or_dash(&state.systemd_active_state),
                or_dash(&state.systemd_sub_state),
                session.machine_legend(&state.machine_id, false).await
            );
            match state.problem.as_str() {
                "" => text,
                problem => format!("{text}, which cannot run it: {problem}"),
            }
        }
        Event::StateGone { name, machine_id } => {
            let machine = session.machine_legend(machine_id, false).await;
            format!("unit {name}: gone from {machine}")
        }
        Event::Machine { machine } => format!(
            "machine {}: {}",
            crate::connect::legend(machine, false),
            machine.availability
        ),
        Event::MachineGone { id } => {
            format!("machine {}: gone", crate::connect::id_legend(id, false))
        }
        Event::Synced => String::new(),
    }
}
