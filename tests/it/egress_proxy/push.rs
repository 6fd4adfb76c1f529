//! Pushes of real git through the proxy, to git's own http-backend behind the stand-in for pipelock.

use super::both::Both;
use super::clients::{run, run_behind, text};
use super::harness::{Stack, auth, names, only, route};
use super::pipelock::{Answer, Seen};
use crate::origin::Origin;
use bottle::config::routes::{Auth, GitPush, RouteEntry, RoutesFile};
use bottle::intercept::Protocol;
use bottle::telemetry::audit::{Event, Record, ServerReport};
use bytes::Bytes;
use fs_err as fs;
use http::Response;
use http_body_util::{BodyExt as _, Full};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// By which git asks for the credential before it sends much.
const PROBE: &[u8; 4] = b"0000";

const URL: &str = "https://forge.test/acme/app.git";

/// What an agent may not push: it looks like a credential to the scanner.
fn planted() -> String {
    format!("{}{}", "ghp_", "A1b2C3d4E5f6G7h8I9j0".repeat(2))
}

fn git_push() -> GitPush {
    GitPush {
        refs: names(&["refs/heads/agent/*", "refs/tags/agent-*"]),
        create: true,
        delete: false,
        force: false,
        max_pack: 1 << 20,
        rules: None,
    }
}

/// git's own server for the repositories below a folder, as a CGI program (RFC 3875).
fn http_backend(root: &Path, seen: &Seen) -> Answer {
    let (_, target) = seen.uri.split_once("://").unwrap().1.split_once('/').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let header = |name: &str| seen.header(name).first().cloned().unwrap_or_default();
    let mut child = Command::new("git")
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("REQUEST_METHOD", &seen.method)
        .env("PATH_INFO", format!("/{path}"))
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", seen.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("HTTP_GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = seen.body.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&body));
    let said = child.wait_with_output().unwrap().stdout;
    let _ = writer.join().unwrap();
    let end = said.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&said[..end]).lines() {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(value[..3].parse::<u16>().unwrap()),
            _ => response.header(name, value),
        };
    }
    response.body(Full::new(Bytes::copy_from_slice(&said[end + 4..])).boxed()).unwrap()
}

/// A proxy before a forge with one repository, and a clone of it.
struct Forge {
    stack: Stack,
    folder: tempfile::TempDir,
}

impl Forge {
    async fn start(push: GitPush) -> Self {
        Self::with(push, "sha1").await
    }

