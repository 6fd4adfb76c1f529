//! What is counted, in OpenMetrics.

use crate::intercept::Event;
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
    pub(super) generation: Gauge,
    pub(super) reload_failures: Counter,
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let own = registry.sub_registry_with_prefix("pipelock");
        own.register("requests", "Requests and CONNECTs, by verdict and reason", metrics.requests.clone());
        own.register(
            "connections",
            "Connections from clients that are open now",
            metrics.connections.clone(),
        );
        own.register("events", "Refused connections, handshakes, leaves, stalls", metrics.events.clone());
        own.register(
            "config_generation",
            "How many configurations were live so far",
            metrics.generation.clone(),
        );
        own.register("config_reload_failures", "Reloads that were refused", metrics.reload_failures.clone());
        metrics.generation.set(1);
        metrics
    }

    pub(super) fn count(&self, verdict: &'static str, reason: &'static str) {
        self.requests.get_or_create(&Verdict { verdict, reason }).inc();
    }

    pub(super) fn observe(&self, event: Event) {
        let kind = match event {
            Event::ConnectionOpened => {
                self.connections.inc();
                return;
            }
            Event::ConnectionClosed => {
                self.connections.dec();
                return;
            }
            Event::ConnectionRefused => "connection_refused",
            Event::AcceptFailed => "accept_failed",
            Event::Handshake { .. } => "handshake",
            Event::HandshakeQueued => "handshake_queued",
            Event::LeafIssued => "leaf_issued",
            Event::IdleClosed => "idle_closed",
            Event::Stalled => "stalled",
        };
        self.events.get_or_create(&Kind { kind }).inc();
    }
}
