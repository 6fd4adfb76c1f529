//! What passes passes unchanged under every split, what is refused is refused under every split, and the HTTP
//! library reads what passed as the check read it.

use super::*;
use proptest::prelude::*;

const HOST: &str = "Host: a.test\r\n";

/// All that comes out when the bytes come in parts that end at `cuts`.
fn run(input: &[u8], cuts: &[usize]) -> (Vec<u8>, Vec<Verdict>, Option<FaultKind>) {
    let mut filter = RequestFilter::new(ConnectionKind::Proxy, &ServerLimits::default());
    let (mut passed, mut verdicts) = (Vec::new(), Vec::new());
    let mut from = 0;
    for &to in cuts.iter().chain(std::iter::once(&input.len())) {
        filter.raw().extend_from_slice(&input[from..to]);
        filter.advance();
        passed.extend_from_slice(&filter.passed().split());
        verdicts.extend(filter.take_verdicts());
        from = to;
    }
    (passed, verdicts, filter.broken())
}

fn every_byte(input: &[u8]) -> Vec<usize> {
    (1..input.len()).collect()
}

/// The verdicts without what a fault could show of its head, which depends on how much had come.
fn judged(verdicts: &[Verdict]) -> Vec<Result<(Method, Bytes), FaultKind>> {
    let judge = |verdict: &Verdict| match verdict.clone() {
        Verdict::Sound { method, target } => Ok((method, target)),
        Verdict::Fault(fault) => Err(fault.kind),
    };
    verdicts.iter().map(judge).collect()
}

fn fault(input: &[u8]) -> HeadFault {
    let whole = run(input, &[]);
    let split = run(input, &every_byte(input));
    assert_eq!(judged(&whole.1), judged(&split.1), "{}", input.escape_ascii());
    assert!(whole.0.ends_with(STAND_IN), "{}", input.escape_ascii());
    match whole.1.last() {
        Some(Verdict::Fault(fault)) => fault.clone(),
        other => panic!("{} is {other:?}", input.escape_ascii()),
    }
}

