use super::super::target::split;
use super::*;
use proptest::prelude::*;

fn read(method: &str, target: &str) -> GitOperation {
    with_type(method, target, None)
}

fn with_type(method: &str, target: &str, content_type: Option<&str>) -> GitOperation {
    let (path, query) = split(target.as_bytes());
    GitOperation::read(&Method::parse(method).unwrap(), path, query, content_type.map(str::as_bytes))
}

#[track_caller]
fn all(expected: GitOperation, requests: &[&str]) {
    for request in requests {
        let (method, target) = request.split_once(' ').unwrap();
        assert_eq!(read(method, target), expected, "{request}");
    }
}

#[test]
fn push_by_the_smart_protocol() {
    all(
        GitOperation::Push,
        &[
            "POST /acme/app.git/git-receive-pack",
            "POST /acme/app/git-receive-pack",
            "POST /git-receive-pack",
            "GET /acme/app.git/info/refs?service=git-receive-pack",
            "HEAD /acme/app.git/info/refs?service=git-receive-pack",
            "POST /acme/app/info/refs?service=git-receive-pack",
        ],
    );
}

#[test]
fn clone_and_fetch_are_no_push() {
    all(
        GitOperation::Fetch,
        &[
            "GET /acme/app.git/info/refs?service=git-upload-pack",
            "POST /acme/app.git/git-upload-pack",
            "POST /acme/app.git/git-upload-archive",
            "GET /acme/app.git/info/refs",
            "HEAD /acme/app.git/info/refs",
        ],
    );
    let upload_pack = Some("application/x-git-upload-pack-request");
    assert_eq!(with_type("POST", "/a.git/git-upload-pack", upload_pack), GitOperation::Fetch);
}

#[test]
fn ordinary_requests_are_nothing_of_gits() {
    all(
        GitOperation::None,
        &[
            "GET /",
            "GET /acme/app",
            "GET /acme/app.git",
            "GET /acme/app.git/HEAD",
            "GET /acme/app/blob/main/git-receive-pack.c",
            "GET /search?q=git-receive-pack&service=git-receive-pack",
            "POST /v1/messages?beta=true",
            "PUT /acme/app/contents/x",
            "PUT /acme/app.gitx/a",
            "DELETE /repos/acme/app/git/refs/heads/x",
            "PUT /é.git日/a",
            "GET /info/refsx?service=git-receive-pack",
        ],
    );
}

#[test]
fn push_with_an_encoded_path() {
    all(
        GitOperation::Push,
        &[
            "POST /a.git/git%2Dreceive%2dpack",
            "POST /a.git/%67it-receive-pack",
            "POST /a.git%2Fgit-receive-pack",
            "GET /a.git/info%2frefs?service=git-receive-pack",
            "GET /a.git/%69nfo/refs?service=git-receive-pack",
        ],
    );
}

#[test]
fn push_with_a_doubly_encoded_path() {
    all(
        GitOperation::Push,
        &[
            "POST /a.git/git%252Dreceive-pack",
            "POST /a.git%252fgit-receive-pack",
            "POST /a.git/git%25252dreceive-pack",
            "GET /a.git/info%252Frefs?service=git-receive-pack",
            "GET /a.git/info/refs?service=git%252dreceive-pack",
            "GET /a.git/info/refs?s%2565rvice=git-receive-pack",
            "POST /a.git/git%2525252525252dreceive-pack",
        ],
    );
}

#[test]
fn push_asked_for_by_a_name_that_holds_an_encoded_separator() {
    all(
        GitOperation::Push,
        &[
            "GET /a.git/info/refs?%73ervice[%26]=git-receive-pack",
            "GET /a.git/info/refs?s%65rvice%5B%3D%5D=git%2Dreceive-pack",
            "GET /a.git/info/refs?service=git%2Dreceive-pack%00%26",
        ],
    );
}

#[test]
fn push_in_another_case() {
    all(
        GitOperation::Push,
        &[
            "POST /a.git/GIT-Receive-PACK",
            "GET /a.git/Info/Refs?service=git-receive-pack",
            "GET /a.git/info/refs?SERVICE=GIT-RECEIVE-PACK",
            "put /a.GIT/refs/heads/x",
        ],
    );
}

