//! Every bound of the client's side, with its default, and as a config says it.

use crate::config;
use std::time::Duration;

/// What stands for no bound at all.
const UNBOUNDED: Duration = Duration::from_hours(10 * 365 * 24);

/// Bounds on what clients may hold or take. None of the times ends an exchange that waits less than
/// [`ServerLimits::stall`] for a silent upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections at the same time, tunnels included.
    pub connections: usize,
    /// Requests on one connection before it is closed in good order.
    pub requests_per_connection: u64,
    /// Bytes of one request head, request line to empty line.
    pub head_bytes: usize,
    /// Field lines of one request head, and of one trailer section.
    pub head_fields: usize,
    /// TLS handshakes at the same time; more wait for their turn within [`ServerLimits::handshake`].
    pub handshakes: usize,
    /// Leaf certificates that are kept; any name may be asked for.
    pub leaves: u64,
    /// Streams at the same time on one HTTP/2 connection.
    pub streams: u32,
    /// Requests in flight at the same time over HTTP/2, on all connections together. Each may hold its head, a window of
    /// its body and as much of its answer.
    pub exchanges: usize,
    /// Bytes of a request body that one HTTP/2 stream may send ahead of what is read of it.
    pub stream_window: u32,
    /// From the first byte of a request head to its last.
    pub head: Duration,
    /// From the answer to CONNECT to the end of the TLS handshake.
    pub handshake: Duration,
    /// A connection without a request in flight.
    pub idle: Duration,
    /// A connection with a request in flight, or a spliced tunnel, on which no byte moves either way.
    pub stall: Duration,
    /// One exchange from its head to the last byte of the answer; a spliced tunnel from beginning to end.
    pub total: Duration,
    /// What is in flight when draining begins may take this long to finish.
    pub grace: Duration,
}

/// The window of an HTTP/2 connection that has room for all of its streams, so that those that stall hold up no
/// others. RFC 9113 §6.9.1 allows up to 2^31-1 bytes.
pub(super) fn connection_window(streams: u32, stream_window: u32) -> u32 {
    streams.saturating_mul(stream_window).min((1 << 31) - 1)
}

impl From<&config::Limits> for ServerLimits {
    /// No key of the config may be left out here.
    fn from(limits: &config::Limits) -> Self {
        let config::Limits {
            connections,
            requests_per_connection,
            header_bytes,
            header_fields,
            body_bytes: _,      // the handler's: it knows what the answer says
            connect_seconds: _, // the connector's
            header_seconds,
            idle_seconds,
            total_seconds,
            handshake_seconds,
            handshakes_in_flight,
            leaf_cache,
            drain_seconds,
        } = *limits;
        let seconds = |n: u32| Duration::from_secs(n.into());
        let count = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        let default = Self::default();
        Self {
            connections: count(connections),
            requests_per_connection: requests_per_connection.into(),
            head_bytes: count(header_bytes),
            head_fields: count(header_fields),
            handshakes: count(handshakes_in_flight),
            leaves: leaf_cache.into(),
            head: seconds(header_seconds),
            handshake: seconds(handshake_seconds),
            idle: default.idle.min(seconds(idle_seconds)),
            stall: seconds(idle_seconds),
            total: if total_seconds == 0 { UNBOUNDED } else { seconds(total_seconds) },
            grace: seconds(drain_seconds),
            ..default
        }
    }
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            requests_per_connection: 100_000,
            head_bytes: 64 * 1024,
            head_fields: 128,
            handshakes: 256,
            leaves: 4096,
            streams: 256,
            exchanges: 4096,
            stream_window: 64 * 1024,
            head: Duration::from_secs(30),
            handshake: Duration::from_secs(15),
            idle: Duration::from_mins(5),
            stall: Duration::from_hours(1),
            total: Duration::from_hours(24),
            grace: Duration::from_secs(8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_a_config_bounds_something() {
        let limits = config::Limits {
            connections: 1,
            requests_per_connection: 2,
            header_bytes: 3,
            header_fields: 4,
            header_seconds: 5,
            idle_seconds: 6,
            total_seconds: 7,
            handshake_seconds: 8,
            handshakes_in_flight: 9,
            leaf_cache: 10,
            drain_seconds: 11,
            ..config::Limits::default()
        };
        let bounds = ServerLimits {
            connections: 1,
            requests_per_connection: 2,
            head_bytes: 3,
            head_fields: 4,
            head: Duration::from_secs(5),
            idle: Duration::from_secs(6),
            stall: Duration::from_secs(6),
            total: Duration::from_secs(7),
            handshake: Duration::from_secs(8),
            handshakes: 9,
            leaves: 10,
            grace: Duration::from_secs(11),
            ..ServerLimits::default()
        };
        assert_eq!(ServerLimits::from(&limits), bounds);
        let patient = ServerLimits::from(&config::Limits { idle_seconds: 900, total_seconds: 0, ..limits });
        assert_eq!((patient.idle, patient.stall), (Duration::from_mins(5), Duration::from_mins(15)));
        assert_eq!(patient.total, UNBOUNDED);
    }
}
