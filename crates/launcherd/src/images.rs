//! Images in containerd, as the API has them.

use std::collections::BTreeMap;

use container_model::ImageReference;
use container_model::digest::Digest;
use container_model::oci_spec::image::{Descriptor, ImageManifest};
use engine_api::ApiError;
use engine_api::filters::Filters;
use engine_api::image_answer::{ImageFacts, familiar};
use engine_api::query::Query;
use image_store::store::{Image, Store};
use image_store::{platform, policy, unpack};
use serde_json::{Value, json};

use crate::answer::{self, Answer, internal, of_store};
use crate::engine::Engine;

/// The fewest digits that are taken for the beginning of an id.
const ID_MIN: usize = 4;

/// An image that somebody named.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// What is known of it.
    pub(crate) facts: ImageFacts,
    /// One of its names, as containerd has it.
    pub(crate) image: Image,
    /// That name with the digest: no other image is ever meant by it.
    pub(crate) pinned: String,
}

/// Whether images of a platform run here.
pub(crate) fn is_here(text: &str) -> bool {
    let own = format!("linux/{}", platform::architecture());
    text == own || text == "linux" || text == platform::architecture()
}

/// Whether the machine's policy lets an image be used, as it was named.
pub(crate) fn is_allowed(text: &str) -> Result<(), ApiError> {
    match text.parse::<ImageReference>() {
        Ok(reference) => policy::judge(&reference)
            .map(drop)
            .map_err(|error| ApiError {
                status: 403,
                message: format!("{:#}", anyhow::Error::from(error)),
            }),
        // It was named by its id.
        Err(_) => Ok(()),
    }
}

/// The image of a name, an id, or the first digits of one.
pub(crate) async fn find(engine: &Engine, text: &str) -> Result<Found, ApiError> {
    let store = engine.store().await?;
    let image = find_image(store, text).await?;
    let names = names_of(store, &image.digest).await?;
    let facts = facts(store, &image, names).await;
    Ok(Found {
        facts: facts.map_err(|error| internal(&error))?,
        pinned: pinned(&image)?,
        image,
    })
}

/// The image of a name or an id, to be written into an archive: one that was named by its id has no name there.
pub(crate) async fn find_to_save(engine: &Engine, text: &str) -> Result<Image, ApiError> {
    let mut image = find_image(engine.store().await?, text).await?;
    let is_named = text
        .parse::<ImageReference>()
        .is_ok_and(|reference| reference.to_string() == image.name);
    if !is_named {
        image.name.clear();
    }
    Ok(image)
}

fn pinned(image: &Image) -> Result<String, ApiError> {
    let reference: ImageReference = image
        .name
        .parse()
        .map_err(|error| ApiError::internal(format!("{}: {error}", image.name)))?;
    let (registry, repository) = (reference.registry(), reference.repository());
    Ok(format!("{registry}/{repository}@{}", image.digest))
}

async fn find_image(store: &Store, text: &str) -> Result<Image, ApiError> {
    if let Ok(reference) = text.parse::<ImageReference>() {
        let found = store.find(&reference).await;
        if let Some(image) = found.map_err(of_store)? {
            return Ok(image);
        }
    }
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let is_id = digits.len() >= ID_MIN && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let all = store.images().await.map_err(of_store)?;
    let mut found: Option<Image> = None;
    for image in all {
        if !is_id || !image.digest.hex().starts_with(digits) {
            continue;
        }
        if found
            .as_ref()
            .is_some_and(|found| found.digest != image.digest)
        {
            return Err(ApiError::bad_request(format!(
                "{text}: several images' ids begin so"
            )));
        }
        found.get_or_insert(image);
    }
    found.ok_or_else(|| ApiError::not_found(format!("No such image: {text}")))
}

async fn names_of(store: &Store, digest: &Digest) -> Result<Vec<String>, ApiError> {
    let all = store.images().await.map_err(of_store)?;
    let its = all.into_iter().filter(|image| image.digest == *digest);
    Ok(its.map(|image| image.name).collect())
}

async fn facts(store: &Store, image: &Image, names: Vec<String>) -> anyhow::Result<ImageFacts> {
    let (manifest, _): (ImageManifest, _) = unpack::manifest(store, image).await?;
    let config: Digest = manifest.config().digest().to_string().parse()?;
    let document = store.document(&config).await?;
    let configuration = serde_json::from_slice(&document)?;
    let mut all: Value = serde_json::from_slice(&document)?;
    let health = all.pointer_mut("/config/Healthcheck").map(Value::take);
    let layers = manifest.layers().iter().map(Descriptor::size);
    Ok(ImageFacts {
        id: image.digest.to_string(),
        names,
        size: layers.sum::<u64>() + manifest.config().size(),
        configuration,
        health: health.unwrap_or_default(),
    })
}

/// All images, each once.
async fn all(store: &Store) -> Result<Vec<ImageFacts>, ApiError> {
    let mut by_digest: BTreeMap<String, (Image, Vec<String>)> = BTreeMap::new();
    for image in store.images().await.map_err(of_store)? {
        let name = image.name.clone();
        let entry = by_digest.entry(image.digest.to_string());
        entry.or_insert_with(|| (image, Vec::new())).1.push(name);
    }
    let mut found = Vec::new();
    for (image, names) in by_digest.into_values() {
        match facts(store, &image, names).await {
            Ok(facts) => found.push(facts),
            // Another program's, or one that is being removed.
            Err(error) => tracing::warn!("{} is left out: {error:#}", image.name),
        }
    }
    Ok(found)
}

