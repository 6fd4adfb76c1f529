//! The two requests of a push: what the server says of its refs is passed on with what a push may ask for here, and a
//! push is held, looked at as a whole, and sent on as it came, or refused before the server got one byte of it.

use super::{
    failure::Failure,
    record::RequestRecord,
    rules::{LoadedRule, Rules},
};
use crate::content_coding::{Coding, DecodeError, DecodedReader, Decoder};
use crate::git_gate::pack::{Effort, Limits, Scanners, SecretScan, Update, inspect};
use crate::git_gate::{
    AdvertisementError, AdvertisementReader, AnswerReader, Command, Intake, Received, Refused, Room, Spool,
};
use crate::intercept::{Body, BodyError, body};
use crate::policy::{HostRule, PushRules, Reason, Refusal, Route, SmartPush};
use crate::verdict::egress_proxy::{Permit, malformed};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::{
    convert::Infallible,
    fs::File,
    os::unix::fs::FileExt as _,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tokio::{sync::Semaphore, task::JoinError};

/// Packs that are looked at at the same time; others wait, as one takes up to 200 MiB of memory.
const AT_ONCE: usize = 1;
/// Pushes that are read at the same time; each holds up to 1 MiB of commands beside its pack.
const READ_AT_ONCE: usize = 8;

/// By which a client asks for another version of the protocol than is read here.
const GIT_PROTOCOL: HeaderName = HeaderName::from_static("git-protocol");

const REQUEST: &str = "application/x-git-receive-pack-request";
const RESULT: &[u8] = b"application/x-git-receive-pack-result";
const ADVERTISEMENT: &[u8] = b"application/x-git-receive-pack-advertisement";

/// What all pushes share.
pub(super) struct PushGate {
    room: Arc<Room>,
    looks: Arc<Semaphore>,
    reads: Semaphore,
}

impl PushGate {
    pub(super) fn new() -> Self {
        Self {
            room: Arc::default(),
            looks: Arc::new(Semaphore::new(AT_ONCE)),
            reads: Semaphore::new(READ_AT_ONCE),
        }
    }

    /// The request as it may be sent on, or why not.
    pub(super) async fn checked(
        &self,
        kind: SmartPush,
        request: Request<Body>,
        rules: &Rules,
        permit: &Permit<'_, LoadedRule>,
        record: &mut RequestRecord,
    ) -> Result<Request<Body>, Failure> {
        let rule: &HostRule = permit.matched.rule.as_ref();
        // The decision opens a push under such rules only; without them it stays shut.
        let Some(allowed) = &rule.route.push else { return Err(not_a_push(&rule.route)) };
        let (mut parts, inner) = request.into_parts();
        parts.headers.remove(GIT_PROTOCOL);
        let sent = match kind {
            SmartPush::Advertisement if http_body::Body::is_end_stream(&inner) => {
                parts.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
                inner
            }
            SmartPush::Advertisement => return Err(not_a_push(&rule.route)),
            SmartPush::Pack => {
                let coding = coding(&parts.headers, &rule.route)?;
                let Ok(_read) = self.reads.try_acquire() else {
                    let message = format!(
                        "git push to {}: {READ_AT_ONCE} pushes are read already: push again later; nothing of it was sent",
                        rule.route.host
                    );
                    return Err(Refusal::new(Reason::PushNotAllowed, message)
                        .under(&rule.route)
                        .retryable()
                        .into());
                };
                let (received, refused) = receive(inner, coding, allowed, &self.room).await?;
                record.pushes(&received.commands);
                let looked_at = match refused {
                    Some(refused) => Err(refused),
                    None => self.look(&received, rules, rule, record).await,
                };
                if let Err(refused) = looked_at {
                    record.push_refused(refused.kind);
                    return Err(refusal(refused, &received, &rule.route));
                }
                for name in [header::CONTENT_ENCODING, header::EXPECT, header::TRAILER] {
                    parts.headers.remove(name);
                }
                let held = Held::new(received);
                // The answer is read, for the audit.
                parts.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
                parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(REQUEST));
                parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(held.left()));
                body::boxed(held)
            }
        };
        Ok(Request::from_parts(parts, sent))
    }
}

