//! State's encrypted volume: made with a passphrase that the machine's TPM seals, and opened by it at every boot.
//!
//! It is LUKS2, so that with the recovery key, if one was asked for, cryptsetup opens it on any machine. Of the TPM's secret
//! nothing is written down but what the TPM itself gave to be kept.
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use luks_format::{
    KEY_BYTES, LuksError, NewVolume, PAYLOAD_OFFSET_BYTES, Token, Volume, VolumeKey,
};

use crate::report::console;
use crate::report::error::{ActionFailed, Context};
use crate::root::device_mapper::{self, Access, DeviceMapperError, Target};
use crate::root::tools;
use crate::state::random;
use crate::tpm::{Sealed, Tpm, TpmError};

/// The device-mapper's name of it.
const NAME: &str = "state";
const TOKEN: &str = "keelson-tpm2";
const PRIVATE: &str = "private";
const PUBLIC: &str = "public";
const SECTOR_BYTES: u64 = 512;
/// The drivers, of the root: the boots of machines without a volume do not pay for them.
const MODPROBE: &str = "/usr/sbin/modprobe";
const MODULES: [&str; 5] = ["--quiet", "--all", "dm_crypt", "xts", "aesni_intel"];

/// Why there is no volume.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VaultError {
    /// A system call failed.
    #[error(transparent)]
    Action(#[from] ActionFailed),
    /// It has not the form of ours.
    #[error("the volume on {device}")]
    Volume {
        /// Its device.
        device: String,
        /// What is wrong.
        source: LuksError,
    },
    /// It is somebody else's.
    #[error(
        "{device} holds an encrypted volume that Keelson did not make; save what is needed, \
         then zero its first MiB to have state made anew"
    )]
    Foreign {
        /// Its device.
        device: String,
    },
    /// The TPM does not give the passphrase.
    #[error(
        "the encrypted volume on {device} stays closed; with its recovery key, `cryptsetup open` \
         does it on another machine"
    )]
    Closed {
        /// Its device.
        device: String,
        /// Why.
        source: TpmError,
    },
    /// The TPM seals nothing.
    #[error("cannot seal the key of {device}")]
    Seal {
        /// The device of what would be the volume.
        device: String,
        /// Why.
        source: TpmError,
    },
    /// The kernel does not take it.
    #[error(transparent)]
    DeviceMapper(#[from] DeviceMapperError),
}

/// A volume that was made.
#[derive(Debug)]
pub(super) struct Made {
    /// The device with its contents.
    pub(super) opened: String,
    /// The key for people, if it was asked for.
    pub(super) recovery_key: Option<String>,
}

/// Makes a volume over whatever is there, and opens it.
pub(super) fn make(device: &str, with_recovery_key: bool) -> Result<Made, VaultError> {
    let passphrase = random::hexadecimal()?;
    let recovery_key = with_recovery_key.then(random::hexadecimal).transpose()?;
    let mut key = [0; KEY_BYTES];
    random::fill(&mut key)?;
    let sealed = Tpm::open().and_then(|mut tpm| tpm.seal(passphrase.as_bytes()));
    let sealed = sealed.map_err(|source| VaultError::Seal {
        device: device.to_owned(),
        source,
    })?;
    let slots = [Some(&passphrase), recovery_key.as_ref()];
    let volume = NewVolume {
        uuid: random::uuid()?,
        key: VolumeKey(key),
        passphrases: slots
            .into_iter()
            .flatten()
            .map(|text| text.clone().into_bytes())
            .collect(),
        token: Token {
            kind: TOKEN.to_owned(),
            slot: 0,
            fields: vec![
                (PRIVATE.to_owned(), sealed.private),
                (PUBLIC.to_owned(), sealed.public),
            ],
        },
    };
    write(device, &volume)?;
    console::info(&format!("made an encrypted volume on {device}"));
    Ok(Made {
        opened: map(device, &volume.key)?,
        recovery_key,
    })
}

fn write(device: &str, volume: &NewVolume) -> Result<(), VaultError> {
    let mut failed = None;
    let bytes = volume.to_bytes(&mut |bytes| {
        failed = random::fill(bytes).err().or(failed.take());
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    let bytes = bytes.map_err(|source| VaultError::Volume {
        device: device.to_owned(),
        source,
    })?;
    let write = || {
        let mut file = File::options().write(true).open(device)?;
        file.write_all(&bytes)?;
        file.sync_data()
    };
    Ok(write().context(|| format!("write to {device}"))?)
}

/// Opens a volume that was made here; its device.
pub(super) fn open(device: &str) -> Result<String, VaultError> {
    let mut bytes = Vec::new();
    File::open(device)
        .and_then(|file| file.take(PAYLOAD_OFFSET_BYTES).read_to_end(&mut bytes))
        .context(|| format!("read {device}"))?;
    let wrong = |source| VaultError::Volume {
        device: device.to_owned(),
        source,
    };
    let volume = Volume::read(&bytes).map_err(wrong)?;
    let sealed = volume.token(TOKEN).and_then(|token| {
        let field = |name| token.field(name).map(<[u8]>::to_vec);
        Some(Sealed {
            private: field(PRIVATE)?,
            public: field(PUBLIC)?,
        })
    });
    let sealed = sealed.ok_or_else(|| VaultError::Foreign {
        device: device.to_owned(),
    })?;
    let passphrase = Tpm::open().and_then(|mut tpm| tpm.unseal(&sealed));
    let passphrase = passphrase.map_err(|source| VaultError::Closed {
        device: device.to_owned(),
        source,
    })?;
    let key = volume.open(&passphrase).map_err(wrong)?;
    map(device, &key)
}

/// The contents as a device of its own. What is discarded is told to the disk: that shows where nothing is stored, and
/// lets a reset give all of it back.
fn map(device: &str, key: &VolumeKey) -> Result<String, VaultError> {
    // What is missing then shows by what the kernel says of the table.
    tools::run(MODPROBE, &MODULES)?;
    let length_bytes = File::open(device)
        .and_then(|mut file| file.seek(SeekFrom::End(0)))
        .context(|| format!("measure {device}"))?;
    let target = Target {
        kind: "crypt",
        length_sectors: length_bytes.saturating_sub(PAYLOAD_OFFSET_BYTES) / SECTOR_BYTES,
        parameters: format!(
            "aes-xts-plain64 {} 0 {device} {} 1 allow_discards",
            random::as_hexadecimal(&key.0),
            PAYLOAD_OFFSET_BYTES / SECTOR_BYTES
        ),
    };
    Ok(device_mapper::create(
        NAME,
        "keelson-state",
        &target,
        Access::Whole,
    )?)
}
