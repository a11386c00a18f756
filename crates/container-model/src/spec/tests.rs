//! Tests of specifications: what is in them by default, and what each option changes.

use std::path::Path;

use oci_spec::runtime::{Capability, LinuxNamespaceType};
use serde_json::{Value, json};

use super::*;
use crate::network::Network;

fn image(config: &Value) -> ImageConfiguration {
    let image = json!({
        "architecture": "amd64", "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": []},
    });
    serde_json::from_value(image).unwrap()
}

fn shell() -> ImageConfiguration {
    image(&json!({
        "Cmd": ["sh"], "Env": ["PATH=/bin", "A=image"], "WorkingDir": "/srv",
        "User": "web", "Labels": {"l": "image"}, "StopSignal": "SIGINT",
    }))
}

fn around() -> Surroundings {
    Surroundings {
        root: "/rootfs".into(),
        user: UserOption::default().resolve("", "").unwrap(),
        host_name: "h1".to_owned(),
        inherited: HashMap::new(),
        forced_environment: Vec::new(),
        cgroup: Cgroup::Own("/system.slice/a.service/payload".to_owned()),
        network_namespace: None,
        shared: None,
        user_namespace: None,
        seccomp: None,
        devices: Vec::new(),
        volumes: HashMap::new(),
        bound: Vec::new(),
        oom_score_adjustment: 0,
    }
}

fn options() -> ContainerOptions {
    ContainerOptions {
        networks: vec![Network::None.into()],
        ..ContainerOptions::default()
    }
}

fn built(options: &ContainerOptions) -> Spec {
    build(options, &shell(), &around()).unwrap()
}

fn value(spec: &Spec) -> Value {
    serde_json::to_value(spec).unwrap()
}

/// The mount at a place.
fn mounted(spec: &Spec, target: &str) -> Value {
    let spec = value(spec);
    let mounts = spec["mounts"].as_array().unwrap();
    let at: Vec<&Value> = mounts
        .iter()
        .filter(|m| m["destination"] == target)
        .collect();
    assert_eq!(at.len(), 1, "{target}: {mounts:?}");
    at[0].clone()
}

#[test]
fn defaults_are_dockers() {
    let spec = built(&options());
    let process = spec.process().as_ref().unwrap();
    let sets = process.capabilities().as_ref().unwrap();
    assert_eq!(
        sets.bounding().as_ref().unwrap(),
        &capability::DEFAULT.into()
    );
    assert_eq!(sets.effective(), sets.bounding());
    assert_eq!(sets.inheritable(), &None);
    assert_eq!(sets.ambient(), &None);
    assert_eq!(process.no_new_privileges(), Some(true));
    assert_eq!(process.args().as_ref().unwrap(), &["sh"]);
    assert_eq!(process.cwd(), &PathBuf::from("/srv"));
    let env = process.env().as_ref().unwrap();
    assert_eq!(env, &["PATH=/bin", "HOSTNAME=h1", "A=image", "HOME=/"]);
    let value = value(&spec);
    assert_eq!(value["root"], json!({"path": "/rootfs", "readonly": false}));
    assert_eq!(
        value["linux"]["cgroupsPath"],
        "/system.slice/a.service/payload"
    );
    assert_eq!(
        value["linux"]["resources"],
        json!({"devices": [{"allow": false, "access": "rwm"}]})
    );
    assert_eq!(value["annotations"], json!({"l": "image"}));
    let masked = value["linux"]["maskedPaths"].as_array().unwrap();
    assert!(masked.contains(&json!("/proc/kcore")), "{masked:?}");
    let sys = mounted(&spec, "/sys");
    assert!(
        sys["options"].as_array().unwrap().contains(&json!("ro")),
        "{sys}"
    );
}

#[test]
fn the_machines_network_is_no_namespace() {
    let kinds = |network: Network| {
        let spec = built(&ContainerOptions {
            networks: vec![network.into()],
            ..options()
        });
        let linux = spec.linux().clone().unwrap();
        let all = linux.namespaces().clone().unwrap();
        all.iter()
            .map(oci_spec::runtime::LinuxNamespace::typ)
            .collect::<Vec<_>>()
    };
    assert!(kinds(Network::None).contains(&LinuxNamespaceType::Network));
    assert!(!kinds(Network::Host).contains(&LinuxNamespaceType::Network));
    assert!(kinds(Network::Host).contains(&LinuxNamespaceType::Pid));
}

