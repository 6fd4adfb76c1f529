//! The two requests that a push by the smart protocol is, each in its one form.

use super::{
    git::GitOperation,
    intent::{Intent, Scheme},
};

/// One of the two requests of a push by the smart protocol (gitprotocol-http(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmartPush {
    /// `GET …/info/refs?service=git-receive-pack`: which refs are there.
    Advertisement,
    /// `POST …/git-receive-pack`: commands, and a pack.
    Pack,
}

impl Intent {
    /// Which of the two requests of a push by the smart protocol it is; nothing for every other push.
    #[must_use]
    pub fn smart_push(&self) -> Option<SmartPush> {
        if self.git == GitOperation::Push { SmartPush::of(self) } else { None }
    }
}

impl SmartPush {
    /// What a request is, by the target that is decided on and sent: exactly one of the two, or neither. The plain
    /// characters of a path have no second reading.
    fn of(intent: &Intent) -> Option<Self> {
        let Intent { scheme, authority: _, method, target, git: _ } = intent;
        let (repository, kind) = match (method.as_str(), target.query.as_deref()) {
            ("GET", Some("service=git-receive-pack")) => {
                (target.path.as_str().strip_suffix("/info/refs")?, Self::Advertisement)
            }
            ("POST", None) => (target.path.as_str().strip_suffix("/git-receive-pack")?, Self::Pack),
            _ => return None,
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+@".contains(&byte);
        let is_segment = |segment: &str| {
            !segment.is_empty() && !segment.bytes().all(|byte| byte == b'.') && segment.bytes().all(plain)
        };
        let is_path =
            repository.strip_prefix('/').is_some_and(|segments| segments.split('/').all(is_segment));
        (*scheme == Scheme::Https && is_path).then_some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Authority, Method, PathRules, Target};

    fn push(scheme: Scheme, method: &str, path: &str, query: Option<&str>) -> Option<SmartPush> {
        let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
        SmartPush::of(&Intent {
            scheme,
            authority: Authority::parse("a.test", Some(443)).unwrap(),
            method: Method::parse(method).unwrap(),
            target: Target::parse(target.as_bytes(), PathRules::default()).unwrap(),
            git: GitOperation::Push,
        })
    }

    #[test]
    fn a_push_has_two_requests_and_each_one_form() {
        let https = Scheme::Https;
        let service = Some("service=git-receive-pack");
        assert_eq!(push(https, "GET", "/a/b.git/info/refs", service), Some(SmartPush::Advertisement));
        assert_eq!(push(https, "GET", "/~me/b_c/info/refs", service), Some(SmartPush::Advertisement));
        assert_eq!(push(https, "POST", "/a/b.git/git-receive-pack", None), Some(SmartPush::Pack));
        let no = [
            (Scheme::Http, "POST", "/a/b.git/git-receive-pack", None),
            (https, "PUT", "/a/b.git/git-receive-pack", None),
            (https, "GET", "/a/b.git/git-receive-pack", None),
            (https, "HEAD", "/a/b.git/info/refs", service),
            (https, "POST", "/a/b.git/info/refs", service),
            (https, "POST", "/a/b.git/git-receive-pack", Some("")),
            (https, "POST", "/a/b.git/git-receive-pack", Some("x=1")),
            (https, "POST", "/a/b.git/git-receive-pack/", None),
            (https, "POST", "/git-receive-pack", None),
            (https, "POST", "//git-receive-pack", None),
            (https, "POST", "/a//git-receive-pack", None),
            (https, "POST", "/a;b/git-receive-pack", None),
            (https, "POST", "/a%2Fb/git-receive-pack", None),
            (https, "POST", "/a/b.git/GIT-RECEIVE-PACK", None),
            (https, "POST", "/a/b.git/git-upload-pack", None),
            (https, "GET", "/a/b.git/info/refs", None),
            (https, "GET", "/a/b.git/info/refs", Some("service=git-upload-pack")),
            (https, "GET", "/a/b.git/info/refs", Some("service=git-receive-pack&x")),
            (https, "GET", "/a/b.git/info/refs", Some("service=git-receive-pack&service=git-upload-pack")),
            (https, "GET", "/a/b.git/info/refs", Some("service=git%2Dreceive-pack")),
            (https, "GET", "/a/b.git/info/refs", Some("Service=git-receive-pack")),
        ];
        for (scheme, method, path, query) in no {
            assert_eq!(push(scheme, method, path, query), None, "{scheme} {method} {path} {query:?}");
        }
    }
}
