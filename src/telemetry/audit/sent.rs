//! Which records of what was sent on are written, and the count of the others.
//!
//! The decision is made once for each request, at its dispatch: its end is written or counted as its dispatch was.

use super::{
    Facts, Series,
    budget::{Reservation, WINDOW, WriteBudget},
    counted::{Counted, Counting, Tally},
    flood::Admission,
};
use std::{
    hash::{BuildHasher as _, RandomState},
    time::Instant,
};

/// The bytes that are set aside for the end of a request when its dispatch is written: no line is longer.
const END_BYTES: u64 = 4096;

/// What was decided at the dispatch of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Decision {
    Written { taken: Reservation, dispatch: u64 },
    Counted,
}

/// What is sent on, between the [`Log`](super::Log) and the files.
pub(super) struct Sent {
    by: &'static str,
    budget: WriteBudget,
    counting: Option<(Instant, Tally)>,
    hasher: RandomState,
}

impl Sent {
    pub(super) fn new(by: &'static str, budget: WriteBudget) -> Self {
        Self { by, budget, counting: None, hasher: RandomState::new() }
    }

    /// Decides on a request whose dispatch takes that many bytes.
    pub(super) fn dispatch(&mut self, facts: &Facts, bytes: usize, now: Instant) -> (Decision, Admission) {
        let dispatch = bytes as u64;
        match self.budget.take(self.kind(facts), dispatch + END_BYTES, now) {
            Some(taken) => (Decision::Written { taken, dispatch }, Admission::Written),
            None => (Decision::Counted, self.count(facts, now, true)),
        }
    }

    /// The last record of a request, or one that stands alone.
    pub(super) fn end(
        &mut self,
        decision: Option<Decision>,
        facts: &Facts,
        bytes: usize,
        now: Instant,
    ) -> Admission {
        let bytes = bytes as u64;
        match decision {
            Some(Decision::Written { taken, dispatch }) => {
                self.budget.settle(taken, dispatch + bytes);
                Admission::Written
            }
            Some(Decision::Counted) => self.count(facts, now, false),
            None => match self.budget.take(self.kind(facts), bytes, now) {
                Some(taken) => {
                    self.budget.settle(taken, bytes);
                    Admission::Written
                }
                None => self.count(facts, now, false),
            },
        }
    }

    /// A request that ends without a record.
    pub(super) fn gone(&mut self, decision: Decision) {
        if let Decision::Written { taken, dispatch } = decision {
            self.budget.settle(taken, dispatch);
        }
    }

    /// A record of counting is written, whatever the budget says.
    pub(super) fn spend(&mut self, bytes: usize, now: Instant) {
        self.budget.spend(bytes as u64, now);
    }

    fn kind(&self, facts: &Facts) -> u64 {
        self.hasher.hash_one((&facts.host, facts.method, &facts.rule))
    }

    fn count(&mut self, facts: &Facts, now: Instant, dispatch: bool) -> Admission {
        let begins = self.counting.is_none().then(|| Counting::new(Series::Sent, self.by, facts.time));
        let (_, tally) = self.counting.get_or_insert_with(|| (now, Tally::new(self.by)));
        if dispatch {
            tally.request(facts, &self.hasher);
        } else {
            tally.outcome(facts);
        }
        Admission::Counted(begins)
    }

    /// When what was counted is due to be written, if anything was.
    pub(super) fn due(&self) -> Option<Instant> {
        self.counting.as_ref().map(|(since, _)| *since + WINDOW)
    }

    /// What was counted, once its window is over.
    pub(super) fn take(&mut self, now: Instant) -> Option<Counted> {
        self.due().filter(|due| now >= *due)?;
        self.take_all()
    }

    /// What was counted, at the end of the process.
    pub(super) fn take_all(&mut self) -> Option<Counted> {
        self.counting.take()?.1.record()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Event, FILE_BYTES, FILES_KEPT, RETENTION, Record, Recorded as _, record::tests::record,
    };
    use super::*;
    use std::time::Duration;

    fn facts(rule: &str) -> Facts {
        Record { event: Event::End, rule: Some(rule.to_owned()), ..record(1) }.facts()
    }

    /// One request of 1 KiB; says whether it is written.
    fn ask(sent: &mut Sent, rule: &str, now: Instant) -> bool {
        let (decision, admission) = sent.dispatch(&facts(rule), 512, now);
        let end = sent.end(Some(decision), &facts(rule), 512, now);
        let written = admission == Admission::Written;
        assert_eq!(end == Admission::Written, written, "the end goes where the dispatch went");
        written
    }

    #[test]
    fn a_flood_that_does_not_stop_hides_no_first_use_of_another_route() {
        let start = Instant::now();
        let budget = WriteBudget::new(FILE_BYTES, FILES_KEPT, RETENTION, 0, start);
        let mut sent = Sent::new("egress-proxy", budget);
        let mut flood = 0;
        while ask(&mut sent, "flood", start) {
            flood += 1;
        }
        assert!(flood > 100_000, "a burst of {flood} is written");
        let (mut written, mut asked) = (0, 0);
        for second in 1..3 * RETENTION.as_secs() {
            let now = start + Duration::from_secs(second);
            if let Some(counted) = sent.take(now) {
                sent.spend(serde_json::to_vec(&counted).unwrap().len(), now);
            }
            for _ in 0..5 {
                written += u32::from(ask(&mut sent, "flood", now));
                asked += 1;
            }
            if second % 600 == 0 {
                assert!(ask(&mut sent, "rare", now), "after {second} s");
            }
        }
        assert!(asked / 3 < written && written < asked, "{written} of {asked} are written, evenly");
    }

    #[test]
    fn counting_begins_once_in_a_window_and_is_over_after_ten_seconds() {
        let start = Instant::now();
        let mut sent =
            Sent::new("egress-proxy", WriteBudget::new(FILE_BYTES, FILES_KEPT, RETENTION, u64::MAX, start));
        let begins = Counting::new(Series::Sent, "egress-proxy", facts("a").time);
        let (decision, first) = sent.dispatch(&facts("a"), 512, start);
        assert_eq!(first, Admission::Counted(Some(begins.clone())));
        assert_eq!(sent.dispatch(&facts("a"), 512, start).1, Admission::Counted(None));
        assert_eq!(sent.take(start + WINDOW / 2), None);
        assert_eq!(sent.take(start + WINDOW).unwrap().requests, 2);
        assert_eq!(sent.due(), None);
        let late = sent.end(Some(decision), &facts("a"), 512, start + WINDOW);
        assert_eq!(late, Admission::Counted(Some(begins)), "it is counted in the next window");
        let counted = sent.take_all().unwrap();
        assert_eq!((counted.requests, counted.kinds[0].outcomes["deny 4xx"]), (0, 1));
    }
}
