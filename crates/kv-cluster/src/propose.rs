//! Puts commands into the log: gathers those that wait into one entry, keeps a few entries on the
//! way, and hands each outcome to whoever asked.
//!
//! Without a task of its own: whoever brings a command, or is told that an entry is done, sends the
//! next one. A command is sent again only if it is certain that it reached no log.
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kv_model::Command;
use openraft::errors::ClientWriteError;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::error::ProposeError;
use crate::member::MemberId;
use crate::peer::client::{Lane, Peers};
use crate::peer::connect::CallError;
use crate::peer::wire::{ForwardAnswer, ForwardRefusal, decode};
use crate::replica::Committed;
use crate::room::Room;
use crate::status::{Role, Status};
use crate::types::{Batch, Raft, Reply, WriteResult};

/// Entries, or forwarded batches, on the way at once.
const ON_THE_WAY_MAX: usize = 4;
/// Commands in one entry.
const ENTRY_COMMANDS_MAX: usize = 2048;
/// Bytes in one entry, unless one command is larger.
pub(crate) const ENTRY_BYTES_MAX: usize = 1 << 20;
/// Between two attempts when a leader is known but does not lead.
const RETRY: Duration = Duration::from_millis(20);

/// Limits on what waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of one command.
    pub(crate) request_bytes_max: usize,
    /// Commands waiting.
    pub(crate) commands_max: usize,
    /// Bytes waiting.
    pub(crate) bytes_max: usize,
    /// How long a command may take.
    pub(crate) timeout: Duration,
}

/// Why a group of commands has no outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// Nothing was done; another member leads, or none.
    NotLeader,
    /// Nothing was done.
    Refused(ForwardRefusal),
    /// It may have been done.
    Unknown,
}

type Answer = Result<Vec<Committed>, Failure>;

/// Commands that came together, and whoever waits for them.
struct Group {
    number: u64,
    count: usize,
    encoded: Bytes,
    reply: oneshot::Sender<Answer>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Group>,
    commands: usize,
    bytes: usize,
    on_the_way: usize,
    last_number: u64,
}

/// Where a queue's batches go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Log,
    Leader,
}

/// Puts commands into the log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Proposer {
    inner: Arc<Inner>,
}

struct Inner {
    raft: Raft,
    peers: Peers,
    room: Room,
    status: watch::Receiver<Status>,
    limits: Limits,
    log: Mutex<Queue>,
    forward: Mutex<Queue>,
}

