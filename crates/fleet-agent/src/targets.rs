//! Follows what the machine is told to have: the agent's only watch.
//!
//! Contents are fetched with the targets that name them, unless the machine has them. What follows from a
//! target is not decided here.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet_model::MachineId;
use fleet_store::{
    Change, Contents, Key, KeyValue, Keys, Layout, Store, StoreError, Target, Value as _, Watch,
    WatchEvent,
};
use systemd_unit::UnitName;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// After a failure.
const RETRY: Duration = Duration::from_secs(1);

/// Follows the targets.
pub(crate) struct TargetWatcher<T> {
    pub(crate) store: T,
    pub(crate) layout: Layout,
    pub(crate) machine: MachineId,
    /// The contents that the machine has, by their hashes.
    pub(crate) known: BTreeMap<UnitName, String>,
    pub(crate) news: mpsc::UnboundedSender<TargetNews>,
}

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TargetNews {
    /// All there is; whatever else was known is no target any more.
    All(BTreeMap<UnitName, Told>),
    /// What changed, together.
    Changed(Vec<(UnitName, Option<Told>)>),
}

/// A target as it stands in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// Understood.
    Target {
        target: Target,
        revision: u64,
        contents: Fetched,
    },
    /// Of a later version, or damaged: what it is about is left as it is.
    Unreadable(String),
}

/// A unit's contents, as far as they were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// The machine has them.
    Known,
    /// Here they are.
    Contents(Contents),
    /// They are not in the store, or cannot be read.
    Missing(String),
}

impl<T: Store> TargetWatcher<T> {
    /// For ever.
    pub(crate) async fn run(mut self) {
        loop {
            if let Err(error) = self.follow().await {
                tracing::debug!("targets are asked for again: {error}");
            }
            sleep(RETRY).await;
        }
    }

    async fn follow(&mut self) -> Result<(), StoreError> {
        let keys = self.layout.targets_of(&self.machine);
        let range = self.store.range(keys.clone()).await?;
        let mut all = BTreeMap::new();
        let mut known = self.known.clone();
        for pair in &range.pairs {
            if let Some(name) = self.name_of(&pair.key) {
                let told = self.read(&name, pair, &mut known).await?;
                all.insert(name, told);
            }
        }
        // What ceased to be a target meanwhile is removed from the machine.
        known.retain(|name, _| all.contains_key(name));
        self.known = known;
        self.tell(TargetNews::All(all));
        let mut watch = self.store.watch(keys, range.revision + 1).await?;
        loop {
            match watch.next().await? {
                WatchEvent::Changes { changes, .. } => {
                    let changed = self.read_all(&changes).await?;
                    self.tell(TargetNews::Changed(changed));
                }
                WatchEvent::Compacted => return Ok(()),
            }
        }
    }

    async fn read_all(
        &mut self,
        changes: &[Change],
    ) -> Result<Vec<(UnitName, Option<Told>)>, StoreError> {
        let mut read = Vec::new();
        // Nobody is told of anything if some of it cannot be fetched: then nothing more is known, either.
        let mut known = self.known.clone();
        for change in changes {
            let Some(name) = self.name_of(change.key()) else {
                continue;
            };
            let told = match change {
                Change::Put(pair) => Some(self.read(&name, pair, &mut known).await?),
                Change::Deleted { .. } => {
                    known.remove(&name);
                    None
                }
            };
            read.push((name, told));
        }
        self.known = known;
        Ok(read)
    }

    async fn read(
        &self,
        name: &UnitName,
        pair: &KeyValue,
        known: &mut BTreeMap<UnitName, String>,
    ) -> Result<Told, StoreError> {
        let target = match Target::from_pair(pair) {
            Ok(target) => target,
            Err(error) => return Ok(Told::Unreadable(error.to_string())),
        };
        let contents = if known.get(name) == Some(&target.hash) {
            Fetched::Known
        } else {
            self.fetch(&target.hash).await?
        };
        if !matches!(contents, Fetched::Missing(_)) {
            known.insert(name.clone(), target.hash.clone());
        }
        Ok(Told::Target {
            target,
            revision: pair.mod_revision,
            contents,
        })
    }

    async fn fetch(&self, hash: &str) -> Result<Fetched, StoreError> {
        let key = self.layout.contents(hash);
        let range = self.store.range(Keys::One(key)).await?;
        let Some(pair) = range.pairs.first() else {
            let why = format!("the store has no contents with the hash {hash}");
            return Ok(Fetched::Missing(why));
        };
        Ok(match Contents::from_pair(pair) {
            Ok(contents) => Fetched::Contents(contents),
            Err(error) => Fetched::Missing(error.to_string()),
        })
    }

    fn name_of(&self, key: &str) -> Option<UnitName> {
        match self.layout.parse(key)? {
            Key::Target(_, name) => Some(name),
            _ => None,
        }
    }

    fn tell(&self, news: TargetNews) {
        // Nobody listens any more at the end of the program.
        let _told = self.news.send(news);
    }
}
