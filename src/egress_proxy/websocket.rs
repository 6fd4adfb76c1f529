//! A WebSocket between the agent and an origin. Every message is read as it passes: what the agent sends is searched for
//! secrets and for the credentials of this proxy, what comes back is scrubbed of those. Messages are cut anew into frames,
//! since a piece waits for what may still become a secret (RFC 6455 §5.4); no more of them is held than that.

use super::{
    failure::Failure,
    record::{Passed, RequestRecord},
    rules::Rules,
};
use crate::dlp::{Finding, Incoming, Outgoing, OwnSecret, OwnSecrets, Scanner, StreamScanner};
use crate::intercept::{
    Meter, Stream,
    websocket::{FrameFault, Head, Kind, Piece, Pieces, Sender, Text, check_close, mask},
};
use crate::policy::{Reason, Refusal, Route};
use arc_swap::ArcSwap;
use bytes::BytesMut;
use futures_util::future::{Either, select};
use std::{io, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split},
    sync::oneshot,
    time::{sleep, timeout},
};

/// What is read at once, in bytes.
const CHUNK: usize = 16 * 1024;
/// How long the other side is given when one has closed.
const GOODBYE: Duration = Duration::from_secs(10);
/// RFC 6455 §7.4.1.
const PROTOCOL_ERROR: u16 = 1002;
const NOT_TEXT: u16 = 1007;
const POLICY: u16 = 1008;
const GOING_AWAY: u16 = 1001;
/// Service restart, in IANA's registry of close codes.
const RESTART: u16 = 1012;
/// How often it is seen whether the rules still hold.
const LOOK: Duration = Duration::from_secs(1);

/// What both ways are searched with.
pub(super) struct Search {
    pub(super) scanner: Scanner,
    pub(super) own: OwnSecrets,
    pub(super) route: Route,
    /// Bytes of one message of the agent's; 0: no limit.
    pub(super) message_bytes: u64,
}

/// What a WebSocket began under.
pub(super) struct Under {
    pub(super) rules: Arc<Rules>,
    /// What new requests are decided by.
    pub(super) live: Arc<ArcSwap<Rules>>,
}

impl Under {
    /// Whether it still holds. A reload ends what began before it: the client asks again, and is answered by the new rules.
    fn holds(&self, route: &Route) -> bool {
        Arc::ptr_eq(&self.rules, &self.live.load()) && route.holds_on(self.rules.clock.today())
    }

    async fn ends(&self, route: &Route) {
        while self.holds(route) {
            sleep(LOOK).await;
        }
    }
}

/// Why a WebSocket is ended.
#[derive(Debug)]
enum Stop {
    Agent(FrameFault),
    Origin(FrameFault),
    Secret(Finding),
    Own(OwnSecret),
    TooLarge,
    /// A side went away.
    Closed,
    /// The rules that it began under hold no longer.
    Rules,
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

/// Carries messages both ways until one side is done, and writes what came of it to the record.
pub(super) async fn relay(
    agent: Stream,
    origin: Stream,
    search: Search,
    under: Under,
    mut record: RequestRecord,
) {
    let ((from_agent, mut to_agent), (from_origin, to_origin)) = (split(agent), split(origin));
    let mut outward = Outward::new(&search);
    let mut inward = Inward::new(&search);
    let (tell, told) = oneshot::channel();
    let ended = {
        let out = pin!(async {
            tokio::select! {
                biased;
                () = under.ends(&search.route) => Err(Stop::Rules),
                done = carry_out(from_agent, to_origin, &mut outward, &record.sent) => done,
            }
        });
        let back = pin!(carry_back(from_origin, &mut to_agent, &mut inward, told));
        match select(out, back).await {
            Either::Left((Ok(()), back)) => timeout(GOODBYE, back).await.unwrap_or(Ok(())),
            Either::Left((Err(stop), back)) => {
                // The frame that is being written is finished first.
                let _ = tell.send(close_frame(&stop));
                let _ = timeout(GOODBYE, back).await;
                Err(stop)
            }
            Either::Right((Ok(()), out)) => timeout(GOODBYE, out).await.unwrap_or(Ok(())),
            Either::Right((Err(stop), _)) => Err(stop),
        }
    };
    let refused = ended.as_ref().err().and_then(|stop| stop.failure(&search.route));
    if let (Some(_), Err(stop @ Stop::Origin(_))) = (&refused, &ended) {
        let _ = timeout(GOODBYE, to_agent.write_all(&close_frame(stop))).await;
    }
    let _ = timeout(GOODBYE, to_agent.shutdown()).await;
    if let Some(failure) = &refused {
        record.failed(failure);
    }
    record.messages_passed(outward.passed, inward.passed, ended.is_ok());
}

impl Stop {
    /// What the record says; nothing where a side went away.
    fn failure(&self, route: &Route) -> Option<Failure> {
        let host = &route.host;
        let (reason, message) = match self {
            Self::Closed | Self::Rules => return None,
            Self::Agent(fault) => {
                (Reason::MalformedRequest, format!("the WebSocket to {host} is malformed: {fault}"))
            }
            Self::Origin(fault) => {
                (Reason::UpstreamInvalid, format!("the WebSocket of {host} is malformed: {fault}"))
            }
            Self::Secret(finding) => (
                Reason::CredentialInRequest,
                format!("a message to {host} carries a secret ({})", finding.pattern),
            ),
            Self::Own(own) => (Reason::OwnSecret, format!("a message to {host} is not sent: {own}")),
            Self::TooLarge => (Reason::BodyTooLarge, format!("a message to {host} is larger than the limit")),
        };
        Some(Refusal::new(reason, format!("{message}; retrying does not help")).under(route).into())
    }

