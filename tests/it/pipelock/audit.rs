//! pipelock's own part of the audit trail, in a folder.

use super::{setup, token};
use crate::origin::Origin;
use bottle::{
    intercept::{Protocol, body},
    telemetry::audit::{Entry, PipelockRecord, Reader, Series},
};
use http::Response;
use std::{path::Path, time::Duration};

fn records(folder: &Path, series: Series) -> Vec<PipelockRecord> {
    let mut reader = Reader::open(&[folder], &[series], None).unwrap();
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
    running.ask(format!("{} / HTTP/1.1\r\nHost: other.test\r\n\r\n", token())).await;
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
    assert_eq!(denied[1].method.as_deref(), Some("***[GitHub Token]"));
    assert_eq!(denied[2].url.as_deref(), Some("https://api.test/"));
    assert_eq!(denied[2].scanner.as_deref(), Some("dlp_match"));
    let text = std::fs::read_to_string(folder.path().join("denied.jsonl")).unwrap();
    assert!(!text.contains(&token()) && !running.log.text().contains(&token()), "{text}");
    assert!(text.lines().all(|line| line.len() <= 4096));
}