#[test]
fn a_privileged_container_is_kept_from_nothing() {
    let seccomp = LinuxSeccomp::default();
    let around = Surroundings {
        seccomp: Some(seccomp),
        ..around()
    };
    let build = |options: &ContainerOptions| build(options, &shell(), &around).unwrap();
    let confined = value(&build(&options()));
    assert!(confined["linux"]["seccomp"].is_object());
    let spec = build(&ContainerOptions {
        privileged: true,
        ..options()
    });
    let held = spec
        .process()
        .as_ref()
        .unwrap()
        .capabilities()
        .clone()
        .unwrap();
    assert_eq!(held.effective().as_ref().unwrap().len(), 41);
    let value = value(&spec);
    assert_eq!(value["process"]["noNewPrivileges"], false);
    assert_eq!(value["linux"]["maskedPaths"], json!([]));
    assert!(value["linux"]["seccomp"].is_null());
    assert_eq!(value["linux"]["resources"]["devices"][0]["allow"], true);
}

#[test]
fn limits_are_translated() {
    let mut options = options();
    options.resources.memory = "64m".parse().ok();
    options.resources.cpus = "1.5".parse().ok();
    options.resources.pids = "100".parse().ok();
    options.ulimits = vec!["nofile=10:20".parse().unwrap()];
    options.sysctls = vec!["net.core.somaxconn=9".parse().unwrap()];
    let value = value(&built(&options));
    let resources = &value["linux"]["resources"];
    assert_eq!(
        resources["memory"],
        json!({"limit": 64 << 20, "swap": 128 << 20})
    );
    assert_eq!(
        resources["cpu"],
        json!({"quota": 150_000, "period": 100_000})
    );
    assert_eq!(resources["pids"], json!({"limit": 100}));
    let limit = json!([{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}]);
    assert_eq!(value["process"]["rlimits"], limit);
    assert_eq!(value["linux"]["sysctl"], json!({"net.core.somaxconn": "9"}));
    let around = Surroundings {
        cgroup: Cgroup::Inherited,
        ..around()
    };
    let spec = build(&options, &shell(), &around).unwrap();
    assert_eq!(spec.linux().as_ref().unwrap().resources(), &None);
}

#[test]
fn mounts_are_in_order_and_replace_the_launchers() {
    let mut options = options();
    let volume = |text| crate::mount::parse_volume(text).unwrap();
    options.mounts = vec![
        volume("/host/b:/a/b/c:ro"),
        volume("data:/a"),
        crate::mount::parse_tmpfs("/dev/shm:size=1m,exec").unwrap(),
        volume("/my/hosts:/etc/hosts"),
    ];
    let mut around = around();
    around.volumes = [(VolumeKey::Named("data".parse().unwrap()), "/v/data".into())].into();
    around.bound = ["/etc/hosts", "/etc/hostname"]
        .map(|target| BoundFile {
            source: "/state/file".into(),
            target: target.to_owned(),
            access: Access::ReadWrite,
        })
        .into();
    let spec = build(&options, &shell(), &around).unwrap();
    let bound = json!({
        "destination": "/a/b/c", "type": "bind", "source": "/host/b",
        "options": ["rbind", "rprivate", "ro"],
    });
    assert_eq!(mounted(&spec, "/a/b/c"), bound);
    assert_eq!(mounted(&spec, "/a")["source"], "/v/data");
    assert_eq!(mounted(&spec, "/etc/hosts")["source"], "/my/hosts");
    assert_eq!(mounted(&spec, "/etc/hostname")["source"], "/state/file");
    let shared = mounted(&spec, "/dev/shm");
    assert_eq!(
        shared["options"],
        json!(["nosuid", "nodev", "noexec", "size=1m", "exec", "rw"])
    );
    let places: Vec<&Path> = spec
        .mounts()
        .iter()
        .flatten()
        .map(|m| m.destination().as_path())
        .collect();
    let at = |target: &str| places.iter().position(|place| *place == Path::new(target));
    assert!(at("/a") < at("/a/b/c"), "{places:?}");
    around.volumes.clear();
    let error = build(&options, &shell(), &around).unwrap_err();
    assert_eq!(error.to_string(), "the volume for `/a` has no folder");
}

#[test]
fn variables_of_the_launcher_are_above_all() {
    let mut options = options();
    options.environment = ["A=own", "NOTIFY_SOCKET=mine", "HERE"]
        .map(|t| t.parse().unwrap())
        .into();
    let mut around = around();
    around.inherited = [("HERE".to_owned(), "yes".to_owned())].into();
    around.forced_environment = vec![("NOTIFY_SOCKET".to_owned(), "/run/n".to_owned())];
    let spec = build(&options, &shell(), &around).unwrap();
    let env = spec.process().as_ref().unwrap().env().clone().unwrap();
    let expected = [
        "PATH=/bin",
        "HOSTNAME=h1",
        "A=own",
        "HOME=/",
        "NOTIFY_SOCKET=/run/n",
        "HERE=yes",
    ];
    assert_eq!(env, expected);
}

