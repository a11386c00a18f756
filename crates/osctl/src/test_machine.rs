//! For tests: the files of a machine of version 1.2~rc3, as `/init` and the builder write them.

use machine_facts::boot_facts::BootFacts;

/// `/usr/lib/os-release`.
pub(crate) const OS_RELEASE: &str = "NAME=\"Keelson\"\n\
    PRETTY_NAME=\"Keelson 1.2~rc3 (vm)\"\nID=\"keelson\"\nID_LIKE=\"debian\"\n\
    VERSION_ID=\"1.2\"\nIMAGE_ID=\"keelson\"\nIMAGE_VERSION=\"1.2~rc3\"\n\
    BUILD_ID=\"1234567890abcdef1234567890abcdef\"\nVARIANT_ID=\"vm\"\n";

/// `/run/keelson/boot.toml` on a counted boot of a machine with everything.
pub(crate) fn boot_toml() -> String {
    let hash = "ab".repeat(32);
    format!(
        "version = \"1.2~rc3\"\nroot_hash = \"{hash}\"\nslot = \"a\"\ndisk = \"/dev/vda\"\n\
         root = \"/dev/vda2\"\nesp = \"/dev/vda1\"\nmeta = \"/dev/vda6\"\n\
         state = \"/dev/vda7\"\nverity = true\nboot_path = \"uefi\"\ncounted = true\n\
         first_boot = true\nfailed_boots = 2\n\n\
         [steps_milliseconds]\n\"load modules\" = 120\n\"open the root\" = 480\n"
    )
}

/// The same, read.
pub(crate) fn facts() -> BootFacts {
    toml::from_str(&boot_toml()).expect("boot.toml is as it must be")
}
