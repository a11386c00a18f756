//! Volumes over the API: named folders of the machine.

use std::collections::BTreeMap;

use container_model::name::Name;
use container_volumes::{Error, NewVolume, Volume, Volumes};
use engine_api::ApiError;
use engine_api::fields::Fields;
use engine_api::filters::Filters;
use engine_api::query::Query;
use engine_api::route::ObjectRoute;
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::engine::Engine;

fn refused(error: &Error) -> ApiError {
    let text = error.to_string();
    match error {
        Error::Unknown(_) => ApiError::not_found(text),
        Error::Exists(_) | Error::InUse(_) => ApiError::conflict(text),
        _ => ApiError::internal(text),
    }
}

fn name(text: &str) -> Result<Name, ApiError> {
    let name = text.parse();
    name.map_err(|error| ApiError::bad_request(format!("Name: {error}")))
}

fn entry(volume: &Volume) -> Value {
    json!({
        "Name": volume.name.as_str(),
        "Driver": "local",
        "Mountpoint": volume.path,
        "Labels": volume.labels,
        "Scope": "local",
        "Options": null,
    })
}

/// All of the containers that have a volume, whether they run or not.
fn is_used(engine: &Engine, volume: &Name) -> bool {
    let names = |record: &engine_api::Record| {
        let mut mounts = record.mounts.iter();
        mounts.any(|mount| mount["Type"] == "volume" && mount["Name"] == volume.as_str())
    };
    engine.records.all().iter().any(names)
}

/// `GET volumes`
pub(crate) fn list(engine: &Engine, query: &Query) -> Answer {
    let filters = Filters::parse(
        query.text("filters"),
        &["name", "label", "label!", "dangling", "driver"],
    )?;
    let all = entries(engine)?;
    let wanted = all.into_iter().filter(|(volume, _)| {
        let is_dangling = !is_used(engine, &volume.name);
        filters.allows("name", |part| volume.name.as_str().contains(part))
            && filters.allows("driver", |driver| driver == "local")
            && filters.allows("dangling", |wanted| {
                (wanted == "true" || wanted == "1") == is_dangling
            })
            && filters.allows_labels(&volume.labels)
    });
    let entries: Vec<Value> = wanted.map(|(_, entry)| entry).collect();
    answer::json(&json!({"Volumes": entries, "Warnings": []}))
}

/// All volumes.
pub(crate) fn entries(_engine: &Engine) -> Result<Vec<(Volume, Value)>, ApiError> {
    let all = Volumes::default().list().map_err(|error| refused(&error))?;
    Ok(all
        .into_iter()
        .map(|volume| {
            let entry = entry(&volume);
            (volume, entry)
        })
        .collect())
}

/// `POST volumes/create`: one that is there already is given back.
pub(crate) fn create(engine: &Engine, body: &[u8]) -> Answer {
    let mut fields = Fields::parse(body)?;
    let text = fields.text("Name")?;
    // A client that names none wants one of its own.
    let text = text.unwrap_or_else(|| format!("{0}{0}", uuid::Uuid::new_v4().simple()));
    fields.one_of("Driver", &["local"])?;
    let labels: BTreeMap<String, String> = fields.text_map("Labels")?.into_iter().collect();
    fields.finish()?;
    let name = name(&text)?;
    let volumes = Volumes::default();
    let volume = match volumes.create(&NewVolume {
        name: name.clone(),
        labels,
    }) {
        Ok(volume) => {
            engine.tell_of("volume", "create", name.as_str(), name.as_str());
            volume
        }
        Err(Error::Exists(_)) => volumes.find(&name).map_err(|error| refused(&error))?,
        Err(error) => return Err(refused(&error)),
    };
    answer::created(&entry(&volume))
}

/// One of them.
pub(crate) fn one(engine: &Engine, text: &str, to: ObjectRoute) -> Answer {
    let name = name(text)?;
    let volumes = Volumes::default();
    match to {
        ObjectRoute::Inspect => {
            let volume = volumes.find(&name).map_err(|error| refused(&error))?;
            answer::json(&entry(&volume))
        }
        ObjectRoute::Delete if is_used(engine, &name) => Err(ApiError::conflict(format!(
            "remove {name}: volume is in use"
        ))),
        ObjectRoute::Delete => {
            volumes.remove(&name).map_err(|error| refused(&error))?;
            engine.tell_of("volume", "destroy", text, text);
            answer::no_content()
        }
    }
}

/// `POST volumes/prune`: what no container has.
pub(crate) fn prune(engine: &Engine, query: &Query) -> Answer {
    let filters = Filters::parse(query.text("filters"), &["label", "label!", "all"])?;
    let volumes = Volumes::default();
    let mut deleted = Vec::new();
    for (volume, _) in entries(engine)? {
        if is_used(engine, &volume.name) || volume.used || !filters.allows_labels(&volume.labels) {
            continue;
        }
        volumes
            .remove(&volume.name)
            .map_err(|error| refused(&error))?;
        deleted.push(volume.name.as_str().to_owned());
    }
    answer::json(&json!({"VolumesDeleted": deleted, "SpaceReclaimed": 0}))
}
