//! `--device HOST[:CONTAINER][:PERMISSIONS]`.
//!
//! Looks at no device: its numbers are passed to [`crate::spec`]. Names of the Container Device
//! Interface (`vendor.com/class=name`) are refused.

use std::str::FromStr;

use crate::malformed::Malformed;
use crate::mount::absolute;

/// A device that a container may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceOption {
    /// Its file on the machine.
    pub host: String,
    /// Its file in the container.
    pub container: String,
    /// Some of `r`, `w` and `m`.
    pub permissions: String,
}

impl FromStr for DeviceOption {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let refuse = |reason: &str| Malformed::new("device", text, reason);
        if !text.starts_with('/') {
            return Err(refuse(
                "an absolute path is wanted; CDI names are not supported",
            ));
        }
        let parts: Vec<&str> = text.split(':').collect();
        let (host, container, permissions) = match parts[..] {
            [host] => (host, host, "rwm"),
            [host, second] if is_permissions(second) => (host, host, second),
            [host, container] => (host, container, "rwm"),
            [host, container, permissions] => (host, container, permissions),
            _ => return Err(refuse("HOST:CONTAINER:PERMISSIONS is wanted")),
        };
        if !is_permissions(permissions) {
            return Err(refuse("permissions are some of r, w and m"));
        }
        Ok(Self {
            host: absolute(host).map_err(|reason| refuse(&reason))?,
            container: absolute(container).map_err(|reason| refuse(&reason))?,
            permissions: permissions.to_owned(),
        })
    }
}

fn is_permissions(text: &str) -> bool {
    let mut seen = Vec::new();
    !text.is_empty()
        && text.chars().all(|c| {
            let is_new = !seen.contains(&c);
            seen.push(c);
            is_new && "rwm".contains(c)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_up_to_three_parts() {
        let read = |text: &str| {
            let device: DeviceOption = text.parse().unwrap();
            (device.host, device.container, device.permissions)
        };
        let is = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(read("/dev/kvm"), is("/dev/kvm", "/dev/kvm", "rwm"));
        assert_eq!(read("/dev/kvm:rw"), is("/dev/kvm", "/dev/kvm", "rw"));
        assert_eq!(read("/dev/a:/dev/b:r"), is("/dev/a", "/dev/b", "r"));
        for bad in [
            "",
            "kvm",
            "a.com/b=c",
            "/dev/a:b",
            "/dev/a:/dev/b:rr",
            "/dev/a:/b:x:y",
        ] {
            assert!(bad.parse::<DeviceOption>().is_err(), "{bad}");
        }
    }
}