/// `json`
pub(crate) async fn list(engine: &Engine, query: &Query) -> Answer {
    let filters = Filters::parse(query.text("filters"), &["reference", "label", "dangling"])?;
    let store = engine.store().await?;
    let is_wanted = |facts: &ImageFacts| {
        let labels = facts
            .configuration
            .config()
            .as_ref()
            .and_then(|config| config.labels().clone());
        filters.allows("reference", |wanted| {
            facts.names.iter().any(|name| matches_reference(name, wanted))
        }) && filters.allows_labels(&labels.unwrap_or_default().into_iter().collect())
            // Every image of ours has a name.
            && filters.allows("dangling", |wanted| wanted == "false")
    };
    let records = engine.records.all();
    let users = |id: &str| {
        records
            .iter()
            .filter(|record| record.image_id == id)
            .count()
    };
    let mut entries: Vec<Value> = all(store)
        .await?
        .iter()
        .filter(|facts| is_wanted(facts))
        .map(|facts| facts.list_entry(users(&facts.id)))
        .collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry["Created"].as_i64()));
    answer::json(&Value::Array(entries))
}

/// An entry for each image.
pub(crate) async fn entries(engine: &Engine) -> Result<Vec<Value>, ApiError> {
    let records = engine.records.all();
    let users = |id: &str| {
        records
            .iter()
            .filter(|record| record.image_id == id)
            .count()
    };
    let all = all(engine.store().await?).await?;
    Ok(all
        .iter()
        .map(|facts| facts.list_entry(users(&facts.id)))
        .collect())
}

/// Whether a name is what a filter says: with or without its tag, and with `*` at the end.
fn matches_reference(name: &str, wanted: &str) -> bool {
    let name = familiar(name);
    let repository = name
        .rsplit_once(':')
        .map_or(name.as_str(), |(repository, _)| repository);
    match wanted.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == wanted || repository == wanted,
    }
}

/// `POST tag`
pub(crate) async fn tag(engine: &Engine, name: &str, query: &Query) -> Answer {
    let found = find(engine, name).await?;
    let repository = query.text("repo").unwrap_or_default();
    let text = match query.text("tag") {
        Some(tag) => format!("{repository}:{tag}"),
        None => repository.to_owned(),
    };
    let reference: ImageReference = text
        .parse()
        .map_err(|error| ApiError::bad_request(format!("repo: {error}")))?;
    let mut image = found.image;
    image.name = reference.to_string();
    let store = engine.store().await?;
    store.name(&image).await.map_err(of_store)?;
    engine.tell_of("image", "tag", &found.facts.id, &image.name);
    let mut response = answer::no_content()?;
    *response.status_mut() = hyper::StatusCode::CREATED;
    Ok(response)
}

/// `DELETE`: a name; the image goes with its last one.
pub(crate) async fn delete(engine: &Engine, name: &str, query: &Query) -> Answer {
    let found = find(engine, name).await?;
    let id = &found.facts.id;
    let by_name = name.parse::<ImageReference>().ok();
    let given = by_name.filter(|reference| found.facts.names.contains(&reference.to_string()));
    let names = match &given {
        Some(reference) => vec![reference.to_string()],
        None if found.facts.names.len() > 1 && !query.flag("force") => {
            return Err(ApiError::conflict(format!(
                "conflict: unable to delete {name} (must be forced) - image is referenced in multiple repositories"
            )));
        }
        None => found.facts.names.clone(),
    };
    let is_last = names.len() == found.facts.names.len();
    if is_last {
        is_unused(engine, name, id)?;
    }
    let deleted = remove(engine, &names, is_last.then_some(id.as_str())).await?;
    answer::json(&Value::Array(deleted))
}

/// A container needs its image at every start.
fn is_unused(engine: &Engine, name: &str, id: &str) -> Result<(), ApiError> {
    match engine
        .records
        .all()
        .iter()
        .find(|record| record.image_id == id)
    {
        Some(record) => Err(ApiError::conflict(format!(
            "conflict: unable to delete {name} (cannot be forced) - container {} uses it: remove that first",
            record.short_id()
        ))),
        None => Ok(()),
    }
}

async fn remove(
    engine: &Engine,
    names: &[String],
    id: Option<&str>,
) -> Result<Vec<Value>, ApiError> {
    let store = engine.store().await?;
    let mut deleted = Vec::new();
    for name in names {
        let removed = store.remove_name(name).await;
        removed.map_err(of_store)?;
        deleted.push(json!({"Untagged": familiar(name)}));
        engine.tell_of("image", "untag", id.unwrap_or(name), name);
    }
    if let Some(id) = id {
        deleted.push(json!({"Deleted": id}));
        engine.tell_of("image", "delete", id, id);
    }
    let collected = store.collect_garbage().await;
    collected.map_err(of_store)?;
    Ok(deleted)
}

/// `POST prune`: with `dangling=false` all that no container uses; every image has a name here.
pub(crate) async fn prune(engine: &Engine, query: &Query) -> Answer {
    let filters = Filters::parse(query.text("filters"), &["dangling"])?;
    let mut deleted = Vec::new();
    let mut space = 0;
    if !filters.values("dangling").is_empty()
        && filters.allows("dangling", |value| value == "false" || value == "0")
    {
        for facts in all(engine.store().await?).await? {
            if is_unused(engine, "", &facts.id).is_ok() {
                deleted.extend(remove(engine, &facts.names, Some(&facts.id)).await?);
                space += facts.size;
            }
        }
    }
    answer::json(&json!({"ImagesDeleted": deleted, "SpaceReclaimed": space}))
}
