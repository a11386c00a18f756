//! The step cache: a build is a list of steps, each stored under a hash of its inputs.
//!
//! A step's directory appears under its key only when the step has finished; an interrupted one leaves a
//! `.partial` directory that the next build removes. The cache knows nothing of what steps do.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::digest::Digest;
use crate::error::{BuildError, Result, create, make_directory, read_text, rename, write_bytes};

/// Finished results kept of each step; older ones are removed.
const RESULTS_KEPT: usize = 4;

/// What a build tells its caller while it runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A step begins that is not cached.
    Started {
        /// Its name.
        step: &'a str,
    },
    /// Some of a step's bytes are through.
    Progress {
        /// Its name.
        step: &'a str,
        /// Bytes so far.
        bytes: u64,
        /// Bytes in all.
        bytes_in_all: u64,
    },
    /// A step is done.
    Finished {
        /// Its name.
        step: &'a str,
        /// How long it took, or none if its result was cached.
        took: Option<Duration>,
        /// What came out of it, in words.
        summary: &'a str,
    },
    /// What a build would do with a step, and why.
    Explained {
        /// Its name.
        step: &'a str,
        /// Why it would run, or none if its result is cached.
        reasons: Option<Vec<String>>,
    },
    /// Something the user should know.
    Notice {
        /// In words.
        text: &'a str,
    },
}

/// Receives events; called from several threads.
pub type Report<'a> = &'a (dyn Fn(Event<'_>) + Sync);

/// Whether steps run or are only explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Run what is not cached.
    Build,
    /// Say what would run.
    Explain,
}

/// A step's name and everything its result depends on.
#[derive(Debug, Clone)]
pub struct Inputs {
    step: &'static str,
    digests: BTreeMap<String, Digest>,
    /// Labels of values that follow from others: as reasons they say nothing beside those.
    derived: BTreeSet<String>,
}

impl Inputs {
    /// Of a step; the builder's own sources are always an input.
    pub fn of(step: &'static str) -> Self {
        let inputs = Self {
            step,
            digests: BTreeMap::new(),
            derived: BTreeSet::new(),
        };
        inputs.text("the builder", env!("KEELSON_BUILDER_REVISION"))
    }

    /// Adds a value under a name that says what it is.
    #[must_use]
    pub fn digest(mut self, label: impl Into<String>, digest: Digest) -> Self {
        let label = label.into();
        let earlier = self.digests.insert(label.clone(), digest);
        assert!(
            earlier.is_none(),
            "input {label} of step {} stands twice",
            self.step
        );
        self
    }

    /// Adds a text.
    #[must_use]
    pub fn text(self, label: impl Into<String>, text: &str) -> Self {
        self.digest(label, Digest::of(text.as_bytes()))
    }

    /// Adds a text that follows from other inputs, which explain a rebuild better.
    #[must_use]
    pub fn derived_text(mut self, label: impl Into<String>, text: &str) -> Self {
        let label = label.into();
        self.derived.insert(label.clone());
        self.text(label, text)
    }

    /// Adds many.
    #[must_use]
    pub fn digests(mut self, more: impl IntoIterator<Item = (String, Digest)>) -> Self {
        for (label, digest) in more {
            self = self.digest(label, digest);
        }
        self
    }

    /// Adds an earlier step's result.
    #[must_use]
    pub fn step(self, finished: &Finished) -> Self {
        self.digest(format!("step {}", finished.step), finished.key)
    }

    /// The hash of all of it.
    pub fn key(&self) -> Digest {
        let mut text = format!("{}\n", self.step);
        for (label, digest) in &self.digests {
            let _ = writeln!(text, "{digest} {label}");
        }
        Digest::of(text.as_bytes())
    }
}

/// A step's result.
#[derive(Debug, Clone)]
pub struct Finished {
    step: &'static str,
    /// The hash of its inputs.
    pub key: Digest,
    /// Where its files are.
    pub directory: PathBuf,
}

impl Finished {
    /// The path of one of its files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// What is remembered of a finished step.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    inputs: BTreeMap<String, String>,
    summary: String,
}

const RECORD: &str = ".record.json";

/// All cached results, locked against a second build.
pub struct Cache<'a> {
    directory: PathBuf,
    mode: Mode,
    report: Report<'a>,
    _lock: File,
}

impl std::fmt::Debug for Cache<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("directory", &self.directory)
            .field("mode", &self.mode)
            .finish()
    }
}

