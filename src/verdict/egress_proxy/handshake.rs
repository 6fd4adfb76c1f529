//! The handshake of a WebSocket (RFC 6455 §4): what the agent asks with, and what an answer to it must say.

use crate::policy::{Reason, Refusal, Route};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header};

const VERSION: &[u8] = b"13";
/// What a server joins to the key (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What the agent asks with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// 16 bytes in Base64, which its answer proves to have read.
    pub key: HeaderValue,
}

impl Handshake {
    /// Takes it off the fields of a request. Extensions are not passed on, so that every message can be read.
    pub(super) fn take(headers: &mut HeaderMap, route: &Route) -> Result<Self, Refusal> {
        let one = |name: HeaderName| {
            let mut values = headers.get_all(&name).iter();
            let value = values.next().cloned();
            if values.next().is_some() { None } else { value }
        };
        let (key, version) = (one(header::SEC_WEBSOCKET_KEY), one(header::SEC_WEBSOCKET_VERSION));
        headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
        let key = key.filter(|key| is_key(key.as_bytes()));
        match (key, version) {
            (Some(key), Some(version)) if version.as_bytes() == VERSION => Ok(Self { key }),
            _ => {
                let message = "the handshake of this WebSocket is malformed: it needs one Sec-WebSocket-Key of 16 bytes in \
                               Base64 and Sec-WebSocket-Version: 13; retrying does not help";
                Err(Refusal::new(Reason::MalformedRequest, message).under(route))
            }
        }
    }

    /// Sets what a server needs, whatever class of fields passes.
    pub(super) fn set(&self, headers: &mut HeaderMap) {
        headers.insert(header::SEC_WEBSOCKET_KEY, self.key.clone());
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }

    /// What is wrong with the fields of an answer 101 to a request that left with `offered` subprotocols.
    pub fn check(&self, answer: &HeaderMap, offered: &[HeaderValue]) -> Result<(), &'static str> {
        let one = |name: HeaderName| {
            let mut values = answer.get_all(name).iter();
            (values.next(), values.next())
        };
        let is_websocket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
        if !matches!(one(header::UPGRADE), (Some(only), None) if is_websocket(only)) {
            return Err("its Upgrade is not `websocket`");
        }
        let expected = accept(self.key.as_bytes());
        if !matches!(one(header::SEC_WEBSOCKET_ACCEPT), (Some(only), None) if only.as_bytes() == expected.as_bytes())
        {
            return Err("its Sec-WebSocket-Accept does not answer the key");
        }
        if answer.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
            return Err("it agrees on an extension that was not offered");
        }
        let mut offers = offered
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii);
        match one(header::SEC_WEBSOCKET_PROTOCOL) {
            (None, _) => Ok(()),
            (Some(only), None) if offers.any(|offer| offer == only.as_bytes()) => Ok(()),
            _ => Err("it agrees on a subprotocol that was not offered"),
        }
    }
}

/// Whether a key is 16 bytes in Base64 (RFC 6455 §4.1).
fn is_key(key: &[u8]) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

/// What `Sec-WebSocket-Accept` must say to a key (RFC 6455 §4.2.2).
fn accept(key: &[u8]) -> String {
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
    STANDARD.encode(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Route;

    fn fields(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in list {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    const VERSION: (&str, &str) = ("sec-websocket-version", "13");
    const ACCEPT: (&str, &str) = ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    const UPGRADE: (&str, &str) = ("upgrade", "WebSocket");

    #[test]
    fn a_handshake_is_whole_and_offers_no_extension() {
        let route = Route::open(crate::policy::Host::parse("a.test").unwrap(), "");
        let take = |list: &[(&'static str, &'static str)]| Handshake::take(&mut fields(list), &route).is_ok();
        assert!(take(&[KEY, VERSION]));
        for bad in [
            &[KEY][..],
            &[VERSION],
            &[KEY, KEY, VERSION],
            &[KEY, VERSION, VERSION],
            &[KEY, ("sec-websocket-version", "8")],
            &[("sec-websocket-key", "short"), VERSION],
        ] {
            assert!(!take(bad), "{bad:?}");
        }
        let mut headers = fields(&[KEY, VERSION, ("sec-websocket-extensions", "permessage-deflate")]);
        Handshake::take(&mut headers, &route).unwrap();
        assert!(!headers.contains_key("sec-websocket-extensions"));
    }

    #[test]
    fn an_answer_that_was_not_asked_for_is_refused() {
        let handshake = Handshake { key: HeaderValue::from_static(KEY.1) };
        let offered = [HeaderValue::from_static("graphql-transport-ws, other")];
        let check = |list: &[(&'static str, &'static str)]| handshake.check(&fields(list), &offered);
        assert_eq!(check(&[UPGRADE, ACCEPT]), Ok(()));
        assert_eq!(check(&[UPGRADE, ACCEPT, ("sec-websocket-protocol", "other")]), Ok(()));
        for (bad, why) in [
            (&[ACCEPT][..], "its Upgrade is not"),
            (&[("upgrade", "h2c"), ACCEPT], "its Upgrade is not"),
            (&[UPGRADE, UPGRADE, ACCEPT], "its Upgrade is not"),
            (&[UPGRADE], "does not answer the key"),
            (&[UPGRADE, ("sec-websocket-accept", "AAAA")], "does not answer the key"),
            (&[UPGRADE, ACCEPT, ACCEPT], "does not answer the key"),
            (&[UPGRADE, ACCEPT, ("sec-websocket-extensions", "permessage-deflate")], "an extension"),
            (&[UPGRADE, ACCEPT, ("sec-websocket-protocol", "third")], "a subprotocol"),
            (&[UPGRADE, ACCEPT, ("sec-websocket-protocol", "other, graphql-transport-ws")], "a subprotocol"),
        ] {
            assert!(check(bad).unwrap_err().contains(why), "{bad:?}");
        }
    }
}
