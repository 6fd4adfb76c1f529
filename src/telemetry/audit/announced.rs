//! Counts that were announced and never written: the proxy was killed in between.

use super::{Counting, Entry, Series};
use jiff::{SignedDuration, Timestamp};

/// After so long a count that was announced is missing: it is due after 10 seconds.
const LATE: SignedDuration = SignedDuration::from_secs(60);
/// Each proxy counts each series; an invented line announces nothing.
const PROXIES: [&str; 2] = ["egress-proxy", "pipelock"];

/// Counts that were announced and are not there yet.
#[derive(Debug, Default)]
pub struct Announced(Vec<Counting>);

impl Announced {
    /// Takes note of an entry; gives the count that is missing since another one begins.
    pub fn see(&mut self, entry: &Entry) -> Option<Counting> {
        let (by, series, begins) = match entry {
            Entry::Counting(counting) => (&counting.decided_by, counting.series.as_str(), Some(counting)),
            Entry::Counted(counted) => (&counted.decided_by, Series::Sent.as_str(), None),
            Entry::Suppressed(counted) => (&counted.decided_by, Series::Denied.as_str(), None),
            Entry::EgressProxy(_) | Entry::Pipelock(_) => return None,
        };
        let at = self.0.iter().position(|one| one.series == series && one.decided_by == *by);
        let announced = at.map(|at| self.0.swap_remove(at));
        let begins = begins?;
        let known = PROXIES.contains(&by.as_str()) && Series::ALL.iter().any(|one| one.as_str() == series);
        if known {
            self.0.push(begins.clone());
        }
        announced
    }

    /// Those that should be there by now.
    pub fn late(&mut self, now: Timestamp) -> Vec<Counting> {
        self.0.extract_if(.., |announced| now.duration_since(announced.time) > LATE).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(by: &str, series: &str, second: u8) -> Entry {
        let line = format!(
            r#"{{"time":"2026-11-24T12:30:{second:02}Z","event":"counting","decided_by":"{by}","series":"{series}"}}"#
        );
        Entry::read(line.as_bytes()).unwrap()
    }

    const COUNTED: &[u8] = br#"{"time":"2026-11-24T12:30:09Z","event":"counted","decided_by":"pipelock","requests":0,"kinds":[],"first":"2026-11-24T12:30:00Z","last":"2026-11-24T12:30:09Z"}"#;

    #[test]
    fn a_count_that_does_not_follow_is_missing() {
        let mut announced = Announced::default();
        let counted = Entry::read(COUNTED).unwrap();
        assert_eq!(announced.see(&counting("pipelock", "sent", 1)), None);
        assert_eq!(announced.see(&counting("egress-proxy", "sent", 1)), None, "the other proxy's");
        assert_eq!(announced.see(&counting("pipelock", "denied", 2)), None);
        assert_eq!(announced.see(&counted), None, "the count of the first");
        let missing_one = announced.see(&counting("pipelock", "denied", 30)).unwrap();
        assert_eq!(missing_one.time.to_string(), "2026-11-24T12:30:02Z");
        let at = |second: i64| counted.time() + SignedDuration::from_secs(second);
        assert_eq!(announced.late(at(-8 + 60)), [], "just in time");
        assert_eq!(announced.late(at(-7 + 60)).len(), 1);
        assert_eq!(announced.late(at(21 + 60)), [], "just in time");
        assert_eq!(announced.late(at(22 + 60)).len(), 1);
        assert_eq!(announced.late(at(1000)), []);
    }

    #[test]
    fn invented_lines_take_no_memory() {
        let mut announced = Announced::default();
        for n in 0..1000 {
            announced.see(&counting(&format!("proxy {n}"), "sent", 1));
            announced.see(&counting("pipelock", &format!("series {n}"), 1));
        }
        assert!(announced.0.is_empty());
    }
}
