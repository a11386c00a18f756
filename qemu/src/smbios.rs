//! The SMBIOS type 11 strings by which a machine gets credentials and command line.
//!
//! systemd reads `io.systemd.credential.binary:NAME=BASE64` in PID 1, its UEFI stub reads
//! `io.systemd.stub.kernel-cmdline-extra=TEXT` (systemd.system-credentials(7), smbios-type-11(7)).
//! This does not look whether a guest honours them.

use crate::base64;

/// How many bytes all strings may have together, their zero bytes included. A table has a 16-bit
/// length (SMBIOS 2.1, 32-bit entry point): with QEMU 10, 65 000 bytes arrived, and of 65 400
/// none, without any message. The rest is for QEMU's own structures.
pub(crate) const STRINGS_LIMIT_BYTES: usize = 60_000;

/// A credential for the guest: its name, as `LoadCredential=` knows it, and its value.
pub(crate) fn credential(name: &str, value: &[u8]) -> String {
    format!(
        "io.systemd.credential.binary:{name}={}",
        base64::encode(value)
    )
}

/// More kernel command line for a unified kernel image.
pub(crate) fn command_line_extra(text: &str) -> String {
    format!("io.systemd.stub.kernel-cmdline-extra={text}")
}

/// Whether systemd accepts `name` as the name of a credential: a file name without control
/// characters, and here without the equals sign that ends it.
pub(crate) fn is_credential_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() <= 255
        && name
            .chars()
            .all(|character| character.is_ascii_graphic() && !matches!(character, '/' | '=' | ':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_as_systemd_reads_them() {
        assert_eq!(
            credential("ssh.authorized_keys.root", b"key\n"),
            "io.systemd.credential.binary:ssh.authorized_keys.root=a2V5Cg=="
        );
        assert_eq!(
            command_line_extra("debug a,b"),
            "io.systemd.stub.kernel-cmdline-extra=debug a,b"
        );
    }

    #[test]
    fn names_that_break_the_string_are_refused() {
        assert!(is_credential_name("ssh.authorized_keys.root"));
        for bad in ["", "..", "a/b", "a=b", "a:b", "a b", "\u{e4}"] {
            assert!(!is_credential_name(bad), "{bad:?}");
        }
    }
}
