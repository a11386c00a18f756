//! What VMware's hypervisor keeps for a machine, by keys: `guestinfo.ignition.config.data`, and `guestinfo.userdata` as
//! cloud-init has it; `….encoding` beside each says how it is written down.
//!
//! Sources: Ignition's and cloud-init's documentation of VMware. It is asked through the hypervisor's own port, by the
//! crate `vmw_backdoor`; nothing of VMware's is needed. QEMU has that port and not these keys: beside a hypervisor of
//! VMware's this was never run, its tests have a hypervisor that is made up.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provision_model::plan::{Compression, Contents, Source as Origin};

use super::{Source, SourceError};
use crate::run::{Afterwards, Found};

/// Keys with a configuration, in the order in which they are asked.
const KEYS: [&str; 2] = ["guestinfo.ignition.config.data", "guestinfo.userdata"];
/// What a file system of the kernel's says of such a machine's maker.
const VENDOR: &str = "class/dmi/id/sys_vendor";

/// The hypervisor, as far as it is asked.
pub trait GuestInfo {
    /// The value of a key.
    ///
    /// # Errors
    /// In words, if it does not answer.
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, String>;
}

/// The source; it is opened when it is looked at.
pub struct GuestInfoSource<O> {
    open: O,
}

impl<O, G> GuestInfoSource<O>
where
    O: Fn() -> Result<G, String>,
    G: GuestInfo,
{
    /// With how the hypervisor is reached.
    pub fn new(open: O) -> Self {
        Self { open }
    }

    fn value(&self, info: &mut G, key: &str) -> Result<Option<Vec<u8>>, SourceError> {
        let value = info.get(key);
        let value =
            value.map_err(|problem| self.malformed(format!("does not say {key}: {problem}")));
        Ok(value?.filter(|value| !value.trim_ascii().is_empty()))
    }

    fn malformed(&self, problem: String) -> SourceError {
        SourceError::Malformed {
            place: self.name(),
            problem,
        }
    }
}

impl<O, G> Source for GuestInfoSource<O>
where
    O: Fn() -> Result<G, String>,
    G: GuestInfo,
{
    fn name(&self) -> String {
        "VMware guestinfo".to_owned()
    }

    fn look(&self) -> Result<Option<Found>, SourceError> {
        let mut info = (self.open)().map_err(|problem| self.malformed(problem))?;
        for key in KEYS {
            let Some(value) = self.value(&mut info, key)? else {
                continue;
            };
            let encoding = self.value(&mut info, &format!("{key}.encoding"))?;
            let encoding = encoding.unwrap_or_default();
            let bytes = decoded(value, encoding.trim_ascii());
            return Ok(Some(Found {
                bytes: bytes.map_err(|problem| self.malformed(format!("{key}: {problem}")))?,
                source: format!("{} {key}", self.name()),
                name: key.to_owned(),
                afterwards: Afterwards::Stays,
            }));
        }
        Ok(None)
    }
}

/// Ignition's and cloud-init's names of encodings.
fn decoded(value: Vec<u8>, encoding: &[u8]) -> Result<Vec<u8>, String> {
    let is_gzip = match encoding {
        b"" => return Ok(value),
        b"b64" | b"base64" => false,
        b"gz+b64" | b"gz+base64" | b"gzip+b64" | b"gzip+base64" => true,
        other => {
            let name = String::from_utf8_lossy(other);
            return Err(format!("{name} is no encoding: base64 and gzip+base64 are"));
        }
    };
    let bytes = STANDARD.decode(value.trim_ascii());
    let bytes = bytes.map_err(|error| format!("is not base64: {error}"))?;
    if !is_gzip {
        return Ok(bytes);
    }
    let contents = Contents {
        source: Origin::Inline(Vec::new()),
        compression: Compression::Gzip,
        digest: None,
    };
    contents.open(&bytes).map_err(|error| error.to_string())
}

/// The hypervisor of this machine, if its firmware says that it is VMware's, below a `/sys`.
pub fn guest_info(sys: &std::path::Path) -> Option<Box<dyn Source>> {
    let vendor = std::fs::read_to_string(sys.join(VENDOR)).unwrap_or_default();
    if !vendor.starts_with("VMware") {
        return None;
    }
    hypervisor::source()
}

