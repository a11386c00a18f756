//! What of Ignition is not done, each with what to do instead.
//!
//! An empty list asks for nothing and is no problem.

use super::Config;
use super::reading::Reading;
use crate::key_path::KeyPath;

/// Finds what is asked for and not done.
pub(super) fn check(config: &Config, reading: &mut Reading) {
    let top = KeyPath::top();
    if let Some(arguments) = &config.kernel_arguments {
        let lists = [&arguments.should_exist, &arguments.should_not_exist];
        if lists.into_iter().flatten().any(|list| !list.is_empty()) {
            let text = "not supported: the kernel's command line is part of the signed kernel image; \
                        use `kernel` settings under /etc/sysctl.d, or an image of your own";
            reading.problem(&top.key("kernelArguments"), text);
        }
    }
    let Some(storage) = &config.storage else {
        return;
    };
    let key = top.key("storage");
    let asks = |length: Option<usize>| length.is_some_and(|length| length > 0);
    for (name, length, instead) in [
        (
            "raid",
            storage.raid.as_ref().map(Vec::len),
            "not supported: the image has no mdadm",
        ),
        (
            "luks",
            storage.luks.as_ref().map(Vec::len),
            "not supported: the image has neither cryptsetup nor Clevis; the machine's whole state is \
             encrypted by `encrypt` in `[state]` of Keelson's TOML",
        ),
    ] {
        if asks(length) {
            reading.problem(&key.key(name), instead);
        }
    }
}
