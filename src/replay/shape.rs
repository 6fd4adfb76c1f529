//! The shape of a path: what was asked for, without what is another one each time.

/// Segments that are told apart; what lies deeper is of one shape.
const SEGMENTS: usize = 6;

/// A path with `*` in the place of each number, hash and other name that a machine made, and `**` for what lies deep.
#[must_use]
pub fn of(path: &str) -> String {
    let mut segments = path.split('/').skip(1);
    let mut shape = String::new();
    for segment in segments.by_ref().take(SEGMENTS) {
        shape.push('/');
        shape.push_str(if is_made(segment) { "*" } else { segment });
    }
    if segments.next().is_some() {
        shape.push_str("/**");
    }
    shape
}

fn is_made(segment: &str) -> bool {
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    let is_hash = |c: u8| c.is_ascii_hexdigit() || c == b'-';
    (digits > 0 && digits == segment.len())
        || (digits > 0 && segment.len() >= 7 && segment.bytes().all(is_hash))
        || (digits > 2 && segment.len() >= 20)
        || segment.len() > 60
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn what_a_machine_named_is_a_star_and_what_a_person_named_stays() {
        for (path, shape) in [
            ("/", "/"),
            ("/repos/acme/app/issues/17", "/repos/acme/app/issues/*"),
            ("/repos/acme/app/commits/1d07189", "/repos/acme/app/commits/*"),
            ("/v1/messages", "/v1/messages"),
            ("/users/3f2b8c1e-9a4d-4c7e-8b21-0f5d6a7c8e90/x", "/users/*/x"),
            ("/facade/decade", "/facade/decade"),
            ("/a/b/c/d/e/f/g/h", "/a/b/c/d/e/f/**"),
            ("/acme/app.git/info/refs", "/acme/app.git/info/refs"),
            ("", ""),
        ] {
            assert_eq!(of(path), shape, "{path}");
        }
    }
}
