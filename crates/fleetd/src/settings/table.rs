//! Every setting there is: its name, its default, what it is for.
//!
//! The names are those of fleet's `fleet.conf`, and ours beside them.

/// How a setting's value is given on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A value follows.
    Value,
    /// `true`, `false`, or nothing after it, which is `true`.
    Switch,
}

/// What becomes of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// It counts.
    Used,
    /// It is taken and has no effect; why.
    Ignored(&'static str),
}

/// A setting.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// With dashes; underscores are read as well.
    pub(crate) name: &'static str,
    /// As text.
    pub(crate) default: &'static str,
    pub(crate) kind: Kind,
    pub(crate) treatment: Treatment,
    /// For `--help`.
    pub(crate) help: &'static str,
}

impl Setting {
    /// The variable of the environment that gives it.
    pub(crate) fn variable(&self) -> String {
        format!("FLEET_{}", self.name.replace('-', "_").to_uppercase())
    }
}

/// Finds a setting, written with dashes or underscores.
pub(crate) fn find(name: &str) -> Option<&'static Setting> {
    let name = name.replace('_', "-");
    SETTINGS.iter().find(|setting| setting.name == name)
}

const fn value(name: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting {
        name,
        default,
        kind: Kind::Value,
        treatment: Treatment::Used,
        help,
    }
}

const fn switch(name: &'static str, help: &'static str) -> Setting {
    Setting {
        name,
        default: "false",
        kind: Kind::Switch,
        treatment: Treatment::Used,
        help,
    }
}

const fn ignored(name: &'static str, kind: Kind, why: &'static str) -> Setting {
    Setting {
        name,
        default: "",
        kind,
        treatment: Treatment::Ignored(why),
        help: "Taken for fleet's sake",
    }
}

/// All of them.
pub(crate) const SETTINGS: &[Setting] = &[
    value(
        "etcd-servers",
        "http://127.0.0.1:2379",
        "Where the store is: a list of URLs",
    ),
    value("etcd-username", "", "The store's user"),
    value("etcd-password", "", "The user's password"),
    value(
        "etcd-cafile",
        "",
        "The authorities that the store's certificate must come from",
    ),
    value("etcd-certfile", "", "Our certificate for the store"),
    value("etcd-keyfile", "", "Its key"),
    value(
        "etcd-key-prefix",
        "/keelson/fleet/",
        "Before every key in the store: one for each cluster",
    ),
    value(
        "etcd-request-timeout",
        "5",
        "How long one request to the store may take with all its attempts: seconds",
    ),
    value(
        "public-ip",
        "",
        "The address that other machines reach this one by; found out if empty",
    ),
    value(
        "metadata",
        "",
        "What units can ask for: key=value, and more of them after commas",
    ),
    value(
        "agent-ttl",
        "30s",
        "How long a machine may be silent before its units go elsewhere",
    ),
    value(
        "token-limit",
        "100",
        "How many entries a page of a list has",
    ),
    switch("disable-engine", "Decide nothing here; only run units"),
    value(
        "listen",
        "",
        "Addresses for the API by mutual TLS, such as 0.0.0.0:49153: a list",
    ),
    value(
        "tls-cafile",
        "",
        "The authorities that certificates of clients and other machines must come from",
    ),
    value(
        "tls-certfile",
        "",
        "This machine's certificate, for clients and for other machines",
    ),
    value("tls-keyfile", "", "Its key"),
    value("verbosity", "0", "1 or more: debug messages"),
    ignored(
        "engine-reconcile-interval",
        Kind::Value,
        "decisions are made when something changes",
    ),
    ignored(
        "units-directory",
        Kind::Value,
        "units' files are in /run/fleet/units",
    ),
    ignored(
        "disable-watches",
        Kind::Switch,
        "there is nothing but watches",
    ),
    ignored(
        "enable-grpc",
        Kind::Switch,
        "the store is reached by gRPC always",
    ),
    ignored(
        "systemd-user",
        Kind::Switch,
        "units run in the system's manager",
    ),
    ignored("verify-units", Kind::Switch, "units have no signatures"),
    ignored(
        "authorized-keys-file",
        Kind::Value,
        "units have no signatures",
    ),
];