    fn words(&self) -> &'static str {
        match self {
            Self::Agent(_) | Self::Origin(_) => "bottle: malformed frame",
            Self::Secret(_) => "bottle: the message carries a secret; take it out; retrying does not help",
            Self::Own(_) => "bottle: the message carries a credential of the proxy; retrying does not help",
            Self::TooLarge => "bottle: the message is too large; retrying does not help",
            Self::Closed => "bottle: the origin is gone",
            Self::Rules => "bottle: the rules have changed; connect again",
        }
    }
}

/// A close frame to the agent that says why.
fn close_frame(stop: &Stop) -> Vec<u8> {
    let code = match stop {
        Stop::Agent(FrameFault::Text) => NOT_TEXT,
        Stop::Agent(_) | Stop::Origin(_) => PROTOCOL_ERROR,
        Stop::Closed => GOING_AWAY,
        Stop::Rules => RESTART,
        _ => POLICY,
    };
    let mut out = Vec::new();
    frame(&mut out, Kind::Close, true, &[&code.to_be_bytes(), stop.words().as_bytes()].concat(), None);
    out
}

fn frame(out: &mut Vec<u8>, kind: Kind, last: bool, payload: &[u8], key: Option<[u8; 4]>) {
    Head { last, kind, mask: key, length: payload.len() as u64 }.write(out);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = key {
        mask(&mut out[start..], key, 0);
    }
}

/// What a client masks with must not be foreseen (RFC 6455 §5.3).
fn new_mask() -> [u8; 4] {
    let mut key = [0; 4];
    // Without randomness there is no TLS either.
    let _ = aws_lc_rs::rand::fill(&mut key);
    key
}

/// From the agent, in clear as it came, to frames that leave.
struct Outward<'s> {
    search: &'s Search,
    pieces: Pieces,
    message: Option<OutMessage>,
    closed: bool,
    passed: Passed,
}

struct OutMessage {
    /// What its next frame is: its own kind, then more of it.
    next: Kind,
    /// A message of text is read as text by its receiver, and by the searches: it must be that.
    text: Option<Text>,
    own: Outgoing,
    scan: StreamScanner,
    /// Passed by the first search, and held by the second.
    waiting: BytesMut,
    bytes: u64,
}

impl<'s> Outward<'s> {
    fn new(search: &'s Search) -> Self {
        Self {
            search,
            pieces: Pieces::new(Sender::Client),
            message: None,
            closed: false,
            passed: Passed::default(),
        }
    }

    /// The frames that leave now that these bytes have come, and whether the agent has closed.
    fn take(&mut self, bytes: &[u8]) -> Result<(Vec<u8>, bool), Stop> {
        self.pieces.push(bytes);
        let mut out = Vec::new();
        while let Some(piece) = self.pieces.take().map_err(Stop::Agent)? {
            match piece {
                // After a close nothing counts any more (RFC 6455 §5.5.1).
                _ if self.closed => {}
                Piece::Control { kind, payload } => {
                    self.passed.bytes += payload.len() as u64;
                    if kind == Kind::Close {
                        check_close(&payload).map_err(Stop::Agent)?;
                    }
                    self.check(&payload)?;
                    frame(&mut out, kind, true, &payload, Some(new_mask()));
                    self.closed = kind == Kind::Close;
                }
                Piece::Data { begins, payload, ends } => {
                    self.passed.bytes += payload.len() as u64;
                    if let Some(kind) = begins {
                        self.message = Some(OutMessage {
                            next: kind,
                            text: (kind == Kind::Text).then(Text::default),
                            own: self.search.own.outgoing(),
                            scan: self.search.scanner.stream_of_coded(),
                            waiting: BytesMut::new(),
                            bytes: 0,
                        });
                    }
                    let Some(message) = &mut self.message else {
                        return Err(Stop::Agent(FrameFault::Message));
                    };
                    message.take(payload, ends, self.search.message_bytes, &mut out)?;
                    if ends {
                        self.message = None;
                        self.passed.messages += 1;
                    }
                }
            }
        }
        Ok((out, self.closed))
    }

