//! Commands of a plan: a unit that runs them once, in order, with the network, at the end of the first boot.
//!
//! They are scripts in `/var`, which only root may read: they may hold secrets.

use provision_model::KeyPath;
use provision_model::plan::{Command, Plan};

use crate::contents::Bytes;
use crate::operation::{Attributes, FileWork, LinkKind, LinkWork, Operation};
use crate::prepare::Preparation;
use crate::root::Owner;
use crate::units::public_file;

const FOLDER: &str = "/var/lib/keelson/provision/commands";
const UNIT: &str = "/etc/systemd/system/first-boot-commands.service";
/// The target alone waits for nobody while the service is not enabled.
const NETWORK: &str = "network-online.target systemd-networkd-wait-online.service";
const WANTS: &str = "/etc/systemd/system/multi-user.target.wants/first-boot-commands.service";

/// Adds what the commands need.
pub(crate) fn add(plan: &Plan, preparation: &mut Preparation<'_>) {
    let Some(first) = plan.commands.first() else {
        return;
    };
    let mut paths = Vec::new();
    for (number, command) in (1..).zip(&plan.commands) {
        let path = format!("{FOLDER}/{number:02}");
        let text = script(&command.value);
        paths.extend(file(preparation, &path, &text, &command.key));
    }
    let unit = preparation.take_place(UNIT, &first.key);
    let wants = preparation.take_place(WANTS, &first.key);
    if let (Some(unit), Some(wants)) = (unit, wants) {
        let operations = &mut preparation.operations;
        operations.push(public_file(unit, &unit_text(&paths)));
        operations.push(Operation::Link(LinkWork {
            path: wants,
            kind: LinkKind::Symbolic(UNIT.to_owned()),
            attributes: Attributes::default(),
            replaces: true,
        }));
    }
}

fn file(
    preparation: &mut Preparation<'_>,
    path: &str,
    text: &str,
    key: &KeyPath,
) -> Option<String> {
    let path = preparation.take_place(path, key)?;
    preparation.operations.push(Operation::File(FileWork {
        path: path.clone(),
        bytes: Bytes::Whole(text.as_bytes().to_vec()),
        attributes: Attributes::fixed(0o700, Owner::default()),
        replaces: true,
    }));
    Some(path)
}

fn script(command: &Command) -> String {
    match command {
        Command::Script(text) => text.clone(),
        Command::Line(line) => format!("#!/bin/sh\n{line}\n"),
        Command::Words(words) => {
            let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
            format!("#!/bin/sh\nexec {}\n", words.join(" "))
        }
    }
}

/// For the shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// One that fails ends it, and is tried again with the next boot.
fn unit_text(paths: &[String]) -> String {
    let mut text = format!(
        "[Unit]\nDescription=Commands of the First Boot\nWants={NETWORK}\nAfter={NETWORK}\n\
         ConditionPathExists=!{FOLDER}/done\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\n"
    );
    for path in paths {
        text.extend(["ExecStart=", path, "\n"]);
    }
    text.extend(["ExecStart=/usr/bin/touch ", FOLDER, "/done\n"]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_program_as_they_are() {
        let words = ["echo", "a b", "it's", "$HOME"].map(str::to_owned).to_vec();
        let text = script(&Command::Words(words));
        let output = std::process::Command::new("sh")
            .args(["-c", &text])
            .output();
        assert_eq!(output.unwrap().stdout, b"a b it's $HOME\n");
        let line = script(&Command::Line("echo $((1+1))".to_owned()));
        let output = std::process::Command::new("sh")
            .args(["-c", &line])
            .output();
        assert_eq!(output.unwrap().stdout, b"2\n");
    }

    #[test]
    fn they_run_in_order_and_once() {
        let text = unit_text(&["/a/01".to_owned(), "/a/02".to_owned()]);
        let starts = "ExecStart=/a/01\nExecStart=/a/02\nExecStart=/usr/bin/touch";
        assert!(text.contains(starts), "{text}");
        assert!(text.contains("ConditionPathExists=!/var/lib/keelson/provision/commands/done\n"));
    }
}
