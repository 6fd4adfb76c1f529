//! What a pool of connections keeps, and what it counts.

use std::time::Duration;

/// What a pool keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Connections at the same time, for all keys together. Where there are as many, the one that has been idle for longest
    /// is closed before another is made. Those in use are never closed, so that there may be more of them.
    pub connections: usize,
    /// HTTP/1 connections that are kept idle for one key.
    pub idle_per_key: usize,
    /// How long a connection is kept without a request.
    pub idle: Duration,
    /// Requests at the same time on one HTTP/2 connection, before another is made.
    pub streams_per_connection: usize,
}

/// Half of what an engine takes from its clients by default (`limits.connections`): those that were closed to make room are
/// open there for a moment more.
const CONNECTIONS: usize = 512;

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS,
            idle_per_key: 32,
            idle: Duration::from_secs(90),
            streams_per_connection: 100,
        }
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
    /// Idle connections that were closed to make room.
    pub evicted: u64,
    /// Connections that are open now, in use or idle, or being made.
    pub open: usize,
    /// Keys that anything is known of.
    pub keys: usize,
    /// HTTP/1 connections that are idle now.
    pub idle: usize,
    /// HTTP/2 connections that are open now.
    pub shared: usize,
}
