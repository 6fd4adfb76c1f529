//! HTTP/2 inside a tunnel: what its frames can say that a request of HTTP/1.1 can't.

use super::super::client::{TlsStream, secure};
use super::{Allowed, Finding, Outcome, Proxy, Subject};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Frames of an answer that are read before nothing else is waited for.
const ENOUGH: usize = 4096;

type Fields = Vec<(String, String)>;
/// Changes the fields of an allowed request.
type Change = fn(&mut Fields, &str);
/// The frames behind the preface.
type Frames = fn(&Allowed<'_>, &str) -> Vec<u8>;

/// Fields of one request, each of which makes it another one to some reader.
const HEADS: &[(&str, &str, Change)] = &[
    ("authority", "name another host in `:authority`", |f, mark| {
        set(f, ":authority", &format!("{mark}.example"));
    }),
    ("authority-port", "name another port in `:authority`", |f, _| f[2].1.push_str(":8443")),
    ("authority-user", "put a user into `:authority`", |f, mark| f[2].1 = format!("{mark}@{}", f[2].1)),
    ("authority-empty", "say an empty `:authority`", |f, _| f[2].1.clear()),
    ("authority-twice", "say `:authority` twice", |f, mark| {
        f.insert(3, (":authority".into(), format!("{mark}.example")));
    }),
    ("authority-and-host", "say another `host` beside `:authority`", |f, mark| {
        add(f, "host", &format!("{mark}.example"));
    }),
    ("two-hosts", "say `host` twice", |f, mark| {
        add(f, "host", &format!("{mark}.example"));
        let own = f[2].1.clone();
        add(f, "host", &own);
    }),
    ("no-authority", "say no host at all", |f, _| drop(f.remove(2))),
    ("path-absolute", "say a URL in `:path`", |f, mark| f[3].1 = format!("https://{mark}.example/")),
    ("path-empty", "say an empty `:path`", |f, _| f[3].1.clear()),
    ("path-no-slash", "begin `:path` without a slash", |f, mark| mark.clone_into(&mut f[3].1)),
    ("path-fragment", "put a fragment into `:path`", |f, mark| append(f, &format!("#{mark}"))),
    ("path-space", "put a space into `:path` (request line splitting)", |f, mark| {
        append(f, &format!(" HTTP/1.1 {mark}"));
    }),
    ("path-line-break", "put a line break into `:path` (CVE-2021-21409)", |f, mark| {
        append(f, &format!("\r\nx: {mark}"));
    }),
    ("path-twice", "say `:path` twice", |f, mark| f.insert(4, (":path".into(), format!("/{mark}")))),
    ("no-path", "say no `:path`", |f, _| drop(f.remove(3))),
    ("method-space", "put a space into `:method`", |f, mark| f[0].1 = format!("GET /{mark} HTTP/1.1\r\nx:")),
    ("method-unlisted", "use a method that no rule lists", |f, _| f[0].1 = "BOTTLEATTACK".into()),
    ("method-long", "carry bytes out in `:method`", |f, _| f[0].1 = "BOTTLEATTACK".repeat(20)),
    ("method-twice", "say `:method` twice", |f, _| f.insert(1, (":method".into(), "DELETE".into()))),
    ("no-method", "say no `:method`", |f, _| drop(f.remove(0))),
    ("connect", "open a tunnel in the tunnel", |f, mark| {
        *f = vec![(":method".into(), "CONNECT".into()), (":authority".into(), format!("{mark}.example:443"))];
    }),
    ("extended-connect", "open another protocol (RFC 8441)", |f, _| {
        f[0].1 = "CONNECT".into();
        f.insert(1, (":protocol".into(), "bottle-attack".into()));
    }),
    ("scheme-twice", "say `:scheme` twice", |f, _| f.insert(2, (":scheme".into(), "http".into()))),
    ("scheme-injected", "put another host into `:scheme`", |f, mark| {
        f[1].1 = format!("https://{mark}.example/");
    }),
    ("pseudo-last", "say a pseudo field behind a field", |f, _| {
        let path = f.remove(3);
        f.push(("x-a".into(), "b".into()));
        f.push(path);
    }),
    ("pseudo-unknown", "say a pseudo field that nobody knows", |f, mark| {
        f.insert(4, (":bottle".into(), mark.into()));
    }),
    ("status", "say `:status` in a request", |f, _| f.insert(4, (":status".into(), "200".into()))),
    ("upper-case", "say a field in upper case", |f, mark| add(f, "X-Upper", mark)),
    ("name-colon", "put a colon into a name (CVE-2021-21295)", |f, mark| add(f, "x:y", mark)),
    ("name-space", "put a space into a name", |f, mark| add(f, "x y", mark)),
    ("name-line-break", "put a line break into a name", |f, mark| add(f, "x\r\ny", mark)),
    ("name-empty", "say a field without a name", |f, mark| add(f, "", mark)),
    ("value-line-break", "put a line break into a value (H2.CL)", |f, mark| {
        add(f, "x-a", &format!("b\r\n\r\nGET /{mark} HTTP/1.1"));
    }),
    ("value-nul", "put NUL into a value", |f, mark| add(f, "x-a", &format!("b\0{mark}"))),
    ("transfer-encoding", "send `transfer-encoding` (H2.TE, CVE-2021-33193)", |f, _| {
        add(f, "transfer-encoding", "chunked");
    }),
    ("connection", "send `connection`", |f, _| add(f, "connection", "x-a")),
    ("keep-alive", "send `keep-alive`", |f, mark| add(f, "keep-alive", mark)),
    ("proxy-connection", "send `proxy-connection`", |f, mark| add(f, "proxy-connection", mark)),
    ("upgrade", "send `upgrade`", |f, _| add(f, "upgrade", "h2c")),
    ("te", "send `te` other than `trailers`", |f, _| add(f, "te", "gzip, chunked")),
    ("length", "say a length and send no body (H2.CL)", |f, _| set(f, "content-length", "44")),
    ("length-twice", "say two lengths", |f, _| {
        add(f, "content-length", "0");
        add(f, "content-length", "44");
    }),
    ("length-none", "say a length that is no number", |f, _| set(f, "content-length", "+0")),
    ("many-fields", "send more fields than a head may have", |f, mark| {
        (0..400).for_each(|_| add(f, "x-a", mark));
    }),
    ("long-field", "send a head that is larger than one may be", |f, mark| {
        add(f, "x-a", &format!("{mark}{}", "a".repeat(300_000)));
    }),
    ("git-push", "git push over HTTP/2", |f, mark| {
        f[0].1 = "GET".into();
        f[3].1 = format!("/{mark}/info/refs?service=git-receive-pack");
    }),
];

/// Goes on behind `:path`.
fn append(fields: &mut Fields, text: &str) {
    fields[3].1.push_str(text);
}

fn set(fields: &mut Fields, name: &str, value: &str) {
    match fields.iter_mut().find(|(own, _)| own == name) {
        Some((_, own)) => value.clone_into(own),
        None => add(fields, name, value),
    }
}

fn add(fields: &mut Fields, name: &str, value: &str) {
    fields.push((name.to_owned(), value.to_owned()));
}

/// What is sent instead of a request.
const FRAMES: &[(&str, &str, Frames)] = &[
    ("rapid-reset", "open and reset very many streams (CVE-2023-44487)", |allowed, _| {
        let open = |n: u32| {
            [
                head(2 * n + 1, &block(&fields(allowed)), END_HEADERS | END_STREAM),
                frame(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8]),
            ]
            .concat()
        };
        (0..5000).flat_map(open).collect()
    }),
    ("continuations", "send a head that never ends (CVE-2024-27316)", |allowed, _| {
        let first = head(1, &block(&fields(allowed)), END_STREAM);
        let more = frame(CONTINUATION, 0, 1, &literal("x-a", &"a".repeat(8000)));
        [first, more.repeat(200)].concat()
    }),
    ("empty-continuations", "send very many empty pieces of a head (CVE-2019-9518)", |allowed, _| {
        [head(1, &block(&fields(allowed)), END_STREAM), frame(CONTINUATION, 0, 1, &[]).repeat(100_000)]
            .concat()
    }),
    ("continuation-of-another", "go on with the head of another stream", |allowed, _| {
        [head(1, &block(&fields(allowed)), END_STREAM), frame(CONTINUATION, END_HEADERS, 3, &[])].concat()
    }),
    ("continuation-alone", "go on with no head", |_, _| frame(CONTINUATION, END_HEADERS, 1, &[])),
    ("data-alone", "send a body without a head", |_, mark| frame(DATA, END_STREAM, 1, mark.as_bytes())),
    ("data-behind", "send a body behind the end of a request", |allowed, mark| {
        let body = frame(DATA, END_STREAM, 1, mark.as_bytes());
        [head(1, &block(&fields(allowed)), END_HEADERS | END_STREAM), body.repeat(2)].concat()
    }),
    ("stream-even", "open a stream of the server's", |allowed, _| {
        head(2, &block(&fields(allowed)), END_HEADERS | END_STREAM)
    }),
    ("stream-zero", "send a head on no stream", |allowed, _| {
        head(0, &block(&fields(allowed)), END_HEADERS | END_STREAM)
    }),
    ("index-zero", "refer to a field that is not there", |_, _| head(1, &[0x80], END_HEADERS | END_STREAM)),
    ("index-far", "refer to a field far away", |_, _| {
        head(1, &[0xff, 0xff, 0xff, 0x7f], END_HEADERS | END_STREAM)
    }),
    ("integer-endless", "send a number that never ends (CVE-2016-6581)", |_, _| {
        head(1, &[&[0xff][..], &[0xff; 64]].concat(), END_HEADERS | END_STREAM)
    }),
    ("padding", "pad a frame with more than it holds", |allowed, _| {
        let padded = [&[255][..], &block(&fields(allowed))[..8]].concat();
        frame(HEADERS, END_HEADERS | END_STREAM | 8, 1, &padded)
    }),
    ("frame-too-long", "send a frame that is larger than one may be", |_, _| frame(DATA, 0, 1, &[0; 40_000])),
    ("window-overflow", "open a window beyond its end", |_, _| {
        frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])
    }),
    ("window-zero", "open a window by nothing", |_, _| frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
    ("settings-length", "send settings of a wrong length", |_, _| frame(SETTINGS, 0, 0, &[0; 5])),
    ("settings-window", "ask for a window beyond its end", |_, _| {
        frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])
    }),
    ("settings-push", "ask for pushes with a wrong value", |_, _| frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2])),
    ("ping-length", "send a ping of a wrong length", |_, _| frame(PING, 0, 0, &[0; 7])),
    ("ping-stream", "send a ping on a stream", |_, _| frame(PING, 0, 1, &[0; 8])),
    ("push-promise", "promise a push as a client", |allowed, _| {
        frame(5, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &block(&fields(allowed))].concat())
    }),
    ("preface-http1", "speak HTTP/1.1 where HTTP/2 was agreed on", |_, mark| {
        format!("GET /{mark} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
    }),
];

