//! What a request asks for, by its method and path.
//!
//! Parameters and bodies are read by whoever answers.

use percent_encoding::percent_decode_str;

use crate::ApiError;

/// A request of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/_ping`
    Ping,
    /// `/version`
    Version,
    /// `/info`
    Info,
    /// `/events`
    Events,
    /// `/system/df`
    DiskUsage,
    /// `POST /auth`
    Auth,
    /// `/containers/json`
    ContainerList,
    /// `POST /containers/create`
    ContainerCreate,
    /// `POST /containers/prune`
    ContainerPrune,
    /// Of one container.
    Container(String, ContainerRoute),
    /// Of one command in a container.
    Exec(String, ExecRoute),
    /// `/images/json`
    ImageList,
    /// `POST /images/create`
    ImageCreate,
    /// `POST /images/load`
    ImageLoad,
    /// `/images/get`
    ImagesSave,
    /// `POST /images/prune`
    ImagePrune,
    /// `/images/search`
    ImageSearch,
    /// Of one image.
    Image(String, ImageRoute),
    /// `/volumes`
    VolumeList,
    /// `POST /volumes/create`
    VolumeCreate,
    /// `POST /volumes/prune`
    VolumePrune,
    /// Of one volume.
    Volume(String, ObjectRoute),
    /// `/networks`
    NetworkList,
    /// `POST /networks/create`
    NetworkCreate,
    /// `POST /networks/prune`
    NetworkPrune,
    /// Of one network.
    Network(String, NetworkRoute),
    /// Of what managers of a swarm know.
    Swarm,
    /// A part of the API that is known and not there: what it is.
    Missing(&'static str),
}

/// What is asked of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerRoute {
    /// `json`
    Inspect,
    /// `POST start`
    Start,
    /// `POST stop`
    Stop,
    /// `POST restart`
    Restart,
    /// `POST kill`
    Kill,
    /// `POST wait`
    Wait,
    /// `logs`
    Logs,
    /// `POST attach`
    Attach,
    /// `GET attach/ws`
    AttachWebSocket,
    /// `POST resize`
    Resize,
    /// `POST pause`
    Pause,
    /// `POST unpause`
    Unpause,
    /// `POST exec`
    Exec,
    /// `stats`
    Stats,
    /// `top`
    Top,
    /// `changes`
    Changes,
    /// `export`
    Export,
    /// `HEAD archive`
    ArchiveFacts,
    /// `GET archive`
    ArchiveGet,
    /// `PUT archive`
    ArchivePut,
    /// `POST rename`
    Rename,
    /// `POST update`
    Update,
    /// `DELETE`
    Delete,
}

/// What is asked of a command in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecRoute {
    /// `POST start`
    Start,
    /// `POST resize`
    Resize,
    /// `json`
    Inspect,
}

/// What is asked of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageRoute {
    /// `json`
    Inspect,
    /// `history`
    History,
    /// `POST tag`
    Tag,
    /// `get`
    Save,
    /// `DELETE`
    Delete,
}

/// What is asked of what only has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectRoute {
    /// `GET`
    Inspect,
    /// `DELETE`
    Delete,
}

/// What is asked of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkRoute {
    /// `GET`
    Inspect,
    /// `DELETE`
    Delete,
    /// `POST connect`
    Connect,
    /// `POST disconnect`
    Disconnect,
}

impl Route {
    /// Of a method and a path without its version.
    pub fn parse(method: &str, path: &str) -> Result<Self, ApiError> {
        let parts: Vec<String> = path
            .trim_matches('/')
            .split('/')
            .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
            .collect();
        let words: Vec<&str> = parts.iter().map(String::as_str).collect();
        let found = match words.split_first() {
            Some((&"containers", rest)) => container(method, rest),
            Some((&"exec", rest)) => exec(method, rest),
            Some((&"images", rest)) => image(method, rest),
            Some((&"volumes", rest)) => volume(method, rest),
            Some((&"networks", rest)) => network(method, rest),
            Some((word, rest)) => system(method, word, rest),
            None => None,
        };
        found.ok_or_else(|| ApiError::not_found("page not found"))
    }
}

fn system(method: &str, word: &str, rest: &[&str]) -> Option<Route> {
    match (method, word, rest) {
        ("GET" | "HEAD", "_ping", []) => Some(Route::Ping),
        ("GET", "version", []) => Some(Route::Version),
        ("GET", "info", []) => Some(Route::Info),
        ("GET", "events", []) => Some(Route::Events),
        ("GET", "system", ["df"]) => Some(Route::DiskUsage),
        ("POST", "auth", []) => Some(Route::Auth),
        (_, "build" | "session" | "grpc", _) => Some(Route::Missing("building images")),
        ("POST", "commit", []) => Some(Route::Missing("images made of containers")),
        ("GET", "plugins", [_, "json"]) => None,
        (_, "plugins", _) => Some(Route::Missing("plugins")),
        (_, "distribution", _) => Some(Route::Missing("asking registries for manifests")),
        (_, "swarm" | "nodes" | "services" | "tasks" | "secrets" | "configs", _) => Some(
            Route::Missing("swarm: fleetd is what runs units on a cluster"),
        ),
        _ => None,
    }
}

