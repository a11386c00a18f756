//! The options of `launch run`, by Docker's names.
//!
//! Each value is read by its type in `container-model`; what of Docker's there is not yet is not there, so
//! that it is refused as unknown.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use container_model::capability::CapabilityOption;
use container_model::command::{Entrypoint, parse_entrypoint};
use container_model::device::DeviceOption;
use container_model::environment::{self, Variable};
use container_model::host_entry::HostEntry;
use container_model::mount::{self, Mount};
use container_model::name::Name;
use container_model::network::{Endpoint, MacAddress, NetworkOption};
use container_model::options::{HostName, Label};
use container_model::port::{self, PublishedPort};
use container_model::registration::RegisterOption;
use container_model::resources::{CpuSet, Cpus, MemorySize, MemorySwap, PidsLimit, Resources};
use container_model::secret::SecretOption;
use container_model::security::{Security, SecurityOption};
use container_model::signal::Signal;
use container_model::sysctl::Sysctl;
use container_model::ulimit::Ulimit;
use container_model::user::UserOption;
use container_model::user_namespace::UserNamespace;
use container_model::{ContainerOptions, ImageReference, Malformed};

use crate::monitor_arguments::MonitorArguments;

use crate::pull::{PullSettings, PullWhen};

/// What is mounted with `--read-only-tmpfs`.
const WRITABLE: [&str; 3] = ["/run", "/tmp", "/var/tmp"];

/// When the unit is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Notify {
    /// When the container was started
    Start,
    /// When the container says so, by `sd_notify`
    Payload,
    /// When its first check of health succeeded
    Healthy,
}

/// What one `--publish` says: a range is several.
#[derive(Debug, Clone)]
pub(crate) struct Ports(Vec<PublishedPort>);

impl Ports {
    /// Each of them.
    pub(crate) fn all(&self) -> Vec<PublishedPort> {
        self.0.clone()
    }
}

pub(crate) fn parse_ports(text: &str) -> Result<Ports, Malformed> {
    port::parse(text).map(Ports)
}