pub(super) fn run(proxy: &Proxy<'_>, findings: &mut Vec<Finding>) {
    let usual = proxy.usual();
    let control = proxy.finding("h2/control", "request over HTTP/2 what is allowed", |_| {
        let answer = ask(proxy, &usual, |allowed| block(&fields(allowed)))?;
        Ok(match answer {
            Heard::Served => Outcome::Held("it is answered".into()),
            other => Outcome::NotTried(format!("what is allowed is not answered: {}", other.said())),
        })
    });
    let without = match &control.outcome {
        Outcome::NotApplicable(_) => Some(control.outcome.clone()),
        _ => None,
    };
    findings.push(control);
    findings.extend(HEADS.iter().map(|(name, tried, change)| {
        proxy.finding(format!("h2/head/{name}"), tried, |mark| {
            without.clone().map_or(Ok(()), Err)?;
            let answer = ask(proxy, &usual, |allowed| {
                let mut fields = fields(allowed);
                change(&mut fields, mark);
                block(&fields)
            })?;
            // A library may cut a fragment off before anything is matched, as long as it does not go on.
            Ok(match (answer, *name) {
                (Heard::Served, "path-fragment") => proxy.went_on("the request went on without it"),
                (answer, _) => answer.verdict(),
            })
        })
    }));
    findings.extend(FRAMES.iter().map(|(name, tried, frames)| {
        proxy.finding(format!("h2/frames/{name}"), tried, |mark| {
            without.clone().map_or(Ok(()), Err)?;
            let allowed = usual.as_ref().map_err(Clone::clone)?;
            let mut stream = open(proxy, allowed)?;
            // What is behind an unfinished head ends the connection by itself; behind all else a ping must not be answered.
            let asked = !name.ends_with("continuations");
            let ping = if asked { frame(PING, 0, 0, &[0; 8]) } else { Vec::new() };
            // A peer that closes while more is sent has said enough.
            let _ = stream.write(&[frame(SETTINGS, 0, 0, &[]), frames(allowed, mark), ping].concat());
            Ok(hear(&mut stream, if asked { Of::Ping } else { Of::Head }).verdict())
        })
    }));
}