#[cfg(target_arch = "x86_64")]
mod hypervisor {
    use super::{GuestInfo, GuestInfoSource, Source};

    /// The port, by which a channel is opened for each question.
    struct Port(vmw_backdoor::BackdoorGuard);

    #[expect(
        clippy::unnecessary_wraps,
        reason = "on other processors there is none"
    )]
    pub(super) fn source() -> Option<Box<dyn Source>> {
        let open = || {
            // Without privileges it works, too, unless a hypervisor forbids it.
            let guard = vmw_backdoor::probe_backdoor_privileged();
            let guard = guard.or_else(|_| vmw_backdoor::probe_backdoor());
            guard.map(Port).map_err(|error| error.to_string())
        };
        Some(Box::new(GuestInfoSource::new(open)))
    }

    impl GuestInfo for Port {
        fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, String> {
            let channel = self.0.open_enhanced_chan();
            let value = channel.and_then(|mut channel| channel.get_guestinfo(key.as_bytes()));
            value.map_err(|error| error.to_string())
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod hypervisor {
    use super::Source;

    pub(super) fn source() -> Option<Box<dyn Source>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct MadeUp(BTreeMap<&'static str, Vec<u8>>);

    impl GuestInfo for MadeUp {
        fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, String> {
            Ok(self.0.get(key).cloned())
        }
    }

    fn look(values: &[(&'static str, &[u8])]) -> Result<Option<Found>, String> {
        let values: BTreeMap<_, _> = values.iter().map(|(k, v)| (*k, v.to_vec())).collect();
        let source = GuestInfoSource::new(move || Ok(MadeUp(values.clone())));
        source.look().map_err(|error| error.to_string())
    }

    const IGNITION: &str = "guestinfo.ignition.config.data";
    const ENCODING: &str = "guestinfo.ignition.config.data.encoding";

    #[test]
    fn ignitions_key_comes_first_and_encodings_are_undone() {
        let bytes = |values: &[_]| look(values).unwrap().map(|found| found.bytes);
        assert_eq!(bytes(&[]), None);
        assert_eq!(bytes(&[(IGNITION, b"\n")]), None, "an empty one is none");
        let plain = [(IGNITION, &b"{}"[..]), ("guestinfo.userdata", b"other")];
        assert_eq!(bytes(&plain), Some(b"{}".to_vec()));
        assert_eq!(bytes(&plain[1..]), Some(b"other".to_vec()));
        for name in ["b64", "base64"] {
            let packed = [(IGNITION, &b"e30=\n"[..]), (ENCODING, name.as_bytes())];
            assert_eq!(bytes(&packed), Some(b"{}".to_vec()));
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, b"{}").unwrap();
        let gzip = STANDARD.encode(gzip.finish().unwrap());
        let packed = [(IGNITION, gzip.as_bytes()), (ENCODING, b"gzip+base64\n")];
        assert_eq!(bytes(&packed), Some(b"{}".to_vec()));
    }

    #[test]
    fn what_cannot_be_taken_names_the_key() {
        for (value, encoding, part) in [
            (&b"%"[..], &b"base64"[..], "is not base64"),
            (b"e30=", b"gzip+base64", IGNITION),
            (b"{}", b"rot13", "rot13 is no encoding"),
        ] {
            let error = look(&[(IGNITION, value), (ENCODING, encoding)]).unwrap_err();
            assert!(error.contains(IGNITION) && error.contains(part), "{error}");
        }
        let source = GuestInfoSource::new(|| Err::<MadeUp, _>("no port".to_owned()));
        let error = source.look().unwrap_err().to_string();
        assert_eq!(error, "VMware guestinfo no port");
    }

    #[test]
    fn other_machines_have_none() {
        let sys = tempfile::tempdir().unwrap();
        assert!(guest_info(sys.path()).is_none());
        std::fs::create_dir_all(sys.path().join("class/dmi/id")).unwrap();
        for (vendor, is_there) in [("QEMU\n", false), ("VMware, Inc.\n", true)] {
            std::fs::write(sys.path().join(VENDOR), vendor).unwrap();
            let is_here = is_there && cfg!(target_arch = "x86_64");
            assert_eq!(guest_info(sys.path()).is_some(), is_here);
        }
    }
}
