//! What is found, as it is found: hosts with where they were read, and what a person should know.

use super::toolchain::Toolchains;
use super::url::{Scheme, Url, scp};
use super::words::comment;
use crate::masking::masked;
use crate::policy::{Host, PathPattern};
use std::collections::BTreeSet;

/// Hosts and paths that are kept; a project that needs more says so by hand.
const MOST: usize = 500;

/// Notes that are kept.
const NOTES: usize = 40;

/// What is done at a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Files are fetched from it.
    Fetch,
    /// A repository is cloned from it.
    Clone,
}

/// A host, what for, and where that was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reached {
    /// The host.
    pub host: Host,
    /// Another port than 443.
    pub port: Option<u16>,
    /// What is done there.
    pub need: Need,
    /// Of a repository its path; of a file the first two segments of its own.
    pub path: Option<String>,
    /// For a comment.
    pub source: String,
}

/// An image that a project works in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// By its name.
    pub image: String,
    /// Where it was read.
    pub source: String,
}

/// All that was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Hosts on the Internet, as far as their names say.
    pub hosts: BTreeSet<Reached>,
    /// Hosts whose names are private: they need their address range.
    pub private: BTreeSet<Reached>,
    /// What a person should know: a sentence each.
    pub notes: Vec<String>,
    /// Where packages come from, in words, where that could not be read.
    pub missing: Vec<String>,
    /// Languages.
    pub toolchains: Toolchains,
    /// The image of the project's own Dockerfile or devcontainer.
    pub base: Option<Base>,
    /// Name and address of the person, for commits.
    pub identity: (Option<String>, Option<String>),
    /// Variables of the agent: name, value, where it was read.
    pub environment: Vec<(&'static str, String, String)>,
}

