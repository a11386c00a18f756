//! Copies of `/sys/class/net` and networkd's state files.
use super::*;
use std::fs;

struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.interface("lo", 1);
        machine.state(1, "unmanaged", "carrier");
        machine
    }

    fn interface(&self, name: &str, index: u32) {
        let folder = self.0.path().join("sys/class/net").join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("ifindex"), format!("{index}\n")).unwrap();
    }

    fn hardware(&self, name: &str, index: u32) {
        self.interface(name, index);
        fs::create_dir(
            self.0
                .path()
                .join("sys/class/net")
                .join(name)
                .join("device"),
        )
        .unwrap();
    }

    fn state(&self, index: u32, administrative: &str, operational: &str) {
        let folder = self.0.path().join("run/systemd/netif/links");
        fs::create_dir_all(&folder).unwrap();
        let text = format!(
            "# This is private data. Do not parse.\nADMIN_STATE={administrative}\n\
             OPER_STATE={operational}\nCARRIER_STATE=carrier\nADDRESS_STATE=routable\n\
             ONLINE_STATE=online\nREQUIRED_FOR_ONLINE=yes\n"
        );
        fs::write(folder.join(index.to_string()), text).unwrap();
    }

    fn judged(&self) -> NetworkState {
        NetworkState::read(&SystemRoot::new(self.0.path())).unwrap()
    }
}

#[test]
fn a_machine_without_hardware_needs_no_network() {
    let machine = Machine::new();
    assert_eq!(machine.judged(), NetworkState::NoInterfaces);
    machine.interface("docker0", 5);
    machine.state(5, "unmanaged", "no-carrier");
    fs::write(machine.0.path().join("sys/class/net/bonding_masters"), "").unwrap();
    assert_eq!(machine.judged(), NetworkState::NoInterfaces);
}

#[test]
fn a_card_whose_driver_is_not_loaded_yet_is_waited_for() {
    let machine = Machine::new();
    let queue = machine.0.path().join("run/udev/queue");
    fs::create_dir_all(queue.parent().unwrap()).unwrap();
    fs::write(&queue, "").unwrap();
    let expected = "devices are still being looked for".to_owned();
    assert_eq!(machine.judged(), NetworkState::Pending(expected));
    fs::remove_file(queue).unwrap();
    assert_eq!(machine.judged(), NetworkState::NoInterfaces);
}

#[test]
fn a_link_is_waited_for_until_it_is_configured() {
    let machine = Machine::new();
    machine.hardware("eth0", 2);
    let pending = |text: &str| NetworkState::Pending(text.to_owned());
    assert_eq!(
        machine.judged(),
        pending("eth0 is unknown to systemd-networkd")
    );
    machine.state(2, "configuring", "degraded");
    assert_eq!(machine.judged(), pending("eth0 is configuring (degraded)"));
    machine.state(2, "configured", "no-carrier");
    assert_eq!(machine.judged(), pending("eth0 is configured (no-carrier)"));
    machine.state(2, "configuring", "routable");
    assert_eq!(machine.judged(), NetworkState::Configured);
    machine.state(2, "configured", "degraded");
    assert_eq!(machine.judged(), NetworkState::Configured);
    machine.state(2, "configured", "routable");
    assert_eq!(machine.judged(), NetworkState::Configured);
}

#[test]
fn one_working_link_is_enough() {
    let machine = Machine::new();
    machine.hardware("eth0", 2);
    machine.hardware("eth1", 3);
    machine.state(2, "configured", "routable");
    machine.state(3, "configuring", "no-carrier");
    assert_eq!(machine.judged(), NetworkState::Configured);
}

#[test]
fn a_link_that_failed_is_never_overlooked() {
    let machine = Machine::new();
    machine.hardware("eth0", 2);
    machine.hardware("eth1", 3);
    machine.state(2, "configured", "routable");
    machine.state(3, "failed", "carrier");
    let failed = NetworkState::Failed("eth1 is failed (carrier)".to_owned());
    assert_eq!(machine.judged(), failed);
}

#[test]
fn hardware_that_nobody_manages_is_no_network() {
    let machine = Machine::new();
    machine.hardware("eth0", 2);
    machine.state(2, "unmanaged", "routable");
    let pending = NetworkState::Pending("eth0 is unmanaged (routable)".to_owned());
    assert_eq!(machine.judged(), pending);
}

#[test]
fn a_managed_bridge_counts_without_hardware() {
    let machine = Machine::new();
    machine.interface("br0", 7);
    machine.state(7, "configured", "routable");
    assert_eq!(machine.judged(), NetworkState::Configured);
}

#[test]
fn a_half_written_state_is_unknown() {
    assert_eq!(parse_state("ADMIN_STATE=configured\n"), LinkState::Unknown);
    assert_eq!(parse_state(""), LinkState::Unknown);
}
