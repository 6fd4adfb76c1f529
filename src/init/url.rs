//! The parts of a URL that count here. A text that is read otherwise by some tool gives no [`Host`].

use crate::policy::{Authority, Host, HostError};

/// Longer texts are no URL of a person's.
const MOST: usize = 4096;

/// How what stands there is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Https,
    Http,
    Ssh,
    Other,
}

/// A URL, in parts.
#[derive(Debug)]
pub(super) struct Url<'a> {
    pub(super) scheme: Scheme,
    /// What stands before the `@`.
    pub(super) user: Option<&'a str>,
    /// What stands for the host and port.
    pub(super) authority: &'a str,
    /// With the leading slash, without query and fragment.
    pub(super) path: &'a str,
}

impl<'a> Url<'a> {
    /// Reads `SCHEME://[USER@]HOST[:PORT][/PATH]`; a leading `git+` and the like say what is fetched with.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MOST {
            return None;
        }
        let (scheme, rest) = text.trim().split_once("://")?;
        let scheme = scheme.rsplit('+').next().unwrap_or(scheme).to_ascii_lowercase();
        let scheme = match scheme.as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            "ssh" => Scheme::Ssh,
            name if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric()) => Scheme::Other,
            _ => return None,
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, authority),
        };
        Some(Self { scheme, user, authority, path })
    }

    /// The host, and the port if it is another than the scheme's own.
    pub(super) fn host(&self) -> Result<(Host, Option<u16>), HostError> {
        let own = match self.scheme {
            Scheme::Http => 80,
            Scheme::Ssh => 22,
            _ => 443,
        };
        let Authority { host, port } = Authority::parse(self.authority, Some(own))?;
        Ok((host, Some(port).filter(|port| *port != own)))
    }

    /// Whether a user and a password, or a token, stand in it.
    pub(super) fn has_credential(&self) -> bool {
        self.user.is_some_and(|user| user != "git" && !user.is_empty())
    }
}

/// `[USER@]HOST:PATH`, as git takes it for ssh.
pub(super) fn scp(text: &str) -> Option<(Option<&str>, &str, &str)> {
    if text.len() > MOST || text.contains("://") {
        return None;
    }
    let (place, path) = text.trim().split_once(':')?;
    if place.is_empty() || place.contains('/') || path.starts_with(':') {
        return None;
    }
    Some(match place.rsplit_once('@') {
        Some((user, host)) => (Some(user), host, path),
        None => (None, place, path),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Option<(String, Option<u16>)> {
        let (host, port) = Url::parse(text)?.host().ok()?;
        Some((host.as_str().to_owned(), port))
    }

    #[test]
    fn the_host_is_what_tools_connect_to() {
        assert_eq!(host("https://A.Test/x"), Some(("a.test".into(), None)));
        assert_eq!(host("https://a.test:443/x"), Some(("a.test".into(), None)));
        assert_eq!(host("https://a.test:8443"), Some(("a.test".into(), Some(8443))));
        assert_eq!(host("https://u:p@a.test/x@b.test"), Some(("a.test".into(), None)));
        assert_eq!(host("https://a.test#@b.test/"), Some(("a.test".into(), None)));
        assert_eq!(host("git+ssh://git@a.test/x"), Some(("a.test".into(), None)));
        for none in
            ["a.test/x", "https://10.0.0.1/", "https://[::1]/", "https://a.test\n/", "https://a.test\\b/"]
        {
            assert_eq!(host(none), None, "{none}");
        }
        assert!(Url::parse("https://u:p@a.test/").is_some_and(|url| url.has_credential()));
        assert!(Url::parse("ssh://git@a.test/").is_some_and(|url| !url.has_credential()));
        assert!(Url::parse(&format!("https://a.test/{}", "x".repeat(5000))).is_none());
    }

    #[test]
    fn gits_short_form_has_a_host_and_a_path() {
        assert_eq!(scp("git@a.test:acme/app.git"), Some((Some("git"), "a.test", "acme/app.git")));
        assert_eq!(scp("a.test:x"), Some((None, "a.test", "x")));
        assert_eq!(scp("/srv/x:y"), None);
        assert_eq!(scp("https://a.test/x"), None);
    }
}
