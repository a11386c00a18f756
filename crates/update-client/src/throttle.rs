//! A bandwidth limit over all that is read at the same time.
//!
//! Limits by waiting after a read: the peer slows down once buffers between are full.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes per second that several readers share.
#[derive(Debug)]
pub struct Throttle {
    bytes_per_second: u64,
    /// When everything read so far was due.
    due: Mutex<Instant>,
}

/// As much as may come at once.
const BURST: Duration = Duration::from_millis(100);

impl Throttle {
    /// A limit; 0 is none at all.
    pub fn new(bytes_per_second: u64) -> Arc<Self> {
        Arc::new(Self {
            bytes_per_second,
            due: Mutex::new(Instant::now()),
        })
    }

    /// Longest read that the limit can be kept with.
    fn read_limit(&self) -> usize {
        if self.bytes_per_second == 0 {
            return usize::MAX;
        }
        usize::try_from(self.bytes_per_second / 10)
            .unwrap_or(usize::MAX)
            .max(1)
    }

    /// Waits until so many more bytes are due.
    fn wait(&self, bytes: usize) {
        if self.bytes_per_second == 0 {
            return;
        }
        let now = Instant::now();
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        // A reader's buffer is far below 2^52 bytes.
        let cost = Duration::from_micros(bytes as u64 * 1_000_000 / self.bytes_per_second);
        *due = (*due).max(earliest) + cost;
        let pause = due.saturating_duration_since(now);
        drop(due);
        std::thread::sleep(pause);
    }
}

/// Reads no faster than a limit allows.
#[derive(Debug)]
pub struct Throttled<R> {
    inner: R,
    throttle: Arc<Throttle>,
}

impl<R> Throttled<R> {
    /// Puts a reader under a limit.
    pub fn new(inner: R, throttle: Arc<Throttle>) -> Self {
        Self { inner, throttle }
    }
}

impl<R: Read> Read for Throttled<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.throttle.read_limit());
        let count = self.inner.read(&mut buffer[..length])?;
        self.throttle.wait(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_takes_as_long_as_the_limit_says() {
        let throttle = Throttle::new(1_000_000);
        let begun = Instant::now();
        let mut readers =
            [(); 2].map(|()| Throttled::new(io::repeat(1).take(200_000), Arc::clone(&throttle)));
        for reader in &mut readers {
            io::copy(reader, &mut io::sink()).unwrap();
        }
        let took = begun.elapsed().as_secs_f64();
        assert!((0.29..3.0).contains(&took), "{took} s for 400 kB at 1 MB/s");
    }
}
