//! From v2 to v2: keys, directories and times to live, by its HTTP API.
//!
//! Hidden keys are listed by no server; those below known paths are read from there.
use std::collections::BTreeSet;

use kv_client::{Answer, Client, Config, Error, EtcdError, Start, WatchEvent, WatchOptions, Write};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::failure::Failure;
use crate::migrate::digest::Comparison;
use crate::migrate::progress::Progress;
use crate::migrate::tree::{self, Entry, Tree};
use crate::migrate::{Migration, Rules};

/// Hidden paths that the programs of `CoreOS` use.
const KNOWN_HIDDEN: [&str; 2] = ["/_coreos.com", "/_etcd"];
/// Events that wait to be carried over; more wait at the source.
const EVENTS_MAX: usize = 1_000;
/// A key where a directory is wanted, or the reverse.
const NOT_A_FILE: u64 = 102;
const DIRECTORY_NOT_EMPTY: u64 = 108;

/// Both clusters.
pub(super) struct V2 {
    source: Client,
    target: Client,
    roots: Vec<String>,
    rules: Rules,
    /// Paths that the source has, as far as they were carried over.
    ours: BTreeSet<String>,
    progress: Progress,
    events: Option<Events>,
    /// A change that was taken and is not carried over yet.
    pending: Option<WatchEvent>,
}

/// What the watches tell; they end with this.
struct Events {
    receiver: mpsc::Receiver<Result<WatchEvent, Error>>,
    _watches: JoinSet<()>,
}

/// Whether a refusal has this number.
fn has_code(result: &Result<Answer, Error>, code: u64) -> bool {
    matches!(result, Err(Error::Etcd(error)) if error.code == code)
}

impl V2 {
    pub(super) fn new(
        source: Config,
        target: Config,
        prefixes: &[String],
        hidden: &[String],
        rules: Rules,
    ) -> Result<Self, Failure> {
        let absolute = |path: &String| format!("/{}", path.trim_matches('/'));
        let mut roots: Vec<String> = prefixes.iter().map(absolute).collect();
        if roots.is_empty() {
            roots.push("/".to_owned());
            roots.extend(KNOWN_HIDDEN.map(ToOwned::to_owned));
        }
        roots.extend(hidden.iter().map(absolute));
        roots.sort();
        roots.dedup();
        Ok(Self {
            source: Client::new(source).map_err(Failure::plain)?,
            target: Client::new(target).map_err(Failure::plain)?,
            roots,
            rules,
            ours: BTreeSet::new(),
            progress: Progress::new(),
            events: None,
            pending: None,
        })
    }

    async fn read(&self, client: &Client) -> Result<(Tree, u64), Failure> {
        let mut tree = Tree::new();
        let mut since = u64::MAX;
        for root in &self.roots {
            since = since.min(tree::read(client, root, &mut tree).await?);
        }
        Ok((tree, since))
    }

    /// Makes the target have what the source has.
    async fn write_all(&mut self, source: &Tree) -> Result<(), Failure> {
        let (target, _) = self.read(&self.target).await?;
        for (path, entry) in source {
            let there = target.get(path);
            let is_new = there.is_none_or(|there| !is_same(entry, there));
            if is_new {
                self.may_replace(path, entry, there)?;
                self.write(path, entry).await?;
            }
            self.ours.insert(path.clone());
            self.progress.copied(is_new);
        }
        if self.rules.delete_others {
            let others = target
                .keys()
                .rev()
                .filter(|path| !source.contains_key(*path));
            for path in others {
                self.delete(path).await?;
            }
        }
        Ok(())
    }

    fn may_replace(&self, path: &str, entry: &Entry, there: Option<&Entry>) -> Result<(), Failure> {
        let differs = there.is_some_and(|there| there.value != entry.value);
        if differs && !self.rules.overwrite && !self.ours.contains(path) {
            let text = format!("{path} has another value in the target; --overwrite replaces it");
            return Err(Failure::Plain(text));
        }
        Ok(())
    }

    async fn write(&self, path: &str, entry: &Entry) -> Result<(), Failure> {
        let with_ttl = |write: Write| match entry.ttl_seconds {
            Some(seconds) => write.ttl_seconds(seconds.max(1)),
            None => write,
        };
        let Some(value) = &entry.value else {
            let made = self
                .target
                .write(&with_ttl(Write::set_directory(path)))
                .await;
            if has_code(&made, NOT_A_FILE) {
                // It is there, and may have another time to live.
                let update = with_ttl(Write::update_directory(path));
                self.target.write(&update).await?;
                return Ok(());
            }
            made?;
            return Ok(());
        };
        self.target
            .write(&with_ttl(Write::set(path, value)))
            .await?;
        Ok(())
    }

    /// Removes a key, or a directory if nothing is in it.
    async fn delete(&self, path: &str) -> Result<(), Failure> {
        let deleted = self.target.write(&Write::delete(path).directory()).await;
        let is_done =
            has_code(&deleted, EtcdError::KEY_NOT_FOUND) || has_code(&deleted, DIRECTORY_NOT_EMPTY);
        if is_done {
            return Ok(());
        }
        deleted?;
        Ok(())
    }

