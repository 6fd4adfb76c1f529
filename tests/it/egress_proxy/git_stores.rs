//! Pushes to real stores of git: Apache's WebDAV and git's own http-backend behind it. Each request is first shown to
//! write there (or to open a push) without the proxy; through the proxy nothing of it leaves.

use super::harness::{Stack, names, route};
use bottle::config::routes::{GitPush, RouteEntry};
use fs_err as fs;
use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Every method that a store of files may take, so that no rule refuses what git's own refusal should.
const METHODS: &[&str] = &[
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "PROPPATCH",
    "PROPFIND",
];

/// One request to a store.
struct Write {
    method: &'static str,
    path: String,
    fields: String,
    body: Vec<u8>,
}

fn write(method: &'static str, path: impl Into<String>, body: impl Into<Vec<u8>>) -> Write {
    Write { method, path: path.into(), fields: String::new(), body: body.into() }
}

impl Write {
    /// Whether it is one of the two requests of a push as git writes them, which the rule decides on by their refs.
    fn is_plain(&self) -> bool {
        let as_git = self.fields.contains("application/x-git-receive-pack-request");
        match self.method {
            "GET" => self.path == "/smart/app/info/refs?service=git-receive-pack",
            "POST" => self.path == "/smart/app/git-receive-pack" && as_git,
            _ => false,
        }
    }

    fn head(&self, host: &str) -> String {
        let Self { method, path, fields, body } = self;
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: {}", body.len())
    }
}

