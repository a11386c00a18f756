//! An answer that is a stream of JSON lines.
//!
//! Empty lines only say that the connection is alive.

use std::marker::PhantomData;

use bytes::BytesMut;
use serde::de::DeserializeOwned;

use super::connection::Head;
use super::error::ApiError;

/// The longest line; a unit of a mebibyte is less.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Lines as they come.
pub struct Lines<T> {
    head: Head,
    read: BytesMut,
    kind: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Lines<T> {
    pub(super) fn new(head: Head) -> Self {
        Self {
            head,
            read: BytesMut::new(),
            kind: PhantomData,
        }
    }

    /// The next; nothing at the stream's end. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<T, ApiError>> {
        loop {
            while let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(end + 1);
                if !line.trim_ascii().is_empty() {
                    return Some(self.parse(&line));
                }
            }
            if self.read.len() > LINE_BYTES_MAX {
                return Some(Err(self.not_the_api("a line has no end".to_owned())));
            }
            match self.head.chunk().await {
                Some(Ok(chunk)) => self.read.extend_from_slice(&chunk),
                Some(Err(error)) => return Some(Err(error)),
                None => return self.last(),
            }
        }
    }

    fn last(&mut self) -> Option<Result<T, ApiError>> {
        let rest = self.read.split();
        (!rest.trim_ascii().is_empty()).then(|| self.parse(&rest))
    }

    fn parse(&self, line: &[u8]) -> Result<T, ApiError> {
        serde_json::from_slice(line).map_err(|error| self.not_the_api(error.to_string()))
    }

    fn not_the_api(&self, reason: String) -> ApiError {
        ApiError::NotTheApi {
            endpoint: self.head.endpoint.clone(),
            reason,
        }
    }
}
