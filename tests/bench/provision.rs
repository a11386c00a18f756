//! How long a machine's first boot is held up by a configuration that a metadata service has, which this host plays.
//!
//! From the moment that the configuration came until it was applied, as the lines stand on the console, by this host's
//! clock. How long a network takes until it is there and answers is not ours and not measured; nor is a configuration
//! that is on the machine, of which /init says nothing before it was applied.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use image_build::output::{Manifest, copy_sparse};
use keelson_qemu::{ACCELERATION_VARIABLE, Acceleration, Boot, Console, Disk, Machine, Network};

use crate::arguments::Arguments;
use crate::builds::Builder;
use crate::mock_server::{Answer, MockServer};
use crate::table::{Peer, Row, Target, Unit};

/// What QEMU's network calls this host's loopback.
const HOST: &str = "10.0.2.2";
const BOOT_TIMEOUT: Duration = Duration::from_mins(4);
const SECONDS_LIMIT: f64 = 3.0;
/// A name, a kernel setting and a unit that is enabled.
const CONFIGURATION: &str = r"hostname = 'a'
sysctl = { 'vm.swappiness' = 7 }
[[units]]
name = 'hello.service'
enable = true
contents = '''
[Service]
Type=oneshot
ExecStart=/usr/bin/true
[Install]
WantedBy=multi-user.target
'''
";

/// What stands on the console when it came; how many bytes it has follows.
const FOUND: &str = "provision: the metadata service of EC2 (user data): ";
const APPLIED: &str = "provision: applied from ";

/// The rows, and a sentence about the machines.
#[derive(Debug)]
pub(crate) struct Provisioned {
    /// What was measured.
    pub(crate) rows: Vec<Row>,
    /// What ran the machines.
    pub(crate) engine: String,
}

/// First boots, as many as are asked for.
pub(crate) fn measure(arguments: &Arguments) -> anyhow::Result<Provisioned> {
    let builder = Builder::new(arguments)?;
    let image = builder.image()?;
    let request = std::env::var(ACCELERATION_VARIABLE).ok();
    let detection = Acceleration::detect(request.as_deref(), Some(&image.manifest.kernel))?;
    let server = MockServer::start(|request| match request.line.as_str() {
        "PUT /latest/api/token" => Answer::text("token"),
        "GET /latest/user-data" => Answer::text(CONFIGURATION),
        "GET /latest/meta-data/instance-id" => Answer::text("i-7"),
        _ => Answer::status("404 Not Found"),
    });
    let runs = if arguments.quick { 1 } else { arguments.runs };
    let url = server.url();
    let (_, port) = url.rsplit_once(':').context("the server has no port")?;
    let mut figures = Vec::new();
    for run in 1..=runs {
        eprintln!("bench: first boots with a configuration, run {run} of {runs}");
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(&builder.cache)?;
        let mut machine = machine(&image.manifest, folder.path())?;
        machine.acceleration = detection.acceleration;
        machine.kernel_command_line_extra =
            format!("keelson.platform=ec2 keelson.metadata=http://{HOST}:{port}");
        figures.push(boot(&machine, folder.path())?);
    }
    let name = "metadata service: its answer to applied";
    let row = Row::new(name, Unit::Seconds, figures, Peer::Absent("none"));
    Ok(Provisioned {
        rows: vec![row.with_target(Target::AtMost(SECONDS_LIMIT))],
        engine: format!(
            "First boots of machines of 2 processors under {:?}: {}.",
            detection.acceleration, detection.reason
        ),
    })
}

/// One that was never booted.
fn machine(manifest: &Manifest, folder: &Path) -> anyhow::Result<Machine> {
    let disk = folder.join("machine.raw");
    copy_sparse(&manifest.disk, &disk)?;
    let boot = Boot::DirectKernel {
        kernel: manifest.kernel.clone(),
        initramfs: Some(manifest.initramfs.clone()),
        command_line: manifest.command_line.clone(),
    };
    let mut machine = Machine::new("provision", boot);
    machine.disks = vec![Disk::new(&disk)];
    machine.network = Network::forwarding([]);
    Ok(machine)
}

/// Seconds from one line to the other.
fn boot(machine: &Machine, folder: &Path) -> anyhow::Result<f64> {
    let mut running = machine.start(folder)?;
    let took = held_up(running.console())?;
    eprintln!("bench: applied after {took:.3} s");
    running.quit()?;
    Ok(took)
}

fn held_up(console: &Console) -> anyhow::Result<f64> {
    let found = console.wait_for(FOUND, BOOT_TIMEOUT)?;
    let applied = console.wait_for(APPLIED, BOOT_TIMEOUT)?;
    let took = applied.since_start.checked_sub(found.since_start);
    Ok(took
        .context("it was applied before it was found")?
        .as_secs_f64())
}
