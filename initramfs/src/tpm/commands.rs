//! The five commands of TPM 2.0 that are needed, as bytes, and their answers.
//!
//! Pure. Source: TCG's Trusted Platform Module Library, parts 2 and 3, revision 1.59; the storage key is the one of the TCG EK
//! Credential and Provisioning guidance ("SRK", elliptic curve), which every boot makes the same until the TPM is cleared.

/// With sessions: a password, which is empty.
const WITH_SESSIONS: u16 = 0x8002;
const HEADER_BYTES: usize = 10;
const OWNER: u32 = 0x4000_0001;
const PASSWORD: u32 = 0x4000_0009;
const ALGORITHM_AES: u16 = 0x0006;
const ALGORITHM_KEYED_HASH: u16 = 0x0008;
const ALGORITHM_SHA256: u16 = 0x000b;
const ALGORITHM_NULL: u16 = 0x0010;
const ALGORITHM_ECC: u16 = 0x0023;
const MODE_CFB: u16 = 0x0043;
const CURVE_P256: u16 = 0x0003;
/// `fixedTPM`, `fixedParent`, `sensitiveDataOrigin`, `userWithAuth`, `noDA`, `restricted`, `decrypt`.
const STORAGE_KEY: u32 = 0x0003_0472;
/// `fixedTPM`, `fixedParent`, `userWithAuth`, `noDA`.
const SEALED_DATA: u32 = 0x0000_0452;

/// The commands, with their codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Command {
    /// The storage key.
    CreatePrimary = 0x131,
    /// A secret below it.
    Create = 0x153,
    /// The secret into the TPM.
    Load = 0x157,
    /// The secret out of it.
    Unseal = 0x15e,
}

/// A secret that only the TPM opens: both parts as it gave them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// Encrypted by the storage key.
    pub(crate) private: Vec<u8>,
    /// What it is.
    pub(crate) public: Vec<u8>,
}

/// Numbers, big end first, and sized bytes.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn sized(self, bytes: &[u8]) -> Self {
        // All there are, are shorter than 64 KiB.
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.u16(length).bytes(bytes)
    }
}

/// A command on one handle, which needs no password.
fn command(command: Command, handle: u32, parameters: &[u8]) -> Vec<u8> {
    let authorization = Writer::default().u32(PASSWORD).u16(0).bytes(&[0]).u16(0).0;
    let length = HEADER_BYTES + 4 + 4 + authorization.len() + parameters.len();
    Writer::default()
        .u16(WITH_SESSIONS)
        .u32(u32::try_from(length).unwrap_or(u32::MAX))
        .u32(command as u32)
        .u32(handle)
        .u32(u32::try_from(authorization.len()).unwrap_or(u32::MAX))
        .bytes(&authorization)
        .bytes(parameters)
        .0
}

/// No password, and this secret.
fn sensitive(secret: &[u8]) -> Vec<u8> {
    Writer::default().sized(&[]).sized(secret).0
}

/// What a new object needs: its secret and its kind; no outside information, no PCR.
fn new_object(secret: &[u8], public: &[u8]) -> Vec<u8> {
    Writer::default()
        .sized(&sensitive(secret))
        .sized(public)
        .sized(&[])
        .u32(0)
        .0
}

/// Makes the storage key; answers with its handle.
pub(crate) fn create_primary() -> Vec<u8> {
    let public = Writer::default()
        .u16(ALGORITHM_ECC)
        .u16(ALGORITHM_SHA256)
        .u32(STORAGE_KEY)
        .sized(&[])
        .u16(ALGORITHM_AES)
        .u16(128)
        .u16(MODE_CFB)
        .u16(ALGORITHM_NULL)
        .u16(CURVE_P256)
        .u16(ALGORITHM_NULL)
        .sized(&[0; 32])
        .sized(&[0; 32])
        .0;
    command(Command::CreatePrimary, OWNER, &new_object(&[], &public))
}

/// Seals a secret below a key.
pub(crate) fn create(parent: u32, secret: &[u8]) -> Vec<u8> {
    let public = Writer::default()
        .u16(ALGORITHM_KEYED_HASH)
        .u16(ALGORITHM_SHA256)
        .u32(SEALED_DATA)
        .sized(&[])
        .u16(ALGORITHM_NULL)
        .sized(&[])
        .0;
    command(Command::Create, parent, &new_object(secret, &public))
}

/// Loads what was sealed; answers with its handle.
pub(crate) fn load(parent: u32, sealed: &Sealed) -> Vec<u8> {
    let parts = Writer::default()
        .sized(&sealed.private)
        .sized(&sealed.public);
    command(Command::Load, parent, &parts.0)
}

/// Asks for the secret.
pub(crate) fn unseal(item: u32) -> Vec<u8> {
    command(Command::Unseal, item, &[])
}

/// An answer's code, and what comes behind it; `None` if it is cut short.
pub(crate) fn answer(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let length = number(bytes.get(2..6)?)?;
    let code = number(bytes.get(6..10)?)?;
    let end = usize::try_from(length).ok()?;
    Some((code, bytes.get(HEADER_BYTES..end)?))
}

/// The handle an answer begins with.
pub(crate) fn handle(body: &[u8]) -> Option<u32> {
    number(body.get(..4)?)
}

/// The sized bytes at the start of an answer's parameters, which has no handle.
pub(crate) fn sized<const N: usize>(body: &[u8]) -> Option<[Vec<u8>; N]> {
    let mut rest = body.get(4..)?;
    let mut found = std::array::from_fn(|_| Vec::new());
    for one in &mut found {
        let (length, bytes) = rest.split_at_checked(2)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let (bytes, behind) = bytes.split_at_checked(length)?;
        (*one, rest) = (bytes.to_vec(), behind);
    }
    Some(found)
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_says_its_own_length() {
        let sealed = Sealed {
            private: vec![1; 5],
            public: vec![2; 6],
        };
        for bytes in [
            create_primary(),
            create(7, &[3; 32]),
            load(7, &sealed),
            unseal(9),
        ] {
            assert_eq!(number(&bytes[2..6]), u32::try_from(bytes.len()).ok());
            assert_eq!(bytes[..2], [0x80, 0x02]);
        }
        let expected = [
            0x80, 0x02, 0, 0, 0, 27, 0, 0, 0x01, 0x5e, 0, 0, 0, 9, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0,
            0, 0, 0,
        ];
        assert_eq!(unseal(9), expected);
    }

    #[test]
    fn answers_are_taken_apart_or_refused() {
        let mut bytes = vec![0x80, 0x02, 0, 0, 0, 22, 0, 0, 0, 0];
        bytes.extend([0, 0, 0, 8, 0, 2, 5, 6, 0, 2, 7, 8]);
        let (code, body) = answer(&bytes).unwrap();
        assert_eq!((code, handle(body)), (0, Some(8)));
        assert_eq!(sized::<2>(body), Some([vec![5, 6], vec![7, 8]]));
        assert_eq!(sized::<3>(body), None);
        assert_eq!(answer(&bytes[..20]), None);
        let refused = [0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x09, 0xa2];
        assert_eq!(answer(&refused), Some((0x9a2, &[][..])));
    }
}