#[derive(Debug, Args)]
#[command(next_line_help = false)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct RunArguments {
    /// The image, by tag or digest
    pub(crate) image: ImageReference,
    /// What replaces the image's command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
    /// The container's name; the unit's without it
    #[arg(long)]
    pub(crate) name: Option<Name>,
    /// Taken for docker's and podman's sake: what ran is gone with its end, always
    #[arg(long, hide = true)]
    rm: bool,
    /// The name that people know it by, which launcherd's containers are not run under
    #[arg(long, hide = true)]
    pub(crate) shown_name: Option<Name>,
    /// When the image is pulled
    #[arg(long, value_enum, default_value = "missing")]
    pub(crate) pull: PullWhen,
    #[command(flatten)]
    pub(crate) pulling: PullSettings,
    /// When the unit is ready
    #[arg(long, value_enum, default_value = "start")]
    pub(crate) notify: Notify,
    /// A variable, or the name of one that is passed on
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<Variable>,
    /// A file of variables
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Replace the image's entry point; empty for none
    #[arg(long, value_parser = parse_entrypoint)]
    entrypoint: Option<Entrypoint>,
    /// The working directory
    #[arg(short, long, value_name = "PATH")]
    workdir: Option<String>,
    /// Who runs, by name or number
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<UserOption>,
    /// Another group, by name or number
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,
    /// Bind a path or a named volume
    #[arg(short, long, value_name = "SOURCE:TARGET[:OPTIONS]", value_parser = mount::parse_volume)]
    volume: Vec<Mount>,
    /// Mount something: type=bind|volume|tmpfs,source=…,target=…
    #[arg(long, value_parser = mount::parse_mount)]
    mount: Vec<Mount>,
    /// Mount memory
    #[arg(long, value_name = "TARGET[:OPTIONS]", value_parser = mount::parse_tmpfs)]
    tmpfs: Vec<Mount>,
    /// The machine's network, none, the default one (so without this option), or one by name; again for another
    #[arg(
        long,
        value_name = "host|none|bridge|NAME[:ip=…,alias=…]",
        alias = "net"
    )]
    network: Vec<NetworkOption>,
    /// Share network, System V IPC and host name with others; the pod's unit runs
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with_all = ["network", "ip", "ip6", "network_alias", "mac_address", "publish", "hostname", "add_host", "dns", "dns_search", "dns_option", "shm_size", "userns"]
    )]
    pub(crate) pod: Option<Name>,
    /// An address of the container's own choice in the first network
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<Ipv4Addr>,
    /// An IPv6 address of the container's own choice in the first network
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<Ipv6Addr>,
    /// Another name by which containers of the first network find it
    #[arg(long, value_name = "NAME", alias = "net-alias")]
    network_alias: Vec<HostName>,
    /// The first interface's address
    #[arg(long, value_name = "ADDRESS")]
    mac_address: Option<MacAddress>,
    /// Let a port of the machine, or a range of them, lead to the container
    #[arg(short, long, value_name = "[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]", value_parser = parse_ports)]
    publish: Vec<Ports>,
    /// The host name
    #[arg(long)]
    hostname: Option<HostName>,
    /// A line of /etc/hosts; host-gateway is the machine's address
    #[arg(long, value_name = "NAME:ADDRESS|host-gateway")]
    add_host: Vec<HostEntry>,
    /// A name server
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<IpAddr>,
    /// A domain that short names are looked up in
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// An option of the resolver
    #[arg(long, value_name = "OPTION")]
    dns_option: Vec<String>,
    /// Register a service in the key-value store while the container is ready and healthy: its published ports, or one
    #[arg(long, value_name = "name=NAME[,port=PORT][,tag=TAG]")]
    pub(crate) register: Vec<RegisterOption>,
    /// A label
    #[arg(short, long, value_name = "NAME=VALUE")]
    label: Vec<Label>,
    /// An annotation for the runtime
    #[arg(long, value_name = "NAME=VALUE")]
    annotation: Vec<Label>,
    /// Add a capability, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<CapabilityOption>,
    /// Drop a capability, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<CapabilityOption>,
    /// Keep nothing from the container
    #[arg(long)]
    privileged: bool,
    /// no-new-privileges=false, seccomp=unconfined|FILE, systempaths=unconfined
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<SecurityOption>,
    /// Make the root read-only
    #[arg(long)]
    read_only: bool,
    /// With --read-only, mount memory at /run, /tmp and /var/tmp
    #[arg(long, requires = "read_only")]
    read_only_tmpfs: bool,
    /// A limit of processes
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<Ulimit>,
    /// A kernel setting of the container's namespaces
    #[arg(long, value_name = "NAME=VALUE")]
    sysctl: Vec<Sysctl>,
    /// The machine's users, or a range of numbers that is the container's own
    #[arg(long, value_name = "host|auto", default_value = "host")]
    userns: UserNamespace,
    /// A device of the machine
    #[arg(long, value_name = "HOST[:CONTAINER][:rwm]")]
    device: Vec<DeviceOption>,
    /// Memory, such as 512m; needs a unit with Delegate=yes
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<MemorySize>,
    /// What is left of memory when it is short
    #[arg(long, value_name = "SIZE")]
    memory_reservation: Option<MemorySize>,
    /// Memory and swap together; -1 for no limit
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_swap: Option<MemorySwap>,
    /// Processors, such as 1.5
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<Cpus>,
    /// The share of processors; 1024 is usual
    #[arg(long, value_name = "SHARES")]
    cpu_shares: Option<u64>,
    /// Which processors, such as 0-2
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<CpuSet>,
    /// How many processes and threads
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pids_limit: Option<PidsLimit>,
    /// The size of /dev/shm
    #[arg(long, value_name = "SIZE")]
    shm_size: Option<MemorySize>,
    /// Run a small init as the first process, which reaps orphans and passes on signals
    #[arg(long)]
    init: bool,
    /// A credential of the unit as a file in /run/secrets
    #[arg(long, value_name = "NAME[,target=…]")]
    secret: Vec<SecretOption>,
    /// The signal that ends the container in order
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<Signal>,
    /// Seconds that the container may take to end after that signal, before it is killed
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub(crate) stop_timeout: u32,
    #[command(flatten)]
    pub(crate) monitored: MonitorArguments,
}

