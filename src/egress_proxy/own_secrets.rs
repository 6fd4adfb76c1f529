//! The credentials that this proxy holds: none leaves in what the agent sends, and none comes back. Bodies are searched as
//! they pass, and no more of them is held than what begins a credential.

use crate::content_coding::{Coding, DecodeError, DecodedReader, Decoder};
use crate::dlp::{Incoming, Outgoing, OwnSecret, OwnSecrets};
use crate::intercept::{
    Body, BodyError, body,
    budget::{BodyMemory, Budget, BudgetLimits, NoRoom, Revocable, Share},
};
use crate::policy::{Reason, Refusal};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Frame, SizeHint};
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// Bytes of memory for decoders of bodies: a thousand of gzip at the same time, and of the larger ones 14 of zstd or 6 of br.
const DECODERS: usize = 160 << 20;
/// Bytes of a coded body that wait for what they decode to; no known encoder makes a larger block.
const MOST_QUEUED: usize = 256 * 1024;

/// Memory for decoding the bodies that are searched; those that do not move make room for others.
pub(super) struct Decoders(Arc<Budget>);

impl Decoders {
    pub(super) fn new() -> Self {
        Self(Budget::new(BudgetLimits { total: DECODERS, decoders: DECODERS, ..BudgetLimits::default() }))
    }

    async fn room(&self, coding: Coding) -> Result<Share, Refusal> {
        let share = self.0.share();
        let obtained = share.obtain(BodyMemory { text: 0, decoder: coding.most_memory() }).await;
        obtained.map(|()| share).map_err(no_room)
    }
}

/// Nothing is wrong with the request.
pub(super) fn no_room(why: NoRoom) -> Refusal {
    Refusal::new(Reason::LimitReached, format!("{why}; send it again, the whole body without a pause"))
        .retryable()
}

/// A request of the agent's whose body fails before a credential leaves in it, as it stands or as it is decoded. What can't be
/// decoded is refused here or, where it looks into the host, by pipelock, which decodes in the same way.
pub(super) async fn searched(
    request: Request<Body>,
    own: &OwnSecrets,
    inspected: bool,
    decoders: &Decoders,
) -> Result<Request<Body>, Refusal> {
    if own.is_empty() || http_body::Body::is_end_stream(request.body()) {
        return Ok(request);
    }
    let coded = match Coding::from_fields(request.headers()) {
        Ok(None) => None,
        Ok(Some(coding)) => {
            Some(SharedCoded::new(Coded::new(coding, own, inspected)?, decoders.room(coding).await?))
        }
        // What is not known is searched as it stands.
        Err(several) if inspected || !Coding::is_in(&several.0) => None,
        Err(several) => {
            let message = format!(
                "a body with the content codings {} can't be searched for credentials; send it in one of them, or plain; \
                 retrying does not help",
                several.0.escape_debug()
            );
            return Err(Refusal::new(Reason::MalformedRequest, message));
        }
    };
    let way = Way::Out { stream: own.outgoing(), coded, own: own.clone() };
    Ok(request.map(|inner| body::boxed(Passed { inner, stream: way, trailers: None, ended: false })))
}

/// What a coded body decodes to.
struct DecodedText {
    stream: Outgoing,
    bytes: u64,
}

impl DecodedReader for DecodedText {
    type Stop = OwnSecret;

    fn read(&mut self, text: &[u8]) -> Result<(), OwnSecret> {
        self.bytes += text.len() as u64;
        self.stream.push(Bytes::copy_from_slice(text)).map(drop)
    }
}

/// A coded body: each piece of it leaves when all that it decodes to was searched.
struct Coded {
    coding: Coding,
    decoder: Decoder<DecodedText>,
    /// Pieces, and what was decoded when the whole of each had been; not known of the last where blocks are decoded as one.
    queue: VecDeque<(Bytes, Option<u64>)>,
    queued: usize,
    /// Whether pipelock refuses what can't be decoded.
    inspected: bool,
    /// It can't be decoded any further.
    lost: bool,
}

/// One that is dropped where it does not move while others need its memory.
struct SharedCoded {
    held: Arc<Revocable<Coded>>,
    share: Share,
}

