//! Manifests and blobs from registries that fail, lie, break off, or want to see who asks.

mod registry;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use container_model::ImageReference;
use container_model::digest::Digest;
use container_model::docker_logins::DockerLogin;
use container_model::registries::Registries;
use image_registry::{Listener, Notice, Patience, RegistryError, Remote, Settings};
use registry::{Fault, Registry};

const MANIFEST: &[u8] =
    br#"{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}"#;
const KIND: &str = "application/vnd.oci.image.manifest.v1+json";

/// So quick that tests are.
fn patience() -> Patience {
    Patience {
        attempts: 4,
        lookups: 2,
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(20),
        longest_asked: Duration::from_secs(5),
        connect: Duration::from_secs(5),
        stall: Duration::from_millis(300),
    }
}

/// What is told, as text.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn listener(&self) -> Listener {
        let told = Arc::clone(&self.0);
        Arc::new(move |notice| {
            let text = match notice {
                Notice::NextPlace { host, error } => format!("next after {host}: {error}"),
                Notice::Pause { error, .. } => format!("pause: {error}"),
            };
            told.lock().unwrap().push(text);
        })
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn remote_with(registry: &Registry, settings: &str, told: &Told) -> Remote {
    let image: ImageReference = format!("{}/team/app:1", registry.host()).parse().unwrap();
    let settings = Settings::new(Registries::parse(settings).unwrap());
    Remote::new(&settings, &image, patience(), told.listener()).unwrap()
}

fn remote(registry: &Registry) -> Remote {
    remote_with(registry, "", &Told::default())
}

/// All of a blob, and how often somebody gave it wrongly.
async fn blob(remote: &Remote, digest: &str, size: usize) -> Result<Vec<u8>, RegistryError> {
    let digest: Digest = digest.parse().unwrap();
    let mut transfer = remote.transfer(&digest, size as u64, 0);
    let mut bytes = Vec::new();
    while let Some(piece) = transfer.next().await? {
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(transfer.position(), size as u64);
    Ok(bytes)
}

fn noise(length: usize) -> Vec<u8> {
    let byte = |at: usize| (at * 7 + at / 251).to_le_bytes()[0];
    (0..length).map(byte).collect()
}

#[tokio::test]
async fn manifests_come_by_tag_and_digest() {
    let registry = Registry::start();
    let digest = registry.manifest("team/app", "1", KIND, MANIFEST);
    let remote = remote(&registry);
    for name in ["1", digest.as_str()] {
        let manifest = remote.manifest(name).await.unwrap();
        assert_eq!(manifest.bytes, MANIFEST);
        assert_eq!(manifest.digest.as_str(), digest);
        assert_eq!(manifest.media_type, KIND);
    }
    let missing = remote.manifest("2").await.unwrap_err();
    assert_eq!(
        missing.to_string(),
        format!("{} has no team/app:2", registry.host())
    );
    registry.faults(|_| Some(Fault::Lie));
    let lie = remote.manifest(&digest).await.unwrap_err();
    assert!(
        lie.to_string().contains("it is damaged or it lies"),
        "{lie}"
    );
    let silent = remote.manifest(&digest).await.unwrap_err();
    assert!(
        silent.to_string().contains("asked nothing more"),
        "{silent}"
    );
}

#[tokio::test]
async fn what_fails_for_a_moment_is_tried_again_and_told() {
    let registry = Registry::start();
    registry.manifest("team/app", "1", KIND, MANIFEST);
    let asked = AtomicUsize::new(0);
    registry.faults(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Some(Fault::status(500)),
        1 => Some(Fault::Cut(5)),
        2 => Some(Fault::Stall(5, Duration::from_secs(2))),
        _ => None,
    });
    let told = Told::default();
    let remote = remote_with(&registry, "", &told);
    assert_eq!(remote.manifest("1").await.unwrap().bytes, MANIFEST);
    let told = told.all();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].contains("answers 500"), "{told:?}");
    assert!(told[2].contains("it took too long"), "{told:?}");
}