    /// A control frame is small, and is there as a whole.
    fn check(&self, payload: &[u8]) -> Result<(), Stop> {
        if let Some(own) = self.search.own.in_text(payload) {
            return Err(Stop::Own(own));
        }
        self.search.scanner.text(payload).map_or(Ok(()), |finding| Err(Stop::Secret(finding)))
    }
}

impl OutMessage {
    fn take(&mut self, payload: bytes::Bytes, ends: bool, most: u64, out: &mut Vec<u8>) -> Result<(), Stop> {
        self.bytes += payload.len() as u64;
        if most != 0 && self.bytes > most {
            return Err(Stop::TooLarge);
        }
        if let Some(text) = &mut self.text {
            text.push(&payload).map_err(Stop::Agent)?;
            if ends {
                text.finish().map_err(Stop::Agent)?;
            }
        }
        let mut passed = self.own.push(payload).map_err(Stop::Own)?;
        let mut cleared = self.search(&passed)?;
        if ends {
            passed = self.own.finish();
            cleared += self.search(&passed)?;
            cleared += self.scan.finish().map_err(Stop::Secret)?;
        }
        let leaves = self.waiting.split_to(cleared.min(self.waiting.len()));
        if ends || !leaves.is_empty() {
            frame(out, self.next, ends, &leaves, Some(new_mask()));
            self.next = Kind::Continuation;
        }
        Ok(())
    }

    fn search(&mut self, passed: &[u8]) -> Result<usize, Stop> {
        self.waiting.extend_from_slice(passed);
        self.scan.push(passed).map_err(Stop::Secret)
    }
}

/// From the origin to frames for the agent.
struct Inward<'s> {
    search: &'s Search,
    pieces: Pieces,
    message: Option<(Kind, Incoming)>,
    closed: bool,
    passed: Passed,
}

impl<'s> Inward<'s> {
    fn new(search: &'s Search) -> Self {
        Self {
            search,
            pieces: Pieces::new(Sender::Server),
            message: None,
            closed: false,
            passed: Passed::default(),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(Vec<u8>, bool), Stop> {
        self.pieces.push(bytes);
        let mut out = Vec::new();
        while let Some(piece) = self.pieces.take().map_err(Stop::Origin)? {
            match piece {
                _ if self.closed => {}
                Piece::Control { kind, payload } => {
                    self.passed.bytes += payload.len() as u64;
                    let scrubbed = self.search.own.scrubbed(&payload);
                    frame(&mut out, kind, true, scrubbed.as_deref().unwrap_or(&payload), None);
                    self.closed = kind == Kind::Close;
                }
                Piece::Data { begins, payload, ends } => {
                    self.passed.bytes += payload.len() as u64;
                    if let Some(kind) = begins {
                        self.message = Some((kind, self.search.own.incoming()));
                    }
                    let Some((next, own)) = &mut self.message else {
                        return Err(Stop::Origin(FrameFault::Message));
                    };
                    let mut passed = own.push(payload).to_vec();
                    if ends {
                        passed.extend_from_slice(&own.finish());
                    }
                    if ends || !passed.is_empty() {
                        frame(&mut out, *next, ends, &passed, None);
                        *next = Kind::Continuation;
                    }
                    if ends {
                        self.message = None;
                        self.passed.messages += 1;
                    }
                }
            }
        }
        Ok((out, self.closed))
    }
}

async fn carry_out(
    mut from: ReadHalf<Stream>,
    mut to: WriteHalf<Stream>,
    outward: &mut Outward<'_>,
    sent: &Meter,
) -> Result<(), Stop> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            // A message that broke off does not end well at the origin: it gets no frame that says so.
            return Ok(to.shutdown().await?);
        }
        let before = outward.passed.bytes;
        let taken = outward.take(&buffer[..count]);
        sent.add(outward.passed.bytes - before);
        let (frames, closed) = taken?;
        to.write_all(&frames).await?;
        to.flush().await?;
        if closed {
            return Ok(());
        }
    }
}

async fn carry_back(
    mut from: ReadHalf<Stream>,
    to: &mut WriteHalf<Stream>,
    inward: &mut Inward<'_>,
    mut told: oneshot::Receiver<Vec<u8>>,
) -> Result<(), Stop> {
    let mut buffer = vec![0; CHUNK];
    let mut listening = true;
    loop {
        let count = tokio::select! {
            biased;
            farewell = &mut told, if listening => {
                let Ok(farewell) = farewell else {
                    listening = false;
                    continue;
                };
                to.write_all(&farewell).await?;
                return Ok(to.flush().await?);
            }
            count = from.read(&mut buffer) => count?,
        };
        if count == 0 {
            return Ok(());
        }
        let (frames, closed) = inward.take(&buffer[..count])?;
        to.write_all(&frames).await?;
        to.flush().await?;
        if closed {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
