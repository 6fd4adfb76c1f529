//! What is counted, in OpenMetrics.

use crate::intercept::Event;
use crate::telemetry::status::Status;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Verdict {
    verdict: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// The metrics of one engine.
#[derive(Default)]
pub(super) struct Metrics {
    requests: Family<Verdict, Counter>,
    connections: Gauge,
    events: Family<Kind, Counter>,
    generation: Gauge,
    reload_failures: Counter,
}

impl Metrics {
    /// Registers every family. The registry sets the prefix.
    pub(super) fn register(own: &mut Registry) -> Self {
        let metrics = Self::default();
        own.register("requests", "Requests and CONNECTs, by verdict and reason", metrics.requests.clone());
        own.register(
            "connections",
            "Connections from clients that are open now",
            metrics.connections.clone(),
        );
        own.register("events", "Refused connections, handshakes, leaves, stalls", metrics.events.clone());
        own.register(
            "config_generation",
            "How many configurations have been live",
            metrics.generation.clone(),
        );
        own.register("config_reload_failures", "Reloads that were refused", metrics.reload_failures.clone());
        metrics.generation.set(1);
        metrics
    }

    pub(super) fn count(&self, verdict: &'static str, reason: &'static str) {
        self.requests.get_or_create(&Verdict { verdict, reason }).inc();
    }

    /// Counts a reload.
    pub(super) fn reloaded(&self, status: &Status) {
        if status.last_error.is_some() {
            self.reload_failures.inc();
        }
        self.generation.set(i64::try_from(status.generation).unwrap_or(i64::MAX));
    }

    pub(super) fn observe(&self, event: Event) {
        if event == Event::ConnectionOpened {
            self.connections.inc();
        } else if event == Event::ConnectionClosed {
            self.connections.dec();
        } else {
            self.events.get_or_create(&Kind { kind: event.name() }).inc();
        }
    }
}
