//! Stages 10 and 12: the audit records of one request. One is written before anything of it is sent on; the other
//! exactly once, at the end of the response's body or when the client goes away, whichever comes first.
//!
//! A secret in what the agent chose (a path, a host, a method) or in what pipelock says is masked here.

use super::{
    failure::{Author, Failure},
    metrics::Metrics,
    rules::Rules,
};
use crate::clock::Clock;
use crate::dlp::{OwnSecrets, Scanner};
use crate::git_gate::object_id::ObjectId;
use crate::git_gate::pack::Inspected;
use crate::git_gate::{Answer, AnswerReader, Commands};
use crate::intercept::{Body, BodyEnd, BodyOutcome, Exchange, Fault, Meter, body};
use crate::policy::{Authority, HostRule, Intent, Scheme};
use crate::telemetry::audit::{AuditSlot, Event, PushRecord, PushedRef, Record, ServerReport, Verdict, cut};
use crate::verdict::egress_proxy::Destination;
use http::{Request, Response};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// Names the requests of this process: `START-CONNECTION-NUMBER`, as [`Record::request`] says.
pub(super) struct RequestNames {
    start: i64,
    next: AtomicU64,
}

impl RequestNames {
    pub(super) fn new(clock: &Clock) -> Self {
        Self { start: clock.now().as_millisecond(), next: AtomicU64::new(1) }
    }

