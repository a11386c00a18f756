//! What a unit's `[Install]` asks for, as `systemctl enable` reads it.
//!
//! Links are named, not made. Of the specifiers those are known that follow from the unit's name.

use systemd_unit::words::{Escapes, split};
use systemd_unit::{MergedUnit, NameKind, UnitName, assignment};

use super::find::ETC;

/// Kinds of dependencies and the folders of their links.
const DEPENDENCIES: &[(&str, &str)] = &[
    ("WantedBy", "wants"),
    ("RequiredBy", "requires"),
    ("UpheldBy", "upholds"),
];

/// What enabling comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Install {
    /// Paths of links below `/etc/systemd/system`; each leads to the unit's file.
    pub(super) links: Vec<String>,
    /// Of these, the unit's other names.
    pub(super) aliases: Vec<UnitName>,
    /// Units that are enabled along with it.
    pub(super) also: Vec<UnitName>,
}

/// Reads the section.
pub(super) fn read(name: &UnitName, unit: &MergedUnit) -> Result<Install, String> {
    let mut install = Install {
        links: Vec::new(),
        aliases: names(unit, "Alias", name)?,
        also: names(unit, "Also", name)?,
    };
    let has_dependencies = DEPENDENCIES
        .iter()
        .any(|(key, _)| !assignment::list(unit.assignments(), "Install", key).is_empty());
    let name = match instance(name, unit)? {
        Some(name) => name,
        None if has_dependencies => {
            return Err(format!(
                "{name} is a template without DefaultInstance: enable an instance of it"
            ));
        }
        None => name.clone(),
    };
    for alias in &install.aliases {
        if alias.unit_type() != name.unit_type() {
            return Err(format!(
                "{alias} cannot be another name of {name}: its type differs"
            ));
        }
        install.links.push(format!("{ETC}/{alias}"));
    }
    for (key, folder) in DEPENDENCIES {
        for target in names(unit, key, &name)? {
            let target = instance_of_same(&target, &name)?;
            install
                .links
                .push(format!("{ETC}/{target}.{folder}/{name}"));
        }
    }
    Ok(install)
}

/// What is enabled of a template: its default instance, if it has one.
fn instance(name: &UnitName, unit: &MergedUnit) -> Result<Option<UnitName>, String> {
    if name.kind() != NameKind::Template {
        return Ok(Some(name.clone()));
    }
    let default = assignment::last(unit.assignments(), "Install", "DefaultInstance");
    let Some(default) = default.filter(|default| !default.value.is_empty()) else {
        return Ok(None);
    };
    let default = expand(default.value, name)?;
    let instance = name.instantiate(&default);
    instance.map(Some).map_err(|error| error.to_string())
}

/// A template among targets takes the instance of what it shall want.
fn instance_of_same(target: &UnitName, name: &UnitName) -> Result<UnitName, String> {
    match (target.kind(), name.kind()) {
        (NameKind::Template, NameKind::Instance(instance)) => target
            .instantiate(instance)
            .map_err(|error| error.to_string()),
        _ => Ok(target.clone()),
    }
}

fn names(unit: &MergedUnit, key: &str, name: &UnitName) -> Result<Vec<UnitName>, String> {
    let mut found = Vec::new();
    for assignment in assignment::list(unit.assignments(), "Install", key) {
        let words = split(assignment.value, Escapes::Keep);
        for word in words.map_err(|error| format!("{key}= of {name}: {error}"))? {
            let word = expand(&word, name)?;
            let other = UnitName::new(word);
            found.push(other.map_err(|error| format!("{key}= of {name}: {error}"))?);
        }
    }
    Ok(found)
}

/// Specifiers replaced by what they stand for.
fn expand(text: &str, name: &UnitName) -> Result<String, String> {
    let instance = match name.kind() {
        NameKind::Instance(instance) => instance,
        NameKind::Plain | NameKind::Template => "",
    };
    let mut expanded = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            expanded.push(character);
            continue;
        }
        match characters.next() {
            Some('%') => expanded.push('%'),
            Some('n') => expanded.push_str(name.as_str()),
            Some('N') => expanded.push_str(name.without_type()),
            Some('p') => expanded.push_str(name.prefix()),
            Some('i') => expanded.push_str(instance),
            Some('j') => {
                let prefix = name.prefix();
                expanded.push_str(prefix.rsplit('-').next().unwrap_or(prefix));
            }
            other => {
                let other = other.map_or_else(String::new, String::from);
                return Err(format!(
                    "the specifier %{other} in [Install] of {name} is not supported"
                ));
            }
        }
    }
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use systemd_unit::UnitFile;

    use super::*;

    fn install(name: &str, text: &str) -> Result<Install, String> {
        let name = UnitName::new(name).unwrap();
        let unit = UnitFile::parse(format!("[Install]\n{text}")).unwrap();
        read(&name, &MergedUnit::new(&name, unit, &[]).unwrap())
    }

    fn links(name: &str, text: &str) -> Vec<String> {
        let links = install(name, text).unwrap().links;
        let short = |link: &String| link.trim_start_matches(ETC).to_owned();
        links.iter().map(short).collect()
    }

    #[test]
    fn links_of_every_kind() {
        let text = "WantedBy=a.target b.target\nRequiredBy=c.target\nUpheldBy=d.service\nAlias=other.service\n";
        assert_eq!(
            links("x.service", text),
            [
                "/other.service",
                "/a.target.wants/x.service",
                "/b.target.wants/x.service",
                "/c.target.requires/x.service",
                "/d.service.upholds/x.service",
            ]
        );
        assert_eq!(
            links("x.service", "WantedBy=a.target\nWantedBy=\n"),
            [""; 0]
        );
    }

    #[test]
    fn templates_are_enabled_by_instance() {
        let text = "WantedBy=a.target\nDefaultInstance=tty1\n";
        assert_eq!(
            links("x@.service", text),
            ["/a.target.wants/x@tty1.service"]
        );
        assert_eq!(links("x@2.service", text), ["/a.target.wants/x@2.service"]);
        let text = "WantedBy=on@.target %p-%i.target\n";
        assert_eq!(
            links("x@2.service", text),
            [
                "/on@2.target.wants/x@2.service",
                "/x-2.target.wants/x@2.service"
            ]
        );
        let error = install("x@.service", "WantedBy=a.target\n").unwrap_err();
        assert!(error.contains("without DefaultInstance"), "{error}");
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (text, complaint) in [
            ("Alias=x.socket\n", "its type differs"),
            ("WantedBy=%H.target\n", "the specifier %H"),
            ("WantedBy=a\n", "WantedBy= of x.service"),
        ] {
            let error = install("x.service", text).unwrap_err();
            assert!(error.contains(complaint), "{error}");
        }
        let also = install("x.service", "Also=x.socket\n").unwrap().also;
        assert_eq!(also, [UnitName::new("x.socket").unwrap()]);
    }
}