impl SharedCoded {
    fn new(coded: Coded, share: Share) -> Self {
        Self { held: Revocable::new(coded, &share), share }
    }

    fn push(&self, piece: Bytes) -> Result<Bytes, BodyError> {
        self.share.moved(piece.len());
        self.held.with(|coded| coded.push(piece))
    }
}

impl Coded {
    fn new(coding: Coding, own: &OwnSecrets, inspected: bool) -> Result<Self, Refusal> {
        let decoder = Decoder::new(coding, DecodedText { stream: own.outgoing(), bytes: 0 });
        let decoder = decoder.map_err(|_| Refusal::new(Reason::MalformedRequest, not_valid(coding)))?;
        let queue = VecDeque::new();
        Ok(Self { coding, decoder, queue, queued: 0, inspected, lost: false })
    }

    fn push(&mut self, piece: Bytes) -> Result<Bytes, BodyError> {
        if piece.is_empty() || self.lost {
            return Ok(piece);
        }
        let before = self.decoder.reader().bytes;
        let decoded = self.decode(&piece);
        let now = self.decoder.reader().bytes;
        if now > before {
            // Blocks come out in their order: what was pushed before the end of one has been decoded.
            self.queue.iter_mut().for_each(|(_, done)| *done = done.or(Some(now)));
        }
        let symbol_by_symbol = matches!(self.coding, Coding::Gzip | Coding::Deflate | Coding::AwsChunked);
        self.queued += piece.len();
        self.queue.push_back((piece, symbol_by_symbol.then_some(now)));
        if let Err(error) = decoded {
            return self.give_up(error);
        }
        let searched = now - self.decoder.reader().stream.held() as u64;
        let mut passed = BytesMut::new();
        while let Some((piece, _)) =
            self.queue.pop_front_if(|(_, done)| done.is_some_and(|at| at <= searched))
        {
            self.queued -= piece.len();
            passed.extend_from_slice(&piece);
        }
        if self.queued > MOST_QUEUED {
            let why = format!("{MOST_QUEUED} bytes of the body decode to nothing, so it can't be searched");
            return Err(BodyError::Refused(why.into()));
        }
        Ok(passed.freeze())
    }

    fn decode(&mut self, piece: &[u8]) -> Result<(), DecodeError<OwnSecret>> {
        self.decoder.foresee(piece)?;
        if self.decoder.memory() > self.coding.most_memory() {
            return Err(DecodeError::Malformed(self.coding));
        }
        self.decoder.push(piece)
    }

    fn finish(&mut self) -> Result<Bytes, BodyError> {
        if self.lost {
            return Ok(Bytes::new());
        }
        match self.decoder.finish() {
            Ok(()) => Ok(self.rest()),
            Err(error) => self.give_up(error),
        }
    }

    /// Pipelock refuses the body at the same place, where it reads it.
    fn give_up(&mut self, error: DecodeError<OwnSecret>) -> Result<Bytes, BodyError> {
        self.lost = true;
        match error {
            DecodeError::Malformed(_) | DecodeError::Expansion(_) if self.inspected => Ok(self.rest()),
            error => Err(refused(self.coding, error)),
        }
    }

    fn rest(&mut self) -> Bytes {
        self.queued = 0;
        let rest: Vec<Bytes> = self.queue.drain(..).map(|(piece, _)| piece).collect();
        rest.concat().into()
    }
}

fn not_valid(coding: Coding) -> String {
    format!("the body is not valid {}, so it can't be searched; retrying does not help", coding.name())
}

fn refused(coding: Coding, error: DecodeError<OwnSecret>) -> BodyError {
    BodyError::Refused(match error {
        DecodeError::Reader(own) => own.into(),
        DecodeError::Malformed(_) => not_valid(coding).into(),
        DecodeError::Expansion(most) => {
            format!("decoded, the body grows more than {most} times, so it can't be searched").into()
        }
    })
}

/// A response with a placeholder of the same length in the place of each.
pub(super) fn scrubbed(mut response: Response<Body>, own: &OwnSecrets) -> Response<Body> {
    if own.is_empty() {
        return response;
    }
    scrub_fields(response.headers_mut(), own);
    response.map(|inner| {
        if http_body::Body::is_end_stream(&inner) {
            return inner;
        }
        body::boxed(Passed {
            inner,
            stream: Way::Back(own.incoming(), own.clone()),
            trailers: None,
            ended: false,
        })
    })
}