impl RunArguments {
    /// The options as values; files of variables are read.
    pub(crate) fn options(&self) -> anyhow::Result<ContainerOptions> {
        let mut security = Security::default();
        for option in &self.security_opt {
            security.apply(option.clone());
        }
        Ok(ContainerOptions {
            arguments: self.arguments.clone(),
            entrypoint: self.entrypoint.clone().unwrap_or_default(),
            environment: self.environment()?,
            working_directory: self.workdir.clone(),
            user: self.user.clone(),
            groups: self.group_add.clone(),
            mounts: self.mounts(),
            networks: self.network.clone(),
            first_endpoint: Endpoint {
                address_v4: self.ip,
                address_v6: self.ip6,
                aliases: self.network_alias.clone(),
                mac_address: self.mac_address,
            },
            ports: self.publish.iter().flat_map(Ports::all).collect(),
            host_name: self.hostname.clone(),
            hosts: self.add_host.clone(),
            dns_servers: self.dns.clone(),
            dns_domains: self.dns_search.clone(),
            dns_options: self.dns_option.clone(),
            labels: self.label.clone(),
            annotations: self.annotation.clone(),
            added_capabilities: self.cap_add.clone(),
            dropped_capabilities: self.cap_drop.clone(),
            privileged: self.privileged,
            security,
            read_only: self.read_only,
            ulimits: self.ulimit.clone(),
            sysctls: self.sysctl.clone(),
            user_namespace: self.userns,
            devices: self.device.clone(),
            resources: self.resources(),
            shared_memory: self.shm_size,
            init: self.init,
            secrets: self.secret.clone(),
            stop_signal: self.stop_signal,
        })
    }

    /// Files first, as with Docker.
    fn environment(&self) -> anyhow::Result<Vec<Variable>> {
        let mut all = Vec::new();
        for path in &self.env_file {
            all.extend(read_variables(path).with_context(|| path.display().to_string())?);
        }
        all.extend(self.env.iter().cloned());
        Ok(all)
    }

    fn mounts(&self) -> Vec<Mount> {
        let asked = self.volume.iter().chain(&self.mount).chain(&self.tmpfs);
        let mut all: Vec<Mount> = asked.cloned().collect();
        if self.read_only_tmpfs {
            for target in WRITABLE {
                let is_there = all.iter().any(|mount| mount.target == target);
                all.extend(mount::parse_tmpfs(target).ok().filter(|_| !is_there));
            }
        }
        all
    }

    fn resources(&self) -> Resources {
        Resources {
            memory: self.memory,
            memory_reservation: self.memory_reservation,
            memory_swap: self.memory_swap,
            cpus: self.cpus,
            cpu_shares: self.cpu_shares,
            cpuset_cpus: self.cpuset_cpus.clone(),
            pids: self.pids_limit,
        }
    }
}

