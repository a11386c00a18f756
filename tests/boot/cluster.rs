//! Three machines on a network segment of their own that come up as a cluster, each from a configuration. No test of its own.

use std::time::{Duration, Instant};

use keelson_qemu::ssh::Ssh;
use keelson_qemu::{DiskInterface, Running, Segment};
use serde_json::Value;

use crate::certificates::Authority;
use crate::interfaces::assert_booted_directly_from;
use crate::support::{Bench, HEALTHY, assert_clean, image, output};

/// Until something has come about on machines that share two processors with each other and with whatever
/// else runs here; a twentieth of it is usual.
const PATIENCE: Duration = Duration::from_mins(10);
const MACHINES: usize = 3;
/// Boots from another kind of disk than the others.
const SCSI_MACHINE: usize = 2;
/// How long a machine may be silent: longer than a busy host keeps a good one so.
const TTL: Duration = Duration::from_mins(1);

/// Machines that run. When a test fails, what their daemons wrote is printed before they are gone.
pub(crate) struct Cluster {
    pub(crate) members: Vec<Member>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for member in &self.members {
                member.print_journal();
            }
        }
    }
}

/// A machine of the cluster.
pub(crate) struct Member {
    // Dropped before its disk's folder is removed.
    pub(crate) running: Running,
    pub(crate) ssh: Ssh,
    pub(crate) bench: Bench,
    pub(crate) name: String,
    pub(crate) id: String,
}

impl Cluster {
    /// Boots the machines, all at once: a store of three members, and the fleet over it.
    pub(crate) fn boot() -> Self {
        let image = image();
        let authority = Authority::new();
        let benches: Vec<Bench> = (0..MACHINES).map(|_| Bench::new(&image)).collect();
        // The name of a temporary folder: nobody else has it.
        let segment = Segment::named(&benches[0].folder.path().to_string_lossy());
        let started: Vec<_> = (1..)
            .zip(benches)
            .map(|(number, bench)| start(number, bench, segment, &authority))
            .collect();
        let members = started.into_iter().map(Member::wait_booted).collect();
        let cluster = Self { members };
        assert_booted_directly_from(&cluster.members[SCSI_MACHINE - 1].ssh, "sda");
        for member in &cluster.members {
            member.wait_machines(MACHINES);
        }
        cluster
    }

    /// The index of a machine with an id.
    pub(crate) fn index(&self, id: &str) -> usize {
        let found = self.members.iter().position(|member| member.id == id);
        found.unwrap_or_else(|| panic!("no machine {id}"))
    }

    /// The index of the machine whose kvd leads the others.
    pub(crate) fn leader_of_store(&self) -> usize {
        until("a leader of the store", || {
            let status = self.members[0].ssh.run("kvctl status").ok()?.stdout;
            let leads = |line: &&str| line.split_whitespace().nth(3) == Some("true");
            let name = status.lines().find(leads)?.split_whitespace().nth(2)?;
            self.members.iter().position(|member| member.name == name)
        })
    }

    /// Kills a machine's QEMU: to the others, its power is cut.
    pub(crate) fn kill(&mut self, index: usize) {
        let mut member = self.members.remove(index);
        assert_clean(&member.running);
        member.running.kill().unwrap_or_else(|e| panic!("{e}"));
    }
}

fn start(
    number: usize,
    bench: Bench,
    segment: Segment,
    authority: &Authority,
) -> (Running, Bench, String) {
    let name = format!("m{number}");
    let mut machine = bench.machine(&format!("fleet-{name}"), bench.direct());
    bench.configure(&mut machine, &configuration(number, authority));
    if number == SCSI_MACHINE {
        machine = bench.with_interface(machine, DiskInterface::VirtioScsi);
    }
    machine.segment = Some(segment);
    machine.memory_mebibytes = 768;
    (bench.start(&machine), bench, name)
}

impl Member {
    fn wait_booted((running, bench, name): (Running, Bench, String)) -> Self {
        let healthy = running.console().wait_after(0, HEALTHY, PATIENCE);
        healthy.unwrap_or_else(|e| panic!("{e}"));
        let ssh = bench.ssh(&running);
        let id = output(&ssh, "cat /etc/machine-id");
        Self {
            running,
            ssh,
            bench,
            name,
            id,
        }
    }