#[test]
fn push_with_slashes_dots_and_parameters_that_servers_drop() {
    all(
        GitOperation::Push,
        &[
            "POST /a.git/git-receive-pack/",
            "POST /a.git/git-receive-pack//",
            "POST //a.git//git-receive-pack",
            "POST /a.git/./git-receive-pack/.",
            "POST /a.git/git-receive-pack;x=1",
            "POST /a.git/git-receive-pack%3Bx",
            "POST /a.git/git-receive-pack%20",
            "POST /a.git\\git-receive-pack",
            "POST /a.git%5cgit-receive-pack",
            "POST /a.git%EF%BC%8Fgit-receive-pack",
            "GET /a.git/info//refs?service=git-receive-pack",
            "GET /a.git/info;x/refs/?service=git-receive-pack",
            "POST /a.git/git-receive-pack%3Fx=y",
            "POST /a.git/git-receive-pack%23x",
            "POST /a%3Fb/git%2Dreceive-pack",
            "POST /a%23b/git%252Dreceive-pack",
            "GET /a%3Fb/info%2Frefs?service=git-receive-pack",
            "PUT /a%3Fb/c%2Egit/x",
        ],
    );
}

#[test]
fn push_with_duplicate_service_parameters() {
    all(
        GitOperation::Push,
        &[
            "GET /a.git/info/refs?service=git-upload-pack&service=git-receive-pack",
            "GET /a.git/info/refs?service=git-receive-pack&service=git-upload-pack",
            "GET /a.git/info/refs?a=b&service=git-receive-pack&c",
            "GET /a.git/info/refs?service=git-upload-pack;service=git-receive-pack",
            "GET /a.git/info/refs?a%26service=git-receive-pack",
            "GET /a.git/info/refs?a?service=git-receive-pack",
        ],
    );
}

#[test]
fn push_with_an_encoded_service_parameter() {
    all(
        GitOperation::Push,
        &[
            "GET /a.git/info/refs?%73ervice=git-receive-pack",
            "GET /a.git/info/refs?service=git%2dreceive%2Dpack",
            "GET /a.git/info/refs?service%3Dgit-receive-pack",
            "GET /a.git/info/refs?+service+=+git-receive-pack+",
            "GET /a.git/info/refs?service=%20git-receive-pack%0A",
            "GET /a.git/info/refs?service=git-receive-pack%00.txt",
            "GET /a.git/info/refs?service[]=git-receive-pack",
            "GET /a.git/info/refs?service%5B%5D=git-receive-pack",
            "GET /a.git/info/refs%3Fservice=git-receive-pack",
            "GET /a.git/info/refs%3Fservice%3Dgit-receive-pack?service=git-upload-pack",
            "GET /a.git/info/refs?%2525252525252525service=git-upload-pack",
        ],
    );
}

#[test]
fn other_services_and_other_parameters_are_no_push() {
    all(
        GitOperation::Fetch,
        &[
            "GET /a.git/info/refs?service=git-receive-packs",
            "GET /a.git/info/refs?xservice=git-receive-pack",
            "GET /a.git/info/refs?service=git+receive-pack",
            "GET /a.git/info/refs?service",
            "GET /a.git/info/refs?q=100%&service=git-upload-pack",
        ],
    );
}

#[test]
fn push_by_its_content_type_on_any_path() {
    for kind in [
        "application/x-git-receive-pack-request",
        "Application/X-Git-Receive-Pack-Request",
        "application/x-git-receive-pack-request; charset=utf-8",
        " application/x-git-receive-pack-request ",
        "application/x-git-receive-pack-request, text/plain",
    ] {
        assert_eq!(with_type("POST", "/anything", Some(kind)), GitOperation::Push, "{kind}");
    }
    assert_eq!(with_type("POST", "/anything", Some("application/json")), GitOperation::None);
}

#[test]
fn push_by_webdav_below_a_git_path() {
    for method in DUMB_PUSH {
        for path in [
            "/a.git/refs/heads/main",
            "/a%2egit/x",
            "/a.GIT/x",
            "/x/.git/objects/aa/bb",
            "/a.git/",
            "/a%252Egit/x",
        ] {
            assert_eq!(read(method, path), GitOperation::Push, "{method} {path}");
        }
        assert_eq!(read(method, "/a/b"), GitOperation::None, "{method}");
    }
    all(GitOperation::None, &["PROPFIND /a.git/refs/", "GET /a.git/objects/aa/bb", "POST /a.git/x"]);
}