#[test]
fn every_bad_form_is_a_fault_that_names_the_request() {
    let line = "POST /a?b HTTP/1.1\r\n";
    let cases: Vec<(String, FaultKind)> = vec![
        (format!("{line}{HOST}A: b\n\r\n"), FaultKind::BareLf),
        (format!("{line}{HOST}\n"), FaultKind::BareLf),
        (format!("{line}{HOST}A: b\rc\r\n\r\n"), FaultKind::BareCr),
        (format!("{line}{HOST}A: b\r\r\n\r\n"), FaultKind::BareCr),
        (format!("{line}{HOST}A: b\0\r\n\r\n"), FaultKind::ControlByte),
        (format!("{line}{HOST}A: b\x0b\r\n\r\n"), FaultKind::ControlByte),
        (format!("{line}{HOST}A: b\x7f\r\n\r\n"), FaultKind::ControlByte),
        (format!("{line}{HOST}A: b\r\n c\r\n\r\n"), FaultKind::ObsFold),
        (format!("{line} {HOST}\r\n"), FaultKind::ObsFold),
        (format!("{line}{HOST}A : b\r\n\r\n"), FaultKind::FieldName),
        (format!("{line}{HOST}A b: c\r\n\r\n"), FaultKind::FieldName),
        (format!("{line}{HOST}: c\r\n\r\n"), FaultKind::FieldName),
        (format!("{line}{HOST}novalue\r\n\r\n"), FaultKind::FieldName),
        (format!("{line}{HOST}Ä: c\r\n\r\n"), FaultKind::FieldName),
        (format!("{line}A: b\r\n\r\n"), FaultKind::HostMissing),
        (format!("{line}{HOST}{HOST}\r\n"), FaultKind::HostSeveral),
        (format!("{line}Host: a.test, b.test\r\n\r\n"), FaultKind::HostSeveral),
        (format!("{line}Host:\r\n\r\n"), FaultKind::HostMalformed),
        (format!("{line}Host: a.test b.test\r\n\r\n"), FaultKind::HostMalformed),
        (format!("{line}{HOST}Content-Length: 5\r\nContent-Length: 5\r\n\r\n"), FaultKind::ContentLength),
        (format!("{line}{HOST}Content-Length: 5, 5\r\n\r\n"), FaultKind::ContentLength),
        (format!("{line}{HOST}Content-Length: +5\r\n\r\n"), FaultKind::ContentLength),
        (format!("{line}{HOST}Content-Length: 0x5\r\n\r\n"), FaultKind::ContentLength),
        (format!("{line}{HOST}Content-Length:\r\n\r\n"), FaultKind::ContentLength),
        (format!("{line}{HOST}Content-Length: 99999999999999999999\r\n\r\n"), FaultKind::ContentLength),
        (
            format!("{line}{HOST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
            FaultKind::LengthAndEncoding,
        ),
        (
            format!("{line}{HOST}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"),
            FaultKind::LengthAndEncoding,
        ),
        (format!("{line}{HOST}Transfer-Encoding: gzip, chunked\r\n\r\n"), FaultKind::TransferEncoding),
        (format!("{line}{HOST}Transfer-Encoding: chunked, chunked\r\n\r\n"), FaultKind::TransferEncoding),
        (format!("{line}{HOST}Transfer-Encoding: identity\r\n\r\n"), FaultKind::TransferEncoding),
        (format!("{line}{HOST}Transfer-Encoding: xchunked\r\n\r\n"), FaultKind::TransferEncoding),
        (format!("{line}{HOST}Transfer-Encoding:\r\n\r\n"), FaultKind::TransferEncoding),
        (
            format!("{line}{HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
            FaultKind::TransferEncoding,
        ),
        (
            format!("POST /a?b HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n"),
            FaultKind::TransferEncoding,
        ),
        (format!("\r\n\r\nPOST /a?b HTTP/1.1\r\n{HOST}\r\n"), FaultKind::RequestLine),
    ];
    for (input, kind) in cases {
        let fault = fault(input.as_bytes());
        assert_eq!(fault.kind, kind, "{input:?}");
        if kind != FaultKind::RequestLine {
            assert_eq!(fault.method.as_deref(), Some("POST"), "{input:?}");
            assert_eq!(fault.target.as_deref(), Some("/a?b"), "{input:?}");
        }
    }
}

#[test]
fn heads_have_bounds() {
    let head =
        format!("GET / HTTP/1.1\r\n{HOST}A: {}\r\n\r\n", "b".repeat(ServerLimits::default().head_bytes));
    assert_eq!(fault(head.as_bytes()).kind, FaultKind::HeadTooLarge);
    let fields = "A: b\r\n".repeat(ServerLimits::default().head_fields - 1);
    let (passed, ..) = run(format!("GET / HTTP/1.1\r\n{HOST}{fields}\r\n").as_bytes(), &[]);
    assert!(!passed.ends_with(STAND_IN));
    let head = format!("GET / HTTP/1.1\r\n{HOST}{fields}A: b\r\n\r\n");
    assert_eq!(fault(head.as_bytes()).kind, FaultKind::TooManyFields);
}

#[test]
fn a_fault_is_found_behind_sound_requests_and_ends_the_reading() {
    let first = format!("POST /1 HTTP/1.1\r\n{HOST}Content-Length: 3\r\n\r\nabc");
    let input = format!("{first}GET /2 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET /3 HTTP/1.1\r\n{HOST}\r\n");
    let (passed, verdicts, _) = run(input.as_bytes(), &[]);
    assert_eq!(passed, [first.as_bytes(), STAND_IN].concat());
    assert_eq!(verdicts.len(), 2);
    assert!(matches!(&verdicts[1], Verdict::Fault(f) if f.target.as_deref() == Some("/2")));
}

#[test]
fn a_body_that_breaks_stops_where_it_broke() {
    let sound = format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    let input = format!("{sound}zz\r\n");
    for cuts in [vec![], every_byte(input.as_bytes())] {
        let (passed, verdicts, broken) = run(input.as_bytes(), &cuts);
        assert_eq!(String::from_utf8(passed).unwrap(), sound);
        assert_eq!((verdicts.len(), broken), (1, Some(FaultKind::Chunk)));
    }
}

#[test]
fn what_follows_a_connect_is_held_back() {
    let head = b"CONNECT a.test:443 HTTP/1.0\r\n\r\n";
    let mut filter = RequestFilter::new(ConnectionKind::Proxy, &ServerLimits::default());
    filter.raw().extend_from_slice(head);
    filter.raw().extend_from_slice(b"\x16\x03\x01\n\0");
    filter.advance();
    assert_eq!(filter.passed().split(), &head[..]);
    assert_eq!(filter.waiting(), Waiting::HandedOver);
    assert_eq!(filter.into_rest().unwrap(), &b"\x16\x03\x01\n\0"[..]);
}

/// A request that is well-formed, with a body of either framing.
fn sound_request() -> impl Strategy<Value = Vec<u8>> {
    let method = "[A-Z]{1,7}|[a-z!#$%&'*+.^_`|~-]{1,5}";
    let target =
        "/[a-zA-Z0-9/._~;,=&%?#:@!$'()*+-]{0,30}|http://[a-z]{1,9}\\.test(:[0-9]{1,4})?(/[a-z?#]{0,9})?";
    let field = ("X-[a-zA-Z!#$%&'*+.^_`|~0-9-]{1,12}", "[ \t]{0,2}([!-~]([ -~\t]{0,20}[!-~])?)?[ \t]{0,2}");
    let body = prop_oneof![
        Just(None),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|data| Some((
            false,
            vec![data],
            String::new()
        ))),
        (
            proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..4),
            "|X-T: [a-z]{0,5}\r\n"
        )
            .prop_map(|(chunks, trailers)| Some((true, chunks, trailers))),
    ];
    (method, target, proptest::collection::vec(field, 0..5), body, any::<bool>())
        .prop_filter("CONNECT is another matter", |(method, ..)| method != "CONNECT")
        .prop_map(|(method, target, fields, body, empty_line)| {
            let mut out = if empty_line { b"\r\n".to_vec() } else { Vec::new() };
            out.extend(format!("{method} {target} HTTP/1.1\r\n{HOST}").bytes());
            for (name, value) in fields {
                out.extend(format!("{name}:{value}\r\n").bytes());
            }
            match body {
                None => out.extend(b"\r\n"),
                Some((false, data, _)) => {
                    out.extend(format!("Content-Length: {}\r\n\r\n", data[0].len()).bytes());
                    out.extend(&data[0]);
                }
                Some((true, chunks, trailers)) => {
                    out.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                    for chunk in chunks {
                        out.extend(format!("{:X};x=\"y z\"\r\n", chunk.len()).bytes());
                        out.extend(chunk);
                        out.extend(b"\r\n");
                    }
                    out.extend(format!("0\r\n{trailers}\r\n").bytes());
                }
            }
            out
        })
}