/// An allowed request, as HTTP/2 says it.
fn fields(allowed: &Allowed<'_>) -> Fields {
    let pairs = [
        (":method", &*allowed.method),
        (":scheme", "https"),
        (":authority", &allowed.host),
        (":path", &allowed.target),
        ("user-agent", "bottle-attack"),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn open(proxy: &Proxy<'_>, allowed: &Allowed<'_>) -> Result<TlsStream, Outcome> {
    let (address, config) = proxy.reach()?;
    let mut stream = secure(address, &allowed.host, config, &[b"h2"])?;
    if !stream.agreed_on(b"h2") {
        return Err(Outcome::NotApplicable("the proxy does not offer HTTP/2".into()));
    }
    stream.write(PREFACE).map_err(|error| Outcome::NotTried(error.to_string()))?;
    Ok(stream)
}

fn ask(
    proxy: &Proxy<'_>,
    subject: &Subject<'_>,
    written: impl FnOnce(&Allowed<'_>) -> Vec<u8>,
) -> Result<Heard, Outcome> {
    let allowed = subject.as_ref().map_err(Clone::clone)?;
    let mut stream = open(proxy, allowed)?;
    let block = written(allowed);
    let mut pieces = block.chunks(16_000);
    let first = pieces.next().unwrap_or_default();
    let last = |left: usize| if left == 0 { END_HEADERS } else { 0 };
    let mut bytes = [frame(SETTINGS, 0, 0, &[]), head(1, first, END_STREAM | last(pieces.len()))].concat();
    while let Some(piece) = pieces.next() {
        bytes.extend(frame(CONTINUATION, last(pieces.len()), 1, piece));
    }
    let _ = stream.write(&bytes);
    Ok(hear(&mut stream, Of::Request))
}

/// What came back.
enum Heard {
    /// An origin's answer.
    Served,
    /// A refusal of bottle's.
    Refused,
    /// The stream was reset, or the connection closed.
    Ended(String),
    /// Nothing.
    Silent,
}

impl Heard {
    fn said(&self) -> String {
        match self {
            Self::Served => "it was answered".into(),
            Self::Refused => "refused by bottle".into(),
            Self::Ended(how) => how.clone(),
            Self::Silent => "no answer came".into(),
        }
    }

    fn verdict(&self) -> Outcome {
        match self {
            Self::Served => Outcome::Broken(self.said()),
            Self::Refused | Self::Ended(_) => Outcome::Held(self.said()),
            Self::Silent => Outcome::NotTried(self.said()),
        }
    }
}

/// What is listened for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// The answer to the request on the first stream.
    Request,
    /// Whether the connection goes on: a ping stands behind what was sent.
    Ping,
    /// Whether a head that has no end is answered.
    Head,
}

/// Reads frames until one of them says how it ended.
fn hear(stream: &mut TlsStream, of: Of) -> Heard {
    let (mut served, mut reset) = (false, false);
    for _ in 0..ENOUGH {
        let Some((kind, flags, id, payload)) = next(stream) else {
            let closed = Heard::Ended("the connection was closed".into());
            return if stream.is_silent() { Heard::Silent } else { closed };
        };
        match (kind, of) {
            (GOAWAY, _) => return Heard::Ended("the connection was ended".into()),
            (RST_STREAM, Of::Request) if id == 1 => return Heard::Ended("the stream was reset".into()),
            (RST_STREAM, _) => reset = true,
            (PING, Of::Ping) if flags & 1 == 1 && reset => {
                return Heard::Ended("the stream was reset".into());
            }
            (PING, Of::Ping) if flags & 1 == 1 => return Heard::Served,
            (HEADERS, Of::Head) => return Heard::Served,
            (HEADERS, Of::Request) if id == 1 => {
                // 200, 204 and 206 have an index of their own (RFC 7541, appendix A).
                served = matches!(payload.first(), Some(0x88..=0x8a));
                if flags & END_STREAM != 0 {
                    return if served { Heard::Served } else { Heard::Refused };
                }
            }
            (DATA, Of::Request) if id == 1 => {
                let ours = String::from_utf8_lossy(&payload).contains("bottle");
                return if served || !ours { Heard::Served } else { Heard::Refused };
            }
            _ => {}
        }
    }
    Heard::Silent
}

fn next(stream: &mut TlsStream) -> Option<(u8, u8, u32, Vec<u8>)> {
    let head: [u8; 9] = stream.read(9)?.try_into().ok()?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let stream_id = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
    Some((head[3], head[4], stream_id, stream.read(length)?))
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn head(stream: u32, block: &[u8], flags: u8) -> Vec<u8> {
    frame(HEADERS, flags, stream, block)
}

/// A field as it is, without an index (RFC 7541 §6.2.2).
fn literal(name: &str, value: &str) -> Vec<u8> {
    [&[0][..], &text(name), &text(value)].concat()
}

fn text(text: &str) -> Vec<u8> {
    let mut length = Vec::new();
    if text.len() < 127 {
        length.push(u8::try_from(text.len()).unwrap_or_default());
    } else {
        length.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            length.push(u8::try_from(rest % 128).unwrap_or_default() | 0x80);
            rest /= 128;
        }
        length.push(u8::try_from(rest).unwrap_or_default());
    }
    [length, text.as_bytes().to_vec()].concat()
}

fn block(fields: &Fields) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}
