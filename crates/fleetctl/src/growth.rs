//! Instances that run in addition while the others are updated, so that never fewer run than before.
//!
//! They have the new file and names of their own, and are destroyed when the update is over.

use fleet_api::Unit;
use fleet_model::State;
use serde_json::json;

use crate::arguments::Update;
use crate::connect::Session;
use crate::failure::Failure;
use crate::names::template;
use crate::update::{put, renamed};
use crate::well::wait_well;

/// The additional instances; there may be none.
#[derive(Debug)]
pub(crate) struct Growth {
    units: Vec<Unit>,
}

impl Growth {
    /// As many as are asked for, and no more than units that run. Nothing is started yet.
    ///
    /// # Errors
    /// If the units are not instances of one template, or the server cannot be asked.
    pub(crate) async fn new(
        session: &Session<'_>,
        update: &Update,
        local: &Unit,
        updated: &[Unit],
    ) -> Result<Self, Failure> {
        let running = updated
            .iter()
            .filter(|unit| unit.desired_state == Some(State::Launched));
        let count = update.max_growth.min(running.count());
        if count == 0 {
            return Ok(Self { units: Vec::new() });
        }
        let template = common_template(updated).ok_or_else(|| {
            Failure::new(
                "--max-growth is for the instances of one template: others have one name each",
            )
        })?;
        let known = session.client()?.units().await;
        let known = known.map_err(Failure::on(
            "Error retrieving list of units from repository",
        ))?;
        let is_free = |name: &String| !known.iter().any(|unit| unit.name == *name);
        let names = (1..).map(|number| instance(&template, number));
        let unit = |name: String| Unit {
            desired_state: Some(State::Launched),
            ..renamed(local, &name, None)
        };
        let units = names.filter(is_free).take(count).map(unit).collect();
        Ok(Self { units })
    }

    /// Starts them, and waits until they are well; why one is not.
    ///
    /// # Errors
    /// If the server refuses one.
    pub(crate) async fn start(
        &self,
        session: &Session<'_>,
        update: &Update,
    ) -> Result<Result<(), String>, Failure> {
        for unit in &self.units {
            put(session, unit).await?;
        }
        for unit in &self.units {
            if let Err(why) = wait_well(session, unit, None, update).await? {
                return Ok(Err(format!("Unit {} did not come up: {why}", unit.name)));
            }
            let value = json!({"name": unit.name, "added": true});
            let text = format!("Unit {} added for the time being", unit.name);
            session.output().line(&text, &value)?;
        }
        Ok(Ok(()))
    }

    /// Destroys them.
    ///
    /// # Errors
    /// If the server cannot be asked: then they are there still, and the error names one.
    pub(crate) async fn end(&self, session: &Session<'_>) -> Result<(), Failure> {
        for unit in &self.units {
            let deleted = session.client()?.delete_unit(&unit.name).await;
            deleted.map_err(Failure::on(format!("Error destroying unit {}", unit.name)))?;
            let value = json!({"name": unit.name, "destroyed": true});
            session
                .output()
                .line(&format!("Destroyed {}", unit.name), &value)?;
        }
        Ok(())
    }
}

/// The template that all units are instances of.
fn common_template(units: &[Unit]) -> Option<String> {
    let first = template(&units.first()?.name)?;
    let is_same = |unit: &Unit| template(&unit.name).as_ref() == Some(&first);
    units.iter().all(is_same).then_some(first)
}

/// `web@growth-1.service` of `web@.service`
fn instance(template: &str, number: usize) -> String {
    template.replacen("@.", &format!("@growth-{number}."), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(names: &[&str]) -> Vec<Unit> {
        let unit = |name: &&str| Unit {
            name: (*name).to_owned(),
            ..Unit::default()
        };
        names.iter().map(unit).collect()
    }

    #[test]
    fn only_instances_of_one_template_can_be_more() {
        let found = common_template(&units(&["a@1.service", "a@2.service"]));
        assert_eq!(found.as_deref(), Some("a@.service"));
        assert_eq!(instance("a@.service", 2), "a@growth-2.service");
        assert_eq!(
            common_template(&units(&["a@1.service", "b@1.service"])),
            None
        );
        assert_eq!(common_template(&units(&["a.service"])), None);
        assert_eq!(common_template(&[]), None);
    }
}
