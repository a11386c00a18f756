//! The machine's identity, the same in every version: made once, in `shared/machine-id`.
//!
//! It is written into the upper layer of `/etc` before systemd starts: without it, systemd
//! would take each version's first boot for the machine's and fill `/etc` with links that then
//! mask what later versions bring.
use std::fs;
use std::io;
use std::path::Path;

use crate::report::error::{ActionFailed, Context};
use crate::state::durable;
use crate::state::random;

const MODE: u32 = 0o444;

/// The machine-id kept in state, made if there is none that is valid.
pub(crate) fn ensure(state: &Path) -> Result<String, ActionFailed> {
    let path = state.join("shared/machine-id");
    if let Some(id) = read(&path) {
        return Ok(id);
    }
    // As systemd does, the bits of a random UUID without its dashes.
    let id = random::uuid()?.simple().to_string();
    write(&path, &id).context(|| format!("write {}", path.display()))?;
    Ok(id)
}

/// Puts it into a folder that becomes `/etc`, unless it is there already.
pub(crate) fn install(id: &str, etc: &Path) -> Result<(), ActionFailed> {
    let path = etc.join("machine-id");
    if read(&path).as_deref() == Some(id) {
        return Ok(());
    }
    write(&path, id).context(|| format!("write {}", path.display()))
}

fn write(path: &Path, id: &str) -> io::Result<()> {
    durable::write_file(path, format!("{id}\n").as_bytes(), MODE)
}

/// `None` also for a file that a power cut has emptied or damaged.
fn read(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    is_valid(text.trim_end()).then(|| text.trim_end().to_owned())
}

/// As machine-id(5): 32 lower-case hexadecimal digits, not all zero.
fn is_valid(id: &str) -> bool {
    let digits = id
        .bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    id.len() == 32 && digits && id.bytes().any(|b| b != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_32_lower_case_digits() {
        assert!(is_valid("00112233445566778899aabbccddeeff"));
        for bad in [
            "",
            "uninitialized",
            "00112233445566778899AABBCCDDEEFF",
            &"0".repeat(32),
            &"a".repeat(33),
        ] {
            assert!(!is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn an_id_is_made_once_and_a_damaged_one_replaced() {
        let state = tempfile::tempdir().unwrap();
        fs::create_dir(state.path().join("shared")).unwrap();
        let first = ensure(state.path()).unwrap();
        assert!(is_valid(&first));
        assert_eq!(ensure(state.path()).unwrap(), first);
        fs::remove_file(state.path().join("shared/machine-id")).unwrap();
        fs::write(state.path().join("shared/machine-id"), "").unwrap();
        assert_ne!(ensure(state.path()).unwrap(), first);
    }

    #[test]
    fn the_upper_layer_gets_the_shared_id() {
        let etc = tempfile::tempdir().unwrap();
        let (old, new) = ("a".repeat(32), "b".repeat(32));
        install(&old, etc.path()).unwrap();
        install(&new, etc.path()).unwrap();
        assert_eq!(
            fs::read_to_string(etc.path().join("machine-id")).unwrap(),
            new + "\n"
        );
    }
}
