//! The engine as an instance of [`crate::runtime`].

use super::{
    connect::Dialer,
    engine::Engine,
    events::Events,
    lines::Line,
    metrics::Metrics,
    network::Network,
    rules::{Paths, Rules, RulesError},
};
use crate::clock::Clock;
use crate::intercept::{
    Drained, Pool, PoolLimits, Protocol,
    budget::{Budget, BudgetLimits},
};
use crate::runtime::{Instance, Loaded, Runtime, StartError};
use crate::telemetry::{audit, status::Status};
use arc_swap::ArcSwap;
use std::sync::Arc;

/// The embedded pipelock of a process.
pub type Pipelock = Runtime<Engine>;

impl Pipelock {
    /// Reads and checks the files and everything that they name.
    pub fn build(
        paths: &Paths,
        clock: &Clock,
        network: Network,
        events: Events,
    ) -> Result<Self, StartError<RulesError>> {
        Self::load(paths.clone(), clock, |rules, registry| {
            let metrics = Arc::new(Metrics::register(registry));
            let rules = Arc::new(ArcSwap::from_pointee(rules));
            let pool = Pool::new(Dialer { rules: Arc::clone(&rules), network }, PoolLimits::default());
            registry.register_collector(pool.collector());
            Engine { rules, pool, events, metrics, budget: Budget::new(BudgetLimits::default()) }
        })
    }

    /// Memory for request bodies in flight: bytes that they hold now, and bytes that there are.
    #[must_use]
    pub fn body_memory(&self) -> (usize, usize) {
        let budget = &self.instance.budget;
        (budget.used(), budget.total())
    }
}

impl Instance for Engine {
    type Source = Paths;
    type Rules = Rules;
    type Error = RulesError;

    const NAME: &'static str = "pipelock";
    const METRICS: &'static str = "pipelock";
    /// HTTP/2 is preferred, as egress-proxy expects.
    const PROTOCOLS: &'static [Protocol] = &[Protocol::Http2, Protocol::Http1];
    const BOUNDS: &'static str = "forward_proxy";

    fn load(paths: &Paths, generation: u64, clock: &Clock) -> Result<Loaded<Rules>, RulesError> {
        Rules::load(paths, generation, clock)
    }

    fn install(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
        self.pool.clear();
    }

    fn audit(&self) -> Option<&audit::Log> {
        self.events.audit()
    }

    fn started(&self, config: &str) {
        self.report("info", "startup", format!("mode=strict config={config}"));
    }

    fn reloaded(&self, status: &Status) {
        self.metrics.reloaded(status);
        let (level, reason) = match &status.last_error {
            None => ("info", format!("config={}", status.config)),
            Some(error) => ("error", format!("the new configuration is refused, the old one stays: {error}")),
        };
        self.report(level, "config_reload", reason);
    }

    fn stopped(&self, drained: Drained) {
        self.report("info", "shutdown", format!("{} connections were cut", drained.aborted));
    }
}

impl Engine {
    fn report(&self, level: &'static str, event: &'static str, reason: String) {
        self.events.write(level, &Line { event, reason: Some(reason), ..Line::default() });
    }
}
