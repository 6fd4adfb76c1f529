//! A pool's own counts, read whenever somebody asks for metrics.

use super::{Connector, Pool};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

struct PoolCollector<C: Connector>(Pool<C>);

impl<C: Connector> Pool<C> {
    /// What its connections did, and how many there are.
    #[must_use]
    pub fn collector(&self) -> Box<dyn Collector> {
        Box::new(PoolCollector(self.clone()))
    }
}

impl<C: Connector> std::fmt::Debug for PoolCollector<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PoolCollector").field(&self.0.stats()).finish()
    }
}

impl<C: Connector> Collector for PoolCollector<C> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let stats = self.0.stats();
        let counters = [
            ("upstream_connections", "Connections to the next hop that were made", stats.opened),
            ("upstream_reused", "Requests on a connection that was used before", stats.reused),
            ("upstream_retried", "Requests that were sent again since nothing was processed", stats.retried),
            ("upstream_evicted", "Idle connections that were closed to make room for others", stats.evicted),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        let open = ConstGauge::new(i64::try_from(stats.open).unwrap_or(i64::MAX));
        let help = "Connections to the next hop that are open, in use or idle";
        let metric = encoder.encode_descriptor("upstream_open", help, None, open.metric_type())?;
        open.encode(metric)
    }
}