impl Findings {
    /// Adds a sentence, once.
    pub(super) fn note(&mut self, text: String) {
        let note = if text.contains('\n') { text.replace('\n', " ") } else { text };
        if self.notes.len() < NOTES && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Adds what could not be read, once.
    pub(super) fn missing(&mut self, text: &str) {
        if !self.missing.iter().any(|it| it == text) {
            self.missing.push(text.to_owned());
        }
    }

    /// A place that files are fetched from. Whether it names a host: one that is not written counts, too.
    pub(super) fn fetched(&mut self, text: &str, source: &str) -> bool {
        let Some(url) = Url::parse(text) else { return false };
        match url.scheme {
            _ if text.starts_with("git+") => return self.cloned(text, source),
            Scheme::Ssh => return self.cloned(text, source),
            Scheme::Other => return false,
            Scheme::Http => {
                self.unwritten(
                    url.authority,
                    source,
                    "is plain http; use https, or add `ports: [80]` by hand",
                );
                return true;
            }
            Scheme::Https => {}
        }
        let segments: Vec<&str> = url.path.split('/').filter(|it| !it.is_empty()).take(2).collect();
        self.add(&url, Need::Fetch, &format!("/{}", segments.join("/")), source)
    }

    /// A repository that git clones, in any of git's spellings.
    pub(super) fn cloned(&mut self, text: &str, source: &str) -> bool {
        if let Some((user, host, path)) = scp(text) {
            if user.is_some_and(|user| user != "git") {
                self.unwritten(
                    host,
                    source,
                    "is reached as another user than `git`, which is not rewritten to https",
                );
                return true;
            }
            let path = path.split(['?', '#']).next().unwrap_or_default();
            let path = format!("/{}", path.trim_start_matches('/'));
            let url = Url { scheme: Scheme::Https, user: None, authority: host, path: &path };
            return self.add(&url, Need::Clone, &path, source);
        }
        let Some(url) = Url::parse(text) else { return false };
        match url.scheme {
            Scheme::Https => self.add(&url, Need::Clone, url.path, source),
            Scheme::Ssh => {
                let is_rewritten = url.user == Some("git") && !url.authority.contains(':');
                if !is_rewritten {
                    let why = "is ssh with another user than `git` or a port, which is not rewritten to https; \
                               give the remote an https URL";
                    self.unwritten(url.authority, source, why);
                    return true;
                }
                let url = Url { scheme: Scheme::Https, ..url };
                self.add(&url, Need::Clone, url.path, source)
            }
            Scheme::Http => {
                self.unwritten(url.authority, source, "is plain http; give it an https URL");
                true
            }
            Scheme::Other => {
                self.unwritten(url.authority, source, "is reached by a protocol other than https and ssh");
                true
            }
        }
    }

    fn unwritten(&mut self, what: &str, source: &str, why: &str) {
        self.note(format!("{}: `{}` {why}; it is not written", comment(source), comment(what)));
    }

    fn add(&mut self, url: &Url<'_>, need: Need, path: &str, source: &str) -> bool {
        if url.has_credential() {
            self.note(format!(
                "{}: a URL holds a credential, which is not copied; name it as the `token_ref` of that host's `auth`",
                comment(source)
            ));
        }
        let (host, port) = match url.host() {
            Ok(found) => found,
            Err(error) => {
                if url.authority.contains('$') {
                    self.unwritten(url.authority, source, "names its host by a variable");
                } else if !url.authority.is_empty() {
                    self.unwritten(
                        url.authority,
                        source,
                        &format!("is not a host that a rule can name: {error}"),
                    );
                }
                return true;
            }
        };
        if host.is_loopback() || host.is_internal() {
            self.unwritten(host.as_str(), source, "is the machine that asks for it");
            return true;
        }
        let path = self.pattern(path, &need, source);
        if need == Need::Clone && path.is_none() {
            return true;
        }
        let hosts = if is_private(&host) { &mut self.private } else { &mut self.hosts };
        if hosts.len() >= MOST {
            self.note(format!("more than {MOST} hosts and paths are named; the rest is not written"));
            return true;
        }
        hosts.insert(Reached { host, port, need, path, source: comment(source) });
        true
    }

    /// A path as a rule has it, or nothing.
    fn pattern(&mut self, path: &str, need: &Need, source: &str) -> Option<String> {
        let path = path.trim_end_matches('/');
        let is_api = path.split('/').nth(1).is_some_and(|first| first.eq_ignore_ascii_case("api"));
        let fits = PathPattern::parse(path, false).is_ok() && !path.contains('*') && masked(path) == path;
        if path.len() > 1 && path.len() <= 200 && fits && !(is_api && *need == Need::Clone) {
            return Some(path.to_owned());
        }
        if *need == Need::Clone {
            self.note(format!(
                "{}: `{}` is no path of a repository; it is not written",
                comment(source),
                comment(path)
            ));
        }
        None
    }
}

/// Whether only some network knows the name: a single label, and the names that are set apart for that (RFC 6762,
/// RFC 8375, and ICANN's `internal`), with what is common beside them.
fn is_private(host: &Host) -> bool {
    const ENDS: [&str; 8] =
        [".local", ".internal", ".home.arpa", ".lan", ".intranet", ".corp", ".home", ".localdomain"];
    !host.as_str().contains('.') || ENDS.iter().any(|end| host.as_str().ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(read: impl FnOnce(&mut Findings) -> bool) -> Findings {
        let mut findings = Findings::default();
        assert!(read(&mut findings));
        findings
    }

    fn paths(findings: &Findings) -> Vec<String> {
        let one =
            |it: &Reached| format!("{:?} {}{}", it.need, it.host, it.path.as_deref().unwrap_or_default());
        findings.hosts.iter().map(one).collect()
    }

    #[test]
    fn each_spelling_of_a_repository_is_the_same_place() {
        for text in [
            "git@forge.test:acme/app.git",
            "ssh://git@forge.test/acme/app.git",
            "https://forge.test/acme/app.git",
            "git+ssh://git@forge.test/acme/app.git#0123",
            "git+https://forge.test/acme/app.git?branch=x#0123",
        ] {
            assert_eq!(paths(&found(|it| it.cloned(text, "x"))), ["Clone forge.test/acme/app.git"], "{text}");
        }
        let both = found(|it| it.fetched("git+https://forge.test/a/b.git#1", "x"));
        assert_eq!(paths(&both), ["Clone forge.test/a/b.git"]);
    }

    #[test]
    fn what_no_rule_should_name_is_said_and_not_written() {
        for (text, said) in [
            ("https://127.0.0.1/x", "is an IP address"),
            ("https://2130706433/x", "is an IP address"),
            ("https://[::1]/x", "IP address"),
            ("https://localhost:4873/x", "the machine that asks"),
            ("https://bottle.internal/x", "the machine that asks"),
            ("http://files.test/x", "plain http"),
            ("https://${HOST}/x", "by a variable"),
        ] {
            let findings = found(|it| it.fetched(text, "x"));
            assert!(findings.hosts.is_empty() && findings.private.is_empty(), "{text}");
            assert!(findings.notes[0].contains(said), "{text}: {:?}", findings.notes);
        }
        for (text, said) in [
            ("alice@forge.test:x", "another user"),
            ("ssh://git@forge.test:2222/x", "a port"),
            ("git://forge.test/x", "protocol"),
            ("https://forge.test/", "no path of a repository"),
            ("https://forge.test/api/v4/projects", "no path of a repository"),
            ("https://forge.test/a/../b", "no path of a repository"),
            ("https://forge.test/*/b", "no path of a repository"),
        ] {
            let findings = found(|it| it.cloned(text, "x"));
            assert!(findings.hosts.is_empty(), "{text}");
            assert!(findings.notes[0].contains(said), "{text}: {:?}", findings.notes);
        }
    }

    #[test]
    fn a_credential_in_a_url_is_not_repeated() {
        let findings = found(|it| it.fetched("https://me:s3cr3t@files.test/x", "requirements.txt"));
        assert!(!format!("{findings:?}").contains("s3cr3t"));
        assert!(findings.notes[0].contains("holds a credential"));
    }

    #[test]
    fn private_names_are_set_apart_and_everything_is_bounded() {
        let findings =
            found(|it| it.fetched("https://nexus.corp/x", "x") && it.fetched("https://nexus/x", "x"));
        assert_eq!((findings.hosts.len(), findings.private.len()), (0, 2));
        let mut findings = Findings::default();
        for at in 0..2000 {
            findings.fetched(&format!("https://h{at}.test/"), "x");
            findings.fetched(&format!("http://h{at}.test/"), "x");
        }
        assert_eq!((findings.hosts.len(), findings.notes.len()), (MOST, NOTES));
    }
}
