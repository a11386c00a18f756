//! The log's way to a follower: one request whose body has no end, appends going out and answers
//! coming back in order, several on the way at once.
//!
//! Both directions are driven by whoever polls the answers. No task is left behind when they are
//! dropped, so that openraft can begin anew at once.
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use openraft::errors::{NetworkError, RPCError, Unreachable};
use openraft::raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use crate::member::MemberId;
use crate::peer::client::{Lane, Peers};
use crate::peer::connect::{CallError, PeerBody};
use crate::peer::wire::{AppendAnswer, Frames, decode, frame};
use crate::types::TypeConfig;

/// Appends on the way at once.
const WINDOW: usize = 16;

type Item = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

/// Answers of a follower, in the order of the appends.
pub(crate) struct Pipeline<S> {
    peers: Peers,
    to: MemberId,
    timeout: Duration,
    /// What is sent before the input's.
    first: Option<AppendEntriesRequest<TypeConfig>>,
    /// Gone when there is nothing more to send.
    input: Option<(S, mpsc::UnboundedSender<Bytes>)>,
    answers: Incoming,
    frames: Frames,
    sent: VecDeque<Instant>,
    deadline: Pin<Box<Sleep>>,
    ended: bool,
}

/// Turns an error of a call into openraft's: what must wait before it is tried again, and what not.
pub(crate) fn rpc_error(error: &CallError) -> RPCError<TypeConfig> {
    match error {
        CallError::Broken(_) => RPCError::Network(NetworkError::new(error)),
        _ => RPCError::Unreachable(Unreachable::new(error)),
    }
}

impl<S> Pipeline<S>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
{
    /// Opens the request once there is something to send; none if nothing comes. openraft lets a
    /// follower that was not reached rest before it gives the next append, not before it asks for this.
    pub(crate) async fn open(
        peers: Peers,
        to: MemberId,
        mut input: S,
        timeout: Duration,
    ) -> Result<Option<Self>, RPCError<TypeConfig>> {
        let Some(first) = input.next().await else {
            return Ok(None);
        };
        let (sender, receiver) = mpsc::unbounded_channel();
        let opening = peers.open(to, Lane::Log, "/append", stream_body(receiver));
        let response = tokio::time::timeout(timeout, opening)
            .await
            .unwrap_or(Err(CallError::TimedOut));
        let response = response.map_err(|error| {
            peers.traffic().failed(to);
            rpc_error(&error)
        })?;
        if response.status() != hyper::StatusCode::OK {
            peers.traffic().failed(to);
            peers.note_refusal(response.status());
            let refusal = format!("refused with status {}", response.status());
            return Err(RPCError::Unreachable(Unreachable::from_string(refusal)));
        }
        Ok(Some(Self {
            peers,
            to,
            timeout,
            first: Some(first),
            input: Some((input, sender)),
            answers: response.into_body(),
            frames: Frames::default(),
            sent: VecDeque::new(),
            deadline: Box::pin(tokio::time::sleep(timeout)),
            ended: false,
        }))
    }

    fn fail(&mut self, reason: &str) -> Item {
        self.ended = true;
        self.input = None;
        self.peers.traffic().failed(self.to);
        Err(RPCError::Unreachable(Unreachable::from_string(reason)))
    }

    /// Sends what there is to send, up to the window. An error ends everything.
    fn send_ready(&mut self, context: &mut Context<'_>) -> Result<(), String> {
        while self.sent.len() < WINDOW {
            let Some((input, sender)) = self.input.as_mut() else {
                return Ok(());
            };
            let next = match self.first.take() {
                Some(first) => Poll::Ready(Some(first)),
                None => Pin::new(input).poll_next(context),
            };
            match next {
                Poll::Pending => return Ok(()),
                Poll::Ready(None) => self.input = None,
                Poll::Ready(Some(request)) => {
                    if !self.peers.link_passes(self.to) {
                        return Err("cut off".to_owned());
                    }
                    let bytes = frame(&request).map_err(|error| error.to_string())?;
                    self.peers.traffic().sent(self.to, bytes.len());
                    if sender.send(bytes).is_err() {
                        return Err("the connection broke".to_owned());
                    }
                    if self.sent.is_empty() {
                        self.deadline.as_mut().reset(Instant::now() + self.timeout);
                    }
                    self.sent.push_back(Instant::now());
                }
            }
        }
        Ok(())
    }

    /// The next answer, if one is there.
    fn receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Item>> {
        loop {
            match self.frames.next() {
                Ok(Some(frame)) => return Poll::Ready(Some(self.answered(&frame))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(self.fail(&error.to_string()))),
            }
            match Pin::new(&mut self.answers).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(piece))) => {
                    if let Some(bytes) = piece.data_ref() {
                        self.frames.push(bytes);
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.peers.forget(self.to, Lane::Log);
                    return Poll::Ready(Some(self.fail(&error.to_string())));
                }
                Poll::Ready(None) if self.sent.is_empty() && self.input.is_none() => {
                    self.ended = true;
                    return Poll::Ready(None);
                }
                Poll::Ready(None) => {
                    return Poll::Ready(Some(self.fail("the follower ended the stream")));
                }
            }
        }
    }

    fn answered(&mut self, frame: &[u8]) -> Item {
        let Some(sent) = self.sent.pop_front() else {
            return self.fail("an answer to nothing");
        };
        if !self.peers.link_passes(self.to) {
            return self.fail("cut off");
        }
        self.peers.traffic().answered(self.to, sent.elapsed());
        self.deadline.as_mut().reset(Instant::now() + self.timeout);
        match decode::<AppendAnswer>(frame) {
            Ok(AppendAnswer::Matched(log_id)) => Ok(Ok(log_id)),
            Ok(AppendAnswer::Conflict(log_id)) => {
                self.ended = true;
                Ok(Err(StreamAppendError::Conflict(log_id)))
            }
            Ok(AppendAnswer::HigherVote(vote)) => {
                self.ended = true;
                Ok(Err(StreamAppendError::HigherVote(vote)))
            }
            Ok(AppendAnswer::NoSpace) => self.fail("the follower has no space left"),
            Ok(AppendAnswer::Stopped) => self.fail("the follower is stopping"),
            Err(error) => self.fail(&error.to_string()),
        }
    }
}

impl<S> Stream for Pipeline<S>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
{
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        if let Err(reason) = this.send_ready(context) {
            return Poll::Ready(Some(this.fail(&reason)));
        }
        if let Poll::Ready(answer) = this.receive(context) {
            return Poll::Ready(answer);
        }
        if !this.sent.is_empty() && this.deadline.as_mut().poll(context).is_ready() {
            this.peers.forget(this.to, Lane::Log);
            return Poll::Ready(Some(this.fail("no answer in time")));
        }
        Poll::Pending
    }
}

/// A body of what comes out of a channel.
pub(crate) fn stream_body(receiver: mpsc::UnboundedReceiver<Bytes>) -> PeerBody {
    let frames = futures::stream::unfold(receiver, |mut receiver| async move {
        let bytes = receiver.recv().await?;
        Some((Ok::<_, io::Error>(Frame::data(bytes)), receiver))
    });
    StreamBody::new(frames).boxed_unsync()
}