fn read_variables(path: &Path) -> anyhow::Result<Vec<Variable>> {
    Ok(environment::parse_file(&std::fs::read_to_string(path)?)?)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use container_model::network::Network;
    use container_model::quadlet::{self, QuadletFile};
    use systemd_unit::words::{Escapes, split};

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(words: &[String]) -> ContainerOptions {
        let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
        match cli.command {
            Command::Run(arguments) => arguments.options().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn words(text: &str) -> Vec<String> {
        split(text, Escapes::Resolve).unwrap()
    }

    #[test]
    fn what_quadlet_writes_is_understood() {
        let text = "[Container]\nImage=busybox\nNetwork=none\nAddCapability=NET_ADMIN\nAddDevice=/dev/kvm\n\
            AddHost=a:1.2.3.4\nAnnotation=a=b\nContainerName=a\nDNS=1.1.1.1\nDNSOption=a\nDNSSearch=a\n\
            DropCapability=ALL\nEntrypoint=sh\nEnvironment=A=-1\nExec=-c true\nGroupAdd=a\nHostName=a\n\
            HealthCmd=[ -e /a ]\nHealthInterval=1s\nHealthOnFailure=stop\nHealthRetries=2\nHealthStartPeriod=1m\n\
            HealthTimeout=500ms\nLabel=a=b\nMemory=64m\nMount=type=tmpfs,target=/a\nNoNewPrivileges=true\nNotify=true\nPidsLimit=-1\nPull=always\n\
            ReadOnly=true\nRegister=name=web,port=80\nRetry=3\nRetryDelay=5s\nSeccompProfile=unconfined\nSecret=a\nShmSize=64m\nStopSignal=INT\nStopTimeout=5\n\
            Sysctl=net.a=1\nTmpfs=/b\nUlimit=core=-1\nUnmask=ALL\nUser=a\nGroup=b\nUserNS=auto\nVolume=a:/c\nWorkingDir=/d\n";
        let file = QuadletFile {
            name: "a.container".to_owned(),
            folder: "/etc".to_owned(),
            text: text.to_owned(),
            drop_ins: Vec::new(),
        };
        let unit = quadlet::generate(&file).unwrap().text;
        let command = unit
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="))
            .unwrap();
        let options = parse(&words(command));
        assert_eq!(options.arguments, ["-c", "true"]);
        assert_eq!(options.check(), Ok(()));
        // Three more with --read-only-tmpfs.
        assert_eq!(options.mounts.len(), 6);
        assert!(options.read_only && options.security.no_new_privileges);
        for word in [
            "--pull=always",
            "--register=name=web,port=80",
            "--retry=3",
            "--retry-delay=5s",
            "--userns=auto",
        ] {
            assert!(command.contains(word), "{command}");
        }
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        for option in ["--pull=newer", "--userns=keep-id", "--restart=always"] {
            let line = format!("launch run --network=none {option} busybox");
            assert!(Cli::try_parse_from(words(&line)).is_err(), "{option}");
        }
    }

    #[test]
    fn networks_have_dockers_options() {
        let options = parse(&words("launch run busybox"));
        assert_eq!(*options.network(), Network::Bridge, "as with Docker");
        let options = parse(&words(
            "launch run --network=web --ip=10.0.0.9 --ip6=fd00::9 --network-alias=www --network-alias=ftp \
             --mac-address=02:00:00:00:00:01 -p 80:8080 --publish=127.0.0.1:90-91:92-93/udp busybox",
        ));
        assert_eq!(*options.network(), Network::Named("web".parse().unwrap()));
        assert_eq!(options.ports.len(), 3);
        assert_eq!(options.first_endpoint.aliases.len(), 2);
        assert_eq!(options.check(), Ok(()));
        let options = parse(&words(
            "launch run --network a --network b:ip=10.0.0.9,alias=x --net name=c,alias=y --ip=10.1.0.9 busybox",
        ));
        let endpoints = options.endpoints();
        let names: Vec<&str> = endpoints.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(endpoints[0].1.address_v4, "10.1.0.9".parse().ok());
        assert_eq!(endpoints[1].1.address_v4, "10.0.0.9".parse().ok());
        assert_eq!(options.check(), Ok(()));
    }

    #[test]
    fn the_payloads_options_are_its_own() {
        let options = parse(&words(
            "launch run --network=host busybox sh --network=none -e A",
        ));
        assert_eq!(options.arguments, ["sh", "--network=none", "-e", "A"]);
        assert_eq!(*options.network(), Network::Host);
    }
}
