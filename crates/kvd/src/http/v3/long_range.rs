//! The answer to a `Range`, which may be larger than memory.
//!
//! One that is large is never built: it is measured in a first pass over the view, because its length
//! comes first, and then written page by page while the client takes it.
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use etcd_v3::proto::etcdserverpb::ResponseHeader;
use etcd_v3::{Code, Status, range as ranges};
use kv_model::TableError;
use kv_model::query::Listing;
use kv_model::query::listing::Cursor;
use tokio::sync::mpsc;

use super::reading::Reading;
use super::reply::{self, Messages};
use crate::http::answer::Answer;

/// An answer of so many bytes is built as a whole.
const WHOLE_BYTES_MAX: usize = 1 << 20;
/// So many bytes are read and written at once.
const PAGE_BYTES: usize = 256 << 10;
/// Pages that wait for the client.
const PAGES_MAX: usize = 2;
/// A client that takes nothing for so long gets no more: the view it is read from must not be kept.
const STALL_MAX: Duration = Duration::from_mins(1);

const TOO_SLOW: Status = Status::new(
    Code::Unavailable,
    "etcdserver: the range was taken too slowly: read it in parts, with a limit",
);

/// Answers. Blocks while it reads.
pub(super) fn answer(reading: Reading, header: Option<ResponseHeader>) -> Result<Answer, Status> {
    if let Some(reply) = reading.within(WHOLE_BYTES_MAX)? {
        return Ok(reply::single(&ranges::response(reply, header)));
    }
    let listing = reading.listing(ranges::node_bytes)?;
    let edges = ranges::edges(header, listing.more, listing.count, listing.size)?;
    let (sender, pages) = mpsc::channel(PAGES_MAX);
    let left = edges.bytes;
    let source = Source {
        reading,
        listing,
        cursor: Cursor::default(),
    };
    tokio::spawn(write(source, edges, sender));
    Ok(reply::stream(LongRange { pages, left }))
}

/// What is written on the way to the client.
struct LongRange {
    pages: mpsc::Receiver<Bytes>,
    /// Bytes that have not come yet.
    left: u64,
}

impl Messages for LongRange {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        Poll::Ready(match ready!(self.pages.poll_recv(cx)) {
            Some(page) => {
                self.left = self.left.saturating_sub(page.len() as u64);
                Some(Ok(page))
            }
            None if self.left == 0 => None,
            None => Some(Err(TOO_SLOW)),
        })
    }
}

/// Where the pages come from.
struct Source {
    reading: Reading,
    listing: Listing,
    cursor: Cursor,
}

impl Source {
    /// The next page, written; empty at the end. Blocks.
    fn next(mut self) -> (Result<Bytes, TableError>, Self) {
        let page = self
            .reading
            .page(&self.listing, &mut self.cursor, PAGE_BYTES);
        (page.map(ranges::nodes), self)
    }
}

/// Writes the answer, as fast as the client takes it. Whoever reads sees by the length whether all
/// came.
async fn write(mut source: Source, edges: ranges::Edges, sender: mpsc::Sender<Bytes>) {
    if !send(&sender, edges.head).await {
        return;
    }
    loop {
        let Ok((page, back)) = tokio::task::spawn_blocking(|| source.next()).await else {
            return;
        };
        source = back;
        match page {
            Ok(page) if page.is_empty() => break,
            Ok(page) => {
                if !send(&sender, page).await {
                    return;
                }
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "a range was cut off");
                return;
            }
        }
    }
    send(&sender, edges.tail).await;
}

async fn send(sender: &mpsc::Sender<Bytes>, piece: Bytes) -> bool {
    let sent = tokio::time::timeout(STALL_MAX, sender.send(piece)).await;
    if sent.is_err() {
        tracing::warn!("a client takes no more of its range: cut off");
    }
    matches!(sent, Ok(Ok(())))
}
