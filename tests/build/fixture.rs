//! The builder, temporary checkouts and temporary caches. No test.

use image_build::lock::{LockedPackage, PackagesLock};
use image_build::recipe::Recipe;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// A mirror that nobody serves: a test that does not mean to fetch must not.
pub(crate) const NO_MIRROR: &str = "http://127.0.0.1:1/debian";

/// Files of a cache that are written in place, so that linked copies of a cache must not share them.
const WRITTEN_IN_PLACE: [&str; 2] = ["latest", ".record.json"];

pub(crate) fn repository() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    path.canonicalize().expect("the checkout")
}

fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

/// A file of the image build, without which nothing here can run.
fn required(path: PathBuf) -> PathBuf {
    assert!(
        path.exists(),
        "{} is missing; run `make image` first",
        path.display()
    );
    path
}

pub(crate) fn builder() -> PathBuf {
    let given = std::env::var_os("KEELSON_BUILDER").map(PathBuf::from);
    required(given.unwrap_or_else(|| target_directory().join("release/keelson")))
}

/// The packages that the checkout's own cache holds.
pub(crate) fn fetched_packages() -> PathBuf {
    required(repository().join("target/keelson/packages"))
}

/// A temporary directory on the disk that holds the target folder: `/tmp` may be small, and links must work.
pub(crate) fn scratch() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory")
}

/// A folder with our programs as the image build left them, so that cargo need not run.
pub(crate) fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("keelson-programs");
        fs::create_dir_all(&folder).expect("created");
        let target = target_directory();
        let recipe = Recipe::load(&repository().join("image/os.toml")).expect("a recipe");
        let shipped = recipe.program.iter().map(|program| &program.package);
        let mut paths: Vec<_> = shipped.map(|name| format!("release/{name}")).collect();
        paths.push("x86_64-unknown-linux-gnu/release/init".to_owned());
        for path in paths {
            let source = required(target.join(path));
            let name = source.file_name().expect("a program");
            fs::copy(&source, folder.join(name)).expect("copied");
        }
        folder
    })
}

/// A copy of what a build reads of the checkout, to be changed.
pub(crate) struct Checkout {
    folder: TempDir,
}

impl Checkout {
    pub(crate) fn new() -> Self {
        let folder = scratch();
        for source in ["image", "units"] {
            copy_tree(&repository().join(source), &folder.path().join(source));
        }
        fs::create_dir(folder.path().join("initramfs")).expect("created");
        let list = "initramfs/modules.toml";
        fs::copy(repository().join(list), folder.path().join(list)).expect("copied");
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).expect("readable")
    }

    pub(crate) fn append(&self, path: &str, text: &str) {
        fs::write(self.path().join(path), self.read(path) + text).expect("written");
    }

    pub(crate) fn replace(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert!(text.contains(from), "{path} has no {from:?}");
        fs::write(self.path().join(path), text.replacen(from, to, 1)).expect("written");
    }

    pub(crate) fn lock(&self) -> PackagesLock {
        PackagesLock::load(&self.path().join("image/packages.lock")).expect("a lock")
    }

    pub(crate) fn package(&self, name: &str) -> LockedPackage {
        let lock = self.lock();
        let found = lock.packages.iter().find(|package| package.name == name);
        found.expect("a locked package").clone()
    }
}

/// A temporary build cache.
pub(crate) struct Cache {
    folder: TempDir,
}

impl Cache {
    /// No step is cached, every package is there.
    pub(crate) fn cold() -> Self {
        let cache = Self::empty();
        link_tree(&fetched_packages(), &cache.file("packages"));
        cache
    }

    /// Nothing is there, not even packages.
    pub(crate) fn empty() -> Self {
        Self { folder: scratch() }
    }

    /// Every step of the unchanged checkout is cached.
    pub(crate) fn warm() -> Self {
        let cache = Self::empty();
        let source = built();
        for entry in fs::read_dir(source).expect("a cache") {
            let name = entry.expect("an entry").file_name();
            if name != "lock" && name != "image" {
                link_tree(&source.join(&name), &cache.file(&name));
            }
        }
        cache
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.path().join(name.as_ref())
    }

    /// Where a build puts its image unless told otherwise.
    pub(crate) fn image(&self) -> PathBuf {
        self.file("image")
    }

    pub(crate) fn package(&self, package: &LockedPackage) -> PathBuf {
        self.file("packages")
            .join(format!("{}.deb", package.sha256))
    }

    /// A build of the unchanged checkout in this cache, without a network.
    pub(crate) fn build(&self) -> Run {
        Run::new("build", self.path(), &repository())
    }

    pub(crate) fn build_of(&self, checkout: &Checkout) -> Run {
        Run::new("build", self.path(), checkout.path())
    }
}

/// The cache of a build of the unchanged checkout; it stays from one run of the tests to the next, as a
/// user's does. Its image is in `image`. Nothing may change it.
pub(crate) fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("keelson-built");
        link_tree(&fetched_packages(), &path.join("packages"));
        Run::new("build", &path, &repository()).succeed();
        path
    })
}

/// A run of the builder, yet to begin.
pub(crate) struct Run {
    arguments: Vec<String>,
    mirror: Option<String>,
    umask: Option<u32>,
    environment: Vec<(String, String)>,
}

