//! Tests of archives: both formats, and what is wrong with them.

use serde_json::json;

use super::*;

/// All that an error says, as programs print it.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

/// A tar archive of these files.
fn archive(files: &[(&str, Vec<u8>)]) -> (tempfile::TempDir, Result<Vec<ArchivedImage>>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.tar");
    let mut builder = tar::Builder::new(File::create(&path).unwrap());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    builder.finish().unwrap();
    let images = Archive::open(&path).and_then(|archive| archive.images());
    (folder, images)
}

fn text(value: &serde_json::Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

fn blob_path(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", digest_of(bytes).hex())
}

/// A layout with one image of one layer.
fn layout(annotation: &str, name: &str) -> Vec<(String, Vec<u8>)> {
    let (config, layer) = (b"{}".to_vec(), b"layer".to_vec());
    let describe = |kind: &str, bytes: &[u8]| {
        let digest = digest_of(bytes).to_string();
        json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest, "size": bytes.len()})
    };
    let manifest = text(&json!({
        "schemaVersion": 2,
        "config": describe("config.v1+json", &config),
        "layers": [describe("layer.v1.tar", &layer)],
    }));
    let mut entry = describe("manifest.v1+json", &manifest);
    entry["annotations"] = json!({annotation: name});
    let index = text(&json!({"schemaVersion": 2, "manifests": [entry]}));
    let mut files: Vec<(String, Vec<u8>)> = [config, layer, manifest]
        .into_iter()
        .map(|bytes| (blob_path(&bytes), bytes))
        .collect();
    files.push(("index.json".to_owned(), index));
    files
}

fn borrowed(files: &[(String, Vec<u8>)]) -> Vec<(&str, Vec<u8>)> {
    files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.clone()))
        .collect()
}

#[test]
fn layouts_name_their_images() {
    let files = layout("io.containerd.image.name", "docker.io/library/a:1");
    let (_folder, images) = archive(&borrowed(&files));
    let images = images.unwrap();
    assert_eq!(images.len(), 1);
    assert_eq!(images[0].names, ["a:1".parse().unwrap()]);
    assert_eq!(images[0].blobs.len(), 2);
    assert_eq!(images[0].digest, digest_of(&images[0].manifest));
    let files = layout("org.opencontainers.image.ref.name", "latest");
    let (_folder, images) = archive(&borrowed(&files));
    assert_eq!(images.unwrap()[0].names, [], "a tag alone names nothing");
}

#[test]
fn damaged_layouts_are_refused() {
    let mut files = layout("a", "b");
    files[2].1.push(b' ');
    let (_folder, images) = archive(&borrowed(&files));
    let error = chain(&images.unwrap_err());
    assert!(error.contains("the archive is damaged"), "{error}");
    let mut files = layout("a", "b");
    files.remove(1);
    let (_folder, images) = archive(&borrowed(&files));
    let error = chain(&images.unwrap_err());
    assert!(
        error.contains("the archive has no blobs/sha256/"),
        "{error}"
    );
}

#[test]
fn archives_of_docker_save_get_a_manifest() {
    let saved =
        json!([{"Config": "c.json", "RepoTags": ["a:1", "b/c"], "Layers": ["x/layer.tar", "y"]}]);
    let files = [
        ("c.json", b"{}".to_vec()),
        ("x/layer.tar", b"plain".to_vec()),
        ("y", b"\x1f\x8b\x08\x00".to_vec()),
        ("manifest.json", text(&saved)),
    ];
    let (_folder, images) = archive(&files);
    let images = images.unwrap();
    let names: Vec<String> = images[0].names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["docker.io/library/a:1", "docker.io/b/c:latest"]);
    let manifest: serde_json::Value = serde_json::from_slice(&images[0].manifest).unwrap();
    let kinds: Vec<&str> = manifest["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| layer["mediaType"].as_str().unwrap())
        .collect();
    let tar = "application/vnd.oci.image.layer.v1.tar";
    assert_eq!(kinds, [tar, &format!("{tar}+gzip")]);
}

#[test]
fn other_files_are_no_archives() {
    let refused = |bytes: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        chain(&Archive::open(&path).unwrap_err())
    };
    assert!(refused(b"\x1f\x8b\x08\x00rest").contains("gzip --decompress"));
    assert!(refused(b"").contains("it is empty"));
    assert!(refused(&[b'x'; 2048]).contains("no tar archive"));
    let (_folder, images) = archive(&[("README", b"x".to_vec())]);
    assert!(chain(&images.unwrap_err()).contains("neither index.json nor manifest.json"));
}

#[test]
fn paths_stay_in_the_archive() {
    assert_eq!(plain(Path::new("./a/b"), Path::new("")).unwrap(), "a/b");
    assert_eq!(
        plain(Path::new("../x/l.tar"), Path::new("y")).unwrap(),
        "x/l.tar"
    );
    assert!(plain(Path::new("../../x"), Path::new("y")).is_err());
}