fn scrub_fields(fields: &mut HeaderMap, own: &OwnSecrets) {
    for value in fields.values_mut() {
        let scrubbed = own.scrubbed(value.as_bytes());
        if let Some(value_without) = scrubbed.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok()) {
            *value = value_without;
        }
    }
}

enum Way {
    Out { stream: Outgoing, coded: Option<SharedCoded>, own: OwnSecrets },
    Back(Incoming, OwnSecrets),
}

impl Way {
    fn push(&mut self, chunk: Bytes) -> Result<Bytes, BodyError> {
        match self {
            Self::Out { stream, coded, own: _ } => {
                let passed = stream.push(chunk).map_err(|own| BodyError::Refused(own.into()))?;
                match coded {
                    Some(coded) => coded.push(passed),
                    None => Ok(passed),
                }
            }
            Self::Back(stream, _) => Ok(stream.push(chunk)),
        }
    }

    fn finish(&mut self) -> Result<Bytes, BodyError> {
        match self {
            Self::Out { stream, coded: None, own: _ } => Ok(stream.finish()),
            Self::Out { stream, coded: Some(coded), own: _ } => {
                let passed = coded.push(stream.finish())?;
                Ok([passed, coded.held.with(Coded::finish)?].concat().into())
            }
            Self::Back(stream, _) => Ok(stream.finish()),
        }
    }

    fn held(&self) -> u64 {
        match self {
            Self::Out { stream, coded, own: _ } => {
                let queued = coded.as_ref().and_then(|coded| coded.held.look(|coded| coded.queued));
                (stream.held() + queued.unwrap_or(0)) as u64
            }
            Self::Back(stream, _) => stream.held() as u64,
        }
    }

    /// Fails when what it needs was taken from it, and wakes whoever asks when it is.
    fn poll_memory(&self, cx: &Context<'_>) -> Result<(), BodyError> {
        let Self::Out { coded: Some(coded), .. } = self else { return Ok(()) };
        coded.held.wakes(cx);
        coded.held.with(|_| Ok(()))
    }

    fn trailers(&self, trailers: &mut HeaderMap) -> Result<(), BodyError> {
        match self {
            Self::Out { own, .. } => {
                let mut texts =
                    trailers.iter().flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()]);
                match texts.find_map(|text| own.in_text(text)) {
                    Some(found) => Err(BodyError::Refused(found.into())),
                    None => Ok(()),
                }
            }
            Self::Back(_, own) => {
                scrub_fields(trailers, own);
                Ok(())
            }
        }
    }
}

/// A body that is searched while it passes.
struct Passed {
    inner: Body,
    stream: Way,
    trailers: Option<HeaderMap>,
    ended: bool,
}

impl http_body::Body for Passed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if this.ended {
                return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            this.stream.poll_memory(cx)?;
            let passed = match ready!(Pin::new(&mut this.inner).poll_frame(cx)).transpose()? {
                None => {
                    this.ended = true;
                    this.stream.finish()?
                }
                Some(frame) => match frame.into_data() {
                    Ok(data) => this.stream.push(data)?,
                    Err(frame) => {
                        let mut trailers = frame.into_trailers().unwrap_or_default();
                        this.stream.trailers(&mut trailers)?;
                        (this.trailers, this.ended) = (Some(trailers), true);
                        this.stream.finish()?
                    }
                },
            };
            // The last chunk of a body of known length is the last that is asked for.
            let passed = if !this.ended && http_body::Body::is_end_stream(&this.inner) {
                this.ended = true;
                [passed, this.stream.finish()?].concat().into()
            } else {
                passed
            };
            if !passed.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(passed))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.stream.held() == 0
            && self.trailers.is_none()
            && (self.ended || http_body::Body::is_end_stream(&self.inner))
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, held) = (http_body::Body::size_hint(&self.inner), self.stream.held());
        let mut whole = SizeHint::new();
        whole.set_lower(inner.lower() + held);
        if let Some(upper) = inner.upper() {
            whole.set_upper(upper + held);
        }
        whole
    }
}