fn cuts(length: usize) -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..=length, 0..12).prop_map(|mut cuts| {
        cuts.sort_unstable();
        cuts
    })
}

/// What the HTTP library reads: method, target without fragment, fields.
type Read = (String, String, Vec<(String, Vec<u8>)>);

/// Serves `input` with the library alone.
fn library(input: &[u8]) -> Vec<Read> {
    use http_body_util::{BodyExt, Empty};
    use std::{convert::Infallible, sync::Mutex};
    let seen = Mutex::new(Vec::new());
    let service = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| {
        let fields = request.headers().iter().map(|(n, v)| (n.to_string(), v.as_bytes().to_vec())).collect();
        let read = (request.method().to_string(), request.uri().to_string(), fields);
        seen.lock().unwrap().push(read);
        async move {
            let _ = request.into_body().collect().await;
            Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
        }
    });
    let (mut client, server) = tokio::io::duplex(1 << 20);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        tokio::io::AsyncWriteExt::write_all(&mut client, input).await.unwrap();
        tokio::io::AsyncWriteExt::shutdown(&mut client).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(server);
        let mut builder = hyper::server::conn::http1::Builder::new();
        let serving = builder.half_close(true).max_headers(ServerLimits::default().head_fields);
        let _ = serving.serve_connection(io, service).await;
    });
    seen.into_inner().unwrap()
}

