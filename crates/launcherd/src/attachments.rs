//! Clients that are attached to a container that does not run yet, and wait for whoever starts it.
//!
//! `docker run` attaches first and starts then: whoever starts holds the payload until all who wait are attached.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Said by a client that waited, once it is attached. It gives up when nobody listens to that any more.
pub(crate) type Attached = oneshot::Sender<()>;
/// Tells a client that waits that a start begins.
pub(crate) type Waiting = oneshot::Sender<Attached>;

/// By the container's id.
#[derive(Debug, Default)]
pub(crate) struct Attachments(Mutex<HashMap<String, Vec<Waiting>>>);

impl Attachments {
    /// Waits for the next start. Nothing comes of it if the container goes before.
    pub(crate) fn wait(&self, id: &str) -> oneshot::Receiver<Attached> {
        let (sender, receiver) = oneshot::channel();
        let mut all = self.0.lock();
        let waiting = all.entry(id.to_owned()).or_default();
        // Those that went away meanwhile are forgotten.
        waiting.retain(|one| !one.is_closed());
        waiting.push(sender);
        receiver
    }

    /// Those who wait, which whoever takes them tells.
    pub(crate) fn take(&self, id: &str) -> Vec<Waiting> {
        let mut waiting = self.0.lock().remove(id).unwrap_or_default();
        waiting.retain(|one| !one.is_closed());
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_is_told_once() {
        let attachments = Attachments::default();
        drop(attachments.wait("a"));
        let waiting = attachments.wait("a");
        let mut taken = attachments.take("a");
        assert_eq!((taken.len(), attachments.take("a").len()), (1, 0));
        let (attached, told) = oneshot::channel();
        taken.remove(0).send(attached).unwrap();
        waiting.await.unwrap().send(()).unwrap();
        assert_eq!(told.await, Ok(()));
        let waiting = attachments.wait("b");
        drop(attachments.take("b"));
        assert!(waiting.await.is_err());
    }
}
