//! `.pod` files: units that make what several containers share, and start with it the containers that name the file.
//!
//! Containers of a pod share its network, its System V IPC and its host name. No container holds the pod: files in `/run`
//! do, which the unit removes when it stops.

use super::keys::{Handling, PODMAN, is, is_address, is_ports, is_v4, is_v6, is_word};
use super::resource::{Extras, Kind};
use super::source::{Entry, last};
use crate::host_entry::HostEntry;
use crate::options::HostName;
use crate::resources::MemorySize;

use Handling::{Each, One, Refused, Special};

/// More sockets for published ports than a machine has use for.
const DESCRIPTORS_MAX: &str = "1024";

pub(super) const USERS: &str = "containers of a pod have the machine's users";

pub(super) const EXIT_POLICIES: &str = "`stop` and `continue` are";

/// What a container in a pod does not say itself.
pub(super) const ITS_OWN: &[&str] = &[
    "AddHost",
    "DNS",
    "DNSOption",
    "DNSSearch",
    "HostName",
    "IP",
    "IP6",
    "Network",
    "NetworkAlias",
    "PublishPort",
    "ShmSize",
];

pub(super) const POD: Kind = Kind {
    section: "Pod",
    command: "pod create",
    wants: &[("network-online.target", true)],
    keys: &[
        ("AddHost", Each("--add-host", is::<HostEntry>)),
        ("ContainersConfModule", Refused(PODMAN)),
        ("DNS", Each("--dns", is_address)),
        ("DNSOption", Each("--dns-option", is_word)),
        ("DNSSearch", Each("--dns-search", is_word)),
        ("ExitPolicy", Special),
        ("GIDMap", Refused(USERS)),
        ("GlobalArgs", Refused(PODMAN)),
        ("HostName", One("--hostname", is::<HostName>)),
        ("IP", One("--ip", is_v4)),
        ("IP6", One("--ip6", is_v6)),
        ("Label", Refused("write it into the containers")),
        ("Network", Special),
        ("NetworkAlias", Each("--network-alias", is::<HostName>)),
        ("PodName", Special),
        ("PodmanArgs", Refused(PODMAN)),
        ("PublishPort", Each("--publish", is_ports)),
        ("ServiceName", Refused("the unit has the file's name")),
        ("ShmSize", One("--shm-size", is::<MemorySize>)),
        (
            "StopTimeout",
            Refused("each container has a `StopTimeout=` of its own"),
        ),
        ("SubGIDMap", Refused(USERS)),
        ("SubUIDMap", Refused(USERS)),
        ("UIDMap", Refused(USERS)),
        ("UserNS", Refused(USERS)),
        ("Volume", Refused("write it into the containers")),
    ],
};

/// Starts the members with it, stops it with the last of them, and has systemd hold what must not be given away.
pub(super) fn add(extras: &mut Extras, name: &str, members: &[String], entries: &[Entry]) {
    for member in members {
        extras.unit.push(("Wants", member.clone()));
        extras.unit.push(("Before", member.clone()));
    }
    let policy = last(entries, POD.section, "ExitPolicy");
    let goes_on = policy.is_some_and(|entry| entry.value == "continue");
    // Without members it would stop at once.
    if !goes_on && !members.is_empty() {
        extras.unit.push(("StopWhenUnneeded", "yes".to_owned()));
    }
    let remove = format!("{} pod rm {name}", super::resource::LAUNCH);
    extras.service.extend([
        ("NotifyAccess", "main".to_owned()),
        ("FileDescriptorStoreMax", DESCRIPTORS_MAX.to_owned()),
        ("ExecStopPost", remove),
    ]);
}

#[cfg(test)]
mod tests {
    use crate::quadlet::{QuadletFile, Siblings, generate_among};

    fn file(name: &str, text: &str) -> QuadletFile {
        QuadletFile {
            name: name.to_owned(),
            folder: "/etc/containers/systemd".to_owned(),
            text: text.to_owned(),
            drop_ins: Vec::new(),
        }
    }

    fn shop(lines: &str) -> QuadletFile {
        file("shop.pod", &format!("[Pod]\n{lines}"))
    }

    /// Two containers that start with a pod, one that does not, and one of which nobody knows the instances.
    fn members() -> [QuadletFile; 4] {
        let member = |name: &str, lines: &str| {
            let text = format!("[Container]\nImage=a\nPod=shop.pod\n{lines}");
            file(name, &text)
        };
        [
            member("db.container", ""),
            member("late.container", "StartWithPod=no\n"),
            member("web.container", "StartWithPod=yes\n"),
            member("work@.container", ""),
        ]
    }

