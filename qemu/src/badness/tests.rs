//! Tests of the console scan: every entry sees its example, and a good boot is good.

use super::*;

const GOOD: &str = "\
[    0.000000] Linux version 6.12.48+deb13-cloud-amd64 (debian-kernel@lists.debian.org)\r
[    0.000000] Command line: console=ttyS0 panic=10 systemd.log_level=info\r
[    0.031000] ACPI: DEBUG: table loaded\r
[    1.200000] device-mapper: verity: sha256 using implementation \"sha256-generic\"\r
[    1.210000] I/O error, dev sr0, sector 0 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 2\r
[    1.300000] systemd[1]: systemd 257.13-1~deb13u1 running in system mode\r
[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mmulti-user.target\x1b[0m - Multi-User System.\r
[\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39memergency-notes.service\x1b[0m.\r
[    1.500000] EXT4-fs (vda4): mounted filesystem 11111111-2222-4333-8444-555555555555 r/w\r
[    2.000000] systemd[1]: Finished kmod-static-nodes.service - Create List of Static Device Nodes.\r
keelson login: ";

#[test]
fn every_entry_sees_its_example() {
    for entry in table::ENTRIES {
        assert!(
            entry.matches(entry.example),
            "{:?} does not see {:?}",
            entry.pieces,
            entry.example
        );
        let findings = scan::<&str>(entry.example, &[]);
        assert_eq!(findings.len(), 1, "{:?}", entry.example);
        assert_eq!(findings[0].severity, entry.severity, "{:?}", entry.example);
    }
}

#[test]
fn good_console_is_good() {
    assert_eq!(scan::<&str>(GOOD, &[]), []);
}

#[test]
fn bad_line_is_found_with_its_number_through_colours() {
    let bad = format!(
        "{GOOD}\r\n[\x1b[0;1;31mFAILED\x1b[0m] Failed to start \x1b[0;1;39mssh.service\x1b[0m.\r\n"
    );
    let findings = scan::<&str>(&bad, &[]);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].number, GOOD.lines().count() + 1);
    assert_eq!(findings[0].line, "[FAILED] Failed to start ssh.service.");
    assert_eq!(findings[0].reason, "a unit failed");
}

#[test]
fn colour_within_a_phrase_does_not_hide_it() {
    let findings = scan::<&str>("\x1b[31mKernel panic\x1b[0m - not syncing: x", &[]);
    assert_eq!(findings[0].severity, Severity::Fatal);
}

#[test]
fn allowed_line_is_passed_over_and_no_other() {
    let text = "Failed to start provoked.service\nFailed to start other.service";
    let findings = scan(text, &["provoked.service"]);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].number, 2);
}

#[test]
fn words_that_only_end_alike_are_fine() {
    for fine in [
        "DEBUG: all is well",
        "gopanic: a package",
        "I/O error, dev sr0, sector 0",
    ] {
        assert_eq!(scan::<&str>(fine, &[]), [], "{fine}");
    }
    assert_eq!(scan::<&str>("DEBUG: then BUG: real", &[]).len(), 1);
}
