//! Secrets that only this machine's TPM 2.0 gives back.
//!
//! They are bound to the TPM and to nothing else: no PCR, since what is measured changes with every version and every change
//! of the firmware, and a machine must not lose its state by either. So a disk without its machine is unreadable, and a machine
//! that is taken whole is not. It is asked through the kernel's resource manager, so that nothing stays in it.
mod commands;
mod device;

pub(crate) use commands::Sealed;
pub(crate) use device::{Tpm, TpmError};