#[tokio::test]
async fn failures_end_after_all_attempts() {
    let registry = Registry::start();
    registry.faults(|_| Some(Fault::status(503)));
    let error = remote(&registry).manifest("1").await.unwrap_err();
    assert!(error.is_passing());
    assert_eq!(registry.asked().len(), 4);
    registry.faults(|_| Some(Fault::status(400)));
    let error = remote(&registry).manifest("1").await.unwrap_err();
    assert!(!error.is_passing());
    assert_eq!(registry.asked().len(), 5, "a refusal is not asked again");
}

#[tokio::test]
async fn a_registry_that_has_too_much_to_do_is_left_alone() {
    let registry = Registry::start();
    registry.manifest("team/app", "1", KIND, MANIFEST);
    let asked = AtomicUsize::new(0);
    registry.faults(move |_| {
        let is_first = asked.fetch_add(1, Ordering::Relaxed) == 0;
        is_first.then(|| Fault::status(429).with("Retry-After", "1"))
    });
    let begin = Instant::now();
    remote(&registry).manifest("1").await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(1));

    registry.faults(|_| Some(Fault::status(429).with("Retry-After", "3600")));
    let error = remote(&registry).manifest("1").await.unwrap_err();
    assert!(error.to_string().contains("429"), "{error}");
    assert_eq!(registry.asked().len(), 3, "nobody waits for an hour");
}

#[tokio::test]
async fn a_broken_transfer_goes_on_where_it_was() {
    let registry = Registry::start();
    let bytes = noise(300_000);
    let digest = registry.blob("team/app", &bytes);
    let asked = AtomicUsize::new(0);
    registry.faults(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Some(Fault::Cut(100_000)),
        1 => Some(Fault::Stall(50_000, Duration::from_secs(2))),
        _ => None,
    });
    let got = blob(&remote(&registry), &digest, bytes.len())
        .await
        .unwrap();
    assert_eq!(got, bytes);
    assert_eq!(registry.served(), 300_000, "nothing came twice");
    let ranges: Vec<_> = registry
        .asked()
        .into_iter()
        .map(|asked| asked.range)
        .collect();
    let expected = [None, Some("bytes=100000-"), Some("bytes=150000-")];
    assert_eq!(ranges, expected.map(|range| range.map(ToOwned::to_owned)));
}

#[tokio::test]
async fn who_is_slow_has_not_stalled() {
    let registry = Registry::start();
    let bytes = noise(600_000);
    let digest = registry.blob("team/app", &bytes);
    registry.faults(|_| Some(Fault::Slow(Duration::from_millis(100))));
    let begin = Instant::now();
    let got = blob(&remote(&registry), &digest, bytes.len())
        .await
        .unwrap();
    assert_eq!(got, bytes);
    assert!(begin.elapsed() > patience().stall);
    assert_eq!(registry.count("/blobs/"), 1, "it was asked once");
}

#[tokio::test]
async fn a_registry_without_ranges_is_read_again() {
    let registry = Registry::start();
    let bytes = noise(200_000);
    let digest = registry.blob("team/app", &bytes);
    let asked = AtomicUsize::new(0);
    registry.faults(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Some(Fault::Cut(100_000)),
        _ => Some(Fault::NoRange),
    });
    let got = blob(&remote(&registry), &digest, bytes.len())
        .await
        .unwrap();
    assert_eq!(got, bytes);
    assert_eq!(registry.served(), 300_000);
}

