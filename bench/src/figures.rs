//! What was measured: for each contender and each metric one value a round.

use crate::contender::Kind;
use std::collections::BTreeMap;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    Http1Cpu,
    Http1Rate,
    Http1P99,
    Http2Cpu,
    Http2Rate,
    NewCpu,
    NewRate,
    DownRate,
    DownCpu,
    UpRate,
    UpCpu,
    LowP50,
    LowP99,
    SseFirstHead,
    SseHead,
    SseLate,
    SseLateP99,
    Ready,
    Memory,
    MemoryLargest,
    MemoryLoaded,
    Tunnel,
    Requests,
    Failed,
    Reconnects,
    Upstream,
    Hosts,
    HostsFailed,
}

/// How the value of a contender is set against the floor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    /// Less is better.
    Less,
    /// More is better.
    More,
    /// It is a count.
    Not,
}

impl Metric {
    pub(crate) const ALL: [Self; 28] = [
        Self::Http1Cpu,
        Self::Http1Rate,
        Self::Http1P99,
        Self::Http2Cpu,
        Self::Http2Rate,
        Self::NewCpu,
        Self::NewRate,
        Self::DownRate,
        Self::DownCpu,
        Self::UpRate,
        Self::UpCpu,
        Self::LowP50,
        Self::LowP99,
        Self::SseFirstHead,
        Self::SseHead,
        Self::SseLate,
        Self::SseLateP99,
        Self::Ready,
        Self::Memory,
        Self::MemoryLargest,
        Self::MemoryLoaded,
        Self::Tunnel,
        Self::Requests,
        Self::Failed,
        Self::Reconnects,
        Self::Upstream,
        Self::Hosts,
        Self::HostsFailed,
    ];

    /// Its key in the JSON.
    pub(crate) fn key(self) -> &'static str {
        self.described().0
    }

    /// Its name in the table.
    pub(crate) fn title(self) -> &'static str {
        self.described().1
    }

    /// How many decimals are shown.
    pub(crate) fn decimals(self) -> usize {
        self.described().2
    }

    pub(crate) fn compared(self) -> Compared {
        self.described().3
    }

    fn described(self) -> (&'static str, &'static str, usize, Compared) {
        use Compared::{Less, More, Not};
        match self {
            Self::Http1Cpu => ("http1_cpu_us", "HTTP/1.1: CPU a request, µs", 0, Less),
            Self::Http1Rate => ("http1_per_second", "HTTP/1.1: requests/s", 0, More),
            Self::Http1P99 => ("http1_p99_ms", "HTTP/1.1: p99, ms", 2, Less),
            Self::Http2Cpu => ("http2_cpu_us", "HTTP/2: CPU a request, µs", 0, Less),
            Self::Http2Rate => ("http2_per_second", "HTTP/2: requests/s", 0, More),
            Self::NewCpu => ("new_cpu_us", "new connection: CPU, µs", 0, Less),
            Self::NewRate => ("new_per_second", "new connections/s", 0, More),
            Self::DownRate => ("down_mib_per_second", "down, MiB/s", 0, More),
            Self::DownCpu => ("down_cpu_ms", "down: CPU a MiB, ms", 2, Less),
            Self::UpRate => ("up_mib_per_second", "up, MiB/s", 0, More),
            Self::UpCpu => ("up_cpu_ms", "up: CPU a MiB, ms", 2, Less),
            Self::LowP50 => ("low_p50_ms", "low load: p50, ms", 2, Less),
            Self::LowP99 => ("low_p99_ms", "low load: p99, ms", 2, Less),
            Self::SseFirstHead => ("sse_first_head_ms", "SSE: very first head, ms", 2, Less),
            Self::SseHead => ("sse_head_ms", "SSE: head, ms", 2, Less),
            Self::SseLate => ("sse_event_p50_ms", "SSE: event p50, ms", 3, Less),
            Self::SseLateP99 => ("sse_event_p99_ms", "SSE: event p99, ms", 3, Less),
            Self::Ready => ("ready_ms", "ready after, ms", 0, Less),
            Self::Memory => ("memory_mib", "memory idle, MiB", 1, Less),
            Self::MemoryLargest => ("memory_largest_mib", "memory idle, largest process, MiB", 1, Less),
            Self::MemoryLoaded => ("memory_loaded_mib", "memory after the load, MiB", 1, Less),
            Self::Tunnel => ("tunnel_kib", "memory of an idle tunnel, KiB", 0, Less),
            Self::Requests => ("requests", "requests", 0, Not),
            Self::Failed => ("failed", "failed requests", 0, Not),
            Self::Reconnects => ("reconnects", "reconnects of the client", 0, Not),
            Self::Upstream => ("upstream_opened", "connections opened behind it", 0, Not),
            Self::Hosts => ("hosts", "many hosts: asked", 0, Not),
            Self::HostsFailed => ("hosts_failed", "many hosts: failed", 0, Not),
        }
    }

    /// Whether it is the sum of all rounds, and no median.
    fn is_summed(self) -> bool {
        self.compared() == Compared::Not
    }
}