impl PushGate {
    /// What of a push its rules and its secrets decide, once it is there as a whole.
    async fn look(
        &self,
        received: &Received,
        rules: &Rules,
        rule: &HostRule,
        record: &mut RequestRecord,
    ) -> Result<(), Refused> {
        let Some(allowed) = &rule.route.push else { return Err(Refused::whole("rule", "no rule allows it")) };
        let scanner = rules.ruleset.scanner(rule.route.host.as_str());
        let own = rules.ruleset.own();
        for text in received.commands.texts() {
            let found = own.in_text(text).map(|own| own.to_string());
            let found = found.or_else(|| scanner.text(text).map(|finding| finding.pattern.to_string()));
            if let Some(found) = found {
                let message = format!(
                    "the name of a ref or of the client carries a secret ({found}): rename the branch, and replace the secret"
                );
                return Err(Refused::whole("credential_in_push", message));
            }
        }
        let Some(pack) = &received.pack else { return Ok(()) };
        let defaults = Limits::default();
        let searches = allowed.rules.as_ref().map_or(0, |rules| rules.rules.len() as u64);
        let limits = Limits { pack: allowed.max_pack, work: defaults.work + searches, ..defaults };
        let rules = allowed.rules.as_ref().map(SecretScan::new).transpose();
        let rules = rules.map_err(|error| Refused::whole("rule", error.to_string()))?;
        let effort = Arc::<Effort>::default();
        let scan = Scanners {
            dlp: scanner.clone(),
            own: own.clone(),
            allow_comments: false,
            effort: Arc::clone(&effort),
            rules: rules.map(Arc::new),
        };
        let (commands, force) = (received.commands.clone(), allowed.force);
        let looked_at = one_at_a_time(&self.looks, Arc::clone(pack), effort, move |pack| {
            let updates: Vec<Update<'_>> = commands
                .list
                .iter()
                .map(|Command { name, old, new }| Update { refname: name.as_str(), old: *old, new: *new })
                .collect();
            inspect(pack, &updates, &commands.shallow, force, &limits, &scan)
        });
        match looked_at.await {
            Ok(Ok(inspected)) => {
                record.push_inspected(&inspected);
                Ok(())
            }
            Ok(Err(refused)) => Err(Refused::of_pack(refused)),
            Err(_) => Err(Refused {
                retry: true,
                ..Refused::whole(
                    "unreadable",
                    "looking at the pack failed: this is a fault of bottle's, please report it",
                )
            }),
        }
    }
}

/// Looks at a pack in a thread for blocking work. When nobody waits for it any more the look is told so, and it holds the
/// pack, its room and its turn until it has ended.
async fn one_at_a_time<T: Send + 'static>(
    looks: &Arc<Semaphore>,
    pack: Arc<Spool>,
    effort: Arc<Effort>,
    look: impl FnOnce(&File) -> T + Send + 'static,
) -> Result<T, JoinError> {
    let _waiting = WaitsFor(effort);
    let turn = Arc::clone(looks).acquire_owned().await;
    let looked_at = tokio::task::spawn_blocking(move || {
        let outcome = look(pack.file());
        drop((pack, turn));
        outcome
    });
    looked_at.await
}

/// Ends a look when it is dropped.
struct WaitsFor(Arc<Effort>);

