//! pipelock's own part of the audit trail, in a folder.

use super::{setup, token};
use crate::origin::Origin;
use bottle::{
    intercept::{Protocol, body},
    telemetry::audit::{AuditReader, Entry, PipelockRecord, Series},
};
use http::Response;
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

fn records(folder: &Path, series: Series) -> Vec<PipelockRecord> {
    let mut reader = AuditReader::open(&[folder], &[series], None).unwrap();
    std::iter::from_fn(|| reader.next().unwrap())
        .map(|entry| match entry {
            Entry::Pipelock(record) => *record,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// The records of a series, once there is one of this event.
async fn until(folder: &Path, series: Series, event: &str) -> Vec<PipelockRecord> {
    let poll = async {
        loop {
            let records = records(folder, series);
            if records.iter().any(|record| record.event == event) {
                return records;
            }
            tokio::task::yield_now().await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(30), poll).await;
    found.unwrap_or_else(|_| panic!("no {event}: {:#?}", records(folder, series)))
}

#[tokio::test]
async fn a_dispatch_is_recorded_before_the_origin_is_asked_whatever_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let origin = Origin::serving(&[Protocol::Http1], move |_| {
        let events: Vec<String> =
            records(&path, Series::Sent).into_iter().map(|record| record.event).collect();
        async move { Response::new(body::full(events.join(" "))) }
    })
    .await;
    let mut setup = setup();
    setup.audit = Some(folder.path().to_owned());
    setup.file.logging.include_allowed = false;
    let running = setup.before(&origin).await;
    assert_eq!(running.ask("GET /a?q=1 HTTP/1.1\r\nHost: api.test\r\n\r\n").await.1, "startup dispatch");
    let sent = until(folder.path(), Series::Sent, "allowed").await;
    let [_, dispatch, allowed] = &sent[..] else { panic!("{sent:#?}") };
    assert_eq!(dispatch.request_id, allowed.request_id);
    assert_eq!(allowed.url.as_deref(), Some("https://api.test/a"));
    assert_eq!((dispatch.query_bytes, allowed.query_bytes), (Some(3), Some(3)));
    assert!(dispatch.time <= allowed.time, "each has the time at which it was made");
    assert_eq!((dispatch.status_code, allowed.status_code), (None, Some(200)));
    assert!(!running.log.text().contains("\"allowed\""), "the log says what it is told to say");
}

#[tokio::test]
async fn what_is_blocked_is_recorded_without_the_secret_and_cut() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::serving(&[Protocol::Http1], |_| async { Response::new(body::full("")) }).await;
    let mut setup = setup();
    setup.audit = Some(folder.path().to_owned());
    let running = setup.before(&origin).await;
    let label = "a".repeat(50);
    let host = [label.as_str(); 4].join(".") + ".test";
    running.connect(&format!("{host}:443")).await;
    let method = format!("{}{}", "AKIA", "Q3EGRIGF5WKUYV7Z");
    running.ask(format!("{method} / HTTP/1.1\r\nHost: other.test\r\n\r\n")).await;
    running.ask(format!("GET /{} HTTP/1.1\r\nHost: api.test\r\n\r\n", token())).await;
    let denied = until(folder.path(), Series::Denied, "blocked").await;
    assert!(denied.iter().all(|record| record.event == "blocked"), "{denied:#?}");
    let poll = async {
        while records(folder.path(), Series::Denied).len() < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), poll).await.unwrap();
    let denied = records(folder.path(), Series::Denied);
    assert_eq!(denied[0].target.as_deref(), Some(format!("{host}:443").as_str()));
    assert_eq!(denied[1].method.as_deref(), Some("***[AWS Access ID]"));
    assert_eq!(denied[2].url.as_deref(), Some("https://api.test/"));
    assert_eq!(denied[2].scanner.as_deref(), Some("dlp_match"));
    let text = fs_err::read_to_string(folder.path().join("denied.jsonl")).unwrap();
    assert!(!text.contains(&token()) && !running.log.text().contains(&token()), "{text}");
    assert!(text.lines().all(|line| line.len() <= 4096));
}

#[tokio::test]
async fn the_binary_appends_to_a_folder_and_says_what_is_wrong_with_one() {
    let origin = Origin::serving(&[Protocol::Http1], |_| async { Response::new(body::full("")) }).await;
    let files = setup().before(&origin).await;
    let at = |name: &str| files.folder.path().join(name);
    let audit = at("audit");
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bottle"));
        command.args(["pipelock", "run", "--config"]).arg(at("pipelock.yaml"));
        command.arg("--embedded").arg(at("embedded.yaml")).arg("--audit-dir").arg(&audit);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    };
    let refused = run().output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("can't write audit records to "), "{said}");

    fs_err::create_dir(&audit).unwrap();
    for count in 1..3 {
        let mut child = run().spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready: serde_json::Value = serde_json::from_str(&log.next().unwrap().unwrap()).unwrap();
        let mut client = std::net::TcpStream::connect(ready["listen"].as_str().unwrap()).unwrap();
        client.write_all(b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n").unwrap();
        let mut answer = [0; 12];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 403");
        drop(client);
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(child.wait().unwrap().success(), "{:?}", log.collect::<Vec<_>>());
        let denied = records(&audit, Series::Denied);
        assert_eq!(denied.len(), count, "a new process appends");
        let last = &denied[count - 1];
        assert_eq!((last.event.as_str(), last.target.as_deref()), ("blocked", Some("evil.test:443")));
    }
    let ids: Vec<_> = records(&audit, Series::Denied).into_iter().map(|record| record.request_id).collect();
    assert_ne!(ids[0], ids[1], "requests of different processes have different names");
}
