//! `.network`, `.volume` and `.image` files: units that make a network or a volume, or pull an image, once, before the
//! containers that name it start.
//!
//! A network or a volume that is there already is left as it is, even if the file says something else by now.

use systemd_unit::{UnitFile, UnitName};

use super::container::{Translation, about, has_default_dependencies, quoted};
use super::keys::{
    Handling, PODMAN, is, is_absolute, is_address, is_boolean, is_count, is_delay, is_pull,
    is_subnet, similar_in,
};
use super::problem::Problem;
use super::siblings::{Siblings, resource_name, translate, unit_of};
use super::source::{Entry, QuadletFile, entries, last, list};
use super::{GeneratedUnit, install, pod, service};
use crate::name::Name;
use crate::options::Label;
use crate::reference::ImageReference;

use Handling::{Each, Flag, One, Refused, Special, Words};

pub(super) const LAUNCH: &str = "/usr/bin/launch";
const NO_DRIVERS: &str =
    "a volume is a folder of the machine: bind another with `Volume=/path:…` in the container";

const REGISTRIES: &str =
    "what holds for a registry stands in /etc/keelson/registries.toml, for every pull";
/// As images name the machine's processor.
const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "amd64"
};

/// What differs between them.
pub(super) struct Kind {
    pub(super) section: &'static str,
    /// What of `launch` is called, with the name behind all options.
    pub(super) command: &'static str,
    /// Units that are there before, each with whether that is a default that can be switched off.
    pub(super) wants: &'static [(&'static str, bool)],
    pub(super) keys: &'static [(&'static str, Handling)],
}

pub(super) const IMAGE: Kind = Kind {
    section: "Image",
    command: "pull",
    wants: &[
        ("containerd.socket", false),
        ("network-online.target", true),
    ],
    keys: &[
        (
            "AllTags",
            Refused("one image is pulled: write a file for each tag"),
        ),
        ("Arch", Special),
        ("AuthFile", One("--auth-file", is_absolute)),
        ("CertDir", Refused(REGISTRIES)),
        ("ContainersConfModule", Refused(PODMAN)),
        (
            "Creds",
            Refused("units can be read by all: `AuthFile=` names a file of logins"),
        ),
        (
            "DecryptionKey",
            Refused("encrypted images are not supported"),
        ),
        ("GlobalArgs", Refused(PODMAN)),
        ("Image", Special),
        (
            "ImageTag",
            Refused("an image has the name by which it is pulled"),
        ),
        ("OS", Special),
        ("PodmanArgs", Refused(PODMAN)),
        ("Policy", One("--policy", is_pull)),
        ("Retry", One("--retry", is_count)),
        ("RetryDelay", One("--retry-delay", is_delay)),
        ("ServiceName", Refused("the unit has the file's name")),
        ("TLSVerify", Refused(REGISTRIES)),
        (
            "Variant",
            Refused("images are for this machine's processor"),
        ),
    ],
};

pub(super) const NETWORK: Kind = Kind {
    section: "Network",
    command: "network create --ignore",
    wants: &[],
    keys: &[
        ("ContainersConfModule", Refused(PODMAN)),
        ("DNS", Each("--dns", is_address)),
        ("DisableDNS", Flag("--disable-dns")),
        ("Driver", Special),
        ("Gateway", Each("--gateway", is_address)),
        ("GlobalArgs", Refused(PODMAN)),
        ("IPAMDriver", Special),
        ("IPRange", Each("--ip-range", is_subnet)),
        ("IPv6", Flag("--ipv6")),
        (
            "InterfaceName",
            Refused("the bridge's name is made of the network's"),
        ),
        ("Internal", Flag("--internal")),
        ("Label", Words("--label", is::<Label>)),
        ("NetworkDeleteOnStop", Special),
        ("NetworkName", Special),
        ("Options", Special),
        ("PodmanArgs", Refused(PODMAN)),
        ("ServiceName", Refused("the unit has the file's name")),
        ("Subnet", Each("--subnet", is_subnet)),
    ],
};

