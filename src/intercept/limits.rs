//! Every bound of the client's side, with its default.

use std::time::Duration;

/// Bounds on what clients may hold or take. None of the times ends an exchange that waits less than
/// [`Limits::stall`] for a silent upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time, tunnels included.
    pub connections: usize,
    /// Requests on one connection before it is closed in good order.
    pub requests_per_connection: u64,
    /// Bytes of one request head, request line to empty line.
    pub head_bytes: usize,
    /// Field lines of one request head, and of one trailer section.
    pub head_fields: usize,
    /// TLS handshakes at the same time; more wait for their turn within [`Limits::handshake`].
    pub handshakes: usize,
    /// Streams at the same time on one HTTP/2 connection.
    pub streams: u32,
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

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            requests_per_connection: 100_000,
            head_bytes: 64 * 1024,
            head_fields: 128,
            handshakes: 256,
            streams: 256,
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
