//! What a pool of connections keeps, and what it counts.

use std::time::Duration;

/// What a pool keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// HTTP/1 connections that are kept idle for one key.
    pub idle_per_key: usize,
    /// How long a connection is kept without a request.
    pub idle: Duration,
    /// Requests at the same time on one HTTP/2 connection, before another is made.
    pub streams_per_connection: usize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { idle_per_key: 32, idle: Duration::from_secs(90), streams_per_connection: 100 }
    }
}

/// What a pool did and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Connections that were made.
    pub opened: u64,
    /// Requests that were sent on a connection that had been used before.
    pub reused: u64,
    /// Requests that were sent a second time, since nothing of the first had been processed.
    pub retried: u64,
    /// HTTP/1 connections that are idle now.
    pub idle: usize,
    /// HTTP/2 connections that are open now.
    pub shared: usize,
}
