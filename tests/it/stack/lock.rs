//! `bottle lock` with a real engine and a registry that speaks the distribution protocol (the parts of it that a pull
//! uses).

use super::{
    harness::{self, docker, run},
    project::Project,
};
use fs_err as fs;
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// What a path is answered with: the media type and the bytes.
type Served = Arc<Mutex<BTreeMap<String, (&'static str, Vec<u8>)>>>;

/// A registry on loopback, which the engine trusts without TLS.
struct Registry {
    served: Served,
    port: u16,
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", data_encoding::HEXLOWER.encode(&Sha256::digest(bytes)))
}

impl Registry {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = Served::default();
        let shared = Arc::clone(&served);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let served = Arc::clone(&shared);
                thread::spawn(move || answer(&client, &served));
            }
        });
        Self { served, port }
    }

    fn name(&self) -> String {
        format!("127.0.0.1:{}/agent:1", self.port)
    }

    /// An image with one empty layer; `label` makes it another one. Gives its digest.
    fn push(&self, label: &str) -> String {
        let layer = vec![0; 1024];
        let config = serde_json::json!({
            "architecture": "amd64", "os": "linux", "config": {"Labels": {"label": label}},
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
        });
        let config = config.to_string().into_bytes();
        let part = |kind: &str, bytes: &[u8]| serde_json::json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest(bytes), "size": bytes.len()});
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": kind, "config": part("config.v1+json", &config),
            "layers": [part("layer.v1.tar", &layer)],
        });
        let manifest = manifest.to_string().into_bytes();
        let name = digest(&manifest);
        let mut served = self.served.lock().unwrap();
        for blob in [layer, config] {
            served.insert(format!("/v2/agent/blobs/{}", digest(&blob)), ("application/octet-stream", blob));
        }
        served.insert("/v2/agent/manifests/1".to_owned(), (kind, manifest.clone()));
        served.insert(format!("/v2/agent/manifests/{name}"), (kind, manifest));
        name
    }
}

fn answer(mut client: &TcpStream, served: &Served) {
    let mut lines = BufReader::new(client.take(1 << 16));
    let mut head = String::new();
    while lines.read_line(&mut head).is_ok_and(|read| read > 2) {}
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let found = served.lock().unwrap().get(path).cloned();
    let (status, kind, body) = match (path, found) {
        ("/v2/", _) => ("200 OK", "application/json", b"{}".to_vec()),
        (_, Some((kind, body))) => ("200 OK", kind, body),
        _ => ("404 Not Found", "application/json", br#"{"errors": []}"#.to_vec()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nDocker-Content-Digest: {}\r\nConnection: close\r\n\r\n",
        body.len(),
        digest(&body)
    );
    let _ = client.write_all(head.as_bytes()); // the engine may have gone away
    if method != "HEAD" {
        let _ = client.write_all(&body); // the same
    }
}

/// Its copies on this engine go with it.
impl Drop for Registry {
    fn drop(&mut self) {
        let repository = format!("127.0.0.1:{}/agent", self.port);
        let copies = docker(["image", "ls", "--all", "--quiet", &repository]).out;
        for copy in copies.split_whitespace() {
            docker(["image", "rm", "--force", copy]);
        }
    }
}

#[test]
fn a_lock_pins_what_a_tag_stands_for_until_it_is_upgraded() {
    if !harness::available() {
        return;
    }
    let registry = Registry::start();
    let (first, name) = (registry.push("first"), registry.name());
    let project = Project::new("lock", &format!("agent: {{image: \"{name}\", command: [x]}}\n"));
    let lock = project.folder().join("bottle.lock");

    let early = project.bottle(&["lock"]);
    assert_eq!(early.code, Some(2), "{}", early.text());
    assert!(early.err.contains(&format!("the digest of `{name}` is not known")), "{}", early.err);
    assert!(
        early.err.contains(&format!("`docker pull {name}` gets one; nothing was written")),
        "{}",
        early.err
    );
    assert!(!lock.exists());
    let unlocked = project.bottle(&["render", "--locked", "--accept-widening"]);
    assert_eq!(unlocked.code, Some(2));
    assert!(
        unlocked.err.contains("error[not-locked]: there is no bottle.lock beside the manifest"),
        "{}",
        unlocked.err
    );
    assert!(unlocked.err.contains(&format!("error[not-locked]: the image `{name}` is not in bottle.lock")));

    docker(["pull", "--quiet", &name]).ok();
    let said = project.bottle(&["lock"]).ok().out;
    assert!(said.contains(&format!("{name}  {first}  from the copy on this machine")), "{said}");
    project.bottle(&["render", "--locked", "--accept-widening"]).ok();
    let compose = |project: &Project| fs::read_to_string(project.out().join("docker-compose.yml")).unwrap();
    assert!(compose(&project).contains(&format!("{name}@{first}")), "{}", compose(&project));

    // The tag moves. Nothing changes until somebody wants it to, and then it is asked about.
    let second = registry.push("second");
    docker(["pull", "--quiet", &name]).ok();
    assert!(project.bottle(&["lock"]).ok().out.contains(&format!("{first}  kept")));
    project.bottle(&["render", "--locked"]).ok();
    assert!(project.bottle(&["lock", "--upgrade"]).ok().out.contains(&second));
    let asked = project.bottle(&["render", "--locked"]);
    assert_eq!(asked.code, Some(1), "{}", asked.text());
    assert!(asked.err.contains(&format!("the agent runs in the image {name}@{second}")), "{}", asked.err);

    // What the engine runs is what the lock says.
    project.bottle(&["render", "--locked", "--accept-widening"]).ok();
    let ran = run(project.command("docker").args([
        "image",
        "inspect",
        "--format",
        "{{.Id}}",
        &format!("{name}@{second}"),
    ]));
    assert!(ran.ok().out.starts_with("sha256:"));
}

#[test]
fn an_image_of_this_machine_alone_has_no_digest() {
    if !harness::available() {
        return;
    }
    let project = Project::new("lock-own", "agent: {image: bottle-test-base:1, command: [x]}\n");
    let said = project.bottle(&["lock"]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.err
            .contains("`bottle-test-base:1` was built on this machine, and no registry has a digest for it"),
        "{}",
        said.err
    );
    assert!(!project.folder().join("bottle.lock").exists());
}
