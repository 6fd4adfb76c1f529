//! Stage 12: the audit record of one request. It is written exactly once, at the end of the response's body or
//! when the client goes away, whichever comes first.

use super::{
    authority::Destination,
    failure::{Author, Failure},
    metrics::Metrics,
    rules::Rules,
    tunnel::Opened,
};
use crate::intercept::{Body, BodyEnd, BodyOutcome, Exchange, Fault, Meter, body};
use crate::policy::{Authority, Intent, Route, Scheme};
use crate::telemetry::audit::{Place, Record, Verdict};
use http::{Request, Response};
use jiff::Timestamp;
use std::{sync::Arc, time::Instant};

/// A record that is being filled. Dropping it writes it.
pub(super) struct Open {
    record: Record,
    place: Option<Place>,
    metrics: Arc<Metrics>,
    started: Instant,
    /// Counts the request's body as it is read.
    pub(super) sent: Meter,
}

impl Open {
    pub(super) fn new(place: Place, metrics: &Arc<Metrics>, rules: &Rules, connection: u64) -> Self {
        Self {
            record: blank(rules, connection, rules.clock.now()),
            place: Some(place),
            metrics: Arc::clone(metrics),
            started: Instant::now(),
            sent: Meter::default(),
        }
    }

    /// What is known of the request whatever becomes of it.
    pub(super) fn received(&mut self, request: &Request<Body>, exchange: &Exchange<Opened>) {
        match &exchange.fault {
            Some(Fault::Head(fault)) => self.record.method.clone_from(&fault.method),
            _ => self.asked_method(request.method().as_str()),
        }
        if let Some(tunnel) = &exchange.tunnel {
            self.record.scheme = Some(Scheme::Https.as_str().to_owned());
            self.at_authority(&tunnel.state.authority);
        }
    }

    pub(super) fn asked_method(&mut self, method: &str) {
        self.record.method = Some(method.to_owned());
    }

    pub(super) fn at(&mut self, destination: &Destination) {
        self.record.scheme = Some(destination.scheme.as_str().to_owned());
        self.at_authority(&destination.authority);
    }

    pub(super) fn at_authority(&mut self, authority: &Authority) {
        self.record.host = Some(authority.host.to_string());
        self.record.port = Some(authority.port);
    }

    pub(super) fn meant(&mut self, intent: &Intent) {
        self.record.path = Some(intent.target.path.as_str().to_owned());
        self.record.git = Some(intent.git.as_str().to_owned());
    }

    pub(super) fn under(&mut self, route: &Route) {
        self.record.rule = Some(route.id.clone());
        self.record.source = Some(route.source.clone());
        self.record.credential.clone_from(&route.credential);
    }

    /// The request is not served. Status and size follow with the answer.
    pub(super) fn failed(&mut self, failure: &Failure) {
        self.record.verdict = if failure.is_denial() { Verdict::Deny } else { Verdict::Allow };
        self.record.reason = Some(failure.refusal.reason.code().to_owned());
        failure.by.name().clone_into(&mut self.record.decided_by);
        if let Author::Pipelock { finding } = &failure.by {
            self.record.finding = Some(finding.clone());
        }
        if failure.refusal.rule.is_some() {
            self.record.rule.clone_from(&failure.refusal.rule);
            self.record.source.clone_from(&failure.refusal.source);
        }
        if matches!(self.record.verdict, Verdict::Deny) {
            self.record.credential = None;
        }
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

impl Drop for Open {
    fn drop(&mut self) {
        self.record.duration_ms = self.elapsed_ms();
        self.record.request_bytes = self.sent.bytes();
        self.metrics.request(&self.record);
        if let Some(place) = self.place.take() {
            place.write(&self.record);
        }
    }
}

fn blank(rules: &Rules, connection: u64, time: Timestamp) -> Record {
    Record {
        time,
        bottle: rules.file.bottle.clone(),
        config: rules.hash.clone(),
        connection,
        method: None,
        scheme: None,
        host: None,
        port: None,
        path: None,
        git: None,
        verdict: Verdict::Allow,
        reason: None,
        decided_by: Author::EgressProxy.name().to_owned(),
        finding: None,
        rule: None,
        source: None,
        credential: None,
        status: None,
        request_bytes: 0,
        response_bytes: 0,
        complete: false,
        first_byte_ms: None,
        duration_ms: 0,
    }
}
