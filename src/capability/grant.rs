//! One kind of request: methods, origin, path. What covers what.

use super::Host;
use crate::config::routes::AnyOr;

/// The requests of a host on one port and below one path.
pub(super) struct Grant<'a> {
    pub(super) port: u16,
    /// Nothing for every path.
    pub(super) path: Option<&'a str>,
    /// Nothing for every method.
    pub(super) methods: Option<Vec<&'a str>>,
}

impl Host {
    /// Every grant: a product, since a rule's ports, paths and methods hold independently.
    pub(super) fn grants(&self) -> impl Iterator<Item = Grant<'_>> {
        let paths: Vec<Option<&str>> = match &self.paths {
            AnyOr::Any => vec![None],
            AnyOr::Only(list) => list.iter().map(|path| Some(path.as_str())).collect(),
        };
        let methods = match &self.methods {
            AnyOr::Any => None,
            AnyOr::Only(list) => Some(list.iter().map(String::as_str).collect::<Vec<_>>()),
        };
        self.ports.iter().flat_map(move |port| {
            let methods = methods.clone();
            paths.clone().into_iter().map(move |path| Grant { port: *port, path, methods: methods.clone() })
        })
    }

    /// What of `grant` this host does not already allow.
    pub(super) fn beyond<'a>(&self, grant: Grant<'a>) -> Option<Grant<'a>> {
        let place_allowed = self.ports.contains(&grant.port) && self.covers_path(grant.path);
        if !place_allowed {
            return Some(grant);
        }
        match (&self.methods, grant.methods) {
            (AnyOr::Any, _) => None,
            (AnyOr::Only(_), None) => Some(Grant { methods: None, ..grant }),
            (AnyOr::Only(old), Some(new)) => {
                let more: Vec<&str> = new.into_iter().filter(|name| !old.iter().any(|o| o == name)).collect();
                (!more.is_empty()).then_some(Grant {
                    port: grant.port,
                    path: grant.path,
                    methods: Some(more),
                })
            }
        }
    }

    fn covers_path(&self, path: Option<&str>) -> bool {
        match (&self.paths, path) {
            (AnyOr::Any, _) => true,
            (AnyOr::Only(_), None) => false,
            (AnyOr::Only(old), Some(new)) => old.iter().any(|old| covers(old, new)),
        }
    }
}

/// Whether every path that `new` matches is matched by `old`: whole segments, `*` for any one of them.
fn covers(old: &str, new: &str) -> bool {
    let segments = |path: &str| -> Vec<String> {
        path.trim_matches('/').split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let (old, new) = (segments(old), segments(new));
    old.len() <= new.len() && old.iter().zip(&new).all(|(old, new)| old == "*" || old == new)
}

impl Grant<'_> {
    /// `GET, HEAD https://api.example/repos/**`.
    pub(super) fn describe(&self, host: &str) -> String {
        let methods = self.methods.as_ref().map_or_else(|| "any method".to_owned(), |list| list.join(", "));
        let origin = match self.port {
            443 => format!("https://{host}"),
            80 => format!("http://{host}"),
            port => format!("https://{host}:{port}"),
        };
        let path = self.path.unwrap_or_default().trim_end_matches('/');
        format!("{methods} {origin}{path}/**")
    }
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_path_covers_itself_and_what_lies_below_on_whole_segments() {
        for (old, new, expected) in [
            ("/repos/acme", "/repos/acme", true),
            ("/repos/acme", "/repos/acme/app", true),
            ("/repos/acme", "/repos/acme-evil", false),
            ("/repos/acme/app", "/repos/acme", false),
            ("/repos/*/app", "/repos/acme/app", true),
            ("/repos/acme/app", "/repos/*/app", false),
            ("/repos/*", "/repos/*", true),
            ("/", "/anything", true),
        ] {
            assert_eq!(covers(old, new), expected, "{old} {new}");
        }
    }
}