/// All values of a run.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    values: BTreeMap<(&'static str, Metric), Vec<f64>>,
    /// The first error of each contender in each load.
    pub(crate) errors: Vec<String>,
    /// Who could not be measured, and why.
    pub(crate) left_out: Vec<(&'static str, String)>,
}

impl Figures {
    pub(crate) fn add(&mut self, kind: Kind, metric: Metric, value: f64) {
        self.values.entry((kind.name(), metric)).or_default().push(value);
    }

    /// One value a round.
    pub(crate) fn rounds(&self, kind: Kind, metric: Metric) -> &[f64] {
        self.values.get(&(kind.name(), metric)).map_or(&[], Vec::as_slice)
    }

    /// The median of the rounds, or their sum.
    pub(crate) fn value(&self, kind: Kind, metric: Metric) -> Option<f64> {
        let rounds = self.rounds(kind, metric);
        match rounds {
            [] => None,
            _ if metric.is_summed() => Some(rounds.iter().sum()),
            _ => quantile(rounds, 0.5),
        }
    }

    /// The value over that of another contender.
    pub(crate) fn ratio(&self, kind: Kind, metric: Metric, of: Kind) -> Option<f64> {
        let (value, other) = (self.value(kind, metric)?, self.value(of, metric)?);
        (metric.compared() != Compared::Not && other > 0.0).then(|| value / other)
    }
}

/// The value below which that part of all values lies.
pub(crate) fn quantile(values: &[f64], part: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a list in memory"
    )]
    let index = (last as f64 * part).round() as usize;
    sorted.get(index).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_sums() {
        let mut figures = Figures::default();
        for value in [3.0, 1.0, 2.0] {
            figures.add(Kind::Floor, Metric::Http1Cpu, value);
            figures.add(Kind::Hudsucker, Metric::Http1Cpu, value * 2.0);
            figures.add(Kind::Floor, Metric::Failed, value);
        }
        assert_eq!(figures.value(Kind::Floor, Metric::Http1Cpu), Some(2.0));
        assert_eq!(figures.value(Kind::Floor, Metric::Failed), Some(6.0));
        assert_eq!(figures.value(Kind::Direct, Metric::Failed), None);
        assert_eq!(figures.ratio(Kind::Hudsucker, Metric::Http1Cpu, Kind::Floor), Some(2.0));
        assert_eq!(figures.ratio(Kind::Floor, Metric::Failed, Kind::Floor), None);
    }

    #[test]
    fn quantiles_are_values_that_were_there() {
        let values: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.99), Some(99.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn every_metric_has_a_key_of_its_own() {
        let keys: std::collections::BTreeSet<_> = Metric::ALL.map(Metric::key).into();
        assert_eq!(keys.len(), Metric::ALL.len());
    }
}
