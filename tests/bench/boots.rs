//! Boots both systems in turn and makes rows of what they took.
//!
//! One boot after the other, ours and the peer's alternating, so that a busy moment of this machine
//! hits both. First boots stand in rows of their own: the others are of machines that have been
//! booted before.

use image_build::output::{BuiltImage, Manifest};
use keelson_qemu::ssh::SshKey;
use keelson_qemu::{ACCELERATION_VARIABLE, Acceleration};
use std::path::Path;

use crate::arguments::Arguments;
use crate::machines::{Bench, BootPath, Guest, Measured};
use crate::stock::StockImage;
use crate::table::{Peer, Row, Target, Unit};

const KERNEL_TO_PROCESS_1_RATIO: f64 = 0.25;
const BOOT_RATIO: f64 = 0.7;
const IDLE_MEMORY_MB_LIMIT: f64 = 200.0;

/// The rows, and what ran the machines.
#[derive(Debug)]
pub(crate) struct Boots {
    /// One row each stage and path.
    pub(crate) rows: Vec<Row>,
    /// A sentence about the machines.
    pub(crate) engine: String,
}

/// Both systems' boots of one kind.
#[derive(Debug, Default)]
struct Samples {
    ours: Vec<Measured>,
    stock: Vec<Measured>,
}

/// Boots everything.
pub(crate) fn measure(
    arguments: &Arguments,
    cache: &Path,
    image: &BuiltImage,
    stock: Option<&StockImage>,
) -> anyhow::Result<Boots> {
    let manifest = &image.manifest;
    let folder = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(cache)?;
    let request = std::env::var(ACCELERATION_VARIABLE).ok();
    let detection = Acceleration::detect(request.as_deref(), Some(&manifest.kernel))?;
    let bench = Bench {
        acceleration: detection.acceleration,
        folder: folder.path().to_owned(),
        key: SshKey::generate(folder.path())?,
        details: arguments.details,
    };
    let engine = format!(
        "Machines of 2 processors and 1024 MiB under {:?}: {}.",
        detection.acceleration, detection.reason
    );
    let rows = boot_all(&bench, manifest, stock, arguments.runs)?;
    Ok(Boots { rows, engine })
}

fn boot_all(
    bench: &Bench,
    manifest: &Manifest,
    stock: Option<&StockImage>,
    runs: u32,
) -> anyhow::Result<Vec<Row>> {
    let ours = Guest::keelson(manifest, &bench.folder)?;
    let stock = stock
        .map(|image| Guest::stock(image, manifest, &bench.folder))
        .transpose()?;
    let take = |boot: &dyn Fn(&Guest) -> anyhow::Result<Measured>, samples: &mut Samples| {
        samples.ours.push(boot(&ours)?);
        if let Some(stock) = &stock {
            samples.stock.push(boot(stock)?);
        }
        Ok::<_, anyhow::Error>(())
    };
    let (mut first, mut direct, mut firmware) =
        (Samples::default(), Samples::default(), Samples::default());
    eprintln!("bench: first boots");
    take(&|guest| guest.settle(bench), &mut first)?;
    for run in 1..=runs {
        eprintln!("bench: boots, run {run} of {runs}");
        take(&|guest| guest.boot(bench, BootPath::Direct), &mut direct)?;
        take(
            &|guest| guest.boot(bench, BootPath::Firmware),
            &mut firmware,
        )?;
    }
    let mut rows = path_rows("direct", &direct);
    rows.extend(path_rows("UEFI", &firmware));
    rows.push(
        first.row("first boot ever, direct: power on to booted", |boot| {
            boot.booted
        }),
    );
    rows.extend(idle_rows(&direct));
    Ok(rows)
}

impl Samples {
    fn row(&self, name: &str, value: fn(&Measured) -> f64) -> Row {
        let values = |boots: &[Measured]| boots.iter().map(value).collect::<Vec<_>>();
        let peer = if self.stock.is_empty() {
            Peer::Absent("needs root")
        } else {
            Peer::Measured(values(&self.stock))
        };
        Row::new(name, Unit::Seconds, values(&self.ours), peer)
    }

    fn counted(&self, name: &str, unit: Unit, value: fn(&Measured) -> f64) -> Row {
        Row {
            unit,
            ..self.row(name, value)
        }
    }
}

fn path_rows(path: &str, samples: &Samples) -> Vec<Row> {
    let row = |name: &str, value| samples.row(&format!("{path}: {name}"), value);
    vec![
        row("power on to the kernel's start", |boot| {
            boot.stages.kernel_start
        }),
        row("kernel's start to its initramfs", |boot| boot.stages.init),
        row("initramfs to systemd", |boot| boot.stages.initramfs()),
        row("kernel's start to systemd", |boot| boot.stages.userspace)
            .with_target(Target::RatioAtMost(KERNEL_TO_PROCESS_1_RATIO)),
        row("systemd to multi-user.target", |boot| {
            boot.stages.services()
        }),
        row("processor time, power on to idle", |boot| boot.processor),
        row("power on to booted", |boot| boot.booted).with_target(Target::RatioAtMost(BOOT_RATIO)),
    ]
}

fn idle_rows(samples: &Samples) -> Vec<Row> {
    let memory = samples.counted("idle: memory in use", Unit::Megabytes, |boot| {
        boot.stages.idle.memory_megabytes
    });
    vec![
        memory.with_target(Target::AtMost(IDLE_MEMORY_MB_LIMIT)),
        samples.counted("idle: processes", Unit::Count, |boot| {
            boot.stages.idle.processes
        }),
        samples.counted("idle: active units", Unit::Count, |boot| {
            boot.stages.idle.units
        }),
    ]
}