impl Proposer {
    /// With what it needs.
    pub(crate) fn new(
        raft: Raft,
        peers: Peers,
        room: Room,
        status: watch::Receiver<Status>,
        limits: Limits,
    ) -> Self {
        let inner = Inner {
            raft,
            peers,
            room,
            status,
            limits,
            log: Mutex::default(),
            forward: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// One command, wherever the leader is.
    pub(crate) async fn propose(&self, command: &Command) -> Result<Committed, ProposeError> {
        let encoded = postcard::to_stdvec(command).map_err(|_| ProposeError::OutcomeUnknown)?;
        let (bytes, max) = (encoded.len(), self.inner.limits.request_bytes_max);
        if bytes > max {
            return Err(ProposeError::TooLarge { bytes, max });
        }
        let deadline = Instant::now() + self.inner.limits.timeout;
        let encoded = Bytes::from(encoded);
        loop {
            let way = self.way(deadline).await?;
            match self.send(way, 1, encoded.clone(), deadline).await? {
                Ok(outcomes) => {
                    let only = outcomes.into_iter().next();
                    return only.ok_or(ProposeError::OutcomeUnknown);
                }
                Err(Failure::NotLeader) if Instant::now() + RETRY < deadline => {
                    tokio::time::sleep(RETRY).await;
                }
                Err(Failure::NotLeader) => return Err(ProposeError::NoLeader),
                Err(Failure::Refused(ForwardRefusal::TooManyRequests)) => {
                    return Err(ProposeError::TooManyRequests);
                }
                Err(Failure::Refused(ForwardRefusal::NoSpace)) => {
                    return Err(ProposeError::NoSpace);
                }
                Err(_) => return Err(ProposeError::OutcomeUnknown),
            }
        }
    }

    /// Commands that another member forwards, for this one to put into the log.
    pub(crate) async fn accept(&self, count: usize, encoded: Bytes) -> ForwardAnswer {
        if self.inner.status.borrow().role != Role::Leader {
            return Err(ForwardRefusal::NotLeader);
        }
        let deadline = Instant::now() + self.inner.limits.timeout;
        match self.send(Way::Log, count, encoded, deadline).await {
            Ok(Ok(outcomes)) => Ok(outcomes),
            Ok(Err(Failure::NotLeader)) | Err(ProposeError::TimedOut | ProposeError::NoLeader) => {
                Err(ForwardRefusal::NotLeader)
            }
            Ok(Err(Failure::Refused(refusal))) => Err(refusal),
            Err(ProposeError::TooManyRequests) => Err(ForwardRefusal::TooManyRequests),
            Err(ProposeError::NoSpace) => Err(ForwardRefusal::NoSpace),
            Ok(Err(Failure::Unknown)) | Err(_) => Err(ForwardRefusal::Unknown),
        }
    }

    /// One command, for this member's log alone: refused if another leads. What a leader decided must
    /// not be done in the name of its successor.
    pub(crate) async fn propose_as_leader(&self, command: &Command) -> Result<(), ForwardRefusal> {
        let encoded = postcard::to_stdvec(command).map_err(|_| ForwardRefusal::Invalid)?;
        self.accept(1, Bytes::from(encoded)).await.map(drop)
    }

    /// Commands that are in a queue now.
    pub(crate) fn waiting(&self) -> usize {
        self.inner.log.lock().commands + self.inner.forward.lock().commands
    }

    /// Which way to go, once there is a leader.
    async fn way(&self, deadline: Instant) -> Result<Way, ProposeError> {
        if self.inner.status.borrow().role == Role::Leader {
            return Ok(Way::Log);
        }
        let mut receiver = self.inner.status.clone();
        let settled = |status: &Status| status.has_ended() || status.leader.is_some();
        let waiting = tokio::time::timeout_at(deadline, receiver.wait_for(settled)).await;
        let status = waiting
            .map_err(|_| ProposeError::NoLeader)?
            .map_err(|_| ProposeError::Stopped)?;
        match status.role {
            _ if status.has_ended() => Err(ProposeError::Stopped),
            Role::Leader => Ok(Way::Log),
            _ => Ok(Way::Leader),
        }
    }

    /// Puts commands into a queue and waits for what comes of them.
    async fn send(
        &self,
        way: Way,
        count: usize,
        encoded: Bytes,
        deadline: Instant,
    ) -> Result<Answer, ProposeError> {
        if way == Way::Log && !self.inner.room.is_there() {
            return Err(ProposeError::NoSpace);
        }
        let (reply, mut answer) = oneshot::channel();
        let number = self.enqueue(way, count, encoded, reply)?;
        self.drain(way);
        match tokio::time::timeout_at(deadline, &mut answer).await {
            Ok(answer) => Ok(answer.unwrap_or(Err(Failure::Unknown))),
            Err(_) if self.withdraw(way, number) => Err(ProposeError::TimedOut),
            Err(_) => Err(ProposeError::OutcomeUnknown),
        }
    }

    fn queue(&self, way: Way) -> &Mutex<Queue> {
        match way {
            Way::Log => &self.inner.log,
            Way::Leader => &self.inner.forward,
        }
    }

    fn enqueue(
        &self,
        way: Way,
        count: usize,
        encoded: Bytes,
        reply: oneshot::Sender<Answer>,
    ) -> Result<u64, ProposeError> {
        let limits = &self.inner.limits;
        let mut queue = self.queue(way).lock();
        let bytes = queue.bytes + encoded.len();
        if queue.commands + count > limits.commands_max || bytes > limits.bytes_max {
            return Err(ProposeError::TooManyRequests);
        }
        queue.commands += count;
        queue.bytes = bytes;
        queue.last_number += 1;
        let number = queue.last_number;
        queue.waiting.push_back(Group {
            number,
            count,
            encoded,
            reply,
        });
        Ok(number)
    }

    /// Takes back what was not sent yet.
    fn withdraw(&self, way: Way, number: u64) -> bool {
        let mut queue = self.queue(way).lock();
        let found = (queue.waiting.iter()).position(|group| group.number == number);
        let Some(group) = found.and_then(|at| queue.waiting.remove(at)) else {
            return false;
        };
        queue.commands -= group.count;
        queue.bytes -= group.encoded.len();
        true
    }

    /// Sends batches until enough are on the way, or nothing waits.
    fn drain(&self, way: Way) {
        loop {
            // The lock must not be held while a batch is sent: an answer may come at once.
            let batch = self.queue(way).lock().next_batch();
            match (way, batch) {
                (_, None) => return,
                (Way::Log, Some(groups)) => self.write(groups),
                (Way::Leader, Some(groups)) => self.forward(groups),
            }
        }
    }

    /// A batch is done, one way or another.
    fn finished(&self, way: Way) {
        self.queue(way).lock().on_the_way -= 1;
        self.drain(way);
    }

    fn write(&self, groups: Vec<Group>) {
        let batch = Batch(joined(&groups));
        let this = self.clone();
        let reply = Reply::new(move |result: Option<WriteResult>| {
            answer(groups, written(result));
            this.finished(Way::Log);
        });
        let raft = self.inner.raft.clone();
        let mut sending = Box::pin(async move {
            if let Err(error) = raft.client_write_ff(batch, Some(reply)).await {
                tracing::debug!(%error, "commands were not taken: this member is stopping");
            }
        });
        // There is nearly always room in openraft's channel, and then nothing is left to wait for.
        if futures::FutureExt::now_or_never(&mut sending).is_none() {
            tokio::spawn(sending);
        }
    }

    fn forward(&self, groups: Vec<Group>) {
        let this = self.clone();
        tokio::spawn(async move {
            let result = this.call_leader(joined(&groups)).await;
            answer(groups, result);
            this.finished(Way::Leader);
        });
    }

    async fn call_leader(&self, batch: Bytes) -> Answer {
        let leader: Option<MemberId> = self.inner.status.borrow().leader;
        let peers = &self.inner.peers;
        let Some(leader) = leader.filter(|leader| *leader != peers.own()) else {
            return Err(Failure::NotLeader);
        };
        let timeout = self.inner.limits.timeout;
        let called = peers.call(leader, Lane::Forward, "/forward", batch, timeout);
        match called.await {
            Ok(bytes) => match decode::<ForwardAnswer>(&bytes) {
                Ok(Ok(outcomes)) => Ok(outcomes),
                Ok(Err(ForwardRefusal::NotLeader)) => Err(Failure::NotLeader),
                Ok(Err(refusal)) => Err(Failure::Refused(refusal)),
                Err(_) => Err(Failure::Unknown),
            },
            // Nothing was sent, or what was sent was refused as a whole.
            Err(
                CallError::NotConnected { .. } | CallError::NoAddress | CallError::Refused { .. },
            ) => Err(Failure::NotLeader),
            Err(CallError::Broken(_) | CallError::TimedOut) => Err(Failure::Unknown),
        }
    }
}

impl Queue {
    /// What goes into the next entry; nothing if enough is on the way.
    fn next_batch(&mut self) -> Option<Vec<Group>> {
        if self.on_the_way >= ON_THE_WAY_MAX {
            return None;
        }
        let mut groups: Vec<Group> = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        while let Some(group) = self.waiting.front() {
            let full = count + group.count > ENTRY_COMMANDS_MAX
                || bytes + group.encoded.len() > ENTRY_BYTES_MAX;
            if full && !groups.is_empty() {
                break;
            }
            count += group.count;
            bytes += group.encoded.len();
            groups.extend(self.waiting.pop_front());
        }
        if groups.is_empty() {
            return None;
        }
        self.commands -= count;
        self.bytes -= bytes;
        self.on_the_way += 1;
        Some(groups)
    }
}

/// Commands of several groups as postcard writes one list: how many, then one after the other.
fn joined(groups: &[Group]) -> Bytes {
    let count = groups.iter().map(|group| group.count).sum();
    let bytes: usize = groups.iter().map(|group| group.encoded.len()).sum();
    let mut joined = BytesMut::with_capacity(10 + bytes);
    put_count(&mut joined, count);
    for group in groups {
        joined.extend_from_slice(&group.encoded);
    }
    joined.freeze()
}

fn put_count(bytes: &mut BytesMut, count: usize) {
    let mut room = [0; 10];
    if let Ok(encoded) = postcard::to_slice(&count, &mut room) {
        bytes.extend_from_slice(encoded);
    }
}

/// A forwarded batch taken apart: how many commands, and they themselves. They are decoded to see
/// that they are some: what cannot be applied must never get into the log.
pub(crate) fn split_batch(batch: &Bytes) -> Option<(usize, Bytes)> {
    let commands: Vec<Command> = postcard::from_bytes(batch).ok()?;
    let mut head = BytesMut::new();
    put_count(&mut head, commands.len());
    Some((commands.len(), batch.slice(head.len()..)))
}

fn written(result: Option<WriteResult>) -> Answer {
    match result {
        Some(Ok(response)) => Ok(response
            .data
            .into_iter()
            .map(|outcome| Committed {
                outcome,
                raft_index: response.log_id.index,
                raft_term: response.log_id.leader_id.term,
            })
            .collect()),
        Some(Err(ClientWriteError::ForwardToLeader(_))) => Err(Failure::NotLeader),
        Some(Err(_)) | None => Err(Failure::Unknown),
    }
}

/// Hands each group its part.
fn answer(groups: Vec<Group>, result: Answer) {
    match result {
        Ok(outcomes) => {
            let mut outcomes = outcomes.into_iter();
            for group in groups {
                let part: Vec<Committed> = outcomes.by_ref().take(group.count).collect();
                let whole = part.len() == group.count;
                group
                    .reply
                    .send(if whole {
                        Ok(part)
                    } else {
                        Err(Failure::Unknown)
                    })
                    .ok();
            }
        }
        Err(failure) => {
            for group in groups {
                group.reply.send(Err(failure)).ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kv_model::Revision;

    use super::*;

    fn group(number: u64, commands: &[Command]) -> (Group, oneshot::Receiver<Answer>) {
        let mut encoded = Vec::new();
        for command in commands {
            encoded.extend(postcard::to_stdvec(command).unwrap_or_default());
        }
        let (reply, answer) = oneshot::channel();
        let group = Group {
            number,
            count: commands.len(),
            encoded: Bytes::from(encoded),
            reply,
        };
        (group, answer)
    }

    #[test]
    fn joined_groups_are_one_list_of_commands() {
        let commands: Vec<Command> = (0..300).map(|n| Command::Compact(Revision(n))).collect();
        let (first, _first) = group(1, &commands[..1]);
        let (second, _second) = group(2, &commands[1..]);
        let joined = joined(&[first, second]);
        assert_eq!(
            postcard::to_stdvec(&commands).ok().as_deref(),
            Some(&joined[..])
        );
        let (count, rest) = split_batch(&joined).unwrap_or_default();
        assert_eq!((count, rest.len()), (300, joined.len() - 2));
        assert_eq!(split_batch(&joined.slice(..5)), None);
    }

    #[test]
    fn a_batch_is_bounded_but_takes_one_large_group() {
        let mut queue = Queue::default();
        for (number, bytes) in [(1, ENTRY_BYTES_MAX + 1), (2, 10), (3, ENTRY_BYTES_MAX)] {
            let (reply, _) = oneshot::channel();
            queue.commands += 1;
            queue.bytes += bytes;
            queue.waiting.push_back(Group {
                number,
                count: 1,
                encoded: Bytes::from(vec![0; bytes]),
                reply,
            });
        }
        let mut numbers = Vec::new();
        while let Some(groups) = queue.next_batch() {
            numbers.push(groups.iter().map(|group| group.number).collect::<Vec<_>>());
        }
        assert_eq!(numbers, [vec![1], vec![2], vec![3]]);
        assert_eq!((queue.commands, queue.bytes, queue.on_the_way), (0, 0, 3));
    }
}