fn container(method: &str, rest: &[&str]) -> Option<Route> {
    use ContainerRoute as To;
    let to = |id: &str, to| Some(Route::Container(id.to_owned(), to));
    match (method, rest) {
        ("GET", ["json"]) => Some(Route::ContainerList),
        ("POST", ["create"]) => Some(Route::ContainerCreate),
        ("POST", ["prune"]) => Some(Route::ContainerPrune),
        ("DELETE", [id]) => to(id, To::Delete),
        ("GET", [id, "json"]) => to(id, To::Inspect),
        ("GET", [id, "logs"]) => to(id, To::Logs),
        ("GET", [id, "attach", "ws"]) => to(id, To::AttachWebSocket),
        ("GET", [id, "stats"]) => to(id, To::Stats),
        ("GET", [id, "top"]) => to(id, To::Top),
        ("GET", [id, "changes"]) => to(id, To::Changes),
        ("GET", [id, "export"]) => to(id, To::Export),
        ("HEAD", [id, "archive"]) => to(id, To::ArchiveFacts),
        ("GET", [id, "archive"]) => to(id, To::ArchiveGet),
        ("PUT", [id, "archive"]) => to(id, To::ArchivePut),
        ("POST", [id, word]) => to(
            id,
            match *word {
                "start" => To::Start,
                "stop" => To::Stop,
                "restart" => To::Restart,
                "kill" => To::Kill,
                "wait" => To::Wait,
                "attach" => To::Attach,
                "resize" => To::Resize,
                "exec" => To::Exec,
                "rename" => To::Rename,
                "update" => To::Update,
                "pause" => To::Pause,
                "unpause" => To::Unpause,
                _ => return None,
            },
        ),
        (_, [_, "checkpoints", ..]) => Some(Route::Missing("checkpoints")),
        _ => None,
    }
}

fn exec(method: &str, rest: &[&str]) -> Option<Route> {
    let to = match (method, rest) {
        ("POST", [_, "start"]) => ExecRoute::Start,
        ("POST", [_, "resize"]) => ExecRoute::Resize,
        ("GET", [_, "json"]) => ExecRoute::Inspect,
        _ => return None,
    };
    Some(Route::Exec(rest[0].to_owned(), to))
}

/// Names of images have slashes of their own.
fn image(method: &str, rest: &[&str]) -> Option<Route> {
    match (method, rest) {
        ("GET", ["json"]) => return Some(Route::ImageList),
        ("POST", ["create"]) => return Some(Route::ImageCreate),
        ("POST", ["load"]) => return Some(Route::ImageLoad),
        ("GET", ["get"]) => return Some(Route::ImagesSave),
        ("POST", ["prune"]) => return Some(Route::ImagePrune),
        ("GET", ["search"]) => return Some(Route::ImageSearch),
        _ => {}
    }
    if method == "DELETE" && !rest.is_empty() {
        return Some(Route::Image(rest.join("/"), ImageRoute::Delete));
    }
    let (word, name) = rest.split_last()?;
    let to = match (method, *word) {
        ("GET", "json") => ImageRoute::Inspect,
        ("GET", "history") => ImageRoute::History,
        ("GET", "get") => ImageRoute::Save,
        ("POST", "tag") => ImageRoute::Tag,
        ("POST", "push") => return Some(Route::Missing("pushing images")),
        _ => return None,
    };
    (!name.is_empty()).then(|| Route::Image(name.join("/"), to))
}

fn volume(method: &str, rest: &[&str]) -> Option<Route> {
    let to = |name: &str, to| Some(Route::Volume(name.to_owned(), to));
    match (method, rest) {
        ("GET", []) => Some(Route::VolumeList),
        ("POST", ["create"]) => Some(Route::VolumeCreate),
        ("POST", ["prune"]) => Some(Route::VolumePrune),
        ("GET", [name]) => to(name, ObjectRoute::Inspect),
        ("DELETE", [name]) => to(name, ObjectRoute::Delete),
        _ => None,
    }
}

fn network(method: &str, rest: &[&str]) -> Option<Route> {
    let to = |name: &str, to| Some(Route::Network(name.to_owned(), to));
    match (method, rest) {
        ("GET", []) => Some(Route::NetworkList),
        ("POST", ["create"]) => Some(Route::NetworkCreate),
        ("POST", ["prune"]) => Some(Route::NetworkPrune),
        ("GET", [name]) => to(name, NetworkRoute::Inspect),
        ("DELETE", [name]) => to(name, NetworkRoute::Delete),
        ("POST", [name, "connect"]) => to(name, NetworkRoute::Connect),
        ("POST", [name, "disconnect"]) => to(name, NetworkRoute::Disconnect),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let parse = |method, path| Route::parse(method, path).unwrap();
        assert_eq!(parse("HEAD", "/_ping"), Route::Ping);
        assert_eq!(parse("GET", "/containers/json"), Route::ContainerList);
        assert_eq!(
            parse("POST", "/containers/web/start"),
            Route::Container("web".to_owned(), ContainerRoute::Start)
        );
        assert_eq!(
            parse("GET", "/images/ghcr.io/a/b:1/json"),
            Route::Image("ghcr.io/a/b:1".to_owned(), ImageRoute::Inspect)
        );
        assert_eq!(
            parse("DELETE", "/images/a%2Fb"),
            Route::Image("a/b".to_owned(), ImageRoute::Delete)
        );
        assert_eq!(
            parse("GET", "/containers/web/export"),
            Route::Container("web".to_owned(), ContainerRoute::Export)
        );
        assert_eq!(parse("GET", "/volumes"), Route::VolumeList);
        assert_eq!(
            parse("POST", "/containers/web/unpause"),
            Route::Container("web".to_owned(), ContainerRoute::Unpause)
        );
        assert!(matches!(parse("GET", "/swarm"), Route::Missing(_)));
        for (method, path) in [
            ("GET", "/"),
            ("GET", "/nothing"),
            ("PUT", "/containers/a/start"),
        ] {
            assert_eq!(
                Route::parse(method, path).unwrap_err().status,
                404,
                "{path}"
            );
        }
    }
}