pub(super) const VOLUME: Kind = Kind {
    section: "Volume",
    command: "volume create --ignore",
    wants: &[],
    keys: &[
        ("ContainersConfModule", Refused(PODMAN)),
        ("Copy", Special),
        ("Device", Refused(NO_DRIVERS)),
        ("Driver", Special),
        ("GlobalArgs", Refused(PODMAN)),
        (
            "Group",
            Refused("the first container's image says whose it is"),
        ),
        ("Image", Refused(NO_DRIVERS)),
        ("Label", Words("--label", is::<Label>)),
        ("Options", Refused(NO_DRIVERS)),
        ("PodmanArgs", Refused(PODMAN)),
        ("ServiceName", Refused("the unit has the file's name")),
        ("Type", Refused(NO_DRIVERS)),
        (
            "User",
            Refused("the first container's image says whose it is"),
        ),
        ("VolumeName", Special),
    ],
};

/// What a unit has beside what its file says.
#[derive(Debug, Default)]
pub(super) struct Extras {
    /// Of [Unit].
    pub(super) unit: Vec<(&'static str, String)>,
    /// Of [Service], commands among it.
    pub(super) service: Vec<(&'static str, String)>,
}

pub(super) fn generate(
    file: &QuadletFile,
    kind: &Kind,
    siblings: &Siblings,
) -> Result<GeneratedUnit, Vec<Problem>> {
    let mut problems = Vec::new();
    let entries = entries(file, &mut problems);
    let unit = unit_name(file, &mut problems);
    check_places(&entries, kind, &mut problems);
    let mut translation = Translation::new(file, kind.section, &entries, siblings, problems);
    translation.options(kind.keys);
    special(&mut translation, &entries, kind);
    let name = quoted(&name(file, kind, &entries, &mut translation));
    let mut extras = extras(kind, &name, &entries);
    if kind.section == pod::POD.section {
        pod::add(
            &mut extras,
            &name,
            siblings.started_with(&file.name),
            &entries,
        );
    }
    let required = translation.needs.units.iter();
    let required = required.flat_map(|unit| [("Requires", unit.clone()), ("After", unit.clone())]);
    extras.unit.splice(0..0, required);
    let words = translation.words.iter().map(|word| quoted(word));
    let mut command = vec![format!("{LAUNCH} {}", kind.command)];
    command.extend(words.chain([name]));
    extras.service.insert(0, ("ExecStart", command.join(" ")));
    let mut problems = translation.problems;
    let text = text(file, &entries, &extras, &mut problems);
    let links = unit
        .as_ref()
        .map(|unit| install::links(unit, &entries, &mut problems));
    match (unit, links, text) {
        (Some(unit), Some(links), Some(text)) if problems.is_empty() => Ok(GeneratedUnit {
            name: unit.to_string(),
            text,
            links,
        }),
        _ => Err(problems),
    }
}

fn extras(kind: &Kind, name: &str, entries: &[Entry]) -> Extras {
    let mut extras = Extras::default();
    for (unit, is_default) in kind.wants {
        if !is_default || has_default_dependencies(entries) {
            extras.unit.push(("Wants", (*unit).to_owned()));
            extras.unit.push(("After", (*unit).to_owned()));
        }
    }
    if is_deleted_on_stop(entries) {
        let stop = format!("{LAUNCH} network rm {name}");
        extras.service.push(("ExecStop", stop));
    }
    extras
}

fn unit_name(file: &QuadletFile, problems: &mut Vec<Problem>) -> Option<UnitName> {
    let name = unit_of(&file.name).unwrap_or_default();
    if name.contains('@') {
        problems.push(about(file, "templates are for containers"));
        return None;
    }
    let name = UnitName::new(name);
    name.map_err(|error| problems.push(about(file, error.to_string())))
        .ok()
}

fn check_places(entries: &[Entry], kind: &Kind, problems: &mut Vec<Problem>) {
    for entry in entries {
        match entry.section.as_str() {
            "Unit" => {}
            "Service" => service::check_oneshot(entry, problems),
            "Install" => install::check(entry, problems),
            "Quadlet" if entry.key == "DefaultDependencies" => {}
            other if other.starts_with("X-") => {}
            other if other == kind.section => check_key(entry, kind, problems),
            other => problems.push(entry.problem(format!(
                "there is no section [{other}]: [Unit], [{}], [Service], [Install] and [Quadlet] are known",
                kind.section
            ))),
        }
    }
}

fn check_key(entry: &Entry, kind: &Kind, problems: &mut Vec<Problem>) {
    let found = kind.keys.iter().find(|(key, _)| *key == entry.key);
    match found {
        Some((_, Refused(reason))) => {
            problems.push(entry.problem(format!("not supported: {reason}")));
        }
        Some(_) => {}
        None => {
            let hint = similar_in(kind.keys, &entry.key);
            let hint = hint.map_or(String::new(), |key| format!("; `{key}` is meant?"));
            problems.push(entry.problem(format!("there is no such key{hint}")));
        }
    }
}

fn special(translation: &mut Translation<'_>, entries: &[Entry], kind: &Kind) {
    match kind.section {
        "Network" => {
            translation.only("Driver", &["bridge"], "networks are bridges");
            let given = "addresses are given by the launcher";
            translation.only("IPAMDriver", &["host-local"], given);
            translation.boolean("NetworkDeleteOnStop");
            options(translation, entries);
        }
        "Volume" => {
            translation.only("Driver", &["local"], NO_DRIVERS);
            let copy = "a new volume has what the first container's image has there";
            translation.only("Copy", &["true", "yes", "on", "1"], copy);
        }
        "Pod" => translation.only("ExitPolicy", &["stop", "continue"], pod::EXIT_POLICIES),
        _ => {
            let own = "images are for this machine's processor";
            translation.only("Arch", &[ARCHITECTURE], own);
            translation.only("OS", &["linux"], "images are for Linux");
        }
    }
}

/// `Options=` of networks: `mtu=…` and `isolate=…`, with commas between them.
fn options(translation: &mut Translation<'_>, entries: &[Entry]) {
    for entry in list(entries, "Network", "Options") {
        for option in entry
            .value
            .split([',', ' '])
            .filter(|option| !option.is_empty())
        {
            match option
                .split_once('=')
                .map(|(key, value)| (key.trim_start_matches("com.docker.network.driver."), value))
            {
                Some(("mtu", value)) if is_count(value).is_ok() => {
                    translation.words.push(format!("--mtu={value}"));
                }
                Some(("isolate", value)) if is_boolean(value) == Some(false) => {
                    translation.words.push("--no-isolate".to_owned());
                }
                Some(("isolate", value)) if is_boolean(value) == Some(true) => {}
                _ => {
                    let text = format!(
                        "`{option}` is not supported: `mtu=BYTES` and `isolate=yes|no` are"
                    );
                    translation.problems.push(entry.problem(text));
                }
            }
        }
    }
}

fn name(
    file: &QuadletFile,
    kind: &Kind,
    entries: &[Entry],
    translation: &mut Translation<'_>,
) -> String {
    let name = resource_name(file).unwrap_or_default();
    if kind.section == "Image" {
        image_name(file, entries, translation);
        return name;
    }
    if let Err(error) = name.parse::<Name>() {
        let key = format!("{}Name", kind.section);
        let problem = match last(entries, kind.section, &key) {
            Some(entry) => entry.problem(error.to_string()),
            None => about(file, format!("{error}; `{key}=` gives another name")),
        };
        translation.problems.push(problem);
    }
    name
}

/// An image has no name but the one that its file says.
fn image_name(file: &QuadletFile, entries: &[Entry], translation: &mut Translation<'_>) {
    let Some(entry) = last(entries, "Image", "Image") else {
        let problem = about(file, "[Image] has no `Image=`");
        translation.problems.push(problem);
        return;
    };
    translation.check(entry, &entry.value, is::<ImageReference>);
}

fn is_deleted_on_stop(entries: &[Entry]) -> bool {
    let entry = last(entries, "Network", "NetworkDeleteOnStop");
    entry.and_then(|entry| is_boolean(&entry.value)) == Some(true)
}

fn text(
    file: &QuadletFile,
    entries: &[Entry],
    extras: &Extras,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    let source = format!("{}/{}", file.folder, file.name);
    let mut options: Vec<(&str, &str, String)> = vec![("Unit", "SourcePath", source)];
    let made = |section, pairs: &[(&'static str, String)]| {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| (section, *key, value.clone()))
            .collect::<Vec<_>>()
    };
    let of = |section: &'static str| entries.iter().filter(move |entry| entry.section == section);
    options.extend(made("Unit", &extras.unit));
    options.extend(of("Unit").map(|e| ("Unit", e.key.as_str(), translate(&e.key, &e.value))));
    for (key, value) in [
        ("Type", "oneshot"),
        ("RemainAfterExit", "yes"),
        ("SyslogIdentifier", "%N"),
    ] {
        options.push(("Service", key, value.to_owned()));
    }
    options.extend(of("Service").map(|e| ("Service", e.key.as_str(), e.value.clone())));
    options.extend(made("Service", &extras.service));
    options.extend(of("Install").map(|e| ("Install", e.key.as_str(), e.value.clone())));
    let written = options
        .iter()
        .map(|(section, key, value)| (*section, *key, value.as_str()));
    match UnitFile::from_options(written) {
        Ok(unit) => Some(unit.text().to_owned()),
        Err(error) => {
            problems.push(about(file, error.to_string()));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quadlet::{generate, generate_among};

    fn file(name: &str, text: &str) -> QuadletFile {
        QuadletFile {
            name: name.to_owned(),
            folder: "/etc/containers/systemd".to_owned(),
            text: text.to_owned(),
            drop_ins: Vec::new(),
        }
    }

    #[test]
    fn a_network_is_a_unit_that_makes_it() {
        let text = "[Unit]\nAfter=other.network b.service\n[Network]\nSubnet=10.5.0.0/24\nGateway=10.5.0.9\nIPv6=yes\n\
            Internal=no\nLabel=a=b\nOptions=mtu=1400,isolate=no\nNetworkDeleteOnStop=true\n[Install]\nWantedBy=multi-user.target\n";
        let unit = generate(&file("front.network", text)).unwrap();
        let expected = "\
[Unit]
SourcePath=/etc/containers/systemd/front.network
After=other-network.service b.service

[Service]
Type=oneshot
RemainAfterExit=yes
SyslogIdentifier=%N
ExecStart=/usr/bin/launch network create --ignore --gateway=10.5.0.9 --ipv6 --label=a=b --subnet=10.5.0.0/24 --mtu=1400 --no-isolate front
ExecStop=/usr/bin/launch network rm front

[Install]
WantedBy=multi-user.target
";
        assert_eq!(unit.text, expected);
        assert_eq!(unit.name, "front-network.service");
        assert_eq!(
            unit.links,
            ["multi-user.target.wants/front-network.service"]
        );
    }

    #[test]
    fn a_volume_is_a_unit_that_makes_it() {
        let unit = generate(&file(
            "data.volume",
            "[Volume]\nVolumeName=shop\nCopy=yes\n",
        ))
        .unwrap();
        assert_eq!(unit.name, "data-volume.service");
        let command = "ExecStart=/usr/bin/launch volume create --ignore shop\n";
        assert!(unit.text.contains(command), "{}", unit.text);
    }

    #[test]
    fn an_image_is_a_unit_that_pulls_it() {
        let text = "[Image]\nImage=quay.io/shop/web:1\nArch=amd64\nOS=linux\nAuthFile=/etc/a.json\nPolicy=missing\n\
            Retry=3\nRetryDelay=5s\n[Service]\nRestart=on-failure\n";
        let image = file("shop.image", text);
        let unit = generate(&image).unwrap();
        let expected = "\
[Unit]
SourcePath=/etc/containers/systemd/shop.image
Wants=containerd.socket
After=containerd.socket
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
SyslogIdentifier=%N
Restart=on-failure
ExecStart=/usr/bin/launch pull --auth-file=/etc/a.json --policy=missing --retry=3 --retry-delay=5s quay.io/shop/web:1
";
        assert_eq!(unit.text, expected);
        assert_eq!(unit.name, "shop-image.service");

        let container = file(
            "web.container",
            "[Container]\nImage=shop.image\nExec=serve\n",
        );
        let unit = generate_among(&container, &Siblings::of([&image])).unwrap();
        let needs = "Requires=shop-image.service\nAfter=shop-image.service\n";
        assert!(unit.text.contains(needs), "{}", unit.text);
        let command = " --name=%N quay.io/shop/web:1 serve\n";
        assert!(unit.text.contains(command), "{}", unit.text);
        let problems = generate(&container).unwrap_err();
        let expected = "web.container:2: [Container] Image: there is no file shop.image";
        assert_eq!(problems[0].to_string(), expected);
    }

    #[test]
    fn containers_name_files_and_wait_for_their_units() {
        let others = [
            file("front.network", "[Network]\n"),
            file("back.network", "[Network]\nNetworkName=inner\n"),
            file("data.volume", "[Volume]\nVolumeName=shop\n"),
        ];
        let siblings = Siblings::of(&others);
        let text = "[Container]\nImage=a\nNetwork=front.network\nNetwork=back.network:ip=10.0.0.9,alias=www\nVolume=data.volume:/data:ro\n\
            Mount=type=volume,source=data.volume,target=/srv\n";
        let unit = generate_among(&file("web.container", text), &siblings)
            .unwrap()
            .text;
        for line in [
            "Requires=front-network.service\nAfter=front-network.service\n",
            "Requires=back-network.service\nAfter=back-network.service\n",
            "Requires=data-volume.service\nAfter=data-volume.service\n",
        ] {
            assert_eq!(unit.matches(line).count(), 1, "{unit}");
        }
        for option in [
            "--network=front --network=inner:ip=10.0.0.9,alias=www ",
            "--volume=shop:/data:ro ",
            "--mount=type=volume,source=shop,target=/srv ",
        ] {
            assert!(unit.contains(option), "{unit}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let cases = [
            (
                "a.network",
                "[Network]\nSubnt=1\n",
                "a.network:2: [Network] Subnt: there is no such key; `Subnet` is meant?",
            ),
            (
                "a.network",
                "[Network]\nSubnet=10.0.0.0\n",
                "a.network:2: [Network] Subnet: ",
            ),
            (
                "a.network",
                "[Network]\nDriver=macvlan\n",
                "a.network:2: [Network] Driver: ",
            ),
            (
                "a.network",
                "[Network]\nOptions=vlan=5\n",
                "a.network:2: [Network] Options: ",
            ),
            (
                "a.network",
                "[Network]\nNetworkName=a/b\n",
                "a.network:2: [Network] NetworkName: ",
            ),
            (
                "a.network",
                "[Container]\nImage=a\n",
                "a.network:2: [Container] Image: there is no section",
            ),
            ("a b.network", "[Network]\n", "a b.network: "),
            (
                "a@.network",
                "[Network]\n",
                "a@.network: templates are for containers",
            ),
            (
                "a.volume",
                "[Volume]\nDevice=/dev/sda\n",
                "a.volume:2: [Volume] Device: not supported: ",
            ),
            (
                "a.volume",
                "[Volume]\nCopy=no\n",
                "a.volume:2: [Volume] Copy: ",
            ),
            (
                "a.volume",
                "[Volume]\n[Service]\nType=simple\n",
                "a.volume:3: [Service] Type: ",
            ),
        ];
        assert_told(&cases);
    }

    #[test]
    fn mistakes_in_images_are_told_with_their_place() {
        let cases = [
            ("a.image", "[Image]\n", "a.image: [Image] has no `Image=`"),
            (
                "a.image",
                "[Image]\nImage=B\n",
                "a.image:2: [Image] Image: ",
            ),
            (
                "a.image",
                "[Image]\nImage=b\nArch=s390x\n",
                "a.image:3: [Image] Arch: `s390x` is not supported: ",
            ),
            (
                "a.image",
                "[Image]\nImage=b\nTLSVerify=false\n",
                "a.image:3: [Image] TLSVerify: not supported: ",
            ),
            (
                "a.image",
                "[Image]\nImage=b\nPolicy=newer\n",
                "a.image:3: [Image] Policy: ",
            ),
        ];
        assert_told(&cases);
    }

    /// Names of files, what is in them, and how what is told first begins.
    fn assert_told(cases: &[(&str, &str, &str)]) {
        for (name, text, expected) in cases {
            let problems = generate(&file(name, text)).unwrap_err();
            assert!(
                problems[0].to_string().starts_with(expected),
                "{text}: {problems:?}"
            );
        }
    }

    #[test]
    fn every_key_has_its_place_in_the_tables() {
        for kind in [IMAGE, NETWORK, pod::POD, VOLUME] {
            let names: Vec<&str> = kind.keys.iter().map(|(name, _)| *name).collect();
            let mut sorted = names.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(names, sorted, "sorted, each once");
        }
    }
}
