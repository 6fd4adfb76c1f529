//! The audit trail: what is recorded, when, and what is left of it after a kill or a flood.

use super::{
    harness::{Files, SOON, Stack, exchange, usual_routes},
    life::start,
    pipelock::{FakePipelock, Manner, Seen, text},
};
use bottle::{
    clock::Clock,
    egress_proxy::EgressProxy,
    intercept::{Drain, Listener},
    telemetry::audit::{AuditReader, Entry, Event, Log, Record, Series, Sink, Verdict},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use jiff::SignedDuration;
use std::{
    convert::Infallible,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

fn secret() -> String {
    format!("ghp_{}", "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3z0A")
}

fn lines(stack: &Stack) -> Vec<Record> {
    stack.audit.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn entries(folder: &Path, series: &[Series]) -> Vec<Entry> {
    let mut reader = AuditReader::open(&[folder], series, None).unwrap();
    let all = std::iter::from_fn(|| reader.next().unwrap()).collect();
    assert_eq!(reader.skipped().lines, 0);
    all
}

fn records(folder: &Path, series: &[Series]) -> Vec<Record> {
    let record = |entry| match entry {
        Entry::EgressProxy(record) => *record,
        other => panic!("{other:?}"),
    };
    entries(folder, series).into_iter().map(record).collect()
}

#[tokio::test]
async fn a_request_has_a_record_at_its_dispatch_and_one_with_the_same_name_at_its_end() {
    let stack = Stack::start().await;
    for _ in 0..2 {
        assert_eq!(stack.get("api.test", "/user?q=1").await.status, 200);
    }
    stack.records(2).await;
    let all = lines(&stack);
    let events: Vec<_> = all.iter().map(|record| (record.event, record.verdict)).collect();
    let (dispatch, end) = ((Event::Dispatch, Verdict::Allow), (Event::End, Verdict::Allow));
    assert_eq!(events, [dispatch, end, dispatch, end]);
    assert_eq!(all[0].request, all[1].request);
    assert_eq!(all[2].request, all[3].request);
    assert_ne!(all[0].request, all[2].request);
    let parts: Vec<&str> = all[0].request.split('-').collect();
    assert!(parts.len() == 3 && i64::from_str_radix(parts[0], 16).is_ok(), "{parts:?}");
    assert_eq!(parts[1], all[0].connection.to_string());
    let sent = &all[0];
    assert_eq!((sent.status, sent.complete, sent.path.as_deref()), (None, false, Some("/user")));
    assert_eq!(sent.credential.as_deref(), Some("TOKEN"));
    assert_eq!((sent.query_bytes, sent.target.as_deref()), (Some(3), None));
}

#[tokio::test]
async fn the_dispatch_is_recorded_before_anything_is_sent_on() {
    let stack = Stack::start().await;
    let audit = stack.audit.clone();
    stack.pipelock.answer(move |_| text(200, &audit.text()));
    let answer = stack.get("open.test", "/first").await;
    let record: Record = serde_json::from_str(answer.body.trim()).unwrap();
    assert_eq!((record.event, record.path.as_deref()), (Event::Dispatch, Some("/first")));
}

#[tokio::test]
async fn what_is_not_sent_on_has_one_record_and_an_error_is_no_permission() {
    let stack = Stack::start().await;
    stack.get("paths.test", "/v2").await.assert_refused(403, "path_not_allowed");
    let refused = stack.record().await;
    assert_eq!((refused.event, refused.verdict), (Event::Deny, Verdict::Deny));
    stack.raw("GET http://bottle.internal/allowlist HTTP/1.1\r\nHost: bottle.internal\r\n\r\n").await;
    assert_eq!(stack.records(2).await[1].event, Event::Answer);
    stack.pipelock.behave(Manner::Connect("HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n"));
    assert_eq!(stack.get("open.test", "/").await.status, 502);
    let failed = stack.records(3).await.remove(2);
    assert_eq!((failed.event, failed.verdict), (Event::End, Verdict::Error), "sent on to pipelock");
    assert_eq!(lines(&stack).len(), 4, "one dispatch");
}

/// A status tells who is to act, not whether a rule refused.
#[tokio::test]
async fn a_verdict_is_of_the_reason_and_not_of_the_status() {
    let stack = Stack::start().await;
    let mut expected = Vec::new();
    for (status, reason, verdict) in [
        (403, "blocked_by_pipelock", Verdict::Deny),
        (413, "blocked_by_pipelock", Verdict::Deny),
        (429, "limit_reached", Verdict::Error),
        (502, "upstream_unreachable", Verdict::Error),
        (503, "limit_reached", Verdict::Error),
        (504, "upstream_timeout", Verdict::Error),
    ] {
        let refusal = move |_: &Seen| {
            let mut response = text(status, "blocked: for a test");
            response.headers_mut().insert("x-pipelock-block-reason", "test".parse().unwrap());
            response
        };
        stack.pipelock.answer(refusal);
        stack.get("open.test", "/").await.assert_refused(if status == 413 { 403 } else { status }, reason);
        expected.push((Event::End, verdict, Some(reason.to_owned())));
    }
    stack.pipelock.answer(|_| text(503, "the origin's own"));
    assert_eq!(stack.get("open.test", "/").await.status, 503);
    expected.push((Event::End, Verdict::Allow, None));
    let version = "GET / HTTP/1.2\r\nHost: open.test";
    stack.request("open.test:443", version, "").await.assert_refused(505, "malformed_request");
    expected.push((Event::Deny, Verdict::Deny, Some("malformed_request".to_owned())));

    let records = stack.records(expected.len()).await;
    let recorded = records.into_iter().map(|record| (record.event, record.verdict, record.reason));
    assert_eq!(recorded.collect::<Vec<_>>(), expected);
    let mut metrics = String::new();
    prometheus_client::encoding::text::encode(&mut metrics, &stack.proxy.admin().metrics).unwrap();
    let limits: Vec<_> = metrics.lines().filter(|line| line.contains("limit_reached")).collect();
    assert!(
        limits.len() == 1 && limits[0].contains("verdict=\"error\"") && limits[0].ends_with("} 2"),
        "{limits:?}"
    );
}

#[tokio::test]
async fn a_request_that_no_answer_came_to_was_not_allowed_but_failed() {
    let stack = Stack::start().await;
    stack.pipelock.behave(Manner::Silent);
    let mut tunnel = stack.tunnel("open.test:443").await;
    tunnel.send(b"GET / HTTP/1.1\r\nHost: open.test\r\n\r\n").await;
    let dispatched = async {
        while !stack.audit.text().ends_with('\n') {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, dispatched).await.expect("it is sent on");
    drop(tunnel);
    let record = stack.record().await;
    assert_eq!((record.event, record.verdict, record.status), (Event::End, Verdict::Error, None));
    assert_eq!(lines(&stack)[0].verdict, Verdict::Allow, "so far it was allowed");
}

#[tokio::test]
async fn a_request_that_breaks_off_was_not_refused_but_failed() {
    let stack = Stack::start().await;
    let mut tunnel = stack.tunnel("open.test:443").await;
    tunnel.send(b"POST / HTTP/1.1\r\nHost: open.test\r\nContent-Length: 10\r\n\r\n123").await;
    tunnel.shutdown().await;
    let record = stack.record().await;
    assert_eq!((record.event, record.verdict), (Event::End, Verdict::Error), "{record:#?}");
    assert_eq!(record.reason.as_deref(), Some("request_incomplete"));
}

#[tokio::test]
async fn a_record_has_the_time_at_which_it_was_made() {
    let seconds = Arc::new(AtomicI64::new(0));
    let start = Clock::system().now();
    let ticks = Arc::clone(&seconds);
    let clock = Clock::from_fn(move || start + SignedDuration::from_secs(ticks.load(Ordering::SeqCst)));
    let stack = Stack::build(&["h2"], clock, |_| {}).await;
    // The origin takes its time.
    stack.pipelock.answer(move |_| {
        seconds.store(30, Ordering::SeqCst);
        text(200, "late")
    });
    assert_eq!(stack.get("open.test", "/").await.status, 200);
    stack.records(1).await;
    let times: Vec<_> = lines(&stack).iter().map(|record| (record.event, record.time)).collect();
    let later = start + SignedDuration::from_secs(30);
    assert_eq!(times, [(Event::Dispatch, start), (Event::End, later)]);
}

#[tokio::test]
async fn what_has_no_canonical_form_is_recorded_as_it_was_received_and_so_is_the_refusal() {
    let stack = Stack::start().await;
    let connect = |target: &str| format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    stack.raw(&connect("10.0.0.1:443")).await.assert_refused(400, "malformed_authority");
    let path = format!("/a/../{}/\"?token=abc", secret());
    stack.get("open.test", &path).await.assert_refused(400, "malformed_target");
    stack
        .get("open.test", &format!("/{}/../", "a".repeat(9000)))
        .await
        .assert_refused(400, "malformed_target");
    let user = "GET http://user:pass-word@plain.test/x HTTP/1.1\r\nHost: plain.test\r\n\r\n";
    stack.raw(user).await.assert_refused(400, "malformed_authority");
    let folded = "GET /b HTTP/1.1\r\nHost: open.test\r\nX-A: 1\r\n 2";
    stack.request("open.test:443", folded, "").await.assert_refused(400, "malformed_request");
    stack.get("paths.test", "/v2?12345").await.assert_refused(403, "path_not_allowed");
    stack.get("open.test", "/f\u{202e}#abc").await.assert_refused(400, "malformed_target");
    let all = stack.records(7).await;
    let targets: Vec<_> = all.iter().map(|record| record.target.as_deref().unwrap_or("-")).collect();
    assert_eq!(targets[..2], ["10.0.0.1:443", "/a/../***[GitHub Token]/\""]);
    assert!(targets[2].len() <= 512 && targets[2].ends_with(" bytes]"), "{targets:?}");
    assert_eq!(
        targets[3..],
        ["http://***@plain.test/x", "/b", "-", r"/f\u{202e}"],
        "a path stands for itself"
    );
    let queries: Vec<_> = all.iter().map(|record| record.query_bytes).collect();
    assert_eq!(queries, [None, Some(9), None, None, None, Some(5), Some(3)]);
    let messages: Vec<_> = all.iter().map(|record| record.message.as_deref().unwrap()).collect();
    assert!(messages[0].starts_with("the host of CONNECT is malformed: "), "{messages:?}");
    assert!(
        messages[1].contains("`..` segment") && messages[5].contains("not an allowed path"),
        "{messages:?}"
    );
    assert!(messages[3].contains("`***@plain.test` is not a port"), "{messages:?}");
    let text = stack.audit.text();
    assert!(!["abc", "pass-word", &secret()].iter().any(|it| text.contains(it)), "{text}");
}

#[tokio::test]
async fn a_secret_in_a_path_is_masked_and_a_long_path_is_cut() {
    let stack = Stack::start().await;
    let encoded: String = secret().bytes().flat_map(|b| ["%".to_owned(), format!("{b:02x}")]).collect();
    stack.get("paths.test", &format!("/v2/{}/rest", secret())).await.assert_refused(403, "path_not_allowed");
    stack.get("paths.test", &format!("/v2/{encoded}")).await.assert_refused(403, "path_not_allowed");
    stack.get("open.test", &format!("/{}/rest", secret())).await;
    stack.get("paths.test", &"/abcdefg".repeat(2000)).await.assert_refused(403, "path_not_allowed");
    let all = stack.records(4).await;
    assert_eq!(all[0].path.as_deref(), Some("/v2/***[GitHub Token]/rest"));
    assert_eq!(all[2].path.as_deref(), Some("/***[GitHub Token]/rest"));
    let long = all[3].path.as_deref().unwrap();
    assert!(long.len() <= 512 && long.ends_with("…[+15520 bytes]"), "{long}");
    let text = stack.audit.text();
    assert!(!text.contains(&secret()) && !text.contains(&encoded), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_the_dispatch_and_a_new_process_appends() {
    let pipelock = FakePipelock::start(&["h2"]);
    let files = Files::new(&pipelock.ca_pem);
    files.write(&files.config(&pipelock.address, usual_routes()));
    let audit = files.path("audit");
    fs_err::create_dir(&audit).unwrap();
    let arguments = ["--audit-dir", audit.to_str().unwrap()];

    pipelock.answer(|_| {
        let never = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
        http::Response::new(StreamBody::new(never).boxed())
    });
    let mut running = start(&files, &arguments);
    let ca = &files.agent_ca;
    let mut tunnel = super::harness::tunnel(&running.listen, ca, "api.test:443", "api.test").await;
    tunnel.send(b"POST /charge HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n").await;
    let asked = async {
        while pipelock.seen().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, asked).await.expect("pipelock was asked");
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    let left = records(&audit, &Series::ALL);
    assert_eq!(left.len(), 1, "{left:#?}");
    assert_eq!((left[0].event, left[0].path.as_deref()), (Event::Dispatch, Some("/charge")));

    // As a kill in the middle of a line leaves it.
    let mut file = fs_err::File::options().append(true).open(audit.join("denied.jsonl")).unwrap();
    std::io::Write::write_all(&mut file, b"{\"time\":\"2026").unwrap();
    let running = start(&files, &arguments);
    let mut agent = crate::wire::Wire::new(tokio::net::TcpStream::connect(&running.listen).await.unwrap());
    let answer =
        exchange(&mut agent, b"CONNECT evil.example:22 HTTP/1.1\r\nHost: evil.example:22\r\n\r\n").await;
    answer.assert_refused(403, "host_not_allowed");
    let (code, stdout, log) = running.stop();
    assert_eq!((code, stdout.as_str()), (Some(0), ""), "{log:?}");
    assert_eq!(records(&audit, &[Series::Sent]), left, "the record of the killed process is still there");
    let mut reader = AuditReader::open(&[&audit], &[Series::Denied], None).unwrap();
    let Some(Entry::EgressProxy(refused)) = reader.next().unwrap() else { panic!("no refusal") };
    assert_eq!((refused.event, refused.host.as_deref()), (Event::Deny, Some("evil.example")));
    assert_eq!((reader.next().unwrap(), reader.skipped().lines), (None, 1));
    assert_ne!(refused.request, left[0].request);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refusals_is_counted_and_what_was_sent_on_stays() {
    let pipelock = FakePipelock::start(&["h2"]);
    let files = Files::new(&pipelock.ca_pem);
    let config = files.write(&files.config(&pipelock.address, usual_routes()));
    let audit = files.path("audit");
    fs_err::create_dir(&audit).unwrap();
    let log = Log::start(Sink::folder(&audit, "egress-proxy").unwrap()).unwrap();
    let proxy = EgressProxy::build(&config, &Clock::system(), log.clone()).unwrap();
    let listener = Listener::tcp("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let drain = Drain::new();
    let serving = tokio::spawn(proxy.serve(listener, drain.clone()));
    let mut tunnel = super::harness::tunnel(&address, &files.agent_ca, "open.test:443", "open.test").await;
    assert_eq!(exchange(&mut tunnel, b"GET /kept HTTP/1.1\r\nHost: open.test\r\n\r\n").await.status, 200);
    drop(tunnel);
    let asked = 700;
    for n in 0..asked {
        let mut agent = crate::wire::Wire::new(tokio::net::TcpStream::connect(&address).await.unwrap());
        let head = format!("CONNECT evil{0}.example:22 HTTP/1.1\r\nHost: evil{0}.example:22\r\n\r\n", n % 9);
        exchange(&mut agent, head.as_bytes()).await.assert_refused(403, "host_not_allowed");
    }
    drain.start();
    serving.await.unwrap();
    assert!(log.finish(SOON).await);
    assert_eq!(records(&audit, &[Series::Sent]).len(), 2);
    let (mut written, mut counted) = (0, 0);
    for entry in entries(&audit, &[Series::Denied]) {
        match entry {
            Entry::EgressProxy(_) => written += 1,
            Entry::Suppressed(flood) => {
                assert_eq!(flood.reasons, [("host_not_allowed".to_owned(), flood.count)].into());
                assert!(flood.hosts <= 9 && flood.first <= flood.last, "{flood:?}");
                counted += flood.count;
            }
            Entry::Counting(begins) => assert_eq!(begins.series, "denied"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(written + counted, asked, "each is written or counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_flood_requests_are_counted_and_that_is_written_before_the_first_is_sent_on() {
    let pipelock = FakePipelock::start(&["h2"]);
    let files = Files::new(&pipelock.ca_pem);
    let config = files.write(&files.config(&pipelock.address, usual_routes()));
    let audit = files.path("audit");
    fs_err::create_dir(&audit).unwrap();
    // As a flood before this start left it; nothing is written to its blocks.
    let full = audit.join("sent-0000000001.jsonl");
    fs_err::File::create(&full).unwrap().set_len(1 << 30).unwrap();
    let log = Log::start(Sink::folder(&audit, "egress-proxy").unwrap()).unwrap();
    fs_err::remove_file(&full).unwrap();
    let proxy = EgressProxy::build(&config, &Clock::system(), log.clone()).unwrap();
    let listener = Listener::tcp("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let drain = Drain::new();
    let serving = tokio::spawn(proxy.serve(listener, drain.clone()));
    let live = audit.join("sent.jsonl");
    pipelock.answer(move |_| text(200, &fs_err::read_to_string(&live).unwrap()));
    let mut tunnel = super::harness::tunnel(&address, &files.agent_ca, "open.test:443", "open.test").await;
    let asked = 100;
    for n in 0..asked {
        let head = format!("GET /{n} HTTP/1.1\r\nHost: open.test\r\n\r\n");
        let answer = exchange(&mut tunnel, head.as_bytes()).await;
        let written = answer.body.contains(&format!("\"path\":\"/{n}\""));
        assert!(written || answer.body.contains("\"event\":\"counting\""), "{}", answer.body);
    }
    drop(tunnel);
    drain.start();
    serving.await.unwrap();
    assert!(log.finish(SOON).await);
    let (mut written, mut counted, mut begun) = (0, 0, 0);
    for entry in entries(&audit, &[Series::Sent]) {
        match entry {
            Entry::EgressProxy(record) => written += u64::from(record.event == Event::Dispatch),
            Entry::Counting(begins) => {
                assert_eq!((begins.series.as_str(), begins.decided_by.as_str()), ("sent", "egress-proxy"));
                begun += 1;
            }
            Entry::Counted(count) => {
                let [kind] = &count.kinds[..] else { panic!("{count:#?}") };
                assert_eq!(
                    (kind.host.as_deref(), kind.rule.as_deref()),
                    (Some("open.test"), Some("open.test"))
                );
                assert_eq!(kind.paths, kind.requests, "each has a path of its own");
                assert_eq!(kind.outcomes.keys().collect::<Vec<_>>(), ["allow 2xx"]);
                assert!(kind.response_bytes > 0 && kind.method.as_deref() == Some("GET"), "{kind:?}");
                counted += count.requests;
                begun -= 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((written + counted, begun), (asked, 0), "each is written or counted");
    assert!(counted > 0, "nothing was counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_a_flood_leaves_that_a_count_is_missing() {
    let pipelock = FakePipelock::start(&["h2"]);
    let files = Files::new(&pipelock.ca_pem);
    files.write(&files.config(&pipelock.address, usual_routes()));
    let audit = files.path("audit");
    fs_err::create_dir(&audit).unwrap();
    let mut running = start(&files, &["--audit-dir", audit.to_str().unwrap()]);
    let begun = async {
        loop {
            let mut agent =
                crate::wire::Wire::new(tokio::net::TcpStream::connect(&running.listen).await.unwrap());
            exchange(&mut agent, b"CONNECT evil.example:22 HTTP/1.1\r\nHost: evil.example:22\r\n\r\n").await;
            let text = fs_err::read_to_string(audit.join("denied.jsonl")).unwrap();
            if text.contains("\"event\":\"counting\"") {
                break;
            }
        }
    };
    tokio::time::timeout(SOON, begun).await.expect("refusals are counted");
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    let all = entries(&audit, &[Series::Denied]);
    let Some(Entry::Counting(begins)) = all.last() else { panic!("{:?}", all.last()) };
    assert_eq!((begins.series.as_str(), begins.decided_by.as_str()), ("denied", "egress-proxy"));
}

#[tokio::test]
async fn a_connect_that_comes_to_nothing_is_a_refusal_where_no_route_allows_the_host() {
    let stack = Stack::start().await;
    let connect = async |host: &str, then: &[u8]| {
        let mut agent = stack.dial().await;
        let head = format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n");
        agent.send(head.as_bytes()).await;
        assert!(agent.head().await.starts_with("HTTP/1.1 200"));
        agent.send(then).await;
        agent.shutdown().await;
        // Its end: whatever is recorded of it is.
        let _ = agent.rest().await;
    };
    // Nothing is due for these: a route allows the host, or it is the proxy's own.
    for host in ["open.test", "bottle.internal"] {
        connect(host, b"").await;
    }
    for then in [&b""[..], b"\x16\x03\x01\x00\x05\x01", b"\x16\x03\x01\x00\x04\x01\x00\x00\x00"] {
        connect("evil.test", then).await;
    }
    // TLS, and then nothing.
    drop(stack.tunnel("evil.test:443").await);
    let all = stack.records(4).await;
    for record in &all {
        assert_eq!((record.event, record.verdict), (Event::Deny, Verdict::Deny));
        assert_eq!(
            (record.reason.as_deref(), record.method.as_deref()),
            (Some("host_not_allowed"), Some("CONNECT"))
        );
        assert_eq!((record.host.as_deref(), record.port), (Some("evil.test"), Some(443)));
    }
    // A request says more than its CONNECT does.
    stack.get("evil.test", "/a").await.assert_refused(403, "host_not_allowed");
    let last = stack.records(5).await.remove(4);
    assert_eq!((last.method.as_deref(), last.path.as_deref()), (Some("GET"), Some("/a")));
    connect("evil.test", b"SSH-2.0-x\r\n").await;
    let last = stack.records(6).await.remove(5);
    assert_eq!(last.reason.as_deref(), Some("tls_required"));
}
