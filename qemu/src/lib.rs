//! Virtual machines as values: a [`Machine`] says what to run, [`Machine::start`] runs it.
//!
//! `keelson run` and every boot test use this crate: it finds QEMU, decides between KVM and
//! software emulation by trying, starts the machine, reads its serial console, talks QMP and SSH
//! to it, and leaves neither a process nor a temporary file behind. It does not build images,
//! does not know what is on the disks it is given, and judges a boot only by its console
//! ([`badness`]).
//!
//! ```no_run
//! use keelson_qemu::{Boot, Machine};
//! use std::{path::Path, time::Duration};
//!
//! # fn main() -> Result<(), keelson_qemu::QemuError> {
//! let boot = Boot::DirectKernel {
//!     kernel: "vmlinuz".into(),
//!     initramfs: Some("initramfs.img".into()),
//!     command_line: "console=ttyS0".into(),
//! };
//! let mut running = Machine::new("first-boot", boot).start(Path::new("/tmp"))?;
//! running.console().wait_for("login:", Duration::from_mins(2))?;
//! running.power_off(Duration::from_mins(1))?;
//! # Ok(())
//! # }
//! ```

pub mod acceleration;
mod arguments;
pub mod badness;
mod base64;
mod binary;
pub mod boot_sector;
mod bounded;
mod child;
mod child_setup;
pub mod console;
mod disk;
mod error;
pub mod interrupt;
mod machine;
pub mod namespace;
mod network;
mod pattern;
pub mod qmp;
mod run_directory;
mod running;
mod segment;
mod smbios;
pub mod ssh;
mod strip;
mod sync;
mod terminal;
mod tpm;
pub mod write_log;

pub use acceleration::{ACCELERATION_VARIABLE, Acceleration, Detection};
pub use binary::{DEFAULT_BINARY, OLDEST_VERSION, QemuVersion};
pub use console::{Console, ConsoleLine};
pub use disk::{Disk, DiskFormat, DiskInterface, DiskMode, SectorSize};
pub use error::{QemuError, WaitCause, WaitFailure};
pub use machine::{
    Boot, FirmwareVariables, LogPolicy, Machine, PanicDevice, RebootPolicy, Watchdog,
};
pub use namespace::{Bind, Bridge, GuestFile, NamespaceMachine, RootTree, RunningNamespace};
pub use network::{Forward, Network};
pub use pattern::Pattern;
pub use running::Running;
pub use segment::Segment;
pub use terminal::TerminalEnd;