    async fn with(push: GitPush, format: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("www");
        fs::create_dir_all(root.join("acme")).unwrap();
        let entry = RouteEntry {
            path_allowlist: only(&["/acme/app.git"]),
            git_push: Some(push),
            auth: None,
            ..route("forge.test")
        };
        let stack = Stack::with(|config| {
            // The file that holds the token is known by now.
            let of_another = config.routes[0].auth.take().unwrap();
            let basic = auth("authorization", "Basic ", Some("x-access-token"));
            config.routes = vec![RouteEntry {
                auth: Some(Auth { secret_file: of_another.secret_file, ..basic }),
                ..entry
            }];
        })
        .await;
        let forge = Self { stack, folder };
        let format = format!("--object-format={format}");
        forge.git(&root, &["init", "-q", "--bare", "-b", "main", &format, "acme/app.git"]).await;
        forge.git(&forge.repository(), &["config", "http.receivepack", "true"]).await;
        forge.git(&forge.repository(), &["config", "receive.advertisePushOptions", "true"]).await;
        forge.stack.pipelock.answer(move |seen| http_backend(&root, seen));
        let at = forge.folder.path().to_owned();
        forge.git(&at, &["init", "-q", "-b", "main", &format, "work"]).await;
        forge.commit("README", "hello\n", "first").await;
        let bare = forge.repository();
        forge.git(&forge.work(), &["push", "-q", bare.to_str().unwrap(), "main", "main:agent/old"]).await;
        forge.git(&forge.work(), &["remote", "add", "origin", URL]).await;
        forge.git(&forge.work(), &["fetch", "-q", "origin"]).await;
        forge
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("www/acme/app.git")
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// git, which must succeed.
    async fn git(&self, at: &Path, arguments: &[&str]) -> String {
        let identity = ["-c", "user.name=Agent", "-c", "user.email=agent@forge.test"];
        let done = run(&self.stack, "git", &[&identity[..], arguments].concat(), at).await;
        assert!(done.status.success(), "git {arguments:?}: {}", text(&done.stderr));
        text(&done.stdout).trim().to_owned()
    }

    async fn commit(&self, file: &str, content: &str, message: &str) -> String {
        fs::write(self.work().join(file), content).unwrap();
        self.git(&self.work(), &["add", "-A"]).await;
        self.git(&self.work(), &["commit", "-q", "-m", message]).await;
        self.git(&self.work(), &["rev-parse", "HEAD"]).await
    }

    /// The refs of the server.
    async fn refs(&self) -> String {
        self.git(&self.repository(), &["for-each-ref", "--format=%(objectname) %(refname)"]).await
    }

    /// Pushes received by the server.
    fn received(&self) -> usize {
        self.stack
            .pipelock
            .seen()
            .iter()
            .filter(|seen| {
                seen.method == "POST" && seen.uri.ends_with("/git-receive-pack") && seen.body[..] != PROBE[..]
            })
            .count()
    }

    /// A push that passes.
    async fn pushes(&self, arguments: &[&str]) {
        let arguments = [&["push", "origin"], arguments].concat();
        let done = run(&self.stack, "git", &arguments, &self.work()).await;
        assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
    }

    /// A push that is refused: git fails, prints all of `said`, and the server got nothing.
    async fn refused(&self, arguments: &[&str], said: &[&str]) -> String {
        let (refs, received) = (self.refs().await, self.received());
        let arguments = [&["push", "origin"], arguments].concat();
        let done = run(&self.stack, "git", &arguments, &self.work()).await;
        let printed = text(&done.stderr);
        assert!(!done.status.success(), "{arguments:?}: {printed}");
        for part in said {
            assert!(printed.contains(part), "{arguments:?}: {part:?} is not in: {printed}");
        }
        assert_eq!((self.refs().await, self.received()), (refs, received), "{printed}");
        printed
    }

    /// The records of so many pushes that were sent on.
    async fn recorded(&self, count: usize) -> Vec<Record> {
        let records = self.stack.audit.wait("the pushes", |text| {
            let records = text.lines().map(|line| serde_json::from_str::<Record>(line).unwrap());
            let pushes: Vec<_> = records
                .filter(|it| {
                    it.event == Event::End && it.push.as_ref().is_some_and(|push| !push.refs.is_empty())
                })
                .collect();
            (pushes.len() >= count).then_some(pushes)
        });
        records.await
    }

    /// A clone of the last commit alone.
    async fn shallow_clone(&self, name: &str) -> PathBuf {
        let from = format!("file://{}", self.repository().display());
        self.git(self.folder.path(), &["clone", "-q", "--depth", "1", &from, name]).await;
        let clone = self.folder.path().join(name);
        self.git(&clone, &["remote", "set-url", "origin", URL]).await;
        clone
    }

    /// A commit there, and a push of it.
    async fn push_from(&self, clone: &Path, file: &str, to: &str) -> (bool, String) {
        fs::write(clone.join(file), file).unwrap();
        self.git(clone, &["add", "-A"]).await;
        self.git(clone, &["commit", "-q", "-m", file]).await;
        let done = run(&self.stack, "git", &["push", "origin", &format!("HEAD:{to}")], clone).await;
        (done.status.success(), text(&done.stderr))
    }

    /// A request of raw bytes.
    async fn post(&self, fields: &str, body: &[u8]) -> super::harness::Answer {
        let mut wire = self.stack.tunnel("forge.test:443").await;
        let head = format!(
            "POST /acme/app.git/git-receive-pack HTTP/1.1\r\nHost: forge.test\r\n{fields}Content-Length: {}\r\n\r\n",
            body.len()
        );
        super::harness::exchange(&mut wire, [head.as_bytes(), body].concat()).await
    }
}

const TYPE: &str = "Content-Type: application/x-git-receive-pack-request\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn allowed_refs_are_pushed_with_the_injected_credential() {
    let forge = Forge::start(git_push()).await;
    let first = forge.commit("a", "one\n", "a").await;
    forge.pushes(&["HEAD:refs/heads/agent/x"]).await;
    let second = forge.commit("b", "two\n", "b").await;
    forge.git(&forge.work(), &["tag", "-a", "-m", "a tag", "agent-1"]).await;
    forge
        .pushes(&["--atomic", "HEAD:refs/heads/agent/x", "agent-1", "HEAD~1:refs/heads/agent/deep/er"])
        .await;
    let refs = forge.refs().await;
    for line in [format!("{second} refs/heads/agent/x"), format!("{first} refs/heads/agent/deep/er")] {
        assert!(refs.contains(&line), "{refs}");
    }
    assert!(refs.contains("refs/tags/agent-1"), "{refs}");
    let seen = forge.stack.pipelock.seen();
    let pushes: Vec<_> = seen.iter().filter(|seen| seen.uri.ends_with("receive-pack")).collect();
    assert!(pushes.iter().all(|seen| seen.header("authorization").len() == 1), "{pushes:#?}");
    assert!(pushes.iter().all(|seen| seen.header("git-protocol").is_empty()));
    let offered = seen.iter().find(|seen| seen.uri.ends_with("service=git-receive-pack")).unwrap();
    assert_eq!(offered.method, "GET");
    let records = forge.recorded(2).await;
    let push = records[1].push.as_ref().unwrap();
    assert_eq!(records[1].verdict, bottle::telemetry::audit::Verdict::Allow);
    assert_eq!(records[1].rule.as_deref(), Some("forge.test"));
    let updated = push.refs.iter().find(|it| it.name == "refs/heads/agent/x").unwrap();
    assert_eq!(
        (updated.claimed_old.as_deref(), updated.new.as_deref()),
        (Some(first.as_str()), Some(second.as_str()))
    );
    assert_eq!((updated.server.as_deref(), updated.unread), (Some("ok"), false));
    let report = ServerReport { unpack: None, accepted: 3, refused: 0, complete: true };
    assert_eq!(push.server, Some(report));
    assert_eq!((push.refs.len(), push.refused.as_deref()), (3, None));
    assert!(push.objects.unwrap() >= 4, "{push:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refs_outside_deletions_and_creations_are_refused_by_name() {
    let forge = Forge::start(git_push()).await;
    forge.commit("a", "one\n", "a").await;
    let outside = "outside of what git.push allows here: refs/heads/agent/*, refs/tags/agent-*";
    for name in [
        "refs/heads/main",
        "refs/heads/agents",
        "refs/heads/other",
        "refs/tags/v1",
        "refs/notes/x",
        "refs/heads/Agent/x",
    ] {
        let printed = forge
            .refused(
                &[&format!("HEAD:{name}")],
                &["[remote rejected]", outside, "remote: bottle: nothing of this push has left"],
            )
            .await;
        assert!(printed.contains(&format!("remote: bottle: {name}: the ref is outside")), "{printed}");
    }
    forge
        .refused(
            &[":refs/heads/agent/old"],
            &["deleting a ref is not allowed here: git.push.delete is false"],
        )
        .await;
    forge
        .refused(
            &["HEAD:refs/heads/agent/x", "HEAD:refs/heads/main"],
            &[
                "agent/x (refused together with the rest of this push: nothing was sent)",
                "main (the ref is outside",
            ],
        )
        .await;
    let fixed = Forge::start(GitPush { create: false, ..git_push() }).await;
    fixed.commit("a", "one\n", "a").await;
    fixed
        .refused(
            &["HEAD:refs/heads/agent/x"],
            &["the ref is not there yet, and git.push.create is false here"],
        )
        .await;
    fixed.pushes(&["HEAD:refs/heads/agent/old"]).await;
    let deletes = Forge::start(GitPush { delete: true, ..git_push() }).await;
    deletes.pushes(&[":refs/heads/agent/old"]).await;
    assert!(!deletes.refs().await.contains("agent/old"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_is_rewound_only_with_force() {
    let forge = Forge::start(git_push()).await;
    forge.commit("a", "one\n", "a").await;
    forge.pushes(&["HEAD:refs/heads/agent/x"]).await;
    forge.git(&forge.work(), &["reset", "-q", "--hard", "HEAD~1"]).await;
    forge.commit("a", "another\n", "instead").await;
    forge.refused(&["--force", "HEAD:refs/heads/agent/x"], &["[remote rejected]"]).await;
    forge.refused(&["--force", "HEAD~1:refs/heads/agent/x"], &["[remote rejected]"]).await;
    let forced = Forge::start(GitPush { force: true, ..git_push() }).await;
    forced.commit("a", "one\n", "a").await;
    forced.pushes(&["HEAD:refs/heads/agent/x"]).await;
    forced.git(&forced.work(), &["reset", "-q", "--hard", "HEAD~1"]).await;
    let instead = forced.commit("a", "another\n", "instead").await;
    forced.pushes(&["--force", "HEAD:refs/heads/agent/x"]).await;
    assert!(forced.refs().await.contains(&format!("{instead} refs/heads/agent/x")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_key_is_found_wherever_it_stands() {
    let forge = Forge::start(git_push()).await;
    let key = planted();
    let reset = || async { forge.git(&forge.work(), &["reset", "-q", "--hard", "origin/main"]).await };
    let to = &["HEAD:refs/heads/agent/x"][..];
    let check = |printed: String| assert!(!printed.contains(&key), "the key is shown: {printed}");
    forge.commit("config", &format!("x\ntoken = {key}\n"), "a").await;
    check(forge.refused(to, &["[remote rejected]", "remote: bottle: ", "config", "GitHub Token"]).await);
    forge.commit("config", "x\n", "take it out").await;
    check(forge.refused(to, &["[remote rejected]", "GitHub Token"]).await);
    reset().await;
    forge.commit("b", "b\n", &format!("with {key}")).await;
    check(forge.refused(to, &["[remote rejected]", "GitHub Token"]).await);
    reset().await;
    forge.commit(&key, "b\n", "a name").await;
    check(forge.refused(to, &["[remote rejected]", "GitHub Token"]).await);
    reset().await;
    forge.commit("c", "c\n", "c").await;
    // git itself prints the name.
    forge
        .refused(
            &[&format!("HEAD:refs/heads/agent/{key}")],
            &["the name of a ref or of the client carries a secret (GitHub Token)"],
        )
        .await;
    forge.pushes(to).await;
    assert!(!forge.stack.audit.text().contains(&key));
}

/// What `bottle render` makes of the `git.push` of a manifest, with a file of rules beside it, and what it says of it.
fn rendered(rules: &str) -> (GitPush, String) {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    fs::create_dir(&project).unwrap();
    fs::write(project.join(".gitleaks.toml"), rules).unwrap();
    let manifest = "version: 1
name: dev
agent: {image: \"debian:12\"}
egress_proxy:
  routes:
    - host: forge.test
      path_allowlist: [/acme/app.git]
      auth: {scheme: Basic, username: x-access-token, token_ref: FORGE_TOKEN}
      git: {push: {refs: [refs/heads/agent/*], rules: .gitleaks.toml}}
";
    fs::write(project.join("bottle.yaml"), manifest).unwrap();
    let binary = folder.path().join("image-binary");
    let mut elf = vec![0_u8; 64];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (elf[18], elf[32], elf[54]) = (0x3e, 64, 56);
    fs::write(&binary, elf).unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_bottle"))
        .args(["render", "--accept-widening", "--image-binary"])
        .arg(&binary)
        .current_dir(&project)
        .env("XDG_STATE_HOME", folder.path().join("state"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    let routes = fs::read(project.join(".bottle/dev/egress-proxy/routes.yaml")).unwrap();
    let mut routes = RoutesFile::read(routes).unwrap().routes;
    (routes.remove(0).git_push.unwrap(), text(&done.stdout))
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_a_file_beside_the_manifest_refuse_a_push() {
    let rule = "[[rules]]
id = \"acme-token\"
description = \"A token of Acme\"
regex = 'acme_([a-z0-9]{20})\\b'
keywords = [\"acme_\"]
[[rules.allowlists]]
paths = ['^docs/']
";
    let (push, said) = rendered(rule);
    assert!(said.contains("refs/heads/agent/*"), "{said}");
    let forge = Forge::start(push).await;
    fs::create_dir(forge.work().join("docs")).unwrap();
    let (token, to) = (format!("acme_{}", "a1b2c3d4e5".repeat(2)), &["HEAD:refs/heads/agent/x"][..]);
    forge.commit("docs/sample", &format!("{token}\n"), "exempt").await;
    forge.pushes(to).await;
    forge.commit("config", &format!("x\n{token}\n"), "planted").await;
    let printed = forge.refused(to, &["remote: bottle: ", "config", "acme-token"]).await;
    assert!(!printed.contains(&token), "{printed}");
    forge.git(&forge.work(), &["reset", "-q", "--hard", "HEAD~"]).await;
    forge.commit("config", &format!("{}\n", planted()), "built in").await;
    forge.refused(to, &["GitHub Token"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_decided_on_by_refs_is_refused() {
    let forge = Forge::start(git_push()).await;
    forge.commit("a", "one\n", "a").await;
    let printed = forge.refused(&["-o", "merge_request.create", "HEAD:refs/heads/agent/x"], &[]).await;
    assert!(printed.contains("does not support push options"), "{printed}");
    let noise: String = (0..200_000_u64)
        .map(|n| format!("{:x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
        .collect::<Vec<_>>()
        .concat();
    forge.commit("large", &noise, "large").await;
    forge
        .refused(
            &["HEAD:refs/heads/agent/x"],
            &["the pack is larger than 1 MiB, which git.push.max_pack allows here", "remote: bottle:"],
        )
        .await;
    let sha256 = Forge::with(git_push(), "sha256").await;
    sha256.commit("a", "one\n", "a").await;
    sha256
        .refused(
            &["HEAD:refs/heads/agent/x"],
            &["repositories in the object format sha256 are not read here"],
        )
        .await;
}

fn body(lines: &[&str], pack: &[u8]) -> Vec<u8> {
    let lines = lines.iter().map(|line| format!("{:04x}{line}", line.len() + 4)).collect::<Vec<_>>().concat();
    [lines.as_bytes(), b"0000", pack].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_git_would_not_write_is_refused_whole() {
    let forge = Forge::start(git_push()).await;
    let id = forge.commit("a", "one\n", "a").await;
    let pack = run(
        &forge.stack,
        "sh",
        &["-c", "git rev-list --objects HEAD | cut -d' ' -f1 | git pack-objects -q --stdout"],
        &forge.work(),
    )
    .await
    .stdout;
    let zero = "0".repeat(40);
    let capabilities = "report-status object-format=sha1 agent=git/2";
    let create = format!("{zero} {id} refs/heads/agent/x\0{capabilities}");
    let cases: Vec<(Vec<String>, &[u8], &str)> = vec![
        (vec![create.clone()], &pack[..pack.len() - 1], "unpack the pack is refused"),
        (vec![create.clone()], &[], "its pack is missing"),
        (
            vec![create.clone(), format!("{zero} {id} refs/heads/agent/x")],
            &pack,
            "two commands for refs/heads/agent/x",
        ),
        (vec![format!("shallow {id}"), create.clone()], &pack, "its clone is shallow, and ends at"),
        (vec![create.clone(), format!("shallow {id}")], &pack, "line 2 is no command"),
        (
            vec![create.clone(), format!("{zero} {id} refs/heads/agent/../main")],
            &pack,
            "is no ref that is pushed to here",
        ),
        (vec![create.clone(), format!("{zero} {id} HEAD")], &pack, "`HEAD` is no ref that is pushed to here"),
    ];
    for (lines, pack, said) in cases {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let answer = forge.post(TYPE, &body(&lines, pack)).await;
        assert_eq!(
            (answer.status, answer.header("x-bottle-reason")),
            (200, Some("push_not_allowed")),
            "{answer:#?}"
        );
        assert_eq!(answer.header("content-type"), Some("application/x-git-receive-pack-result"));
        assert!(answer.body.contains(said) && answer.body.contains("unpack "), "{said}: {answer:#?}");
    }
    let options = create.replace(capabilities, "report-status push-options");
    let unasked = [
        body(&[&options], &pack),
        body(&["push-cert\0"], b""),
        b"PACK".to_vec(),
        b"00".to_vec(),
        b"0000PACK".to_vec(),
    ];
    for push in unasked {
        let answer = forge.post(TYPE, &push).await;
        assert_eq!(
            (answer.status, answer.header("x-bottle-reason")),
            (403, Some("push_not_allowed")),
            "{answer:#?}"
        );
    }
    assert_eq!(forge.received(), 0);
    // The probe by which git asks for a credential, and the same push in gzip.
    assert_eq!(forge.post(TYPE, b"0000").await.status, 200);
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    zipped.write_all(&body(&[&create], &pack)).unwrap();
    let answer = forge.post(&format!("{TYPE}Content-Encoding: gzip\r\n"), &zipped.finish().unwrap()).await;
    assert!(answer.body.contains("ok refs/heads/agent/x"), "{answer:#?}");
    assert!(forge.refs().await.contains(&format!("{id} refs/heads/agent/x")));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_disguise_stays_refused_where_pushes_are_allowed() {
    let forge = Forge::start(git_push()).await;
    let before = forge.stack.pipelock.seen().len();
    let id = "1".repeat(64);
    let lines = [
        ("PUT /acme/app.git/refs/heads/agent/x HTTP/1.1".to_owned(), "git_push"),
        (
            "GET /acme/app.git/info/refs?service=git-receive-pack&service=git-upload-pack HTTP/1.1"
                .to_owned(),
            "git_push",
        ),
        ("GET /acme/app.git/info/refs?service=git%2Dreceive-pack HTTP/1.1".to_owned(), "git_push"),
        ("GET /acme/app.git/info/refs?Service=git-receive-pack HTTP/1.1".to_owned(), "git_push"),
        ("GET /acme/app.git/git-receive-pack HTTP/1.1".to_owned(), "git_push"),
        ("POST /acme/app.git/git-receive-pack?x=1 HTTP/1.1".to_owned(), "git_push"),
        ("POST /acme/app.git/GIT-RECEIVE-PACK HTTP/1.1".to_owned(), "git_push"),
        ("POST /acme/app.git/info/refs?service=git-receive-pack HTTP/1.1".to_owned(), "git_push"),
        (format!("PUT /acme/app.git/info/lfs/objects/{id} HTTP/1.1"), "git_push"),
        ("POST /acme/app.git/info/lfs/locks HTTP/1.1".to_owned(), "git_push"),
        ("POST /acme/other.git/git-receive-pack HTTP/1.1".to_owned(), "path_not_allowed"),
        ("GET /acme/other.git/info/refs?service=git-receive-pack HTTP/1.1".to_owned(), "path_not_allowed"),
        (
            "POST /acme/app.git/x HTTP/1.1\r\nContent-Type: application/x-git-receive-pack-request"
                .to_owned(),
            "git_push",
        ),
        ("POST /acme/app.git/git-receive-pack HTTP/1.1\r\nContent-Type: text/plain".to_owned(), "git_push"),
    ];
    for (line, reason) in lines {
        let answer = forge.stack.request("forge.test:443", &format!("{line}\r\nHost: forge.test"), "").await;
        assert_eq!(
            (answer.status, answer.header("x-bottle-reason")),
            (403, Some(reason)),
            "{line}: {answer:#?}"
        );
    }
    let upload = r#"{"operation":"upload","objects":[]}"#;
    let head = format!(
        "POST /acme/app.git/info/lfs/objects/batch HTTP/1.1\r\nHost: forge.test\r\nContent-Length: {}",
        upload.len()
    );
    let answer = forge.stack.request("forge.test:443", &head, upload).await;
    assert_eq!((answer.status, answer.header("x-bottle-reason")), (403, Some("git_push")), "{answer:#?}");
    assert!(answer.body.contains("no LFS upload"), "{answer:#?}");
    let head = "GET /acme/app.git/info/refs?service=git-receive-pack HTTP/1.1\r\nHost: forge.test\r\nContent-Length: 1";
    assert_eq!(forge.stack.request("forge.test:443", head, "x").await.status, 403);
    assert_eq!(forge.stack.pipelock.seen().len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_says_is_in_the_audit_trail() {
    let forge = Forge::start(git_push()).await;
    let hook = forge.repository().join("hooks/update");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\n[ \"$1\" != refs/heads/agent/no ]\n").unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let id = forge.commit("a", "one\n", "a").await;
    let done = run(
        &forge.stack,
        "git",
        &[
            "push",
            "origin",
            "HEAD:refs/heads/agent/yes",
            "HEAD:refs/heads/agent/no",
            "origin/main:refs/heads/agent/at",
        ],
        &forge.work(),
    )
    .await;
    assert!(text(&done.stderr).contains("agent/no (hook declined)"), "{}", text(&done.stderr));
    // The server compares what the client claims.
    let pack = run(&forge.stack, "sh", &["-c", "git pack-objects -q --stdout </dev/null"], &forge.work())
        .await
        .stdout;
    let line = format!("{} {id} refs/heads/agent/at\0report-status", "0".repeat(40));
    let answer = forge.post(TYPE, &body(&[&line], &pack)).await;
    assert!(answer.body.contains("ng refs/heads/agent/at "), "{answer:#?}");
    let records = forge.recorded(2).await;
    let (first, second) = (records[0].push.as_ref().unwrap(), records[1].push.as_ref().unwrap());
    let of = |name: &str| first.refs.iter().find(|it| it.name == format!("refs/heads/agent/{name}")).unwrap();
    assert_eq!((of("yes").server.as_deref(), of("yes").unread), (Some("ok"), false));
    assert_eq!((of("no").server.as_deref(), of("no").unread), (Some("hook declined"), false));
    assert_eq!((of("at").server.as_deref(), of("at").unread), (Some("ok"), true), "the server had it");
    let report = first.server.as_ref().unwrap();
    assert_eq!((report.accepted, report.refused, report.complete), (2, 1, true));
    assert_eq!(second.refs[0].claimed_old, None);
    assert_ne!(second.refs[0].server.as_deref(), Some("ok"));
    assert_eq!(second.server.as_ref().unwrap().refused, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shallow_clone_pushes_what_it_made() {
    let forge = Forge::start(git_push()).await;
    forge.commit("a", "one\n", "a").await;
    let bare = forge.repository();
    forge.git(&forge.work(), &["push", "-q", bare.to_str().unwrap(), "main"]).await;
    let clone = forge.shallow_clone("shallow").await;
    assert!(fs::exists(clone.join(".git/shallow")).unwrap());
    for file in ["b", "c"] {
        let (passed, printed) = forge.push_from(&clone, file, "refs/heads/agent/x").await;
        assert!(passed, "{printed}");
    }
    let head = forge.git(&clone, &["rev-parse", "HEAD"]).await;
    assert!(forge.refs().await.contains(&format!("{head} refs/heads/agent/x")));
    assert!(!fs::exists(bare.join("shallow")).unwrap(), "the server's history has no end");
    forge.git(&bare, &["fsck", "--strict"]).await;
    // What it ends at is no longer on a branch, so that git sends it as if it were new.
    let late = forge.shallow_clone("late").await;
    forge.git(&bare, &["update-ref", "refs/heads/main", "main~1"]).await;
    forge.git(&bare, &["update-ref", "-d", "refs/heads/agent/x"]).await;
    let refs = forge.refs().await;
    let (passed, printed) = forge.push_from(&late, "d", "refs/heads/agent/y").await;
    assert!(!passed && printed.contains("its clone is shallow, and ends at"), "{printed}");
    assert!(printed.contains("run `git fetch --unshallow origin` and push again"), "{printed}");
    assert_eq!(forge.refs().await, refs);
}

/// The engine behind the proxy looks into the push as well, and lets pass what the gate let pass.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_passes_both_proxies() {
    let folder = tempfile::tempdir().unwrap();
    let (root, work) = (folder.path().join("www"), folder.path().join("work"));
    fs::create_dir_all(&root).unwrap();
    let served = root.clone();
    let origin = Origin::serving(&[Protocol::Http1], move |request: http::Request<hyper::body::Incoming>| {
        let root = served.clone();
        async move {
            let (parts, body) = request.into_parts();
            let seen = Seen {
                version: parts.version,
                method: parts.method.to_string(),
                uri: format!("https://forge.test{}", parts.uri),
                headers: parts.headers,
                body: body.collect().await.unwrap().to_bytes(),
                trailers: None,
                connection: 0,
            };
            let answer = tokio::task::spawn_blocking(move || http_backend(&root, &seen)).await.unwrap();
            answer.map(|body| body.map_err(|never| match never {}).boxed_unsync())
        }
    })
    .await;
    let push = GitPush { max_pack: 16 << 20, ..git_push() };
    let entry =
        RouteEntry { path_allowlist: only(&["/app.git"]), git_push: Some(push), ..route("forge.test") };
    let both = Both::start(&origin, vec![entry]).await;
    let git = |at: PathBuf, arguments: &'static [&'static str]| {
        let (address, ca) = (both.address.clone(), both.files.agent_ca.clone());
        async move {
            let identity = ["-c", "user.name=Agent", "-c", "user.email=agent@forge.test"];
            let done = run_behind(&address, &ca, "git", &[&identity[..], arguments].concat(), &at).await;
            assert!(done.status.success(), "git {arguments:?}: {}", text(&done.stderr));
            text(&done.stdout).trim().to_owned()
        }
    };
    git(root.clone(), &["init", "-q", "--bare", "-b", "main", "app.git"]).await;
    git(root.join("app.git"), &["config", "http.receivepack", "true"]).await;
    git(folder.path().to_owned(), &["init", "-q", "-b", "main", "work"]).await;
    let noise: String = (0..300_000_u64)
        .map(|n| format!("{:x}\n", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
        .collect::<Vec<_>>()
        .concat();
    fs::write(work.join("noise"), noise).unwrap();
    git(work.clone(), &["add", "noise"]).await;
    git(work.clone(), &["commit", "-q", "-m", "noise"]).await;
    git(work.clone(), &["push", "-q", "https://forge.test/app.git", "HEAD:refs/heads/agent/x"]).await;
    let head = git(work.clone(), &["rev-parse", "HEAD"]).await;
    assert_eq!(git(root.join("app.git"), &["rev-parse", "refs/heads/agent/x"]).await, head);
}