/// What a run of the builder said.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Of `build` or `lock`.
    pub(crate) fn new(command: &str, cache: &Path, checkout: &Path) -> Self {
        let mut arguments = vec![
            command.to_owned(),
            format!("--cache={}", cache.display()),
            format!("--checkout={}", checkout.display()),
        ];
        if command == "build" {
            arguments.push(format!("--programs={}", programs().display()));
        }
        Self {
            arguments,
            mirror: Some(NO_MIRROR.to_owned()),
            umask: None,
            environment: Vec::new(),
        }
    }

    pub(crate) fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Fetch from there; without one from where this machine's apt does.
    pub(crate) fn mirror(mut self, mirror: Option<&str>) -> Self {
        self.mirror = mirror.map(str::to_owned);
        self
    }

    pub(crate) fn umask(mut self, umask: u32) -> Self {
        self.umask = Some(umask);
        self
    }

    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The builder and its arguments, for running it below another program.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words = vec![builder().display().to_string()];
        words.extend(self.arguments.iter().cloned());
        words.extend(
            self.mirror
                .iter()
                .map(|mirror| format!("--mirror={mirror}")),
        );
        words
    }

    /// Below `prefix`, the first words of a command.
    fn command(&self, prefix: &[&str]) -> Command {
        let mut words: Vec<String> = prefix.iter().map(|&word| word.to_owned()).collect();
        if let Some(umask) = self.umask {
            let script = format!("umask {umask:03o}; exec \"$@\"");
            words.extend(["sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()]);
        }
        words.extend(self.words());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        for name in ["CACHE", "CHECKOUT", "MIRROR", "SECURITY_MIRROR"] {
            command.env_remove(format!("KEELSON_{name}"));
        }
        command.env_remove("SOURCE_DATE_EPOCH");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn run(&self) -> Outcome {
        self.run_below(&[])
    }

    pub(crate) fn run_below(&self, prefix: &[&str]) -> Outcome {
        let output = self.command(prefix).output().expect("it starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Outcome {
            success: output.status.success(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    pub(crate) fn succeed(&self) -> Outcome {
        let outcome = self.run();
        assert!(outcome.success, "{}", outcome.stderr);
        outcome
    }

    /// Runs to its failure and returns the error as the user sees it.
    pub(crate) fn fail(&self) -> String {
        let outcome = self.run();
        assert!(!outcome.success, "it should fail: {}", outcome.stderr);
        outcome.error()
    }

    /// Starts it in a process group of its own, to be interrupted.
    pub(crate) fn start(&self) -> Child {
        let mut command = self.command(&[]);
        command.process_group(0).stderr(Stdio::null());
        command.spawn().expect("it starts")
    }
}

impl Outcome {
    /// The one error: from the line that begins with the program's name.
    pub(crate) fn error(&self) -> String {
        let lines: Vec<&str> = self.stderr.lines().collect();
        let begin = lines.iter().position(|line| line.starts_with("keelson: "));
        let begin = begin.unwrap_or_else(|| panic!("no error: {}", self.stderr));
        let error = lines[begin..].join("\n");
        assert_eq!(error.matches("keelson: ").count(), 1, "{error}");
        error
    }

    /// The steps that ran, in order; the others were cached.
    pub(crate) fn steps_run(&self) -> Vec<&str> {
        let ran = |line: &&str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.get(2) == Some(&"s") && words[1].parse::<f32>().is_ok()
        };
        let lines = self.stderr.lines().filter(ran);
        let steps = lines.filter_map(|line| line.split_whitespace().next());
        steps.filter(|&step| step != "programs").collect()
    }
}

/// Asserts that a text has all of these words in it.
pub(crate) fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

fn copy_tree(source: &Path, target: &Path) {
    walk(source, target, &|from, to| {
        fs::copy(from, to).expect("copied");
    });
}

/// Copies a tree by links, or by bytes where it is on another disk or would be written in place.
pub(crate) fn link_tree(source: &Path, target: &Path) {
    walk(source, target, &|from, to| {
        let name = from.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let _ = fs::remove_file(to);
        if WRITTEN_IN_PLACE.contains(&name) || fs::hard_link(from, to).is_err() {
            fs::copy(from, to).expect("copied");
        }
    });
}

fn walk(source: &Path, target: &Path, take: &dyn Fn(&Path, &Path)) {
    fs::create_dir_all(target).expect("created");
    for entry in fs::read_dir(source).unwrap_or_else(|e| panic!("{}: {e}", source.display())) {
        let entry = entry.expect("an entry");
        let to = target.join(entry.file_name());
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            walk(&entry.path(), &to, take);
        } else if kind.is_symlink() {
            let link = fs::read_link(entry.path()).expect("a link");
            let _ = fs::remove_file(&to);
            std::os::unix::fs::symlink(link, &to).expect("created");
        } else {
            take(&entry.path(), &to);
        }
    }
}

/// Names of everything below a directory that `wanted` accepts.
pub(crate) fn find(directory: &Path, wanted: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else {
        return found;
    };
    for entry in entries {
        let entry = entry.expect("an entry");
        if wanted(&entry.file_name().to_string_lossy()) {
            found.push(entry.path());
        }
        if entry.file_type().expect("a type").is_dir() {
            found.extend(find(&entry.path(), wanted));
        }
    }
    found
}