/// Each head as its own bytes say it, by a reading of its own.
fn by_hand(verdict: &Verdict) -> (String, String) {
    match verdict {
        Verdict::Sound { method, target } => {
            let target = String::from_utf8_lossy(target);
            let target = target.split('#').next().unwrap_or_default();
            // The library writes an empty path of the absolute form as `/`, and an empty query without `?`.
            let uri: http::Uri = target.parse().unwrap();
            (method.to_string(), uri.to_string())
        }
        Verdict::Fault(_) => ("GET".into(), "/".into()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sound_streams_pass_byte_by_byte_however_they_are_cut(
        (stream, cuts) in proptest::collection::vec(sound_request(), 1..4)
            .prop_map(|requests| requests.concat())
            .prop_flat_map(|stream| { let length = stream.len(); (Just(stream), cuts(length)) })
    ) {
        let (passed, verdicts, broken) = run(&stream, &cuts);
        prop_assert_eq!(passed.escape_ascii().to_string(), stream.escape_ascii().to_string());
        prop_assert_eq!(broken, None);
        prop_assert_eq!(&verdicts, &run(&stream, &[]).1);
        let read = library(&stream);
        prop_assert_eq!(read.len(), verdicts.len());
        for (read, verdict) in read.iter().zip(&verdicts) {
            prop_assert_eq!((read.0.clone(), read.1.clone()), by_hand(verdict));
        }
    }

    /// Sound streams with a byte changed, taken away or put in: the library never sees another number of
    /// requests, another method or another target than the check saw.
    #[test]
    fn the_library_agrees_with_the_check_about_damaged_streams(
        stream in proptest::collection::vec(sound_request(), 1..4).prop_map(|requests| requests.concat()),
        damage in proptest::collection::vec(
            (any::<prop::sample::Index>(), 0..3u8, prop_oneof![
                proptest::sample::select(b"\r\n\0 \t:,;0#/".to_vec()), any::<u8>()
            ]), 1..4),
    ) {
        let mut stream = stream;
        for (at, how, byte) in damage {
            let at = at.index(stream.len());
            match how {
                0 => stream[at] = byte,
                1 => { stream.remove(at); }
                _ => stream.insert(at, byte),
            }
        }
        let (passed, verdicts, _) = run(&stream, &[]);
        let split = run(&stream, &every_byte(&stream));
        prop_assert_eq!(judged(&split.1), judged(&verdicts));
        // Of a chunk-size line that breaks, the part that came earlier has passed.
        prop_assert!(split.0.starts_with(&passed));
        let read = library(&passed);
        // After a request of HTTP/1.0 the library closes.
        let closes = passed.windows(11).any(|bytes| bytes == b" HTTP/1.0\r\n");
        prop_assert!(read.len() == verdicts.len() || closes && read.len() < verdicts.len());
        for (read, verdict) in read.iter().zip(&verdicts) {
            prop_assert_eq!((read.0.clone(), read.1.clone()), by_hand(verdict));
            let hosts = read.2.iter().filter(|(name, _)| name == "host").count();
            prop_assert_eq!(hosts, 1);
        }
    }
}
