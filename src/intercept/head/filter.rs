//! Lets the bytes of sound requests through to the HTTP library, and gives a verdict on each head.

use super::{
    FaultKind, HeadFault,
    check::{self, Framing},
    chunk::{Chunked, Step, TrailerLimits},
    lines::Lines,
};
use crate::intercept::ServerLimits;
use bytes::{Bytes, BytesMut};
use http::Method;

/// What the library reads in the place of a head that is malformed.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nHost: malformed.invalid\r\nConnection: close\r\n\r\n";

/// The verdict on one head, in the order of the heads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::intercept) enum Verdict {
    /// It is well-formed.
    Sound {
        /// Its method.
        method: Method,
        /// Its request target, byte for byte.
        target: Bytes,
    },
    /// It is not, and nothing after it is read.
    Fault(HeadFault),
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::intercept) enum ConnectionKind {
    /// Between client and proxy: CONNECT is possible, and what follows it is held back.
    Proxy,
    /// In a tunnel.
    Tunnel,
}

/// What the filter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The first byte of a head.
    Idle,
    /// The rest of a head.
    Head,
    /// More of a body.
    Body,
    /// The end of HTTP on this connection: what follows is held back.
    HandedOver,
    /// Nothing any more: a head was malformed.
    Nothing,
}

enum State {
    Head(Lines),
    Length(u64),
    Chunked(Chunked),
    /// A CONNECT has passed, or an upgrade was granted.
    HandedOver,
    Refused,
    Broken(FaultKind),
}

/// Takes what a client sends, and gives what the library may read: sound heads and their bodies, byte for byte.
pub(super) struct RequestFilter {
    state: State,
    raw: BytesMut,
    passed: BytesMut,
    verdicts: Vec<Verdict>,
    connection: ConnectionKind,
    /// One empty line before a request line is allowed (RFC 9112 §2.2).
    empty_line: bool,
    head_bytes: usize,
    head_fields: usize,
}

impl RequestFilter {
    pub(super) fn new(connection: ConnectionKind, limits: &ServerLimits) -> Self {
        Self {
            state: State::Head(Lines::default()),
            raw: BytesMut::new(),
            passed: BytesMut::new(),
            verdicts: Vec::new(),
            connection,
            empty_line: false,
            head_bytes: limits.head_bytes,
            head_fields: limits.head_fields,
        }
    }

    /// Where to put what the client sent; call [`RequestFilter::advance`] afterwards.
    pub(super) fn raw(&mut self) -> &mut BytesMut {
        &mut self.raw
    }

    /// What the library may read.
    pub(super) fn passed(&mut self) -> &mut BytesMut {
        &mut self.passed
    }

    /// The verdicts since the last call.
    pub(super) fn take_verdicts(&mut self) -> std::vec::Drain<'_, Verdict> {
        self.verdicts.drain(..)
    }

    /// Why the body can't go on, once all that was sound of it has passed.
    pub(super) fn broken(&self) -> Option<FaultKind> {
        match self.state {
            State::Broken(kind) => Some(kind),
            _ => None,
        }
    }

    pub(super) fn waiting(&self) -> Waiting {
        match self.state {
            State::Head(_) if self.raw.is_empty() && !self.empty_line => Waiting::Idle,
            State::Head(_) => Waiting::Head,
            State::Length(_) | State::Chunked(_) => Waiting::Body,
            State::HandedOver => Waiting::HandedOver,
            State::Refused | State::Broken(_) => Waiting::Nothing,
        }
    }

    /// Holds back what follows, unless the client has sent some of it already.
    pub(super) fn hand_over(&mut self) {
        if self.waiting() == Waiting::Idle && self.passed.is_empty() {
            self.state = State::HandedOver;
        }
    }

    /// What was held back after the end of HTTP; `None` where HTTP has not ended.
    pub(super) fn into_rest(self) -> Option<BytesMut> {
        (self.waiting() == Waiting::HandedOver).then_some(self.raw)
    }

    /// Passes as much as can be passed.
    pub(super) fn advance(&mut self) {
        while self.step() {}
    }

    fn step(&mut self) -> bool {
        let trailers = TrailerLimits { bytes: self.head_bytes, fields: self.head_fields };
        match &mut self.state {
            State::Head(lines) => {
                // The request line and the empty line are lines, too.
                let end = lines.scan(&self.raw, self.head_fields + 1);
                self.head(end)
            }
            State::Length(left) => {
                let take = usize::try_from(*left).map_or(self.raw.len(), |left| left.min(self.raw.len()));
                *left -= take as u64;
                let done = *left == 0;
                self.pass(take);
                if done {
                    self.state = State::Head(Lines::default());
                }
                done
            }
            State::Chunked(chunked) => match chunked.step(&self.raw, trailers) {
                Ok(Step::Pass(n)) => self.pass(n),
                Ok(Step::End(n)) => {
                    self.state = State::Head(Lines::default());
                    self.pass(n)
                }
                Ok(Step::Wait) => false,
                Err(kind) => {
                    self.state = State::Broken(kind);
                    false
                }
            },
            State::HandedOver | State::Refused | State::Broken(_) => false,
        }
    }

    fn head(&mut self, end: Result<Option<usize>, FaultKind>) -> bool {
        match end {
            Err(kind) => self.refuse(kind),
            Ok(end) if end.unwrap_or(self.raw.len()) > self.head_bytes => {
                self.refuse(FaultKind::HeadTooLarge)
            }
            Ok(None) => false,
            Ok(Some(2)) if self.empty_line => self.refuse(FaultKind::RequestLine),
            Ok(Some(2)) => {
                self.empty_line = true;
                self.state = State::Head(Lines::default());
                self.pass(2)
            }
            Ok(Some(end)) => {
                match check::check(&self.raw[..end], self.connection == ConnectionKind::Tunnel) {
                    Err(kind) => self.refuse(kind),
                    Ok(head) => {
                        self.pass(end);
                        self.empty_line = false;
                        self.state = match head.framing {
                            _ if head.method == Method::CONNECT => State::HandedOver,
                            Framing::Length(0) => State::Head(Lines::default()),
                            Framing::Length(length) => State::Length(length),
                            Framing::Chunked => State::Chunked(Chunked::new()),
                        };
                        self.verdicts.push(Verdict::Sound { method: head.method, target: head.target });
                        true
                    }
                }
            }
        }
    }

    /// Stops reading at a head, and gives the stand-in.
    pub(super) fn refuse(&mut self, kind: FaultKind) -> bool {
        let (method, target) = legible(&self.raw);
        // The beginning of a secret is not known as one.
        let method = method.filter(|_| kind != FaultKind::Method);
        self.verdicts.push(Verdict::Fault(HeadFault { kind, method, target }));
        self.raw.clear();
        self.passed.extend_from_slice(STAND_IN);
        self.state = State::Refused;
        false
    }

    fn pass(&mut self, count: usize) -> bool {
        let part = self.raw.split_to(count);
        if self.passed.is_empty() {
            self.passed = part;
        } else {
            self.passed.extend_from_slice(&part);
        }
        count > 0
    }
}

/// The first two words of what may be a request line, if they can be shown.
fn legible(head: &[u8]) -> (Option<String>, Option<String>) {
    let line = head.trim_ascii_start().split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let mut show = |most: usize| {
        let word = words.next()?;
        let text = word[..word.len().min(most)].escape_ascii().to_string();
        Some(text.chars().take(most).collect::<String>())
    };
    (show(32), show(1024))
}

#[cfg(test)]
mod tests;
