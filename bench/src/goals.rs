//! The goals of bottle, as ratios within one run, and whether this run reached them.

use crate::contender::Kind;
use crate::figures::{Figures, Metric};

/// One goal.
pub(crate) struct Goal {
    pub(crate) text: &'static str,
    pub(crate) limit: f64,
    pub(crate) value: Option<f64>,
    /// Whether the value may not be above the limit; else it may not be below.
    at_most: bool,
}

impl Goal {
    pub(crate) fn is_reached(&self) -> Option<bool> {
        self.value.map(|value| if self.at_most { value <= self.limit } else { value >= self.limit })
    }

    pub(crate) fn limit_text(&self) -> String {
        format!("{} {}", if self.at_most { "≤" } else { "≥" }, self.limit)
    }
}

pub(crate) fn goals(figures: &Figures) -> Vec<Goal> {
    use Kind::{BottleChain, BottleProxy, Direct, Floor, Hudsucker};
    let ratio = |kind, metric, of| figures.ratio(kind, metric, of);
    let inverse = |kind, metric| figures.ratio(Floor, metric, kind);
    let more = |kind, metric, than| Some(figures.value(kind, metric)? - figures.value(than, metric)?);
    let sum = |metric| Some(figures.value(BottleProxy, metric)? + figures.value(BottleChain, metric)?);
    let at_most = |text, limit, value| Goal { text, limit, value, at_most: true };
    let at_least = |text, limit, value| Goal { text, limit, value, at_most: false };
    vec![
        at_most("proxy: CPU a request, of the floor's", 1.3, ratio(BottleProxy, Metric::Http1Cpu, Floor)),
        at_most("proxy: CPU a request, of hudsucker's", 1.0, ratio(BottleProxy, Metric::Http1Cpu, Hudsucker)),
        at_most("chain: CPU a request, of the floor's", 2.6, ratio(BottleChain, Metric::Http1Cpu, Floor)),
        at_least(
            "proxy: new connections for the same CPU, of the floor's",
            0.85,
            inverse(BottleProxy, Metric::NewCpu),
        ),
        at_least(
            "chain: new connections for the same CPU, of the floor's",
            0.6,
            inverse(BottleChain, Metric::NewCpu),
        ),
        at_least("proxy: down, of the floor's", 0.9, ratio(BottleProxy, Metric::DownRate, Floor)),
        at_least("chain: down, of the floor's", 0.7, ratio(BottleChain, Metric::DownRate, Floor)),
        at_least("proxy: up, of the floor's", 0.9, ratio(BottleProxy, Metric::UpRate, Floor)),
        at_least("chain: up, of the floor's", 0.5, ratio(BottleChain, Metric::UpRate, Floor)),
        at_most("failed requests", 0.0, sum(Metric::Failed)),
        at_most("reconnects of the client", 0.0, sum(Metric::Reconnects)),
        at_most("proxy: p99 above direct at low load, ms", 1.0, more(BottleProxy, Metric::LowP99, Direct)),
        at_most("chain: p99 above direct at low load, ms", 1.0, more(BottleChain, Metric::LowP99, Direct)),
        at_most("chain: SSE head above the floor's, ms", 1.0, more(BottleChain, Metric::SseHead, Floor)),
        at_most(
            "chain: very first SSE head above the floor's, ms",
            1.0,
            more(BottleChain, Metric::SseFirstHead, Floor),
        ),
        at_most("chain: SSE event above the floor's, ms", 0.3, more(BottleChain, Metric::SseLate, Floor)),
        at_most(
            "memory of the largest process, MiB",
            16.0,
            figures.value(BottleChain, Metric::MemoryLargest),
        ),
        at_most("chain: memory of an idle tunnel, KiB", 40.0, figures.value(BottleChain, Metric::Tunnel)),
        at_most("proxy: ready after, ms", 20.0, figures.value(BottleProxy, Metric::Ready)),
        at_most("chain: ready after, ms", 20.0, figures.value(BottleChain, Metric::Ready)),
        at_most("chain: hosts that were refused", 0.0, figures.value(BottleChain, Metric::HostsFailed)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_reached_or_not_or_not_measured() {
        let mut figures = Figures::default();
        let reached = |figures: &Figures| goals(figures)[2].is_reached();
        assert_eq!(reached(&figures), None);
        figures.add(Kind::Floor, Metric::Http1Cpu, 10.0);
        figures.add(Kind::BottleChain, Metric::Http1Cpu, 26.0);
        assert_eq!(reached(&figures), Some(true));
        let mut figures = Figures::default();
        figures.add(Kind::Floor, Metric::NewCpu, 80.0);
        figures.add(Kind::BottleProxy, Metric::NewCpu, 100.0);
        assert_eq!(goals(&figures)[3].is_reached(), Some(false));
    }
}
