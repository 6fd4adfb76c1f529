//! The upstream project's own program, where it is on `PATH`. It can't be had from a package registry, so these are the
//! only tests that may be absent where `CI` is set. Each says so in one line, by its name in [`MAY_BE_ABSENT`].

use bottle::clock::Clock;
use bottle::config::pipelock::{PipelockFile, StackOptions};
use bottle::pki::{CaKind, CertificateAuthority};
use bottle::stack::ADMIN;
use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const MAY_BE_ABSENT: [&str; 2] = ["every_example_passes_its_own_check", "it_serves_the_rendered_config"];

/// Whether `pipelock` can be run; if not, that is said around the capture of what tests print.
fn is_here(test: &str) -> bool {
    assert!(MAY_BE_ABSENT.contains(&test), "{test} may not be absent");
    let here = Command::new("pipelock").arg("--help").output().is_ok_and(|said| said.status.success());
    if !here {
        let line = format!("real_pipelock::{test} is NOT run: no `pipelock` is on PATH\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    here
}

/// Only these are allowed to be absent: a further one would have to be added to the list.
#[test]
fn the_list_of_what_may_be_absent_is_complete() {
    let this = include_str!("real_pipelock.rs");
    for name in MAY_BE_ABSENT {
        assert!(this.contains(&format!("fn {name}()")), "{name}");
    }
    assert_eq!(this.matches("if !is_here(\"").count(), MAY_BE_ABSENT.len());
}

/// A config and the CA that it names, outside of a container.
struct Files {
    folder: tempfile::TempDir,
    file: Utf8PathBuf,
}

fn files(change: impl FnOnce(&mut PipelockFile), mut file: PipelockFile) -> Files {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(folder.path()).unwrap().to_owned();
    let ca = CertificateAuthority::mint(CaKind::Pipelock, "test", &Clock::system()).unwrap();
    let (cert, key) = (root.join("ca.pem"), root.join("ca-key.pem"));
    fs::write(&cert, ca.certificate_pem()).unwrap();
    fs::write(&key, ca.key_sec1_pem().unwrap().as_bytes()).unwrap();
    fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    file.tls_interception.ca_cert = cert.into_string();
    file.tls_interception.ca_key = key.into_string();
    change(&mut file);
    let path = root.join("pipelock.yaml");
    fs::write(&path, bottle::yaml::emit(&file).unwrap()).unwrap();
    Files { folder, file: path }
}

#[test]
fn every_example_passes_its_own_check() {
    if !is_here("every_example_passes_its_own_check") {
        return;
    }
    let examples = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut checked = 0;
    for entry in examples.read_dir_utf8().unwrap().map(Result::unwrap) {
        let name = entry.file_name();
        let rendered = entry.path().join(format!(".bottle/{name}/pipelock/pipelock.yaml"));
        let Ok(text) = fs::read(&rendered) else { continue };
        let files = files(|file| file.metrics_listen = Some(ADMIN), PipelockFile::read(&text).unwrap());
        let said =
            Command::new("pipelock").args(["check", "--config", files.file.as_str()]).output().unwrap();
        assert!(said.status.success(), "{name}: {}", String::from_utf8_lossy(&said.stderr));
        drop(files.folder);
        checked += 1;
    }
    assert!(checked > 5, "{checked}");
}

/// A program that is ended with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

#[test]
fn it_serves_the_rendered_config() {
    if !is_here("it_serves_the_rendered_config") {
        return;
    }
    let [port, metrics] = [free_port(), free_port()];
    let options = StackOptions { hosts: vec!["allowed.example".into()], ..StackOptions::default() };
    let files = files(
        |file| file.metrics_listen = Some((Ipv4Addr::LOCALHOST, metrics).into()),
        PipelockFile::stack(&options),
    );
    let listen = format!("127.0.0.1:{port}");
    let mut command = Command::new("pipelock");
    command.args(["run", "--config", files.file.as_str(), "--listen", &listen]);
    let _running = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let ask = |request: &str| -> Option<String> {
        let mut stream = TcpStream::connect(&listen).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(request.as_bytes()).ok()?;
        let mut head = [0; 512];
        let length = stream.read(&mut head).ok()?;
        Some(String::from_utf8_lossy(&head[..length]).into_owned())
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !ask("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        .is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    {
        assert!(Instant::now() < deadline, "it does not answer /health");
        std::thread::sleep(Duration::from_millis(50)); // between two looks
    }
    let denied = ask("CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n").unwrap();
    assert!(denied.starts_with("HTTP/1.1 403") && denied.contains("CONNECT blocked: "), "{denied}");
}
