//! Whether a registry lets somebody in, without fetching anything: what `docker login` asks.

use container_model::docker_logins::DockerLogin;
use container_model::registries::Place;
use reqwest::header::HeaderMap;

use crate::endpoint::Endpoint;
use crate::{Patience, Result, Settings};

/// Shows a login to a registry, once. A registry that lets everybody in takes any.
pub async fn log_in(
    settings: &Settings,
    host: &str,
    login: DockerLogin,
    patience: &Patience,
) -> Result<()> {
    let settings = settings.clone().with_login(login);
    let place = Place {
        host: host.to_owned(),
        repository: String::new(),
    };
    let endpoint = Endpoint::new(&settings, place, true, patience)?;
    endpoint.get("", HeaderMap::new()).await.map(drop)
}