    /// Removes what the source no longer has at a path and below it, and nothing of anybody else's.
    async fn delete_ours(&mut self, path: &str) -> Result<(), Failure> {
        let below = format!("{path}/");
        let gone: Vec<String> = self
            .ours
            .range(path.to_owned()..)
            .take_while(|one| *one == path || one.starts_with(path))
            .filter(|one| *one == path || one.starts_with(&below))
            .cloned()
            .collect();
        // What is in a directory comes behind it.
        for path in gone.iter().rev() {
            self.delete(path).await?;
            self.ours.remove(path);
        }
        Ok(())
    }

    async fn carry_over(&mut self, event: &WatchEvent) -> Result<(), Failure> {
        match event {
            WatchEvent::Change(change) if change.action.is_removal() => {
                self.delete_ours(&change.node.key).await?;
                self.progress.followed(change.node.modified_index);
            }
            WatchEvent::Change(change) => {
                self.write(&change.node.key, &(&change.node).into()).await?;
                self.remember(&change.node.key);
                self.progress.followed(change.node.modified_index);
            }
            WatchEvent::Reset { .. } => {
                eprintln!("the source has forgotten changes; everything is compared again");
                self.copy_again().await?;
            }
        }
        Ok(())
    }

    /// A key, and the directories that were made for it.
    fn remember(&mut self, path: &str) {
        let ends = path.match_indices('/').map(|(end, _)| end).skip(1);
        let parents = ends.map(|end| path[..end].to_owned());
        self.ours.extend(parents);
        self.ours.insert(path.to_owned());
    }

    async fn copy_again(&mut self) -> Result<(), Failure> {
        let (tree, _) = self.read(&self.source).await?;
        let gone = self.ours.iter().filter(|path| !tree.contains_key(*path));
        let gone: Vec<String> = gone.rev().cloned().collect();
        for path in gone {
            self.delete(&path).await?;
            self.ours.remove(&path);
        }
        self.write_all(&tree).await
    }

    /// One watch for each root; a change below two of them is carried over twice, which does no harm.
    fn watch(&self, after: u64) -> Events {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        let mut watches = JoinSet::new();
        for root in &self.roots {
            let options = WatchOptions {
                recursive: true,
                start: Start::After(after),
            };
            let mut events = self.source.watch(root, options);
            let sender = sender.clone();
            watches.spawn(async move {
                loop {
                    let event = events.next().await;
                    let is_last = event.is_err();
                    if sender.send(event).await.is_err() || is_last {
                        return;
                    }
                }
            });
        }
        Events {
            receiver,
            _watches: watches,
        }
    }
}

impl Migration for V2 {
    async fn copy(&mut self) -> Result<(), Failure> {
        let (tree, since) = self.read(&self.source).await?;
        self.events = Some(self.watch(since));
        self.write_all(&tree).await?;
        self.progress.show();
        Ok(())
    }

    async fn follow(&mut self) -> Result<(), Failure> {
        loop {
            if self.pending.is_none() {
                let Some(events) = &mut self.events else {
                    return Err(Failure::Plain("nothing is watched yet".to_owned()));
                };
                let Some(event) = events.receiver.recv().await else {
                    return Err(Failure::Plain("the watches ended".to_owned()));
                };
                self.pending = Some(event?);
            }
            // Given up here, the change is carried over again; once or twice makes no difference.
            if let Some(event) = self.pending.clone() {
                self.carry_over(&event).await?;
            }
            self.pending = None;
        }
    }

    fn is_behind(&self) -> bool {
        let has_more = |events: &Events| !events.receiver.is_empty();
        self.pending.is_some() || self.events.as_ref().is_some_and(has_more)
    }

    async fn compare(&mut self) -> Result<Comparison, Failure> {
        let (source, _) = self.read(&self.source).await?;
        let (target, _) = self.read(&self.target).await?;
        let mut found = Comparison::default();
        // A directory counts as a key with a value that no key has.
        let value = |entry: &Entry| match &entry.value {
            Some(value) => [b"=", value.as_bytes()].concat(),
            None => Vec::new(),
        };
        for (path, entry) in &source {
            let there = target.get(path).map(value);
            found.add(path.as_bytes(), &value(entry), there.as_deref());
        }
        let others = target.keys().filter(|path| !source.contains_key(*path));
        others.for_each(|_| found.add_other());
        Ok(found)
    }
}

/// Whether nothing needs to be written. Times to live are told in whole seconds, and pass.
fn is_same(one: &Entry, other: &Entry) -> bool {
    let is_close = match (one.ttl_seconds, other.ttl_seconds) {
        (None, None) => true,
        (Some(one), Some(other)) => one.abs_diff(other) <= 2,
        _ => false,
    };
    one.value == other.value && is_close
}