impl<'a> Cache<'a> {
    /// Opens a cache and locks it until it is dropped.
    pub fn open(directory: &Path, mode: Mode, report: Report<'a>) -> Result<Self> {
        make_directory(directory)?;
        let path = directory.join("lock");
        let lock = create(&path)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                directory: directory.into(),
                mode,
                report,
                _lock: lock,
            }),
            Err(fs::TryLockError::WouldBlock) => Err(BuildError::CacheBusy(directory.into())),
            Err(fs::TryLockError::Error(e)) => Err(BuildError::io("lock", &path, e)),
        }
    }

    /// Tells the caller something.
    pub fn report(&self, event: Event<'_>) {
        (self.report)(event);
    }

    /// The sink of events, for steps that report progress.
    pub fn reporter(&self) -> Report<'a> {
        self.report
    }

    /// Whether steps are only explained.
    pub fn explains(&self) -> bool {
        self.mode == Mode::Explain
    }

    /// The result of a step: cached, or made by `run` in an empty directory. `run` returns a summary.
    pub fn step(
        &self,
        inputs: &Inputs,
        run: impl FnOnce(&Path) -> Result<String>,
    ) -> Result<Finished> {
        let home = self.directory.join(inputs.step);
        let key = inputs.key();
        let directory = home.join(key.short(32));
        let finished = Finished {
            step: inputs.step,
            key,
            directory,
        };
        let record = read_record(&finished.directory);
        match (self.mode, record) {
            (Mode::Explain, record) => {
                let reasons = record.is_none().then(|| reasons(&home, inputs));
                self.report(Event::Explained {
                    step: inputs.step,
                    reasons,
                });
            }
            (Mode::Build, Some(record)) => {
                note_use(&finished)?;
                let summary = &record.summary;
                self.report(Event::Finished {
                    step: inputs.step,
                    took: None,
                    summary,
                });
            }
            (Mode::Build, None) => self.run(inputs, &home, &finished, run)?,
        }
        Ok(finished)
    }

    fn run(
        &self,
        inputs: &Inputs,
        home: &Path,
        finished: &Finished,
        run: impl FnOnce(&Path) -> Result<String>,
    ) -> Result<()> {
        self.report(Event::Started { step: inputs.step });
        make_directory(home)?;
        remove_partial(home)?;
        let partial = home.join(".partial");
        make_directory(&partial)?;
        let begun = Instant::now();
        let summary = run(&partial).map_err(|error| BuildError::Step {
            step: inputs.step,
            source: Box::new(error),
        })?;
        let digests = inputs
            .digests
            .iter()
            .map(|(l, d)| (l.clone(), d.to_string()))
            .collect();
        let record = Record {
            inputs: digests,
            summary,
        };
        let text = serde_json::to_vec_pretty(&record).expect("a map of strings is JSON");
        write_bytes(&partial.join(RECORD), &text)?;
        if finished.directory.exists() {
            // Without its record it is no result: somebody removed files from it.
            remove_directory(&finished.directory)?;
        }
        rename(&partial, &finished.directory)?;
        note_use(finished)?;
        prune(home, finished)?;
        let (took, summary) = (Some(begun.elapsed()), record.summary.as_str());
        self.report(Event::Finished {
            step: inputs.step,
            took,
            summary,
        });
        Ok(())
    }
}

fn read_record(directory: &Path) -> Option<Record> {
    serde_json::from_str(&read_text(&directory.join(RECORD)).ok()?).ok()
}

/// Remembers which result is the newest in use, for `explain` and for pruning.
fn note_use(finished: &Finished) -> Result<()> {
    let home = finished.directory.parent().expect("a result has a home");
    write_bytes(&home.join("latest"), finished.key.short(32).as_bytes())?;
    let record = finished.directory.join(RECORD);
    let file = File::options()
        .append(true)
        .open(&record)
        .map_err(|e| BuildError::io("open", &record, e))?;
    file.set_modified(SystemTime::now())
        .map_err(|e| BuildError::io("touch", &record, e))
}

/// Why a step's inputs are not those of its last run.
fn reasons(home: &Path, inputs: &Inputs) -> Vec<String> {
    let latest = read_text(&home.join("latest")).ok();
    let Some(record) = latest.and_then(|key| read_record(&home.join(key.trim()))) else {
        return vec!["it was never made here".to_owned()];
    };
    let (mut reasons, mut derived) = (Vec::new(), Vec::new());
    for (label, digest) in &inputs.digests {
        let list = if inputs.derived.contains(label) {
            &mut derived
        } else {
            &mut reasons
        };
        match record.inputs.get(label) {
            None => list.push(format!("{label} is new")),
            Some(old) if *old != digest.to_string() => list.push(format!("{label} changed")),
            Some(_) => {}
        }
    }
    for label in record
        .inputs
        .keys()
        .filter(|label| !inputs.digests.contains_key(*label))
    {
        reasons.push(format!("{label} is gone"));
    }
    if reasons.is_empty() { derived } else { reasons }
}

fn remove_partial(home: &Path) -> Result<()> {
    let partial = home.join(".partial");
    if partial.exists() {
        remove_directory(&partial)
    } else {
        Ok(())
    }
}

fn remove_directory(path: &Path) -> Result<()> {
    fs::remove_dir_all(path).map_err(|e| BuildError::io("remove", path, e))
}

/// Removes the results that have not been used for longest.
fn prune(home: &Path, newest: &Finished) -> Result<()> {
    let entries = fs::read_dir(home).map_err(|e| BuildError::io("list", home, e))?;
    let mut results: Vec<(SystemTime, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let used = fs::metadata(path.join(RECORD)).ok()?.modified().ok()?;
            (path != newest.directory).then_some((used, path))
        })
        .collect();
    results.sort();
    let surplus = (results.len() + 1).saturating_sub(RESULTS_KEPT);
    results
        .iter()
        .take(surplus)
        .try_for_each(|(_, path)| remove_directory(path))
}

#[cfg(test)]
mod tests;
