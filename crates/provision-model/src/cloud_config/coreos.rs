//! The section `coreos`: units, and settings of etcd, fleet and updates.
//!
//! kvd and fleetd read etcd's and fleet's names, so that their settings go to the units' environment as
//! coreos-cloudinit put them.

use std::collections::BTreeMap;

use systemd_unit::{UnitName, words};

use super::Reading;
use super::keys::{CoreOs, Unit as UnitKeys, Update, Word};
use crate::key_path::KeyPath;
use crate::plan::{Contents, DropIn, Enablement, File, Node, Overwrite, Stated, Unit, Writing};

/// The drop-in with settings of a daemon, as coreos-cloudinit named it.
const DROP_IN: &str = "20-cloudinit.conf";
/// Where updaterd reads its settings.
const UPDATE_SETTINGS: &str = "/etc/keelson/update.toml";

impl Reading<'_> {
    pub(super) fn coreos(&mut self, coreos: CoreOs, key: &KeyPath) {
        for (index, one) in coreos.units.into_iter().enumerate() {
            self.unit(one, key.key("units").index(index));
        }
        self.environment("kvd.service", "ETCD_", coreos.etcd, key.key("etcd"));
        self.environment("kvd.service", "ETCD_", coreos.etcd2, key.key("etcd2"));
        self.environment("fleetd.service", "FLEET_", coreos.fleet, key.key("fleet"));
        if let Some(update) = coreos.update {
            self.update(&update, key.key("update"));
        }
    }

    fn unit(&mut self, one: UnitKeys, key: KeyPath) {
        let name = match UnitName::new(here(&one.name)) {
            Ok(name) => name,
            Err(error) => return self.problem(&key.key("name"), error.to_string()),
        };
        if one.runtime {
            let text = "not supported: a unit that is gone with the reboot would not be made again";
            self.problem(&key.key("runtime"), text);
        }
        let is_started = match one.command.as_deref() {
            None => false,
            Some("start" | "restart" | "reload" | "try-restart" | "reload-or-restart") => true,
            Some(other) => {
                let text = format!("{other:?} is not supported: start is");
                return self.problem(&key.key("command"), text);
            }
        };
        let enablement = match (one.mask, one.enable, is_started) {
            (true, ..) => Enablement::Masked,
            (_, _, true) => Enablement::Wanted,
            (_, Some(true), _) => Enablement::Enabled,
            (_, Some(false), _) => Enablement::Disabled,
            (_, None, _) => Enablement::Preset,
        };
        let drop_ins = one.drop_ins.into_iter().map(|one| DropIn {
            name: one.name,
            contents: one.content,
        });
        let unit = Unit {
            name,
            contents: one.content,
            enablement,
            drop_ins: drop_ins.collect(),
        };
        self.plan.units.push(Stated::new(unit, key));
    }

    /// Settings as variables of a unit's environment; several go to one unit.
    fn environment(
        &mut self,
        unit: &str,
        prefix: &str,
        settings: BTreeMap<String, Word>,
        key: KeyPath,
    ) {
        if settings.is_empty() {
            return;
        }
        let mut contents = "[Service]\n".to_owned();
        for (name, value) in settings {
            let name = name.replace('-', "_").to_ascii_uppercase();
            // A percent sign would begin a specifier.
            let value = value.to_string().replace('%', "%%");
            let word = words::quote(&format!("{prefix}{name}={value}"));
            contents.push_str("Environment=");
            contents.push_str(&word);
            contents.push('\n');
        }
        let name = DROP_IN.to_owned();
        let drop_in = DropIn { name, contents };
        let units = &mut self.plan.units;
        if let Some(known) = units.iter_mut().find(|one| one.value.name.as_str() == unit) {
            known.value.drop_ins.push(drop_in);
        } else if let Ok(name) = UnitName::new(unit) {
            let unit = Unit {
                name,
                contents: None,
                enablement: Enablement::Preset,
                drop_ins: vec![drop_in],
            };
            units.push(Stated::new(unit, key));
        }
    }

    fn update(&mut self, update: &Update, key: KeyPath) {
        let mut settings = toml::Table::new();
        if let Some(strategy) = &update.reboot_strategy {
            let strategy = match strategy.to_string().as_str() {
                "reboot" => "immediate",
                // YAML 1.1 takes `off` for a boolean.
                "off" | "false" => "manual",
                other => {
                    let text = format!("{other:?} is not supported: reboot or off");
                    return self.problem(&key.key("reboot-strategy"), text);
                }
            };
            settings.insert("reboot".to_owned(), strategy.into());
        }
        if let Some(group) = &update.group {
            settings.insert("channel".to_owned(), group.as_str().into());
        }
        if let Some(server) = &update.server {
            settings.insert("sources".to_owned(), vec![server.as_str()].into());
        }
        let file = File {
            node: Node {
                overwrite: Overwrite::Replace,
                ..Node::new(UPDATE_SETTINGS)
            },
            mode: None,
            writing: Writing::Whole(Contents::inline(settings.to_string())),
        };
        self.plan.files.push(Stated::new(file, key));
    }
}

/// The image's unit for one of CoreOS' daemons; any other name stays.
fn here(name: &str) -> &str {
    match name {
        "etcd.service" | "etcd2.service" => "kvd.service",
        "fleet.service" => "fleetd.service",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::Enablement;
    use crate::{Configuration, Variables, parse};

    #[test]
    fn variables_are_coreos_own_and_a_script_may_have_others() {
        let text = "#cloud-config\ncoreos:\n  etcd2:\n    advertise-client-urls: http://$private_ipv4:2379\n\
                    write_files:\n- path: /etc/a\n  content: \"$private_ipv4 $HOME\"\n";
        let mut variables = Variables::default();
        let problems = Configuration::parse(text.as_bytes(), variables.clone()).unwrap_err();
        let [problem] = &problems[..] else {
            panic!("{problems:?}");
        };
        let place = "4:5: coreos.etcd2.advertise-client-urls: $private_ipv4 is not known";
        assert!(problem.to_string().starts_with(place), "{problem}");
        variables.set("private_ipv4", "10.0.0.7");
        let plan = Configuration::parse(text.as_bytes(), variables)
            .unwrap()
            .plan;
        let contents = &plan.units[0].value.drop_ins[0].contents;
        assert!(contents.contains("ETCD_ADVERTISE_CLIENT_URLS=http://10.0.0.7:2379"));
        let file = format!("{:?}", plan.files[0].value);
        let bytes = format!("{:?}", b"10.0.0.7 $HOME");
        assert!(file.contains(&bytes), "{file}");
    }

    #[test]
    fn a_daemon_of_coreos_is_ours_with_its_settings() {
        let text = "#cloud-config\ncoreos:\n  etcd2:\n    name: a%b\n  units:\n  - name: etcd2.service\n    command: start\n";
        let (_, plan) = parse(text.as_bytes()).unwrap();
        let [unit] = &plan.units[..] else {
            panic!("one unit: {:?}", plan.units);
        };
        assert_eq!(unit.value.name.as_str(), "kvd.service");
        assert_eq!(unit.value.enablement, Enablement::Wanted);
        let [drop_in] = &unit.value.drop_ins[..] else {
            panic!("one drop-in");
        };
        assert_eq!(drop_in.contents, "[Service]\nEnvironment=ETCD_NAME=a%%b\n");
    }
}
