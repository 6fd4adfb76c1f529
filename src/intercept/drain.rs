//! The end of a server, in good order.

use tokio::sync::watch;

/// Asks servers to stop: no new connections, what is in flight finishes. Clones ask together.
#[derive(Clone, Debug)]
pub struct Drain(watch::Sender<bool>);

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut off when the grace period was over.
    pub aborted: usize,
}

impl Drain {
    /// Not asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Asks, once and for all.
    pub fn start(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it is asked.
    pub async fn started(&self) {
        // The sender lives as long as `self`, so there is no error.
        let _ = self.0.subscribe().wait_for(|started| *started).await;
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}