impl Drop for WaitsFor {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// The content coding of the body; git itself sends none with a pack.
fn coding(headers: &HeaderMap, route: &Route) -> Result<Option<Coding>, Failure> {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    if kinds.next().is_some_and(|kind| kind != REQUEST) || kinds.next().is_some() {
        return Err(not_a_push(route));
    }
    match Coding::from_fields(headers) {
        Ok(coding @ (None | Some(Coding::Gzip))) => Ok(coding),
        Ok(Some(_)) | Err(_) => {
            Err(malformed("the body of a push is read plain or in gzip only").under(route).into())
        }
    }
}

fn not_a_push(route: &Route) -> Failure {
    let message = format!(
        "git push to {}: a request in this form is refused also where git.push allows pushes: its content type is \
         `{REQUEST}`, and it asks for nothing else; retrying does not help",
        route.host
    );
    Refusal::new(Reason::GitPush, message).under(route).into()
}

/// The rules changed while the push was read.
pub(super) fn outdated(route: &Route) -> Failure {
    let message = format!(
        "git push to {}: the rules changed while the push was read: push again; nothing of it was sent",
        route.host
    );
    Refusal::new(Reason::PushNotAllowed, message).under(route).retryable().into()
}

/// Reads the body to its end, whatever becomes of it.
async fn receive(
    mut inner: Body,
    coding: Option<Coding>,
    allowed: &PushRules,
    room: &Arc<Room>,
) -> Result<(Received, Option<Refused>), Failure> {
    let mut intake = Intake::new(allowed, Arc::clone(room));
    let Some(coding) = coding else {
        while let Some(data) = next(&mut inner).await? {
            intake.push(&data);
        }
        return Ok(intake.finish());
    };
    let broken =
        |_: DecodeError<Infallible>| Failure::from(malformed("the body of the push is not valid gzip"));
    let mut decoder = Decoder::new(coding, Decoded(intake)).map_err(broken)?;
    while let Some(data) = next(&mut inner).await? {
        decoder.push(&data).map_err(broken)?;
    }
    decoder.finish().map_err(broken)?;
    Ok(decoder.reader().0.finish())
}

/// The next bytes of a body. Trailers say nothing to a git server.
async fn next(inner: &mut Body) -> Result<Option<Bytes>, Failure> {
    while let Some(frame) = inner.frame().await {
        if let Ok(data) = frame.map_err(|error| Failure::of_body(&error))?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// A push without its content coding.
struct Decoded<'r>(Intake<'r>);

impl DecodedReader for Decoded<'_> {
    type Stop = Infallible;

    fn read(&mut self, text: &[u8]) -> Result<(), Infallible> {
        self.0.push(text);
        Ok(())
    }
}

/// A refused push, answered as its client asked to be.
fn refusal(refused: Refused, received: &Received, route: &Route) -> Failure {
    let Refused { kind: _, message, retry, rejection } = refused;
    let message = format!("git push to {}: {message}; nothing of it was sent", route.host);
    let refusal = Refusal::new(Reason::PushNotAllowed, message).under(route);
    let refusal = if retry { refusal.retryable() } else { refusal };
    match rejection.body(&received.commands) {
        Some(report) => Failure::in_a_report(refusal, report),
        None => refusal.into(),
    }
}

/// What the server says of its refs, with what a push may ask for here.
pub(super) async fn advertised(response: Response<Body>, route: &Route) -> Result<Response<Body>, Failure> {
    let status = response.status();
    if !status.is_success() {
        return Ok(response);
    }
    let invalid = |what: &str| -> Failure {
        let message = format!("the answer of {} to git push is not read: {what}", route.host);
        Refusal::new(Reason::UpstreamInvalid, message).under(route).into()
    };
    let fields = response.headers();
    let kind = fields.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if status != StatusCode::OK || !kind.eq_ignore_ascii_case(ADVERTISEMENT) {
        return Err(invalid("it is not git's smart protocol"));
    }
    if !matches!(Coding::from_fields(fields), Ok(None)) {
        return Err(invalid("it has a content coding that nobody asked for"));
    }
    let (mut parts, mut inner) = response.into_parts();
    let mut reader = AdvertisementReader::default();
    let head = loop {
        let Ok(Some(data)) = next(&mut inner).await else { return Err(invalid("it breaks off")) };
        match reader.push(&data) {
            Ok(None) => {}
            Ok(Some(head)) => break head,
            Err(AdvertisementError::Capability(error)) => {
                let message = format!("git push to {}: {error}; retrying does not help", route.host);
                return Err(Refusal::new(Reason::PushNotAllowed, message).under(route).into());
            }
            Err(error) => return Err(invalid(&error.to_string())),
        }
    };
    for name in [header::CONTENT_LENGTH, header::ETAG, header::ACCEPT_RANGES] {
        parts.headers.remove(name);
    }
    Ok(Response::from_parts(parts, body::boxed(Begun { head: head.into(), inner })))
}

/// What the server says became of a push, as it came; it is read on the way, for the audit.
pub(super) fn answered(response: Response<Body>, record: &RequestRecord) -> Response<Body> {
    let fields = response.headers();
    let kind = fields.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_report = response.status() == StatusCode::OK
        && kind.eq_ignore_ascii_case(RESULT)
        && matches!(Coding::from_fields(fields), Ok(None));
    match record.push_answer() {
        Some(reader) if is_report => response.map(|inner| body::boxed(Read { inner, reader })),
        _ => response,
    }
}

/// A body that is read as it passes.
struct Read {
    inner: Body,
    reader: Arc<Mutex<AnswerReader>>,
}

impl http_body::Body for Read {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.reader.lock().unwrap_or_else(PoisonError::into_inner).push(data);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A body of which the beginning was read.
struct Begun {
    head: Bytes,
    inner: Body,
}

impl http_body::Body for Begun {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.head.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.head)))));
        }
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.head.is_empty() && http_body::Body::is_end_stream(&self.inner)
    }
}

