//! What bounds a runtime, each with the default that render writes.

use serde::{Deserialize, Serialize};

/// Bounds of one proxy. Times are whole seconds; a count or size of 0 is refused but where it is said.
///
/// The defaults keep one promise to agents: nothing ends a request before an upstream was silent for 600 s,
/// because that is how long coding agents wait for an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Connections from clients at one time.
    pub connections: u32,
    /// Requests on one connection before it is closed in good order.
    pub requests_per_connection: u32,
    /// Bytes of one request head: request line and fields.
    pub header_bytes: u32,
    /// Fields in one request head.
    pub header_fields: u32,
    /// Bytes of one request body; 0 for no bound.
    pub body_bytes: u64,
    /// From the first byte of a request head to its last.
    pub header_seconds: u32,
    /// Silence of both sides of an exchange before it ends.
    pub idle_seconds: u32,
    /// One exchange from its head to its end; 0 for no bound.
    pub total_seconds: u32,
    /// A connection to the next hop, its CONNECT and its TLS handshake included.
    pub connect_seconds: u32,
    /// A client's TLS handshake, from its CONNECT on.
    pub handshake_seconds: u32,
    /// TLS handshakes with clients at one time.
    pub handshakes_in_flight: u32,
    /// Leaf certificates that are kept; any host may be asked for, so this bounds memory.
    pub leaf_cache: u32,
    /// From SIGTERM until exchanges in flight are cut.
    pub drain_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            requests_per_connection: 10_000,
            header_bytes: 65_536,
            header_fields: 128,
            body_bytes: 0,
            header_seconds: 30,
            idle_seconds: 900,
            total_seconds: 86_400,
            connect_seconds: 30,
            handshake_seconds: 15,
            handshakes_in_flight: 64,
            leaf_cache: 1024,
            drain_seconds: 10,
        }
    }
}

impl Limits {
    /// The first key whose value can't be meant: a 0 that would refuse everything.
    #[must_use]
    pub fn zero(&self) -> Option<&'static str> {
        [
            ("connections", self.connections),
            ("requests_per_connection", self.requests_per_connection),
            ("header_bytes", self.header_bytes),
            ("header_fields", self.header_fields),
            ("header_seconds", self.header_seconds),
            ("idle_seconds", self.idle_seconds),
            ("connect_seconds", self.connect_seconds),
            ("handshake_seconds", self.handshake_seconds),
            ("handshakes_in_flight", self.handshakes_in_flight),
            ("leaf_cache", self.leaf_cache),
        ]
        .into_iter()
        .find_map(|(key, value)| (value == 0).then_some(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Coding agents wait 600 s for an answer; a proxy must not give up earlier.
    #[test]
    fn no_default_ends_an_exchange_before_600_seconds_of_silence() {
        let limits = Limits::default();
        assert!(limits.idle_seconds > 600 && limits.total_seconds > 600, "{limits:?}");
        assert_eq!(limits.zero(), None);
    }
}
