//! The shape of paths: which of their segments name one thing among many.

use crate::policy::PathPattern;

/// Whether a segment looks like the number, hash or version of one thing: another request names another.
pub(super) fn is_id(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    let all = |allowed: fn(&u8) -> bool| !bytes.is_empty() && bytes.iter().all(allowed);
    let number = digits > 0 && all(|byte| byte.is_ascii_digit() || *byte == b'.');
    let hash = bytes.len() >= 7 && digits > 0 && all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    let token =
        bytes.len() >= 16 && digits >= 2 && all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
    number || hash || token
}

/// The path with `*` in the place of every id; nothing where it has none.
pub(super) fn shape(pattern: &PathPattern) -> Option<String> {
    let mut any = false;
    let segments: Vec<&str> = pattern
        .as_str()
        .split('/')
        .map(|segment| {
            let id = is_id(segment);
            any |= id;
            if id { "*" } else { segment }
        })
        .collect();
    any.then(|| segments.join("/"))
}

/// What paths have in common below an entry: the longest beginning of theirs that names no single thing. `entry` is
/// the entry's own segments, which stay, with a name in the place of `*` where all agree on one.
pub(super) fn common(entry: &[&str], paths: &[Vec<&str>]) -> Vec<String> {
    let mut common = Vec::new();
    for at in 0.. {
        let mut there = paths.iter().map(|path| path.get(at).copied());
        let first = there.next().flatten();
        let agreed = first.filter(|first| there.all(|other| other == Some(first)));
        match (entry.get(at), agreed) {
            (Some(own), Some(name)) if *own == "*" && !is_id(name) => common.push(name.to_owned()),
            (Some(own), _) => common.push((*own).to_owned()),
            (None, Some(name)) if !is_id(name) && name != "*" => common.push(name.to_owned()),
            (None, _) => return common,
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_hashes_and_versions_are_ids_and_words_are_none() {
        for id in [
            "1",
            "2024",
            "1.2.3",
            "0a1b2c3",
            "9f86d081884c7d65",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "msg_01XFDUDYJgAACzvnptvVoYEL",
        ] {
            assert!(is_id(id), "{id}");
        }
        for word in [
            "",
            "v1",
            "app",
            "issues",
            "deadbeef",
            "info",
            "a1",
            "acme-app",
            "..",
            "*",
            "web-frontend-service-names",
        ] {
            assert!(!is_id(word), "{word}");
        }
    }

    #[test]
    fn what_paths_have_in_common_ends_before_an_id() {
        let of = |entry: &[&str], paths: &[&str]| {
            let paths: Vec<Vec<&str>> = paths
                .iter()
                .map(|path| path.split('/').skip(1).filter(|it| !it.is_empty()).collect())
                .collect();
            format!("/{}", common(entry, &paths).join("/"))
        };
        assert_eq!(of(&["repos"], &["/repos/acme/app/issues/1", "/repos/acme/app/pulls"]), "/repos/acme/app");
        assert_eq!(of(&["v1"], &["/v1/jobs/17"]), "/v1/jobs");
        assert_eq!(of(&["repos", "*", "app"], &["/repos/acme/app/x"]), "/repos/acme/app/x");
        assert_eq!(of(&["repos", "*"], &["/repos/acme/app", "/repos/other/app"]), "/repos/*/app");
        assert_eq!(of(&["runs", "*"], &["/runs/17/log"]), "/runs/*/log");
        assert_eq!(of(&[], &["/a", "/b"]), "/");
        assert_eq!(of(&["a"], &["/a", "/a/b"]), "/a");
    }
}
