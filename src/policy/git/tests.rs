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

/// The methods by which `git http-push` writes.
const DUMB_PUSH: &[&str] = &["PUT", "MKCOL", "LOCK", "UNLOCK", "MOVE", "PROPPATCH", "DELETE"];

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
fn push_by_webdav_to_a_repository_of_any_name() {
    let name = "0123456789abcdef0123456789abcdef012345";
    let long = format!("{name}{}", "6".repeat(24));
    let files = [
        format!("/app/objects/ab/{name}"),
        format!("/app/objects/ab/{long}"),
        format!("/objects/AB/{name}"),
        format!("/app/Objects/ab/{name}_opaquelocktoken:1"),
        format!("/app/objects%2fab%2F{name}"),
        format!("/app//objects/./ab;x/{name}/"),
        format!("/app/objects/pack/pack-{name}00.pack"),
        "/app/objects/info/packs".into(),
        "/app/objects/pack".into(),
        "/app/refs/heads/main".into(),
        "/app/refs/tags/v1.lock".into(),
        "/app/%72efs/heads/main".into(),
        "/app/logs/refs/heads/main".into(),
        "/app/HEAD".into(),
        "/app/head".into(),
        "/app/packed-refs".into(),
        "/app/info/refs".into(),
        "/app/info/refs_opaquelocktoken:1".into(),
        "/app/reftable/tables.list".into(),
        "/app/reftable/0x000000000001-0x000000000002-b3e4a1c5.ref".into(),
    ];
    for file in &files {
        for method in DUMB_PUSH.iter().chain(&["COPY", "BIND", "REBIND", "LINK", "put", "Mkcol", "MERGE"]) {
            assert_eq!(read(method, file), GitOperation::Push, "{method} {file}");
        }
        let partial = Some("application/x-sabredav-partialupdate; charset=x");
        assert_eq!(with_type("PATCH", file, partial), GitOperation::Push, "{file}");
        for method in ["GET", "HEAD", "OPTIONS", "PROPFIND", "POST", "PATCH"] {
            assert!(!read(method, file).is_push(), "{method} {file}");
        }
    }
    // The folder of loose objects is made, and locked; a resource of an API may be called so.
    all(GitOperation::Push, &["MKCOL /app/objects/ab", "MKCOL /app/objects/ab/", "MOVE /app/objects/ab"]);
    all(
        GitOperation::None,
        &[
            "PUT /v1/objects/42",
            "DELETE /v1/objects/ab",
            "PUT /v1/objects/ab/photo",
            "PUT /v1/info/attributes",
            "PUT /v1/refs",
            "PUT /v1/headers",
            "PUT /head/x",
            "PUT /v1/info/referrers",
            "PATCH /repos/acme/app/git/refs/heads/main",
            "POST /repos/acme/app/git/refs",
        ],
    );
    all(GitOperation::Push, &["DELETE /repos/acme/app/git/refs/heads/x"]);
}

#[test]
fn every_write_of_lfs() {
    let oid = "0123456789abcdef".repeat(4);
    let requests = [
        format!("PUT /a.git/info/lfs/objects/{oid}"),
        format!("PUT /a/info/lfs/objects/{oid}"),
        format!("PUT /lfs/objects/{oid}"),
        format!("PUT /lfs/objects/01/23/{oid}"),
        format!("PUT /lfs%2fobjects/{oid}"),
        format!("PATCH /a/info/lfs/objects/{oid}"),
        "POST /a/info/lfs/objects".into(),
        "POST /a/info/lfs/objects/".into(),
        "POST /a/INFO%2fLFS/objects".into(),
        "POST /a/info/lfs/verify".into(),
        "POST /a/info/lfs/objects/verify".into(),
        "POST /a/info/lfs/locks".into(),
        "POST /a/info/lfs/locks/verify".into(),
        "POST /a/info/lfs/locks/12/unlock".into(),
        "DELETE /a/info/lfs/locks/12".into(),
    ];
    for request in &requests {
        let (method, target) = request.split_once(' ').unwrap();
        assert!(read(method, target).is_push(), "{request}");
    }
    let lfs = Some("application/vnd.git-lfs+json; charset=utf-8");
    for path in ["/lfs/locks", "/lfs/objects", "/lfs/locks/1/unlock"] {
        assert_eq!(with_type("POST", path, lfs), GitOperation::LfsUpload, "{path}");
    }
    assert_eq!(with_type("POST", "/lfs/objects/batch", lfs), GitOperation::Fetch, "its body says more");
    let reads = [
        format!("GET /a/info/lfs/objects/{oid}"),
        "GET /a/info/lfs/locks?path=x".into(),
        "HEAD /a/info/lfs/objects".into(),
    ];
    for request in &reads {
        let (method, target) = request.split_once(' ').unwrap();
        assert_eq!(read(method, target), GitOperation::Fetch, "{request}");
    }
    all(
        GitOperation::None,
        &[
            &format!("GET /objects/{oid}"),
            &format!("POST /objects/{oid}"),
            "PUT /objects/0123",
            "POST /lfs/locks",
        ],
    );
}

#[test]
fn an_lfs_batch_is_known_by_its_path() {
    for path in [
        "/a.git/info/lfs/objects/batch",
        "/a/info/lfs/objects/batch/",
        "/a.git/info%2flfs/OBJECTS//batch",
        "/a/%69nfo/lfs/objects/batch;x",
        "/lfs/objects/batch",
    ] {
        assert!(GitOperation::is_lfs_batch(path.as_bytes()), "{path}");
    }
    for path in ["/a.git/info/lfs/objects/batches", "/batch/objects", "/a.git/info/lfs/locks", "/"] {
        assert!(!GitOperation::is_lfs_batch(path.as_bytes()), "{path}");
    }
}

#[test]
fn an_lfs_batch_says_what_it_is_in_its_body() {
    let operation = |body: &str| GitOperation::lfs_operation(b"/a/info/lfs/objects/batch", body.as_bytes());
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
    let elsewhere = |body: &str| GitOperation::lfs_operation(b"/v1/objects/batch", body.as_bytes());
    assert_eq!(elsewhere(r#"{"operation": "upload"}"#), Ok(GitOperation::LfsUpload));
    assert_eq!(elsewhere(r#"{"inserts": []}"#), Ok(GitOperation::None), "an API may have such a path");
    assert_eq!(elsewhere(r#"{"operation": 1}"#), Err(LfsError::NoOperation));
    assert!(elsewhere(r#"{"operation": "upload"} x"#).is_err());
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
        let _ = GitOperation::lfs_operation(&path, &query);
    }
}
