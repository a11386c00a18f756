//! `POST auth`: whether a registry lets somebody in. Nothing is kept: the client has the password, and sends it
//! with each pull.

use engine_api::ApiError;
use engine_api::registry_auth::Credentials;
use image_registry::{Patience, RegistryError, Settings};
use serde_json::json;

use crate::answer::{self, Answer};

pub(crate) async fn log_in(body: &[u8]) -> Answer {
    let Credentials { login, host } = Credentials::of_body(body)?;
    let login = login.ok_or_else(|| ApiError::bad_request("username: a user is wanted"))?;
    let settings = Settings::read().map_err(|error| ApiError::internal(error.to_string()))?;
    let shown = image_registry::log_in(&settings, &host, login, &Patience::default()).await;
    shown.map_err(|error| ApiError {
        status: match error {
            RegistryError::Unauthorized { .. } => 401,
            _ => 500,
        },
        message: error.to_string(),
    })?;
    answer::json(&json!({"Status": "Login Succeeded", "IdentityToken": ""}))
}
