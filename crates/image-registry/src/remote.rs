//! Where an image comes from: its registry and the mirrors of it, asked in order and again.
//!
//! A place that lied once is asked nothing more. The registry itself has the last word: what it has not, or
//! refuses, is not tried again, whatever is wrong with a mirror.

use std::sync::{Mutex, PoisonError};

use container_model::ImageReference;
use container_model::digest::Digest;
use reqwest::Response;

use crate::endpoint::Endpoint;
use crate::listener::{Listener, Notice};
use crate::manifest::{self, RemoteManifest};
use crate::patience::Attempts;
use crate::transfer::{self, Transfer};
use crate::{Patience, RegistryError, Result, Settings};

/// Where an image comes from.
pub struct Remote {
    /// Mirrors, and the registry itself at last.
    places: Vec<Endpoint>,
    /// Those that lied, by number.
    distrusted: Mutex<Vec<usize>>,
    patience: Patience,
    listener: Listener,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// By tag or digest.
    Manifest(&'a str),
    /// From a position on.
    Blob {
        digest: &'a Digest,
        size: u64,
        position: u64,
    },
}

/// What comes.
pub(crate) enum Found {
    /// All of it.
    Manifest(RemoteManifest),
    /// Its bytes are to be read, and some at the beginning to be left out.
    Blob { answer: Response, skip: u64 },
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let places = self.places.iter().map(|endpoint| &endpoint.place);
        f.debug_list().entries(places).finish()
    }
}

impl Remote {
    /// For an image. Passwords and certificates are read here; nobody is asked anything yet.
    pub fn new(
        settings: &Settings,
        image: &ImageReference,
        patience: Patience,
        listener: Listener,
    ) -> Result<Self> {
        let places = settings.registries.places(image);
        let own = places.len() - 1;
        let places = places
            .into_iter()
            .enumerate()
            .map(|(number, place)| Endpoint::new(settings, place, number == own, &patience));
        Ok(Self {
            places: places.collect::<Result<_>>()?,
            distrusted: Mutex::default(),
            patience,
            listener,
        })
    }

    /// A manifest or an index, by tag or digest.
    pub async fn manifest(&self, name: &str) -> Result<RemoteManifest> {
        let mut attempts = self.attempts();
        match self.fetch(Wanted::Manifest(name), &mut attempts).await? {
            (_, Found::Manifest(manifest)) => Ok(manifest),
            (place, Found::Blob { .. }) => Err(RegistryError::nonsense(self.host(place), "a blob")),
        }
    }

    /// A blob's bytes, from a position on. Nothing is asked before the first byte is.
    pub fn transfer(&self, digest: &Digest, size: u64, position: u64) -> Transfer<'_> {
        Transfer::new(self, digest.clone(), size, position)
    }

    pub(crate) fn attempts(&self) -> Attempts {
        Attempts::new(self.patience)
    }

    pub(crate) fn host(&self, place: usize) -> &str {
        &self.places[place].place.host
    }

    /// The place is asked nothing more.
    pub(crate) fn distrust(&self, place: usize) {
        let mut distrusted = self
            .distrusted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        distrusted.push(place);
    }

    /// Whether nobody is left to be asked.
    pub fn is_exhausted(&self) -> bool {
        (0..self.places.len()).all(|place| self.is_distrusted(place))
    }

    fn is_distrusted(&self, place: usize) -> bool {
        let distrusted = self
            .distrusted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        distrusted.contains(&place)
    }

    /// Asks everywhere until somebody answers; says who did.
    pub(crate) async fn fetch(
        &self,
        wanted: Wanted<'_>,
        attempts: &mut Attempts,
    ) -> Result<(usize, Found)> {
        loop {
            match self.round(wanted).await {
                Ok(found) => return Ok(found),
                Err(error) => self.wait(error, attempts).await?,
            }
        }
    }

    /// Waits before the next attempt, or fails with what went wrong.
    pub(crate) async fn wait(&self, error: RegistryError, attempts: &mut Attempts) -> Result<()> {
        let pause = if error.is_unresolved() {
            attempts.pause_after_lookup()
        } else if error.is_passing() {
            attempts.pause(error.retry_after())
        } else {
            None
        };
        let Some(pause) = pause else {
            return Err(error);
        };
        let error = &error;
        (self.listener)(Notice::Pause { error, pause });
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Asks each place once.
    async fn round(&self, wanted: Wanted<'_>) -> Result<(usize, Found)> {
        let mut errors = Vec::new();
        for (number, endpoint) in self.places.iter().enumerate() {
            let host = self.host(number);
            if self.is_distrusted(number) {
                let what = "wrong bytes, and is asked nothing more";
                errors.push(RegistryError::nonsense(host, what));
                continue;
            }
            match ask(endpoint, wanted).await {
                Ok(found) => return Ok((number, found)),
                Err(error) => {
                    if error.is_lie() {
                        self.distrust(number);
                    }
                    if number + 1 < self.places.len() {
                        let error = &error;
                        (self.listener)(Notice::NextPlace { host, error });
                    }
                    errors.push(error);
                }
            }
        }
        match errors.pop() {
            Some(only) if errors.is_empty() => Err(only),
            last => Err(RegistryError::Everywhere(
                errors.into_iter().chain(last).collect(),
            )),
        }
    }
}

async fn ask(endpoint: &Endpoint, wanted: Wanted<'_>) -> Result<Found> {
    match wanted {
        Wanted::Manifest(name) => manifest::fetch(endpoint, name).await.map(Found::Manifest),
        Wanted::Blob {
            digest,
            size,
            position,
        } => transfer::open(endpoint, digest, size, position).await,
    }
}
