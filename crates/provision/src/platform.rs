//! On which cloud a machine is: by the kernel command line, else by what its firmware says of itself.
//!
//! Nobody is asked for that, so a machine that is on none waits for nothing. Sources: the vendors' documentation of
//! how to recognize their machines, and cloud-init's `ds-identify`.

use std::path::Path;

use crate::command_line::CommandLine;

/// Clouds with a metadata service that is read here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Platform {
    /// Microsoft Azure.
    Azure,
    /// Digital Ocean.
    DigitalOcean,
    /// Amazon EC2.
    Ec2,
    /// Google Compute Engine.
    Gce,
    /// Hetzner Cloud.
    Hetzner,
    /// Any web server, by cloud-init's NoCloud.
    NoCloud(Seed),
    /// `OpenStack`.
    OpenStack,
}

/// What `ds=nocloud;s=URL;h=NAME;i=ID` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seed {
    /// Before `user-data` and `meta-data`; ends with a slash.
    pub url: String,
    /// The machine's name.
    pub hostname: Option<String>,
    /// The machine's number.
    pub instance_id: Option<String>,
}

/// Why it cannot be said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// The command line names one that nobody knows.
    #[error("keelson.platform={0} on the kernel command line is not one of {names}, none", names = NAMES.map(|(name, _)| name).join(", "))]
    Unknown(String),
    /// NoCloud without a server, or with words that are not read.
    #[error("ds={0}: {1}")]
    Seed(String, &'static str),
}

/// Names for the command line; Ignition's and cloud-init's.
const NAMES: [(&str, Platform); 8] = [
    ("aws", Platform::Ec2),
    ("azure", Platform::Azure),
    ("digitalocean", Platform::DigitalOcean),
    ("ec2", Platform::Ec2),
    ("gce", Platform::Gce),
    ("gcp", Platform::Gce),
    ("hetzner", Platform::Hetzner),
    ("openstack", Platform::OpenStack),
];
/// Names of platforms that give configurations in another way, or of none.
const WITHOUT_SERVICE: [&str; 3] = ["none", "qemu", "vmware"];
/// Files of `class/dmi/id`, how their text begins, and whose machine that is.
const FIRMWARE: [(&str, &str, Platform); 9] = [
    ("sys_vendor", "Amazon EC2", Platform::Ec2),
    ("product_name", "Google Compute Engine", Platform::Gce),
    // Azure's own tag; other machines on Hyper-V have another.
    (
        "chassis_asset_tag",
        "7783-7084-3265-9085-8269-3286-77",
        Platform::Azure,
    ),
    ("sys_vendor", "DigitalOcean", Platform::DigitalOcean),
    ("sys_vendor", "Hetzner", Platform::Hetzner),
    ("product_name", "OpenStack Nova", Platform::OpenStack),
    ("product_name", "OpenStack Compute", Platform::OpenStack),
    ("chassis_asset_tag", "OpenStack Nova", Platform::OpenStack),
    ("chassis_asset_tag", "OpenTelekomCloud", Platform::OpenStack),
];
/// A string that whoever made the machine chooses; cloud-init's NoCloud is told by it.
const SERIAL: &str = "product_serial";

impl Platform {
    /// In words.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Azure => "Azure",
            Self::DigitalOcean => "DigitalOcean",
            Self::Ec2 => "EC2",
            Self::Gce => "GCE",
            Self::Hetzner => "Hetzner",
            Self::NoCloud(_) => "NoCloud",
            Self::OpenStack => "OpenStack",
        }
    }

    /// Where its service is, for every machine of it.
    pub fn usual_address(&self) -> &str {
        match self {
            // By number: names may not be resolved yet, and the address is documented.
            Self::Azure
            | Self::DigitalOcean
            | Self::Ec2
            | Self::Gce
            | Self::Hetzner
            | Self::OpenStack => "http://169.254.169.254",
            Self::NoCloud(seed) => &seed.url,
        }
    }
}

/// The platform of a machine whose firmware is shown below `sys`; `None` if it has no service that is asked.
///
/// # Errors
/// If the command line, or a serial number that begins with `ds=`, cannot be obeyed.
pub fn detect(line: &CommandLine, sys: &Path) -> Result<Option<Platform>, PlatformError> {
    if let Some(name) = &line.platform {
        return named(name, line);
    }
    if let Some(source) = &line.data_source {
        return no_cloud(source);
    }
    let folder = sys.join("class/dmi/id");
    let text = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap_or_default();
    if let Some(source) = text(SERIAL).trim().strip_prefix("ds=")
        && let Some(platform) = no_cloud(source)?
    {
        return Ok(Some(platform));
    }
    let mut rows = FIRMWARE.into_iter();
    let row = rows.find(|(file, start, _)| text(file).starts_with(start));
    Ok(row.map(|(_, _, platform)| platform))
}

