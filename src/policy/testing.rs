//! Rules for tests.

use super::{Host, PathPattern, Route};

/// A rule that allows everything on a host, on port 443.
pub(crate) fn route(host: &str) -> Route {
    let host = Host::parse(host).unwrap();
    Route {
        id: host.to_string(),
        source: format!("routes[{host}]"),
        host,
        ports: vec![443],
        methods: None,
        paths: None,
        credential: None,
        encoded_slash: false,
        until: None,
        reason: None,
    }
}

/// The same with a `path_allowlist`.
pub(crate) fn route_with_paths(host: &str, paths: &[&str]) -> Route {
    let paths = paths.iter().map(|path| PathPattern::parse(path, false).unwrap()).collect();
    Route { paths: Some(paths), ..route(host) }
}
