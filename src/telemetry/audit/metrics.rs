//! What an operator can plot of the log.

use super::{Log, writer::State};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use std::sync::{Arc, atomic::Ordering};

impl Log {
    /// `audit_writable` (1, or 0 while the disk takes nothing and requests wait), `audit_records` and
    /// `audit_suppressed`.
    #[must_use]
    pub fn collector(&self) -> Box<dyn Collector> {
        Box::new(Numbers(self.clone()))
    }
}

struct Numbers(Log);

impl std::fmt::Debug for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Numbers")
    }
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let state: &Arc<State> = self.0.state();
        let writable = ConstGauge::new(i64::from(self.0.is_writable()));
        let help = "Whether audit records can be written; requests wait while they can't";
        let metric = encoder.encode_descriptor("audit_writable", help, None, writable.metric_type())?;
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
            let counter = ConstCounter::new(value.load(Ordering::Relaxed));
            let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        Ok(())
    }
}