fn named(name: &str, line: &CommandLine) -> Result<Option<Platform>, PlatformError> {
    if WITHOUT_SERVICE.contains(&name) {
        return Ok(None);
    }
    if name == "nocloud" {
        let source = line.data_source.as_deref().unwrap_or("nocloud");
        let missing = || PlatformError::Seed(source.to_owned(), "s=URL is missing");
        return no_cloud(source)?.ok_or_else(missing).map(Some);
    }
    let mut names = NAMES.into_iter();
    let platform = names.find(|(one, _)| *one == name);
    let (_, platform) = platform.ok_or_else(|| PlatformError::Unknown(name.to_owned()))?;
    Ok(Some(platform))
}

/// `nocloud;s=http://…`; `None` if it is another source, or a drive that was looked at already.
fn no_cloud(source: &str) -> Result<Option<Platform>, PlatformError> {
    let wrong = |text| PlatformError::Seed(source.to_owned(), text);
    let mut items = source.split(';');
    if !matches!(items.next(), Some("nocloud" | "nocloud-net")) {
        return Ok(None);
    }
    let mut seed = Seed::default();
    for item in items.filter(|item| !item.is_empty()) {
        match item.split_once('=') {
            Some(("s" | "seedfrom", url)) => url.clone_into(&mut seed.url),
            Some(("h" | "local-hostname", name)) => seed.hostname = Some(name.to_owned()),
            Some(("i" | "instance-id", id)) => seed.instance_id = Some(id.to_owned()),
            _ => return Err(wrong("only s, h and i are read")),
        }
    }
    if seed.url.is_empty() {
        return Ok(None);
    }
    if !seed.url.starts_with("http://") && !seed.url.starts_with("https://") {
        return Err(wrong("s is no address of http or https"));
    }
    // cloud-init puts it there, too.
    if !seed.url.ends_with('/') {
        seed.url.push('/');
    }
    Ok(Some(Platform::NoCloud(seed)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn machine(file: &str, text: &str) -> tempfile::TempDir {
        let sys = tempfile::tempdir().unwrap();
        let folder = sys.path().join("class/dmi/id");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(file), text).unwrap();
        sys
    }

    fn detected(line: &str, file: &str, text: &str) -> Result<Option<Platform>, PlatformError> {
        let line = CommandLine::parse(line).unwrap();
        detect(&line, machine(file, text).path())
    }

    #[test]
    fn the_firmware_tells() {
        for (file, text, name) in [
            ("sys_vendor", "Amazon EC2\n", "EC2"),
            ("product_name", "Google Compute Engine\n", "GCE"),
            (
                "chassis_asset_tag",
                "7783-7084-3265-9085-8269-3286-77\n",
                "Azure",
            ),
            ("sys_vendor", "DigitalOcean\n", "DigitalOcean"),
            ("sys_vendor", "Hetzner\n", "Hetzner"),
            ("product_name", "OpenStack Nova\n", "OpenStack"),
            ("product_serial", "ds=nocloud;s=http://x/\n", "NoCloud"),
        ] {
            let Ok(Some(platform)) = detected("", file, text) else {
                panic!("{text}");
            };
            assert_eq!(platform.name(), name);
        }
        for text in [
            "QEMU\n",
            "VMware, Inc.\n",
            "Dell Inc.\n",
            "",
            "ds=nocloud\n",
        ] {
            for file in ["sys_vendor", "product_serial"] {
                assert_eq!(detected("", file, text), Ok(None), "{text}");
            }
        }
    }

    #[test]
    fn the_command_line_wins() {
        let ec2 = |line| detected(line, "sys_vendor", "Amazon EC2\n");
        assert_eq!(ec2("keelson.platform=none"), Ok(None));
        assert_eq!(ec2("keelson.platform=gcp"), Ok(Some(Platform::Gce)));
        let seed = Seed {
            url: "https://x/".to_owned(),
            hostname: Some("a".to_owned()),
            instance_id: Some("7".to_owned()),
        };
        let no_cloud = Ok(Some(Platform::NoCloud(seed)));
        assert_eq!(ec2("ds=nocloud-net;seedfrom=https://x/;h=a;i=7"), no_cloud);
        assert_eq!(ec2("ds=nocloud"), Ok(None));
    }

    #[test]
    fn what_cannot_be_obeyed_is_told() {
        for (line, part) in [
            ("keelson.platform=ecs", "not one of aws, azure"),
            ("keelson.platform=nocloud", "s=URL is missing"),
            ("ds=nocloud;s=ftp://x", "no address"),
            ("ds=nocloud;s=http://x;k=1", "only s, h and i"),
        ] {
            let error = detected(line, "sys_vendor", "").unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