#[test]
fn an_lfs_batch_is_known_by_its_path() {
    for path in [
        "/a.git/info/lfs/objects/batch",
        "/a/info/lfs/objects/batch/",
        "/a.git/info%2flfs/OBJECTS//batch",
        "/a/%69nfo/lfs/objects/batch;x",
    ] {
        assert!(GitOperation::is_lfs_batch(path.as_bytes()), "{path}");
    }
    for path in ["/a.git/info/lfs/objects/batches", "/objects/batch", "/a.git/info/lfs/locks", "/"] {
        assert!(!GitOperation::is_lfs_batch(path.as_bytes()), "{path}");
    }
}

#[test]
fn an_lfs_batch_says_what_it_is_in_its_body() {
    let operation = |body: &str| GitOperation::lfs_operation(body.as_bytes());
    assert_eq!(
        operation(r#"{"operation": "download", "objects": [{"oid": "1", "size": 2}]}"#),
        Ok(GitOperation::Fetch)
    );
    for body in [
        r#"{"operation": "upload"}"#,
        r#"{"operation": "download", "operation": "upload"}"#,
        r#"{"operation": "upload", "operation": "download"}"#,
        r#"{"operation": "download", "Operation": "upload"}"#,
        r#"{"\u006fperation": "upl\u006fad"}"#,
        r#"{"objects": [], "OPERATION": " Upload "}"#,
    ] {
        assert_eq!(operation(body), Ok(GitOperation::LfsUpload), "{body}");
    }
    for body in [
        "{}",
        r#"{"operation": "verify"}"#,
        r#"{"operation": ["upload"]}"#,
        r#"{"operation": "download", "operation": 1}"#,
    ] {
        assert_eq!(operation(body), Err(LfsError::NoOperation), "{body}");
    }
    for body in [
        "",
        "[]",
        "upload",
        r#"{"operation": "download"} {"operation": "upload"}"#,
        "\u{feff}{}",
        "{\"operation\": \"download\"",
    ] {
        assert!(matches!(operation(body), Err(LfsError::NotJson(_))), "{body}");
    }
    assert_eq!(
        operation("{}").unwrap_err().to_string(),
        "the body of the LFS batch request has no `operation` that is `upload` or `download`"
    );
    let nested = format!("{{\"x\": {}", "[".repeat(100_000));
    assert!(operation(&nested).is_err());
}

/// Escapes the bytes that the mask names, the given number of times over.
fn encode(text: &str, mask: u64, depth: usize) -> String {
    (0..depth).fold(text.to_owned(), |text, _| {
        text.bytes()
            .enumerate()
            .map(
                |(at, b)| {
                    if mask >> (at % 64) & 1 == 1 { format!("%{b:02x}") } else { char::from(b).to_string() }
                },
            )
            .collect()
    })
}

proptest! {
    #[test]
    fn no_encoding_hides_a_push(mask in any::<u64>(), depth in 0usize..4, name in "[a-z]{1,5}") {
        let pack = encode("git-receive-pack", mask, depth);
        let refs = encode("info/refs", mask.rotate_left(7), depth);
        let service = encode("service=git-receive-pack", mask.rotate_left(13), depth);
        let repository = encode(".git", mask.rotate_left(23), depth);
        for request in [
            format!("POST /{name}/{pack}"),
            format!("GET /{name}/{refs}?{service}"),
            format!("HEAD /{name}/{refs}?x=%&{service};y"),
            format!("PUT /{name}{repository}/x"),
        ] {
            let (method, target) = request.split_once(' ').unwrap();
            prop_assert_eq!(read(method, target), GitOperation::Push, "{}", request);
        }
    }

    #[test]
    fn no_encoding_makes_a_fetch_a_push(mask in any::<u64>(), depth in 0usize..4, name in "[a-z]{1,5}") {
        let service = encode("service=git-upload-pack", mask, depth);
        prop_assert_eq!(read("GET", &format!("/{name}.git/info/refs?{service}")), GitOperation::Fetch);
    }

    #[test]
    fn reading_never_panics(
        path in proptest::collection::vec(any::<u8>(), 0..60), query in proptest::collection::vec(any::<u8>(), 0..60),
        kind in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let _ = GitOperation::read(&Method::GET, &path, Some(&query), Some(&kind));
        let _ = GitOperation::is_lfs_batch(&path);
        let _ = GitOperation::lfs_operation(&query);
    }
}
