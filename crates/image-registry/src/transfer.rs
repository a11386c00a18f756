//! A blob on its way: pieces in order, going on where it broke, at whichever place has it.

use bytes::Bytes;
use container_model::digest::Digest;
use reqwest::header::{CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Response, StatusCode};
use sha2::{Digest as _, Sha256};

use crate::endpoint::Endpoint;
use crate::patience::Attempts;
use crate::remote::{Found, Remote, Wanted};
use crate::{RegistryError, Result};

/// Bytes after which a transfer that broke before gets all its attempts again.
const PROGRESS: u64 = 1 << 20;

/// A blob's bytes, from a position on.
#[derive(Debug)]
pub struct Transfer<'a> {
    remote: &'a Remote,
    digest: Digest,
    size: u64,
    begin: u64,
    position: u64,
    body: Option<Body>,
    attempts: Attempts,
    /// Where attempts began to count.
    counted_from: u64,
    /// Of all bytes; none if some came before.
    hash: Option<Sha256>,
    /// Who gave some of it.
    sources: Vec<usize>,
}

#[derive(Debug)]
struct Body {
    place: usize,
    answer: Response,
    /// Bytes that come again.
    skip: u64,
}

impl<'a> Transfer<'a> {
    pub(crate) fn new(remote: &'a Remote, digest: Digest, size: u64, position: u64) -> Self {
        Self {
            remote,
            digest,
            size,
            begin: position,
            position,
            body: None,
            attempts: remote.attempts(),
            counted_from: position,
            hash: (position == 0).then(Sha256::new),
            sources: Vec::new(),
        }
    }

    /// How many bytes there are now, with those from before.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next bytes; none at the end, if all are there and right as far as can be told here.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.position < self.size {
            let mut body = match self.body.take() {
                Some(body) => body,
                None => self.open().await?,
            };
            match body.answer.chunk().await {
                Ok(Some(bytes)) => {
                    let fresh = self.take(&mut body, bytes)?;
                    self.body = Some(body);
                    if !fresh.is_empty() {
                        return Ok(Some(fresh));
                    }
                }
                Ok(None) => {
                    let error = self.ended_early(body.place);
                    self.remote.wait(error, &mut self.attempts).await?;
                }
                Err(error) => {
                    let error = RegistryError::transport(self.remote.host(body.place), error);
                    self.remote.wait(error, &mut self.attempts).await?;
                }
            }
        }
        self.check().map(|()| None)
    }

    async fn open(&mut self) -> Result<Body> {
        let wanted = Wanted::Blob {
            digest: &self.digest,
            size: self.size,
            position: self.position,
        };
        match self.remote.fetch(wanted, &mut self.attempts).await? {
            (place, Found::Blob { answer, skip }) => {
                if !self.sources.contains(&place) {
                    self.sources.push(place);
                }
                Ok(Body {
                    place,
                    answer,
                    skip,
                })
            }
            (place, Found::Manifest(_)) => {
                let host = self.remote.host(place);
                Err(RegistryError::nonsense(host, "a manifest"))
            }
        }
    }

    /// What is new in a piece.
    fn take(&mut self, body: &mut Body, mut bytes: Bytes) -> Result<Bytes> {
        let old = usize::try_from(body.skip)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        body.skip -= old as u64;
        let fresh = bytes.split_off(old);
        if fresh.len() as u64 > self.size - self.position {
            self.remote.distrust(body.place);
            let host = self.remote.host(body.place);
            let what = format!("more than the {} bytes of {}", self.size, self.digest);
            return Err(RegistryError::nonsense(host, what));
        }
        if let Some(hash) = &mut self.hash {
            hash.update(&fresh);
        }
        self.position += fresh.len() as u64;
        if self.position - self.counted_from >= PROGRESS {
            self.counted_from = self.position;
            self.attempts.begin_anew();
        }
        Ok(fresh)
    }

    fn ended_early(&self, place: usize) -> RegistryError {
        RegistryError::Transport {
            host: self.remote.host(place).to_owned(),
            reason: format!("{} of {} bytes came", self.position, self.size),
            is_passing: true,
        }
    }

    fn check(&mut self) -> Result<()> {
        let Some(hash) = self.hash.take() else {
            return Ok(());
        };
        let found = Digest::from_sha256(&hash.finalize().into());
        if found == self.digest {
            Ok(())
        } else {
            Err(self.wrong(found.as_str()))
        }
    }

    /// Whoever finds out that the bytes are wrong says so here, and fetches all again from the beginning:
    /// who gave all of them is asked no more. If several did, nobody knows who was wrong.
    pub fn wrong(&self, found: &str) -> RegistryError {
        if let ([only], 0) = (&self.sources[..], self.begin) {
            self.remote.distrust(*only);
        }
        let hosts = self.sources.iter().map(|place| self.remote.host(*place));
        RegistryError::Digest {
            host: hosts.collect::<Vec<_>>().join(" and "),
            expected: self.digest.to_string(),
            found: found.to_owned(),
        }
    }
}

/// Asks a place for a blob from a position on.
pub(crate) async fn open(
    endpoint: &Endpoint,
    digest: &Digest,
    size: u64,
    position: u64,
) -> Result<Found> {
    let mut headers = HeaderMap::new();
    if position > 0 {
        let range = HeaderValue::from_str(&format!("bytes={position}-"));
        headers.extend(range.ok().map(|range| (RANGE, range)));
    }
    let answer = endpoint.get(&format!("blobs/{digest}"), headers).await?;
    let begin = begin(&answer, size, position);
    let begin = begin.map_err(|what| RegistryError::nonsense(&endpoint.place.host, what))?;
    Ok(Found::Blob {
        answer,
        skip: position - begin,
    })
}

/// Where an answer begins: at the position that was asked for, or at the beginning.
fn begin(answer: &Response, size: u64, position: u64) -> std::result::Result<u64, String> {
    if answer.status() != StatusCode::PARTIAL_CONTENT {
        return match answer.content_length() {
            Some(length) if length != size => Err(format!("{length} bytes for a blob of {size}")),
            _ => Ok(0),
        };
    }
    let range = answer.headers().get(CONTENT_RANGE);
    let range = range.and_then(|range| range.to_str().ok());
    match range.and_then(content_range) {
        Some((begin, total)) if begin == position && total.is_none_or(|total| total == size) => {
            Ok(position)
        }
        _ => Err(format!(
            "`{}` for the bytes from {position} of {size}",
            range.unwrap_or("no range")
        )),
    }
}

/// `bytes 10-19/20`: where it begins, and how much there is in all.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (begin, _) = range.split_once('-')?;
    let total = match total.trim() {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    Some((begin.trim().parse().ok()?, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 10-19/20"), Some((10, Some(20))));
        assert_eq!(content_range("bytes 10-19/*"), Some((10, None)));
        for bad in ["", "bytes */20", "items 0-1/2", "bytes 1/2", "bytes a-1/2"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }
}
