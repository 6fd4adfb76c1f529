//! The proxy as an instance of [`crate::runtime`].

use super::{
    Proxy,
    forward::Forward,
    internal::McpCarrier,
    metrics::Metrics,
    own_secrets::Decoders,
    push::PushGate,
    record::RequestNames,
    rules::{Rules, RulesError},
};
use crate::clock::Clock;
use crate::intercept::Protocol;
use crate::runtime::{Instance, Loaded, Runtime, StartError};
use crate::telemetry::{audit, status::Status};
use arc_swap::ArcSwap;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The egress-proxy of a process.
pub type EgressProxy = Runtime<Proxy>;

impl EgressProxy {
    /// Reads and checks the config and every file that it names.
    pub fn build(path: &Path, clock: &Clock, audit: audit::Log) -> Result<Self, StartError<RulesError>> {
        Self::load(path.to_owned(), clock, |rules, registry| {
            let metrics = Arc::new(Metrics::register(registry));
            let forward = Forward::new();
            registry.register_collector(forward.collector());
            let (rules, names) = (Arc::new(ArcSwap::from_pointee(rules)), RequestNames::new(clock));
            Proxy {
                rules,
                forward,
                audit,
                names,
                metrics,
                push_gate: PushGate::new(),
                decoders: Decoders::new(),
                mcp: McpCarrier::default(),
            }
        })
    }
}

impl Instance for Proxy {
    type Source = PathBuf;
    type Rules = Rules;
    type Error = RulesError;

    const NAME: &'static str = "egress-proxy";
    const METRICS: &'static str = "bottle_egress_proxy";
    const PROTOCOLS: &'static [Protocol] = &[Protocol::Http2, Protocol::Http1];

    fn load(path: &PathBuf, generation: u64, clock: &Clock) -> Result<Loaded<Rules>, RulesError> {
        Rules::load(path, generation, clock)
    }

    fn install(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
        self.forward.forget();
    }

    fn audit(&self) -> Option<&audit::Log> {
        Some(&self.audit)
    }

    fn reloaded(&self, status: &Status) {
        self.metrics.reloaded(status);
    }
}
