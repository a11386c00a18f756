//! What holds for every plan, whatever format it came from.
//!
//! What depends on the machine (a user that is there with another id, a unit the image does not have) is
//! for whoever applies the plan.

mod accounts;
mod disks;
mod names;
mod paths;
mod units;

pub use names::is_hostname;
pub use paths::why_not_at;

use crate::key_path::KeyPath;
use crate::plan::{Command, Contents, Plan, Source};
use crate::problem::Problem;

/// All that is wrong with a plan; none is right.
pub fn check(plan: &Plan) -> Vec<Problem> {
    let mut problems = Problems::default();
    check_names(plan, &mut problems);
    accounts::check(plan, &mut problems);
    disks::check(plan, &mut problems);
    paths::check(plan, &mut problems);
    units::check(plan, &mut problems);
    check_contents(plan, &mut problems);
    for command in &plan.commands {
        if matches!(&command.value, Command::Words(words) if words.is_empty()) {
            problems.add(&command.key, "a command has at least the program's name");
        }
    }
    problems.0
}

/// As they are found.
#[derive(Debug, Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, key: &KeyPath, text: impl Into<String>) {
        self.0.push(Problem::new(key.clone(), text));
    }
}

fn check_names(plan: &Plan, problems: &mut Problems) {
    if let Some(name) = &plan.hostname
        && !names::is_hostname(&name.value)
    {
        let text = format!(
            "{:?} is no host name: up to 64 letters, digits and hyphens, dots in between",
            name.value
        );
        problems.add(&name.key, text);
    }
    if let Some(zone) = &plan.time_zone
        && !names::is_time_zone(&zone.value)
    {
        let text = format!("{:?} is no time zone, such as Europe/Berlin", zone.value);
        problems.add(&zone.key, text);
    }
}

/// Bytes that are in the configuration itself can be judged now.
fn check_contents(plan: &Plan, problems: &mut Problems) {
    let files = plan.files.iter();
    let files = files.flat_map(|file| file.value.writing.parts().map(|part| (&file.key, part)));
    let includes = plan
        .includes
        .iter()
        .map(|one| (&one.key, &one.value.contents));
    let authorities = plan.fetching.authorities.iter();
    let authorities = authorities.map(|one| (&one.key, &one.value));
    for (key, contents) in files.chain(includes).chain(authorities) {
        check_inline(contents, key, problems);
    }
}

fn check_inline(contents: &Contents, key: &KeyPath, problems: &mut Problems) {
    if let Source::Inline(bytes) = &contents.source
        && let Err(error) = contents.open(bytes)
    {
        problems.add(key, error.to_string());
    }
}
