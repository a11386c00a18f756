//! How this kernel was started: by systemd-boot from an ESP, or directly (QEMU `-kernel`, kexec).
//!
//! It does not look at disks.
use uuid::Uuid;

use crate::boot_loader::efi_variable::{self, EfiVariableError};

/// Who started the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BootPath {
    /// No boot loader that says where it came from.
    Direct,
    /// systemd-boot or its stub.
    Uefi {
        /// The partition GUID of the ESP it was read from.
        esp: Uuid,
        /// Whether the entry is on trial.
        counting: Counting,
    },
}

/// Whether the boot entry carries a boot counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counting {
    /// On trial: systemd-boot falls back by itself when the tries are used up.
    Counted,
    /// Blessed, or installed without a counter: only `/init` can demote it.
    Uncounted,
}

/// A boot loader variable that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootPathError {
    /// The variable could not be read.
    #[error(transparent)]
    Variable(#[from] EfiVariableError),
    /// The ESP's identity is not a GUID.
    #[error("the UEFI variable LoaderDevicePartUUID holds {value:?}, not a GUID")]
    NotGuid {
        /// What it holds.
        value: String,
    },
}

impl BootPath {
    /// Asks the boot loader's variables; efivarfs must be mounted if there is one.
    pub(crate) fn read() -> Result<Self, BootPathError> {
        let esp = efi_variable::read_text("LoaderDevicePartUUID")?;
        let counter = efi_variable::read_text("LoaderBootCountPath")?;
        Self::from_variables(esp, counter.as_deref())
    }

    fn from_variables(esp: Option<String>, counter: Option<&str>) -> Result<Self, BootPathError> {
        let Some(value) = esp else {
            return Ok(Self::Direct);
        };
        let Ok(esp) = Uuid::parse_str(&value) else {
            return Err(BootPathError::NotGuid { value });
        };
        let counting = if counter.is_some() {
            Counting::Counted
        } else {
            Counting::Uncounted
        };
        Ok(Self::Uefi { esp, counting })
    }

    /// Whether this boot is on trial.
    pub(crate) fn is_counted(&self) -> bool {
        matches!(
            self,
            Self::Uefi {
                counting: Counting::Counted,
                ..
            }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "4D3F0533-6723-0C21-AB7F-5B29A6B9C0C6";

    #[test]
    fn no_variable_means_a_direct_boot() {
        let path = BootPath::from_variables(None, Some("\\x")).unwrap();
        assert_eq!(path, BootPath::Direct);
        assert!(!path.is_counted());
    }

    #[test]
    fn the_counter_path_marks_a_trial() {
        let esp = Uuid::parse_str(GUID).unwrap();
        let path = BootPath::from_variables(Some(GUID.into()), Some("\\EFI\\Linux\\k+2-1.efi"));
        assert_eq!(
            path.unwrap(),
            BootPath::Uefi {
                esp,
                counting: Counting::Counted
            }
        );
        let path = BootPath::from_variables(Some(GUID.into()), None).unwrap();
        assert_eq!(
            path,
            BootPath::Uefi {
                esp,
                counting: Counting::Uncounted
            }
        );
    }

    #[test]
    fn rubbish_is_an_error_not_a_direct_boot() {
        let error = BootPath::from_variables(Some("sda1".into()), None).unwrap_err();
        assert!(error.to_string().contains("\"sda1\""), "{error}");
    }
}