#[test]
fn commands_users_and_signals_come_from_the_image_or_the_options() {
    let empty = image(&json!({}));
    let error = build(&options(), &empty, &around()).unwrap_err();
    assert!(matches!(error, SpecError::NoCommand));
    assert_eq!(user(&options(), &shell()).unwrap(), "web".parse().unwrap());
    let mut own = options();
    own.user = "1:2".parse().ok();
    own.stop_signal = "KILL".parse().ok();
    own.init = true;
    assert_eq!(user(&own, &shell()).unwrap(), "1:2".parse().unwrap());
    assert_eq!(stop_signal(&own, &shell()).unwrap().number(), 9);
    assert_eq!(stop_signal(&options(), &shell()).unwrap().number(), 2);
    assert_eq!(stop_signal(&options(), &empty).unwrap(), Signal::TERM);
    let spec = built(&own);
    let args = spec.process().as_ref().unwrap().args().clone().unwrap();
    assert_eq!(args, [INIT_TARGET, "--", "sh"]);
}

#[test]
fn added_capabilities_and_devices_are_there() {
    let mut options = options();
    options.added_capabilities = vec!["NET_ADMIN".parse().unwrap()];
    let mut around = around();
    around.devices = vec![DeviceNode {
        path: "/dev/kvm".to_owned(),
        kind: DeviceKind::Character,
        major: 10,
        minor: 232,
        mode: 0o660,
        uid: 0,
        gid: 5,
        permissions: "rw".to_owned(),
    }];
    let spec = build(&options, &shell(), &around).unwrap();
    let held = spec
        .process()
        .as_ref()
        .unwrap()
        .capabilities()
        .clone()
        .unwrap();
    assert!(
        held.bounding()
            .as_ref()
            .unwrap()
            .contains(&Capability::NetAdmin)
    );
    let value = value(&spec);
    assert_eq!(value["linux"]["devices"][0]["minor"], 232);
    let rule = json!({"allow": true, "type": "c", "major": 10, "minor": 232, "access": "rw"});
    assert_eq!(value["linux"]["resources"]["devices"][1], rule);
}

#[test]
fn a_network_of_its_own_is_in_the_namespace_that_was_made() {
    let path_of = |spec: &Spec| {
        let namespaces = spec.linux().as_ref().unwrap().namespaces().clone().unwrap();
        let network = namespaces
            .iter()
            .find(|one| one.typ() == LinuxNamespaceType::Network);
        network.map(|one| one.path().clone())
    };
    assert_eq!(path_of(&built(&options())), Some(None));
    let mut options = options();
    options.networks.clear();
    let mut around = around();
    around.network_namespace = Some("/proc/7/fd/9".into());
    let spec = build(&options, &shell(), &around).unwrap();
    assert_eq!(path_of(&spec), Some(Some("/proc/7/fd/9".into())));
    options.networks = vec![Network::Host.into()];
    let spec = build(&options, &shell(), &around).unwrap();
    assert_eq!(path_of(&spec), None);
}

#[test]
fn what_is_shared_is_in_the_namespaces_of_others() {
    let mut around = around();
    let own = value(&built(&options()));
    assert_eq!(own["hostname"], "h1");
    around.shared = Some(SharedNamespaces {
        ipc: "/run/pod/ipc".into(),
        uts: "/run/pod/uts".into(),
    });
    let spec = value(&build(&options(), &shell(), &around).unwrap());
    let namespaces = spec["linux"]["namespaces"].as_array().unwrap();
    let path = |kind: &str| {
        let found = namespaces.iter().find(|one| one["type"] == kind);
        found.unwrap()["path"].clone()
    };
    assert_eq!(path("ipc"), "/run/pod/ipc");
    assert_eq!(path("uts"), "/run/pod/uts");
    assert_eq!(path("pid"), json!(null));
    assert_eq!(spec["hostname"], json!(null), "the pod has one");
}

#[test]
fn users_of_its_own_are_in_the_namespace_that_was_made() {
    let users = |spec: &Spec| {
        let all = spec.linux().as_ref().unwrap().namespaces().clone().unwrap();
        let user = all.iter().find(|one| one.typ() == LinuxNamespaceType::User);
        user.and_then(|one| one.path().clone())
    };
    assert_eq!(users(&built(&options())), None);
    let mut around = around();
    around.user_namespace = Some("/proc/7/fd/8".into());
    let spec = build(&options(), &shell(), &around).unwrap();
    assert_eq!(users(&spec), Some("/proc/7/fd/8".into()));
}

#[test]
fn an_image_has_its_volumes_where_nothing_else_is_mounted() {
    let image =
        image(&json!({ "Cmd": ["sh"], "Volumes": { "/data/": {}, "/srv": {}, "relative": {} } }));
    let mut options = options();
    options.mounts = vec![crate::mount::parse_volume("web:/srv").unwrap()];
    let wanted = image_volumes(&options, &image);
    let targets: Vec<&str> = wanted.iter().map(|mount| mount.target.as_str()).collect();
    assert_eq!(targets, ["/data"]);
    assert_eq!(wanted[0].source, MountSource::AnonymousVolume);
}
