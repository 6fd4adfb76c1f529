//! Upgrades (RFC 9110 §7.8) are refused, not ignored: a client that wants a WebSocket has no use for another answer.

use super::refusal::{Reason, Refusal};
use super::route::Route;

/// Refuses a request on `route` whose `Upgrade` fields have these values. `h2c` alone is ignored, since a client
/// that offers it goes on in HTTP/1.1.
pub fn refuse_upgrade<'v>(values: impl IntoIterator<Item = &'v [u8]>, route: &Route) -> Result<(), Refusal> {
    if values.into_iter().all(|value| value.trim_ascii().eq_ignore_ascii_case(b"h2c")) {
        return Ok(());
    }
    let message = format!(
        "an upgrade (WebSocket) to {} is not supported; use plain requests there; retrying does not help",
        route.host
    );
    Err(Refusal::new(Reason::UpgradeNotSupported, message).under(route))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::route;

    #[test]
    fn only_h2c_is_ignored() {
        let route = route("open.test");
        let refused = |values: &[&'static [u8]]| refuse_upgrade(values.iter().copied(), &route).is_err();
        assert!(!refused(&[]));
        assert!(!refused(&[b" H2C "]));
        assert!(refused(&[b"websocket"]));
        assert!(refused(&[b"h2c", b"websocket"]));
        assert!(refused(&[b"h2c, websocket"]));
    }
}
