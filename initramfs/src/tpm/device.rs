//! The TPM as the kernel gives it: commands written, answers read, one after the other.
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::report::error::{ActionFailed, Context};
use crate::tpm::commands::{self, Command, Sealed};

/// With the kernel's resource manager: what a program has loaded goes with it.
const DEVICE: &str = "/dev/tpmrm0";
/// Its driver is in the kernel, and asks the chip while /init begins.
const TIME_OUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);
/// No answer is longer.
const ANSWER_BYTES: usize = 4096;

/// Why the TPM does not help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TpmError {
    /// The machine has none.
    #[error("this machine has no TPM 2.0 ({DEVICE})")]
    Absent,
    /// A system call failed.
    #[error(transparent)]
    Action(#[from] ActionFailed),
    /// It does not do it.
    #[error("the TPM refuses {command:?} with code {code:#x}")]
    Refused {
        /// What.
        command: Command,
        /// Why, as part 2 of the specification lists it.
        code: u32,
    },
    /// It answers what makes no sense.
    #[error("the TPM's answer to {command:?} is cut short")]
    Answer {
        /// To what.
        command: Command,
    },
}

/// An open TPM.
#[derive(Debug)]
pub(crate) struct Tpm(File);

impl Tpm {
    /// Opens it, once its driver is there.
    pub(crate) fn open() -> Result<Self, TpmError> {
        let start = Instant::now();
        while !Path::new(DEVICE).exists() {
            if start.elapsed() > TIME_OUT {
                return Err(TpmError::Absent);
            }
            thread::sleep(PAUSE);
        }
        let device = File::options().read(true).write(true).open(DEVICE);
        Ok(Self(device.context(|| format!("open {DEVICE}"))?))
    }

    /// Seals a secret, of at most 128 bytes.
    pub(crate) fn seal(&mut self, secret: &[u8]) -> Result<Sealed, TpmError> {
        let parent = self.storage_key()?;
        let command = Command::Create;
        let body = self.ask(command, &commands::create(parent, secret))?;
        let parts = commands::sized(&body).ok_or(TpmError::Answer { command })?;
        let [private, public] = parts;
        Ok(Sealed { private, public })
    }

    /// The secret of what this TPM has sealed.
    pub(crate) fn unseal(&mut self, sealed: &Sealed) -> Result<Vec<u8>, TpmError> {
        let parent = self.storage_key()?;
        let load = commands::load(parent, sealed);
        let item = self.ask_for_handle(Command::Load, &load)?;
        let command = Command::Unseal;
        let body = self.ask(command, &commands::unseal(item))?;
        let [secret] = commands::sized(&body).ok_or(TpmError::Answer { command })?;
        Ok(secret)
    }

    fn storage_key(&mut self) -> Result<u32, TpmError> {
        self.ask_for_handle(Command::CreatePrimary, &commands::create_primary())
    }

    fn ask_for_handle(&mut self, command: Command, bytes: &[u8]) -> Result<u32, TpmError> {
        let body = self.ask(command, bytes)?;
        commands::handle(&body).ok_or(TpmError::Answer { command })
    }

    fn ask(&mut self, command: Command, bytes: &[u8]) -> Result<Vec<u8>, TpmError> {
        let mut answer = vec![0; ANSWER_BYTES];
        let asked = self.0.write_all(bytes);
        let length = asked
            .and_then(|()| self.0.read(&mut answer))
            .context(|| format!("ask the TPM to {command:?}"))?;
        match commands::answer(&answer[..length]) {
            Some((0, body)) => Ok(body.to_vec()),
            Some((code, _)) => Err(TpmError::Refused { command, code }),
            None => Err(TpmError::Answer { command }),
        }
    }
}