    /// For whoever looks why the test has failed; a machine that does not answer any more is none the worse.
    fn print_journal(&self) {
        let command = "journalctl --no-pager --output short-precise --lines 400 _PID=1 \
                       + _SYSTEMD_UNIT=fleetd.service + _SYSTEMD_UNIT=kvd.service; fleetctl list-units; fleetctl list-machines --full";
        match self.ssh.run_within(command, Duration::from_mins(1)) {
            Ok(ended) => eprintln!("--- {} ({})\n{}", self.name, self.id, ended.stdout),
            Err(error) => eprintln!("--- {} ({}): {error}", self.name, self.id),
        }
    }

    /// Waits until this machine sees so many.
    pub(crate) fn wait_machines(&self, count: usize) {
        until(
            &format!("{count} machines, seen from {}", self.name),
            || {
                let words = "list-machines --no-legend";
                let list = self.fleetctl(words)?;
                (list.lines().count() == count).then_some(())
            },
        );
    }

    /// What fleetctl prints on this machine, if it succeeds.
    pub(crate) fn fleetctl(&self, words: &str) -> Option<String> {
        let command = format!("fleetctl --request-timeout 30 {words}");
        let ended = self.ssh.run_within(&command, PATIENCE);
        let ended = ended.unwrap_or_else(|e| panic!("{e}"));
        if !ended.status.success() {
            // Read by whoever looks why the test has failed.
            eprintln!("{}: {command}: {}", self.name, ended.stderr.trim());
            return None;
        }
        Some(ended.stdout)
    }

    /// What fleetctl prints on this machine once it succeeds: a store that has lost its leader has none for
    /// seconds, and on a busy host it may lose it at any time.
    pub(crate) fn fleetctl_ok(&self, words: &str) -> String {
        until(&format!("success of fleetctl {words}"), || {
            self.fleetctl(words)
        })
    }

    /// Where a unit is active, as the fleet tells this machine: none if it is not, or is twice.
    pub(crate) fn place(&self, unit: &str) -> Option<String> {
        let list = self.fleetctl("list-units --json")?;
        let rows: Vec<Value> = serde_json::from_str(&list).expect("JSON");
        let mut of_unit = rows.iter().filter(|row| row["name"] == unit);
        let row = of_unit.next().filter(|_| of_unit.next().is_none())?;
        let is_active = row["systemdActiveState"] == "active";
        let machine = row["machineID"].as_str()?;
        is_active.then(|| machine.to_owned())
    }

    /// Whether a unit is active, as this machine's systemd says.
    pub(crate) fn runs(&self, unit: &str) -> bool {
        let ended = self.ssh.run(&format!("systemctl is-active {unit}"));
        ended.unwrap_or_else(|e| panic!("{e}")).stdout.trim() == "active"
    }

    /// What tells one run of a unit from the next.
    pub(crate) fn invocation(&self, unit: &str) -> String {
        output(
            &self.ssh,
            &format!("systemctl show --value --property InvocationID {unit}"),
        )
    }
}

/// Looks until something is so.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} never came");
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// All that makes a machine a member of the cluster.
fn configuration(number: usize, authority: &Authority) -> String {
    let address = format!("10.0.0.{number}");
    let (certificate, key) = authority.issue("fleet-peer", &address);
    let authority = authority.certificate();
    let ttl = TTL.as_secs();
    format!(
        "hostname = 'm{number}'\n\
         [cluster]\n\
         members = {{ m1 = '10.0.0.1', m2 = '10.0.0.2', m3 = '10.0.0.3' }}\n\
         metadata = {{ disk = 'ssd' }}\n\
         [cluster.tls]\n\
         authority = '''{authority}'''\n\
         certificate = '''{certificate}'''\n\
         key = '''{key}'''\n\
         [[files]]\n\
         path = '/etc/systemd/network/10-cluster.network'\n\
         contents = \"\"\"\n[Match]\nName=enp0s3\n[Network]\nAddress={address}/24\n\"\"\"\n\
         [[units]]\n\
         name = 'fleetd.service'\n\
         [[units.drop-ins]]\n\
         name = '10-patience.conf'\n\
         contents = \"\"\"\n[Service]\nEnvironment=FLEET_AGENT_TTL={ttl}s\n\"\"\"\n"
    )
}