/// An Apache with a bare repository, `app`, that it keeps as files and serves by git as well.
struct Store {
    apache: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.apache.kill();
        let _ = self.apache.wait();
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(folder).args([
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@a.test",
        "-c",
        "safe.directory=*",
    ]);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    let said = command.args(arguments).output().unwrap();
    assert!(said.status.success(), "git {arguments:?}: {said:?}");
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

/// The modules' folder, where Debian has it.
const MODULES: &str = "/usr/lib/apache2/modules";

impl Store {
    /// Nothing where Apache is absent, which is said, and a failure where `CI` is set.
    fn start() -> Option<Self> {
        if !Path::new(MODULES).join("mod_dav_fs.so").exists() {
            assert!(std::env::var_os("CI").is_none(), "scripts/setup --tests installs Apache");
            let line = b"egress_proxy::git_stores is NOT run: Apache (apache2-bin) is absent\n";
            std::io::stderr().write_all(line).unwrap();
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("www")).unwrap();
        git(root, &["init", "-q", "--bare", "--shared=0777", "-b", "main", "www/app"]);
        git(&root.join("www/app"), &["config", "http.receivepack", "true"]);
        fs::write(root.join("www/app/info/refs"), "").unwrap();
        for entry in walk(root) {
            fs::set_permissions(&entry, PermissionsExt::from_mode(0o777)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let backend = format!("{}/git-http-backend", git(root, &["--exec-path"]));
        let modules = ["mpm_prefork", "authz_core", "dav", "dav_fs", "alias", "cgi", "env"]
            .map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n"))
            .concat();
        let at = root.display();
        let config = format!(
            "ServerRoot {at}\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile {at}/pid\nErrorLog {at}/errors\n{modules}\
             User www-data\nGroup www-data\nDocumentRoot {at}/www\nDavLockDB {at}/locks\nAllowEncodedSlashes On\n\
             SetEnv GIT_PROJECT_ROOT {at}/www\nSetEnv GIT_HTTP_EXPORT_ALL 1\nSetEnv GIT_CONFIG_COUNT 1\n\
             SetEnv GIT_CONFIG_KEY_0 safe.directory\nSetEnv GIT_CONFIG_VALUE_0 *\n\
             ScriptAlias /smart/ {backend}/\n\
             <Directory />\nRequire all granted\n</Directory>\n<Directory {at}/www>\nDav On\n</Directory>\n"
        );
        fs::write(root.join("httpd.conf"), config).unwrap();
        let apache = Command::new("apache2")
            .args(["-X", "-f"])
            .arg(root.join("httpd.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let store = Self { apache, port, folder };
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                Instant::now() < deadline,
                "{:?}",
                fs::read_to_string(store.folder.path().join("errors"))
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(store)
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("www/app")
    }

    /// The status and the text of the answer to a request that no proxy is between.
    fn ask(&self, write: &Write) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head = write.head(&format!("127.0.0.1:{}\r\nConnection: close", self.port));
        stream.write_all(&[head.as_bytes(), b"\r\n\r\n", &write.body].concat()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        (answer.split(' ').nth(1).unwrap_or_default().parse().unwrap_or(0), answer)
    }
}

/// A folder and all that is below it.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}

/// A commit of another repository: its name, and the files of its objects by the paths that a store has them at.
fn commit(folder: &Path) -> (String, Vec<(String, Vec<u8>)>) {
    git(folder, &["init", "-q", "work"]);
    let work = folder.join("work");
    fs::write(work.join("file"), "pushed\n").unwrap();
    git(&work, &["add", "file"]);
    git(&work, &["commit", "-q", "-m", "pushed"]);
    let objects = work.join(".git/objects");
    let files = walk(&objects).into_iter().filter(|path| path.is_file());
    let files = files
        .map(|path| (path.strip_prefix(&objects).unwrap().display().to_string(), fs::read(&path).unwrap()));
    (git(&work, &["rev-parse", "HEAD"]), files.collect())
}

/// Two proxies before a host that stands for the store, with every method: one refuses pushes, one lets some pass.
struct Proxies([Stack; 2]);

async fn proxies() -> Proxies {
    let open = GitPush {
        refs: names(&["refs/*"]),
        create: true,
        delete: true,
        force: true,
        max_pack: 1 << 20,
        rules: None,
    };
    let with = async |git_push| {
        let route = RouteEntry { methods: names(METHODS), git_push, ..route("store.test") };
        Stack::with(|config| config.routes = vec![route]).await
    };
    Proxies([with(None).await, with(Some(open)).await])
}

/// That the proxies refuse the request, and that nothing of it leaves. Where `git.push` lets pushes pass every disguise
/// of one is refused still.
async fn refused(Proxies(proxies): &Proxies, write: &Write) {
    // The body's length does not matter to a decision that is made on the head.
    let body = String::from_utf8_lossy(&write.body).into_owned();
    let head =
        write.head("store.test").replace(&format!(": {}", write.body.len()), &format!(": {}", body.len()));
    for proxy in proxies.iter().take(if write.is_plain() { 1 } else { 2 }) {
        let answer = proxy.request("store.test:443", &head, &body).await;
        let reason = answer.header("x-bottle-reason");
        assert_eq!((answer.status, reason), (403, Some("git_push")), "{} {}", write.method, write.path);
        proxy.pipelock.assert_untouched();
    }
}

#[tokio::test]
async fn a_push_by_webdav_lands_on_apache_and_never_through_the_proxy() {
    let Some(store) = Store::start() else { return };
    let proxies = proxies().await;
    let folder = tempfile::tempdir().unwrap();
    let (name, objects) = commit(folder.path());
    // The whole push of faults.md P1: three objects and a branch.
    for (file, content) in &objects {
        let byte = file.split('/').next().unwrap();
        let made = write("MKCOL", format!("/app/objects/{byte}"), "");
        assert_eq!(store.ask(&made).0, 201);
        refused(&proxies, &made).await;
        let put = write("PUT", format!("/app/objects/{file}"), content.clone());
        assert_eq!(store.ask(&put).0, 201, "{file}");
        refused(&proxies, &put).await;
    }
    let refs = |branch: &str| write("PUT", format!("/app/refs/heads/{branch}"), format!("{name}\n"));
    assert_eq!(store.ask(&refs("main")).0, 201);
    refused(&proxies, &refs("main")).await;
    assert_eq!(git(&store.repository(), &["log", "-1", "--format=%s", "main"]), "pushed", "the push landed");

    // Spellings of the same that Apache takes.
    let (start, rest) = objects[0].0.split_at(3);
    for (index, (template, put)) in [
        ("/app/%72efs/heads/B", true),
        ("/app//refs/heads/B", true),
        ("/app/./refs/heads/B", false),
        ("/app/refs//heads/%2e/B", false),
        ("/%61pp/refs/heads/B", true),
        ("/app/refs%2Fheads%2FB", true),
        ("/app/x/../refs/heads/B", false),
    ]
    .into_iter()
    .enumerate()
    {
        let branch = format!("b{index}");
        let spelled = write("PUT", template.replace('B', &branch), format!("{name}\n"));
        let (status, answer) = store.ask(&spelled);
        // Apache can be told to take an encoded slash; where it finds no file of that name nothing is written.
        if status == 201 {
            assert_eq!(git(&store.repository(), &["rev-parse", &branch]), name, "{template}");
        } else {
            assert_eq!(template, "/app/refs%2Fheads%2FB", "{answer}");
        }
        if put {
            refused(&proxies, &spelled).await;
        } else {
            // No dot segment leaves this proxy at all, or the path is read as git's.
            for proxy in &proxies.0 {
                let answer =
                    proxy.request("store.test:443", &spelled.head("store.test"), &format!("{name}\n")).await;
                let reason = answer.header("x-bottle-reason").unwrap_or_default().to_owned();
                assert!(
                    ["git_push", "malformed_target"].contains(&reason.as_str()),
                    "{template}: {answer:?}"
                );
                proxy.pipelock.assert_untouched();
            }
        }
    }
    // Every other way to write: a reference that is moved, deleted, kept elsewhere; packs; what a dumb client reads first.
    let moved = Write {
        fields: format!("Destination: http://127.0.0.1:{}/app/refs/heads/moved\r\n", store.port),
        ..write("MOVE", "/app/refs/heads/b0", "")
    };
    let writes = [
        moved,
        write("DELETE", "/app/refs/heads/b1", ""),
        write("PUT", "/app/packed-refs", format!("{name} refs/heads/packed\n")),
        write("PUT", "/app/HEAD", "ref: refs/heads/moved\n"),
        write("PUT", "/app/info/refs", format!("{name}\trefs/heads/main\n")),
        write("PUT", format!("/app/objects/{start}{rest}_token"), "x"),
        write("PUT", format!("/app/objects/pack/pack-{name}.pack"), "x"),
        write("PUT", "/app/objects/info/packs", "x"),
        write("PUT", "/app/logs/refs/heads/main", "x"),
    ];
    fs::create_dir_all(store.repository().join("logs/refs/heads")).unwrap();
    for folder in ["logs", "logs/refs", "logs/refs/heads"] {
        let at = store.repository().join(folder);
        fs::set_permissions(at, PermissionsExt::from_mode(0o777)).unwrap();
    }
    for write in writes {
        let (status, answer) = store.ask(&write);
        assert!((200..300).contains(&status), "{} {}: {answer}", write.method, write.path);
        refused(&proxies, &write).await;
    }
    let branches = git(&store.repository(), &["for-each-ref", "--format=%(refname)"]);
    assert!(branches.contains("refs/heads/moved") && branches.contains("refs/heads/packed"), "{branches}");
    assert!(!branches.contains("refs/heads/b1"), "{branches}");
    // A file of another name is no push, and where it is moved to is never sent on.
    let aside = write("PUT", "/app/aside", format!("{name}\n"));
    assert_eq!(store.ask(&aside).0, 201);
    let [proxy, _] = &proxies.0;
    let answer = proxy.request("store.test:443", &aside.head("store.test"), &format!("{name}\n")).await;
    assert_eq!(answer.status, 200);
    let moved = Write {
        fields: format!("Destination: http://127.0.0.1:{}/app/refs/heads/aside\r\n", store.port),
        ..write("MOVE", "/app/aside", "")
    };
    assert_eq!(store.ask(&moved).0, 201);
    assert_eq!(git(&store.repository(), &["rev-parse", "aside"]), name);
    assert_eq!(proxy.request("store.test:443", &moved.head("store.test"), "").await.status, 200);
    let sent = proxy.pipelock.seen();
    assert!(sent.iter().all(|seen| seen.header("destination").is_empty()), "{sent:?}");
}

#[tokio::test]
async fn a_push_opens_at_gits_backend_and_never_through_the_proxy() {
    let Some(store) = Store::start() else { return };
    let proxies = proxies().await;
    for path in [
        "/smart/app/info/refs?service=git-receive-pack",
        "/smart/app/info/refs?service=git%2Dreceive-pack",
        "/smart/app/info/refs?service=git-upload-pack&service=git-receive-pack",
        "/smart/app/info/refs?%73ervice=git-receive-pack",
        "/smart/app/%69nfo/refs?x=1&service=git-receive-pack",
        "/smart/app//info/refs?service=git-receive-pack",
    ] {
        let opened = write("GET", path, "");
        let (status, answer) = store.ask(&opened);
        assert!(status == 200 && answer.contains("# service=git-receive-pack"), "{path}: {answer}");
        refused(&proxies, &opened).await;
    }
    for path in
        ["/smart/app/git-receive-pack", "/smart/app/git%2Dreceive-pack", "/smart/app//git-receive-pack"]
    {
        let fields = "Content-Type: application/x-git-receive-pack-request\r\n".to_owned();
        let sent = Write { fields, ..write("POST", path, "0000") };
        let (status, answer) = store.ask(&sent);
        assert!(
            status == 200 && answer.contains("application/x-git-receive-pack-result"),
            "{path}: {answer}"
        );
        refused(&proxies, &sent).await;
        refused(&proxies, &Write { fields: "Content-Type: text/plain\r\n".into(), ..sent }).await;
    }
    // A fetch works there, and passes.
    let fetch = write("GET", "/smart/app/info/refs?service=git-upload-pack", "");
    assert_eq!(store.ask(&fetch).0, 200);
    let [proxy, _] = &proxies.0;
    assert_eq!(proxy.request("store.test:443", &fetch.head("store.test"), "").await.status, 200);
}