    fn name(&self, connection: u64) -> String {
        format!("{:x}-{connection}-{}", self.start, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// What passed of a WebSocket in one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// Messages to their end.
    pub(super) messages: u64,
    /// Bytes of messages and control frames.
    pub(super) bytes: u64,
}

/// A record that is being filled. Dropping it writes it.
pub(super) struct RequestRecord {
    record: Record,
    clock: Clock,
    scanner: Scanner,
    own: OwnSecrets,
    slot: Option<AuditSlot>,
    metrics: Arc<Metrics>,
    started: Instant,
    /// Counts the request's body as it is read.
    pub(super) sent: Meter,
    /// What the server says of a push.
    answer: Option<Arc<Mutex<AnswerReader>>>,
}

impl RequestRecord {
    pub(super) fn new(
        slot: AuditSlot,
        metrics: &Arc<Metrics>,
        rules: &Rules,
        connection: u64,
        names: &RequestNames,
    ) -> Self {
        Self {
            record: blank(rules, connection, names.name(connection)),
            clock: rules.clock.clone(),
            scanner: rules.ruleset.logged().clone(),
            own: rules.ruleset.own().clone(),
            slot: Some(slot),
            metrics: Arc::clone(metrics),
            started: Instant::now(),
            sent: Meter::default(),
            answer: None,
        }
    }

    /// What is known of the request whatever becomes of it.
    pub(super) fn received(&mut self, request: &Request<Body>, exchange: &Exchange<impl AsRef<Authority>>) {
        if let Some(Fault::Head(fault)) = &exchange.fault {
            self.record.method = fault.method.as_deref().map(|method| self.shown(method));
            self.asked_target(fault.target.as_deref().unwrap_or_default().as_bytes());
        } else {
            self.asked_method(request.method().as_str());
            self.asked_target(&exchange.target);
        }
        if let Some(tunnel) = &exchange.tunnel {
            self.record.scheme = Some(Scheme::Https.as_str().to_owned());
            self.at_authority(tunnel.state.as_ref());
        }
    }

    pub(super) fn asked_method(&mut self, method: &str) {
        self.record.method = Some(self.shown(method));
    }

    /// The target as it was received, until it has a canonical form.
    pub(super) fn asked_target(&mut self, target: &[u8]) {
        let (rest, query) = match target.iter().position(|b| matches!(b, b'?' | b'#')) {
            Some(at) => (&target[..at], Some(target.len() - at - 1)),
            None => (target, None),
        };
        self.record.query_bytes = query.map(|bytes| bytes as u64);
        let shown = without_user(&String::from_utf8_lossy(rest));
        let mut escaped = String::new();
        for c in self.scanner.mask(&self.own.masked(&shown)).chars() {
            if c.is_ascii_graphic() { escaped.push(c) } else { escaped.extend(c.escape_default()) }
        }
        self.record.target = Some(cut(&escaped).into_owned()).filter(|it| !it.is_empty());
    }

    pub(super) fn at(&mut self, destination: &Destination) {
        self.record.scheme = Some(destination.scheme.as_str().to_owned());
        self.at_authority(&destination.authority);
    }

    pub(super) fn at_authority(&mut self, authority: &Authority) {
        self.record.host = Some(self.shown(authority.host.as_str()));
        self.record.port = Some(authority.port);
    }

    pub(super) fn meant(&mut self, intent: &Intent) {
        self.record.path = Some(self.shown(intent.target.path.as_str()));
        self.record.target = None;
        self.record.git = Some(intent.git.as_str().to_owned());
    }

    /// What a push asks for.
    pub(super) fn pushes(&mut self, commands: &Commands) {
        let id = |id: Option<ObjectId>| id.map(|id| id.to_string());
        let refs = commands.list.iter().take(PushRecord::MOST_REFS).map(|command| PushedRef {
            name: self.shown(command.name.as_str()),
            claimed_old: id(command.old),
            new: id(command.new),
            unread: false,
            server: None,
        });
        self.record.push = Some(Box::new(PushRecord {
            refs: refs.collect(),
            more_refs: commands.list.len().saturating_sub(PushRecord::MOST_REFS) as u64,
            objects: None,
            exempted: 0,
            refused: None,
            server: None,
        }));
        let reader = AnswerReader::new(commands, PushRecord::MOST_REFS);
        self.answer = reader.map(|reader| Arc::new(Mutex::new(reader)));
    }

    /// What was found in its pack, which may be sent on.
    pub(super) fn push_inspected(&mut self, inspected: &Inspected) {
        if let Some(push) = &mut self.record.push {
            push.objects = Some(inspected.objects);
            push.exempted = inspected.exempted.len() as u64;
            for (pushed, unread) in push.refs.iter_mut().zip(&inspected.unread) {
                pushed.unread = *unread;
            }
        }
    }

    /// What reads the answer to a push as it passes.
    pub(super) fn push_answer(&self) -> Option<Arc<Mutex<AnswerReader>>> {
        self.answer.clone()
    }

    /// What the server said of a push, as far as its answer came.
    fn push_answered(&mut self) {
        let Some(reader) = self.answer.take() else { return };
        let reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
        let said = reader.said();
        if *said == (Answer { refs: vec![None; said.refs.len()], ..Answer::default() }) {
            return;
        }
        let report = ServerReport {
            unpack: said.unpack.as_deref().map(|text| self.shown(text)),
            accepted: said.accepted,
            refused: said.refused,
            complete: said.whole,
        };
        let of_refs: Vec<_> =
            said.refs.iter().map(|text| text.as_deref().map(|text| self.shown(text))).collect();
        if let Some(push) = &mut self.record.push {
            push.server = Some(report);
            for (pushed, said) in push.refs.iter_mut().zip(of_refs) {
                pushed.server = said;
            }
        }
    }

    /// Why it is refused, in a word.
    pub(super) fn push_refused(&mut self, kind: &str) {
        if let Some(push) = &mut self.record.push {
            push.refused = Some(kind.to_owned());
        }
    }

    pub(super) fn under(&mut self, rule: &impl AsRef<HostRule>) {
        let rule = rule.as_ref();
        self.record.rule = Some(rule.route.host.to_string());
        self.record.source = Some(rule.route.source.clone());
        self.record.credential = rule.auth.as_ref().map(|auth| auth.token_ref.clone());
    }

    /// A text from outside as it may stand in a log: no secret in it, and no longer than it is written.
    fn shown(&self, text: &str) -> String {
        cut(&self.scanner.mask(&self.own.masked(text))).into_owned()
    }

    /// Writes that the request is about to be sent on, and waits until the system has it: a kill from now on leaves
    /// a trace. False when it can't be recorded any more, since the process is ending.
    pub(super) async fn dispatch(&mut self) -> bool {
        let dispatch = Record {
            time: self.clock.now(),
            event: Event::Dispatch,
            verdict: Verdict::Allow,
            duration_ms: self.elapsed_ms(),
            ..self.record.clone()
        };
        // What follows, whatever becomes of the request, is its end.
        self.record.event = Event::End;
        match &self.slot {
            Some(slot) => slot.write_ahead(&dispatch).await,
            None => false,
        }
    }

    /// The proxy answers by itself.
    pub(super) fn answers_itself(&mut self) {
        self.record.event = Event::Answer;
    }

    /// The request is not served. Status and size follow with the answer.
    pub(super) fn failed(&mut self, failure: &Failure) {
        self.record.verdict = failure.verdict();
        let denied = self.record.verdict == Verdict::Deny;
        if self.record.event != Event::End {
            self.record.event = if denied { Event::Deny } else { Event::Error };
        }
        self.record.reason = Some(failure.refusal.reason.code().to_owned());
        failure.by.name().clone_into(&mut self.record.decided_by);
        match &failure.by {
            Author::Pipelock { finding } => self.record.finding = Some(self.shown(finding)),
            Author::EgressProxy => {
                self.record.message = Some(self.shown(&without_quoted_user(&failure.refusal.message)));
            }
        }
        if failure.refusal.rule.is_some() {
            self.record.rule.clone_from(&failure.refusal.rule);
            self.record.source.clone_from(&failure.refusal.source);
        }
        if denied {
            self.record.credential = None;
        }
    }

    /// Leaves no record: another one tells of it.
    pub(super) fn withdraw(mut self) {
        self.slot = None;
    }

    /// The origin answers, or this proxy in its own name.
    pub(super) fn allowed(mut self, response: Response<Body>) -> Response<Body> {
        self.record.verdict = Verdict::Allow;
        self.answered(response)
    }

    /// The origin goes on as WebSocket.
    pub(super) fn switching(&mut self) {
        self.record.verdict = Verdict::Allow;
        self.record.status = Some(101);
        self.record.first_byte_ms = Some(self.elapsed_ms());
    }

    /// A WebSocket is over.
    pub(super) fn messages_passed(mut self, sent: Passed, received: Passed, complete: bool) {
        self.record.messages_sent = Some(sent.messages);
        self.record.messages_received = Some(received.messages);
        self.record.response_bytes = received.bytes;
        self.record.complete = complete;
    }

    /// The answer's head is known; the record is written when its body has ended.
    pub(super) fn answered(mut self, response: Response<Body>) -> Response<Body> {
        self.record.status = Some(response.status().as_u16());
        self.record.first_byte_ms = Some(self.elapsed_ms());
        response.map(|inner| body::on_end(inner, move |end| self.ended(&end)))
    }

    fn ended(mut self, end: &BodyEnd) {
        self.record.response_bytes = end.bytes;
        self.record.complete = matches!(end.outcome, BodyOutcome::Complete);
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        self.push_answered();
        self.record.time = self.clock.now();
        self.record.duration_ms = self.elapsed_ms();
        self.record.request_bytes = self.sent.bytes();
        self.metrics.request(&self.record);
        slot.write(&self.record);
    }
}

/// A target without what stands before the `@` of its authority: it can hold a password.
fn without_user(target: &str) -> String {
    let start = target.find("://").map_or(0, |at| at + 3);
    let end = target[start..].find('/').map_or(target.len(), |at| start + at);
    match target[start..end].rfind('@') {
        Some(at) => format!("{}***{}", &target[..start], &target[start + at..]),
        None => target.to_owned(),
    }
}

/// A refusal that quotes an authority, the same way.
fn without_quoted_user(message: &str) -> String {
    match (message.find('`'), message.rfind('@')) {
        (Some(quote), Some(at)) if quote < at => format!("{}***{}", &message[..=quote], &message[at..]),
        _ => message.to_owned(),
    }
}

/// Nothing is decided yet, and no answer has come: a client that goes away now leaves this.
fn blank(rules: &Rules, connection: u64, request: String) -> Record {
    Record {
        time: rules.clock.now(),
        event: Event::Aborted,
        request,
        bottle: rules.file.bottle.clone(),
        config: rules.hash.clone(),
        connection,
        method: None,
        scheme: None,
        host: None,
        port: None,
        path: None,
        target: None,
        query_bytes: None,
        git: None,
        push: None,
        verdict: Verdict::Error,
        reason: None,
        decided_by: Author::EgressProxy.name().to_owned(),
        message: None,
        finding: None,
        rule: None,
        source: None,
        credential: None,
        status: None,
        request_bytes: 0,
        response_bytes: 0,
        messages_sent: None,
        messages_received: None,
        complete: false,
        first_byte_ms: None,
        duration_ms: 0,
    }
}
