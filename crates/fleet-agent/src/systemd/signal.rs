//! What a message from the bus says about units.
//!
//! Whether anybody wants to know of a unit is asked of the caller.

use std::collections::HashMap;
use std::fmt::Write as _;

use systemd_unit::UnitName;
use zbus::message::Type;
use zbus::{Message, OwnedObjectPath, Variant};

use super::{SystemdEvent, object_path};

/// What was heard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Something to be told.
    Event(SystemdEvent),
    /// systemd has connected again, and has to be asked for its signals again.
    NewSystemd,
}

/// Reads a message; nothing if it says nothing of interest.
pub(super) fn read(message: &Message, is_watched: impl Fn(&str) -> bool) -> Option<Signal> {
    if message.message_type() != Type::Signal {
        return None;
    }
    let header = message.header();
    match header.member()?.as_str() {
        "PropertiesChanged" => {
            let unit = object_path::unit_of(header.path()?.as_str())?;
            is_watched(&unit).then(|| changed(&unit, message))?
        }
        "JobRemoved" => job_ended(message, is_watched),
        "Reloading" => {
            let is_beginning: bool = message.body().deserialize().ok()?;
            (!is_beginning).then_some(Signal::Event(SystemdEvent::Renewed))
        }
        "NameOwnerChanged" => {
            let body = message.body();
            let (name, _, owner): (&str, &str, &str) = body.deserialize().ok()?;
            let is_back = name == "org.freedesktop.systemd1" && !owner.is_empty();
            is_back.then_some(Signal::NewSystemd)
        }
        _ => None,
    }
}

/// systemd sends all properties that can change whenever one did.
fn changed(unit: &str, message: &Message) -> Option<Signal> {
    let body = message.body();
    let (_, properties, _): (&str, HashMap<&str, Variant<'_>>, Vec<&str>) =
        body.deserialize().ok()?;
    Some(Signal::Event(SystemdEvent::Changed {
        unit: UnitName::new(unit).ok()?,
        active: text(properties.get("ActiveState")?)?,
        sub: text(properties.get("SubState")?)?,
        invocation: properties
            .get("InvocationID")
            .map(identity)
            .unwrap_or_default(),
    }))
}

fn job_ended(message: &Message, is_watched: impl Fn(&str) -> bool) -> Option<Signal> {
    let body = message.body();
    let (_, _, unit, result): (u32, OwnedObjectPath, &str, &str) = body.deserialize().ok()?;
    if !is_watched(unit) {
        return None;
    }
    Some(Signal::Event(SystemdEvent::JobEnded {
        unit: UnitName::new(unit).ok()?,
        result: result.to_owned(),
    }))
}

fn text(value: &Variant<'_>) -> Option<String> {
    match value {
        Variant::Str(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

/// An identity, which is an array of bytes.
fn identity(value: &Variant<'_>) -> String {
    let Variant::Array(bytes) = value else {
        return String::new();
    };
    let bytes = bytes.iter().filter_map(|byte| match byte {
        Variant::U8(byte) => Some(*byte),
        _ => None,
    });
    hexadecimal(&bytes.collect::<Vec<u8>>())
}

/// Two digits a byte.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT_INTERFACE: &str = "org.freedesktop.systemd1.Unit";

    fn properties_changed(path: &str) -> Message {
        let mut changed: HashMap<&str, Variant<'_>> = HashMap::new();
        changed.insert("ActiveState", Variant::from("active"));
        changed.insert("SubState", Variant::from("running"));
        changed.insert("InvocationID", Variant::from(vec![0x0a_u8, 0xff]));
        changed.insert("NeedDaemonReload", Variant::from(false));
        let interface = "org.freedesktop.DBus.Properties";
        let body = (UNIT_INTERFACE, changed, Vec::<&str>::new());
        let builder = Message::signal(path, interface, "PropertiesChanged");
        builder.build(&body).expect("a message")
    }

    fn manager(member: &str, body: &(impl serde::Serialize + zbus::DynamicType)) -> Message {
        let path = "/org/freedesktop/systemd1";
        let builder = Message::signal(path, "org.freedesktop.systemd1.Manager", member);
        builder.build(body).expect("a message")
    }

    fn hello() -> UnitName {
        UnitName::new("hello.service").expect("a name")
    }

    #[test]
    fn a_change_is_told_whole() {
        let message = properties_changed("/org/freedesktop/systemd1/unit/hello_2eservice");
        let expected = SystemdEvent::Changed {
            unit: hello(),
            active: "active".to_owned(),
            sub: "running".to_owned(),
            invocation: "0aff".to_owned(),
        };
        let found = read(&message, |unit| unit == "hello.service");
        assert_eq!(found, Some(Signal::Event(expected)));
        assert_eq!(read(&message, |_| false), None);
    }

    #[test]
    fn the_end_of_a_job_is_told() {
        let job = OwnedObjectPath::try_from("/org/freedesktop/systemd1/job/7").expect("a path");
        let message = manager("JobRemoved", &(7_u32, job, "hello.service", "canceled"));
        let expected = SystemdEvent::JobEnded {
            unit: hello(),
            result: "canceled".to_owned(),
        };
        assert_eq!(read(&message, |_| true), Some(Signal::Event(expected)));
        assert_eq!(read(&message, |_| false), None);
    }

    #[test]
    fn the_end_of_a_reload_is_told_and_its_beginning_is_not() {
        let renewed = Some(Signal::Event(SystemdEvent::Renewed));
        assert_eq!(read(&manager("Reloading", &(false,)), |_| true), renewed);
        assert_eq!(read(&manager("Reloading", &(true,)), |_| true), None);
    }
}
