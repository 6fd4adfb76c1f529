//! Rules for tests.

use super::{Auth, HostPattern, HostRule, PathPattern, Route};

/// Allows everything on a host, on port 443.
pub(crate) fn route(host: &str) -> Route {
    let host = HostPattern::parse(host).unwrap();
    let source = format!("routes[{host}]");
    Route::open(host, source)
}

/// The same with a `path_allowlist`.
pub(crate) fn route_with_paths(host: &str, paths: &[&str]) -> Route {
    let paths = paths.iter().map(|path| PathPattern::parse(path, false).unwrap()).collect();
    Route { path_allowlist: Some(paths), ..route(host) }
}

/// A rule that sends the credential `TOKEN`.
pub(crate) fn with_credential(route: Route) -> HostRule {
    let auth = Auth {
        header: "authorization".into(),
        prefix: "Bearer ".into(),
        username: None,
        token_ref: "TOKEN".into(),
    };
    HostRule { auth: Some(auth), ..route.into() }
}
