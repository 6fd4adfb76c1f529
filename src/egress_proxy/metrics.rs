//! What an operator can count and plot. Labels are bounded: verdicts, reason codes, ids of rules.

use crate::intercept::Event;
use crate::telemetry::{audit::Record, status::Status};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Labels of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verdict: &'static str,
    reason: String,
    rule: String,
    decided_by: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabel {
    rule: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabel {
    event: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// The metrics of one egress-proxy.
#[derive(Debug)]
pub(super) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    request_bytes: Family<RuleLabel, Counter>,
    response_bytes: Family<RuleLabel, Counter>,
    first_byte: Histogram,
    connections: Gauge,
    events: Family<EventLabel, Counter>,
    reloads: Family<OutcomeLabel, Counter>,
    generation: Gauge,
}

impl Metrics {
    /// Registers every family. The registry sets the prefix.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            request_bytes: Family::default(),
            response_bytes: Family::default(),
            first_byte: Histogram::new([0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0]),
            connections: Gauge::default(),
            events: Family::default(),
            reloads: Family::default(),
            generation: Gauge::default(),
        };
        registry.register("requests", "Requests that were answered", metrics.requests.clone());
        registry.register("request_bytes", "Bytes of request bodies", metrics.request_bytes.clone());
        registry.register("response_bytes", "Bytes of response bodies", metrics.response_bytes.clone());
        registry.register(
            "first_byte_seconds",
            "From a request's head to its response's head",
            metrics.first_byte.clone(),
        );
        registry.register("connections", "Connections of clients that are open", metrics.connections.clone());
        registry.register("events", "What happened to connections", metrics.events.clone());
        registry.register("reloads", "Reloads that were asked for", metrics.reloads.clone());
        registry.register("generation", "Counts the configs that were live", metrics.generation.clone());
        metrics.generation.set(1);
        metrics
    }

    /// Counts one audit record.
    pub(super) fn request(&self, record: &Record) {
        let rule = record.rule.clone().unwrap_or_default();
        let verdict = record.verdict.as_str();
        let reason = record.reason.clone().unwrap_or_default();
        let decided_by = record.decided_by.clone();
        self.requests.get_or_create(&RequestLabels { verdict, reason, rule: rule.clone(), decided_by }).inc();
        self.request_bytes.get_or_create(&RuleLabel { rule: rule.clone() }).inc_by(record.request_bytes);
        self.response_bytes.get_or_create(&RuleLabel { rule }).inc_by(record.response_bytes);
        if let Some(ms) = record.first_byte_ms {
            let seconds = std::time::Duration::from_millis(ms).as_secs_f64();
            self.first_byte.observe(seconds);
        }
    }

    /// Counts one event of a connection.
    pub(super) fn event(&self, event: Event) {
        match event {
            Event::ConnectionOpened => {
                self.connections.inc();
            }
            Event::ConnectionClosed => {
                self.connections.dec();
            }
            _ => {}
        }
        self.events.get_or_create(&EventLabel { event: event.name() }).inc();
    }

    /// Counts a reload.
    pub(super) fn reloaded(&self, status: &Status) {
        let outcome = if status.last_error.is_some() { "refused" } else { "taken" };
        self.reloads.get_or_create(&OutcomeLabel { outcome }).inc();
        self.generation.set(i64::try_from(status.generation).unwrap_or(i64::MAX));
    }
}
