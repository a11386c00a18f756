//! A member's answer on its way to the client: a body that gives its connection back at the end.
//!
//! When the member breaks off in the middle of a watch, the client's stream is ended as if there were
//! nothing more to say: it asks again from where it is. Any other answer that breaks off is broken
//! off towards the client too, so that half an answer is never taken for a whole one.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use super::forward::{Connections, Sender};
use crate::endpoint::Endpoint;

/// Any failure of a body.
pub(super) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// What a client is sent.
pub(super) enum Answer {
    /// Of our own.
    Own(Full<Bytes>),
    /// A member's.
    Relayed(Box<Relay>),
}

/// A member's body.
pub(super) struct Relay {
    pub(super) body: Incoming,
    /// Whether breaking off is a clean end.
    pub(super) is_watch: bool,
    /// Given back once the body is through.
    pub(super) connection: Option<(Endpoint, Sender)>,
    pub(super) connections: Arc<Connections>,
    /// How long a member may be silent.
    pub(super) silence: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl Relay {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            if let Some((_, sleep)) = &mut self.silence {
                ready!(sleep.as_mut().poll(context));
                self.connection = None;
                return Poll::Ready(self.broken("the member was silent for too long".into()));
            }
            return Poll::Pending;
        };
        if let Some((limit, sleep)) = &mut self.silence {
            sleep.as_mut().reset(Instant::now() + *limit);
        }
        Poll::Ready(match frame {
            None => {
                if let Some((endpoint, sender)) = self.connection.take() {
                    self.connections.put(endpoint, sender);
                }
                None
            }
            Some(Ok(frame)) => Some(Ok(frame)),
            Some(Err(error)) => self.broken(error.into()),
        })
    }

    fn broken(&self, error: BodyError) -> Option<Result<Frame<Bytes>, BodyError>> {
        tracing::debug!("a member broke off: {error}");
        if self.is_watch {
            None
        } else {
            Some(Err(error))
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body)
                .poll_frame(context)
                .map_err(|never| match never {}),
            Self::Relayed(relay) => relay.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Relayed(relay) => relay.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Relayed(relay) => relay.body.size_hint(),
        }
    }
}