    fn siblings(pod: &QuadletFile) -> Siblings {
        let network = file("front.network", "[Network]\n");
        Siblings::of(members().iter().chain([pod, &network]))
    }

    #[test]
    fn a_pod_starts_its_containers_and_stops_with_the_last() {
        let pod = shop(
            "Network=front.network\nPublishPort=8080:80\nIP=10.0.0.9\nNetworkAlias=www\nHostName=shop1\n\
             AddHost=a:1.2.3.4\nDNS=1.1.1.1\nDNSOption=a\nDNSSearch=b\nShmSize=64m\n[Install]\nWantedBy=multi-user.target\n",
        );
        let unit = generate_among(&pod, &siblings(&pod)).unwrap();
        let expected = "\
[Unit]
SourcePath=/etc/containers/systemd/shop.pod
Requires=front-network.service
After=front-network.service
Wants=network-online.target
After=network-online.target
Wants=db.service
Before=db.service
Wants=web.service
Before=web.service
StopWhenUnneeded=yes

[Service]
Type=oneshot
RemainAfterExit=yes
SyslogIdentifier=%N
ExecStart=/usr/bin/launch pod create --add-host=a:1.2.3.4 --dns=1.1.1.1 --dns-option=a --dns-search=b --hostname=shop1 --ip=10.0.0.9 --network=front --network-alias=www --publish=8080:80 --shm-size=64m shop
NotifyAccess=main
FileDescriptorStoreMax=1024
ExecStopPost=/usr/bin/launch pod rm shop

[Install]
WantedBy=multi-user.target
";
        assert_eq!(unit.text, expected);
        assert_eq!(unit.name, "shop-pod.service");
        let goes_on = shop("PodName=p\nExitPolicy=continue\n");
        let text = generate_among(&goes_on, &siblings(&goes_on)).unwrap().text;
        assert!(!text.contains("StopWhenUnneeded"), "{text}");
        assert!(text.contains("launch pod rm p\n"), "{text}");
        let alone = generate_among(&pod, &Siblings::of([&file("front.network", "")]));
        let text = alone.unwrap().text;
        assert!(!text.contains("StopWhenUnneeded"), "{text}");
    }

    #[test]
    fn a_container_is_bound_to_its_pod() {
        let siblings = siblings(&shop("PodName=p\n"));
        for container in members() {
            let text = generate_among(&container, &siblings).unwrap().text;
            let bound = "BindsTo=shop-pod.service\nAfter=shop-pod.service\n";
            assert!(text.contains(bound), "{text}");
            assert!(text.contains("--pod=p --name=%N a\n"), "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let siblings = siblings(&shop(""));
        let cases = [
            (
                "shop.pod",
                "[Pod]\nVolume=a:/a\n",
                "shop.pod:2: [Pod] Volume: not supported: ",
            ),
            (
                "shop.pod",
                "[Pod]\nExitPolicy=never\n",
                "shop.pod:2: [Pod] ExitPolicy: ",
            ),
            (
                "shop.pod",
                "[Pod]\nPodName=a/b\n",
                "shop.pod:2: [Pod] PodName: ",
            ),
            (
                "shop.pod",
                "[Pod]\nPublishPort=x\n",
                "shop.pod:2: [Pod] PublishPort: ",
            ),
            (
                "shop.pod",
                "[Pod]\nNetwork=no.network\n",
                "shop.pod:2: [Pod] Network: there is no file",
            ),
            (
                "shop@.pod",
                "[Pod]\n",
                "shop@.pod: templates are for containers",
            ),
            (
                "a.container",
                "[Container]\nImage=a\nPod=shop.pod\nPublishPort=80\n",
                "a.container:4: [Container] PublishPort: it is the pod's: write it into shop.pod",
            ),
            (
                "a.container",
                "[Container]\nImage=a\nPod=no.pod\n",
                "a.container:3: [Container] Pod: there is no file no.pod",
            ),
            (
                "a.container",
                "[Container]\nImage=a\nPod=shop\n",
                "a.container:3: [Container] Pod: `shop` is no pod: ",
            ),
            (
                "a.container",
                "[Container]\nImage=a\nStartWithPod=yes\n",
                "a.container:3: [Container] StartWithPod: it needs `Pod=` beside it",
            ),
        ];
        for (name, text, expected) in cases {
            let problems = generate_among(&file(name, text), &siblings).unwrap_err();
            let found = problems[0].to_string();
            assert!(found.starts_with(expected), "{text}: {found}");
        }
    }
}
