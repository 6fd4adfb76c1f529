//! What an operator can plot of the log.

use super::{Log, log::State};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use std::sync::{Arc, atomic::Ordering};

impl Log {
    /// `PREFIX_audit_writable` (1, or 0 while the disk takes nothing and requests wait), `PREFIX_audit_records` and
    /// `PREFIX_audit_suppressed`.
    #[must_use]
    pub fn collector(&self, prefix: &'static str) -> Box<dyn Collector> {
        Box::new(Numbers { prefix, log: self.clone() })
    }
}

struct Numbers {
    prefix: &'static str,
    log: Log,
}

impl std::fmt::Debug for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Numbers").field(&self.prefix).finish()
    }
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let state: &Arc<State> = self.log.state();
        let writable = ConstGauge::new(i64::from(self.log.is_writable()));
        let name = format!("{}_audit_writable", self.prefix);
        let help = "Whether audit records can be written; requests wait while they can't";
        let metric = encoder.encode_descriptor(&name, help, None, writable.metric_type())?;
        writable.encode(metric)?;
        let counters = [
            ("audit_records", "Audit records that were written", &state.written),
            (
                "audit_suppressed",
                "Audit records that were counted together instead of written",
                &state.suppressed,
            ),
        ];
        for (name, help, value) in counters {
            let name = format!("{}_{name}", self.prefix);
            let counter = ConstCounter::new(value.load(Ordering::Relaxed));
            let metric = encoder.encode_descriptor(&name, help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        Ok(())
    }
}