#[tokio::test]
async fn wrong_bytes_are_not_believed() {
    let registry = Registry::start();
    let bytes = noise(100_000);
    let digest = registry.blob("team/app", &bytes);
    registry.faults(|_| Some(Fault::Lie));
    let error = blob(&remote(&registry), &digest, bytes.len())
        .await
        .unwrap_err();
    assert!(matches!(error, RegistryError::Digest { .. }), "{error}");
    registry.faults(|_| None);
    for size in [bytes.len() - 1, bytes.len() + 1] {
        let error = blob(&remote(&registry), &digest, size).await.unwrap_err();
        assert!(
            error.to_string().contains("100000 bytes for a blob of"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn mirrors_are_asked_first_and_need_not_be_right() {
    let (own, missing, lying) = (Registry::start(), Registry::start(), Registry::start());
    let bytes = noise(50_000);
    let digest = own.blob("team/app", &bytes);
    lying.blob("cache/team/app", &bytes);
    lying.faults(|_| Some(Fault::Lie));
    let settings = format!(
        "[[registry]]\nname = \"{}\"\nmirrors = [\"{}\", \"{}/cache\"]\n",
        own.host(),
        missing.host(),
        lying.host()
    );
    let told = Told::default();
    let remote = remote_with(&own, &settings, &told);
    let error = blob(&remote, &digest, bytes.len()).await.unwrap_err();
    assert!(error.to_string().contains(&lying.host()), "{error}");
    assert!(!remote.is_exhausted());
    let got = blob(&remote, &digest, bytes.len()).await.unwrap();
    assert_eq!(got, bytes);
    assert_eq!(lying.asked().len(), 1, "who lies is asked nothing more");
    assert_eq!(missing.asked().len(), 2);
    let told = told.all();
    assert!(told[0].contains(&missing.host()), "{told:?}");

    own.faults(|_| Some(Fault::status(503)));
    let error = blob(&remote, &digest, bytes.len()).await.unwrap_err();
    for part in [missing.host(), lying.host(), "503".to_owned()] {
        assert!(error.to_string().contains(&part), "{error}");
    }
}

/// A registry that wants a token, which another server gives for a login.
fn guarded(registry: &Registry, tokens: &Registry) {
    let realm = format!("http://{}/token", tokens.host());
    let challenge =
        format!("Bearer realm=\"{realm}\",service=\"reg\",scope=\"repository:team/app:pull\"");
    registry.faults(move |asked| {
        let is_known = asked.authorization.as_deref() == Some("Bearer good");
        let refusal = Fault::status(401).with("WWW-Authenticate", &challenge);
        (!is_known).then_some(refusal)
    });
    tokens.put(
        "/token".to_owned(),
        "application/json",
        br#"{"token": "good"}"#,
    );
    let login = format!("Basic {}", STANDARD.encode("me:secret"));
    tokens.faults(move |asked| {
        let is_known = asked.authorization.as_ref() == Some(&login);
        (!is_known).then(|| Fault::status(401))
    });
}

#[tokio::test]
async fn tokens_are_fetched_once_with_the_login() {
    let (registry, tokens) = (Registry::start(), Registry::start());
    registry.manifest("team/app", "1", KIND, MANIFEST);
    let digest = registry.blob("team/app", MANIFEST);
    guarded(&registry, &tokens);
    let error = remote(&registry).manifest("1").await.unwrap_err();
    let told = error.to_string();
    assert!(
        told.contains("there is no login for it in /etc/keelson/registries.toml"),
        "{told}"
    );

    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "secret\n").unwrap();
    let settings = format!(
        "[[registry]]\nname = \"{}\"\nuser = \"me\"\npassword-file = \"{}\"\n",
        registry.host(),
        password.display()
    );
    let before = tokens.asked().len();
    let remote = remote_with(&registry, &settings, &Told::default());
    remote.manifest("1").await.unwrap();
    blob(&remote, &digest, MANIFEST.len()).await.unwrap();
    assert_eq!(tokens.asked().len(), before + 1, "one token does for all");
    let path = &tokens.asked()[before].path;
    assert_eq!(
        path,
        "/token?scope=repository%3Ateam%2Fapp%3Apull&service=reg"
    );

    std::fs::write(&password, "wrong").unwrap();
    let remote = remote_with(&registry, &settings, &Told::default());
    let told = remote.manifest("1").await.unwrap_err().to_string();
    assert!(
        told.contains("the login of me is not good enough"),
        "{told}"
    );
    assert!(!told.contains("wrong"), "{told}");
}

#[tokio::test]
async fn a_password_goes_to_its_own_registry_alone() {
    let (registry, storage) = (Registry::start(), Registry::start());
    let bytes = noise(1000);
    let digest = registry.blob("team/app", &bytes);
    storage.put("/elsewhere".to_owned(), "application/octet-stream", &bytes);
    let target = format!("http://{}/elsewhere", storage.host());
    let login = format!("Basic {}", STANDARD.encode("me:secret"));
    registry.faults(move |asked| {
        Some(if asked.authorization.as_ref() == Some(&login) {
            Fault::status(307).with("Location", &target)
        } else {
            Fault::status(401).with("WWW-Authenticate", "Basic realm=\"a\"")
        })
    });
    let folder = tempfile::tempdir().unwrap();
    let logins = folder.path().join("auth.json");
    let auth = STANDARD.encode("me:secret");
    let text = format!(
        "{{\"auths\": {{\"{}\": {{\"auth\": \"{auth}\"}}}}}}",
        registry.host()
    );
    std::fs::write(&logins, text).unwrap();
    let settings = Settings::default().with_logins(&logins).unwrap();
    let image: ImageReference = format!("{}/team/app:1", registry.host()).parse().unwrap();
    let remote = Remote::new(&settings, &image, patience(), image_registry::silence()).unwrap();
    let got = blob(&remote, &digest, bytes.len()).await.unwrap();
    assert_eq!(got, bytes);
    assert_eq!(storage.asked().len(), 1);
    assert_eq!(storage.asked()[0].authorization, None);
}

#[tokio::test]
async fn nobody_there_is_told_by_name() {
    let host = Registry::start().host();
    let image: ImageReference = format!("{host}/a:1").parse().unwrap();
    let told = Told::default();
    let settings = Settings::default();
    let remote = Remote::new(&settings, &image, patience(), told.listener()).unwrap();
    let error = remote.manifest("1").await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("{host}: ")), "{error}");
    assert!(error.contains("Connection refused"), "{error}");
    assert_eq!(told.all().len(), 3);
}

#[tokio::test]
async fn a_login_is_shown_to_the_registry() {
    let (registry, tokens) = (Registry::start(), Registry::start());
    registry.put("/v2/".to_owned(), "application/json", b"{}");
    guarded(&registry, &tokens);
    let settings = Settings::default();
    let log_in = async |password: &str| {
        let login = DockerLogin {
            user: "me".to_owned(),
            password: password.to_owned(),
        };
        image_registry::log_in(&settings, &registry.host(), login, &patience()).await
    };
    log_in("secret").await.unwrap();
    let told = log_in("wrong").await.unwrap_err().to_string();
    let expected = format!(
        "{} does not let us in: the login of me is not good enough",
        registry.host()
    );
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_name_that_nobody_resolves_is_told_soon() {
    let image: ImageReference = "registry.invalid/a:1".parse().unwrap();
    let told = Told::default();
    let settings = Settings::default();
    let remote = Remote::new(&settings, &image, patience(), told.listener()).unwrap();
    let error = remote.manifest("1").await.unwrap_err().to_string();
    let begin = "the name of registry.invalid cannot be resolved (";
    assert!(error.starts_with(begin), "{error}");
    assert!(!error.contains("dns error"), "{error}");
    assert_eq!(told.all().len(), 1, "it is looked up twice");
}

#[tokio::test]
async fn a_registry_without_tls_must_be_named_as_such() {
    let registry = Registry::start();
    let settings = format!(
        "[[registry]]\nname = \"{}\"\nplain-http = false\n",
        registry.host()
    );
    let remote = remote_with(&registry, &settings, &Told::default());
    let error = remote.manifest("1").await.unwrap_err();
    assert!(!error.is_passing());
    assert!(error.to_string().contains("`plain-http = true`"), "{error}");
}
