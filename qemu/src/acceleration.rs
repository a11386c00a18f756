//! Which engine runs the guest's code: KVM or QEMU's software emulation.
//!
//! That `/dev/kvm` exists proves nothing: some hosts offer a KVM under which a boot sector runs
//! and a stock kernel dies. So this tries, and with the very kernel that is about to be used if
//! it is given one. It does not repair a KVM, nor look at other accelerators.

use crate::{QemuError, QemuVersion, binary::DEFAULT_BINARY, sync::lock};
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

mod probe;

/// The environment variable by which operators overrule the detection, with `kvm` or `tcg`.
/// Programs read it and pass its value to [`Acceleration::detect`].
pub const ACCELERATION_VARIABLE: &str = "KEELSON_ACCEL";

const KVM_DEVICE: &str = "/dev/kvm";

/// The engine that runs a guest's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceleration {
    /// The processor itself, by Linux' KVM.
    Kvm,
    /// QEMU's software emulation, 10 to 30 times slower for work of the processor.
    Tcg,
}

/// What [`Acceleration::detect`] decided, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detection {
    /// The engine to use.
    pub acceleration: Acceleration,
    /// Why, in words for the operator.
    pub reason: String,
}

impl Acceleration {
    /// Decides by trying, once per process and `kernel`.
    ///
    /// `request` is the value of [`ACCELERATION_VARIABLE`]: it is obeyed without trying. `kernel`
    /// is a bzImage as in `/boot/vmlinuz`; without one only a boot sector is tried, which some
    /// hosts run although they cannot run a kernel. Trying takes about a second where KVM works
    /// and at most half a minute where it hangs.
    pub fn detect(request: Option<&str>, kernel: Option<&Path>) -> Result<Detection, QemuError> {
        static KNOWN: LazyLock<Mutex<HashMap<Option<PathBuf>, Detection>>> =
            LazyLock::new(Mutex::default);
        if let Some(asked_for) = requested(request)? {
            return Ok(asked_for);
        }
        // The lock is held while trying: others would only try the same.
        let mut known = lock(&KNOWN);
        let key = kernel.map(Path::to_owned);
        if let Some(detection) = known.get(&key) {
            return Ok(detection.clone());
        }
        let detection = try_kvm(Path::new(DEFAULT_BINARY), kernel)?;
        known.insert(key, detection.clone());
        Ok(detection)
    }

    /// The arguments of QEMU that choose the engine and its processor.
    ///
    /// Without 5-level page tables (`la57`) a Debian kernel booted 12 % faster in software than
    /// with them (1.78 s and 2.03 s, means of 8 boots).
    pub(crate) const fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "max,la57=off"],
        }
    }
}

fn requested(request: Option<&str>) -> Result<Option<Detection>, QemuError> {
    let acceleration = match request {
        None | Some("") => return Ok(None),
        Some("kvm") => Acceleration::Kvm,
        Some("tcg") => Acceleration::Tcg,
        Some(value) => {
            let value = value.to_owned();
            return Err(QemuError::UnknownAcceleration { value });
        }
    };
    Ok(Some(Detection {
        acceleration,
        reason: format!("{ACCELERATION_VARIABLE} asks for it"),
    }))
}

fn try_kvm(binary: &Path, kernel: Option<&Path>) -> Result<Detection, QemuError> {
    QemuVersion::require(binary)?;
    let refusal = match OpenOptions::new().read(true).write(true).open(KVM_DEVICE) {
        Err(error) => Some(format!("{KVM_DEVICE} cannot be opened: {error}")),
        Ok(_) => refusal_of_guests(binary, Acceleration::Kvm, kernel)?,
    };
    Ok(match refusal {
        Some(reason) => Detection {
            acceleration: Acceleration::Tcg,
            reason,
        },
        None => Detection {
            acceleration: Acceleration::Kvm,
            reason: match kernel {
                Some(kernel) => format!("KVM ran the kernel {}", kernel.display()),
                None => "KVM ran a boot sector".to_owned(),
            },
        },
    })
}

/// Why guests do not run under `acceleration`, if they do not.
fn refusal_of_guests(
    binary: &Path,
    acceleration: Acceleration,
    kernel: Option<&Path>,
) -> Result<Option<String>, QemuError> {
    if let Some(reason) = probe::boot_sector(binary, acceleration)? {
        return Ok(Some(reason));
    }
    kernel.map_or(Ok(None), |kernel| {
        probe::kernel(binary, acceleration, kernel)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_is_obeyed() {
        let kvm = Acceleration::detect(Some("kvm"), None).unwrap();
        assert_eq!(kvm.acceleration, Acceleration::Kvm);
        let tcg = Acceleration::detect(Some("tcg"), None).unwrap();
        assert_eq!(tcg.acceleration, Acceleration::Tcg);
        let error = Acceleration::detect(Some("xen"), None).unwrap_err();
        assert!(error.to_string().contains("KEELSON_ACCEL"), "{error}");
    }

    #[test]
    fn probes_tell_running_guests_from_dead_ones() {
        let binary = Path::new(DEFAULT_BINARY);
        let verdict = refusal_of_guests(binary, Acceleration::Tcg, None).unwrap();
        assert_eq!(verdict, None);
        let garbage = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(garbage.path(), [0x90; 4096]).unwrap();
        let verdict = refusal_of_guests(binary, Acceleration::Tcg, Some(garbage.path())).unwrap();
        assert!(verdict.unwrap().contains("did not come up"));
    }

    #[test]
    fn detection_is_the_same_the_second_time() {
        let first = Acceleration::detect(None, None).unwrap();
        assert_eq!(Acceleration::detect(Some(""), None).unwrap(), first);
        assert!(!first.reason.is_empty());
    }
}