/// Bytes of a pack that are sent on at once.
const PIECE: u64 = 64 << 10;

/// A push that was looked at, as it came.
struct Held {
    head: Bytes,
    pack: Option<Arc<Spool>>,
    at: u64,
}

impl Held {
    fn new(received: Received) -> Self {
        Self { head: received.head.into(), pack: received.pack, at: 0 }
    }

    fn left(&self) -> u64 {
        self.head.len() as u64 + self.pack.as_ref().map_or(0, |pack| pack.length()) - self.at
    }

    fn piece(&mut self) -> std::io::Result<Bytes> {
        if !self.head.is_empty() {
            return Ok(std::mem::take(&mut self.head));
        }
        let Some(pack) = &self.pack else { return Ok(Bytes::new()) };
        let length = usize::try_from(self.left().min(PIECE)).unwrap_or_default();
        let mut piece = vec![0; length];
        pack.file().read_exact_at(&mut piece, self.at)?;
        self.at += length as u64;
        Ok(piece.into())
    }
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.left() == 0 {
            return Poll::Ready(None);
        }
        let piece = self.piece().map_err(|error| BodyError::Refused(error.into()));
        Poll::Ready(Some(piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::RefPattern;
    use std::sync::mpsc;

    fn held(room: &Arc<Room>) -> (Received, Option<Refused>) {
        let rules = PushRules {
            refs: vec![RefPattern::parse("refs/heads/a").unwrap()],
            create: true,
            delete: false,
            force: false,
            max_pack: 8,
            rules: None,
        };
        let mut intake = Intake::new(&rules, Arc::clone(room));
        let command = format!("{} {} refs/heads/a", "0".repeat(40), "1".repeat(40));
        intake.push(format!("{:04x}{command}000012345678", command.len() + 4).as_bytes());
        intake.finish()
    }

    #[tokio::test]
    async fn a_look_that_nobody_waits_for_ends_and_holds_its_room_until_then() {
        let (room, looks) = (Arc::new(Room::of(8)), Arc::new(Semaphore::new(1)));
        let pack = held(&room).0.pack.unwrap();
        let (began, begins) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        let effort = Arc::<Effort>::default();
        let look = {
            let (looks, effort) = (Arc::clone(&looks), Arc::clone(&effort));
            tokio::spawn(async move {
                one_at_a_time(&looks, pack, effort, move |_| {
                    began.send(()).unwrap();
                    ends.recv().unwrap_err();
                })
                .await
            })
        };
        tokio::task::spawn_blocking(move || begins.recv().unwrap()).await.unwrap();
        assert!(!effort.is_stopped());
        look.abort();
        assert!(look.await.unwrap_err().is_cancelled());
        assert!(effort.is_stopped(), "the look is told");
        assert_eq!(held(&room).1.unwrap().kind, "room", "its pack is there still");
        drop(end);
        let _turn = looks.acquire().await.unwrap();
        assert_eq!(held(&room).1, None);
    }
}
