//! The files of an audit folder: two series, each with a live file and the older ones beside it.

use rustix::fs::Dir;
use std::{io, os::fd::AsFd};

/// A folder with more names than this holds other things than an audit trail; the rest is not looked at.
const NAMES: usize = 10_000;

/// Which files a record goes to. Each series is rotated on its own, so that a flood in one erases nothing of the
/// other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Series {
    /// What was sent on: the record at dispatch and the one at the end.
    Sent,
    /// What was answered without being sent on: refusals, and errors before the dispatch.
    Denied,
}

impl Series {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sent, Self::Denied];

    /// The stem of its files' names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Denied => "denied",
        }
    }

    /// The file that is appended to: `sent.jsonl`.
    #[must_use]
    pub fn live_name(self) -> String {
        format!("{}.jsonl", self.as_str())
    }

    /// An older file: `sent-0000000007.jsonl`. A higher number is a later file.
    pub(super) fn rotated_name(self, number: u64) -> String {
        format!("{}-{number:010}.jsonl", self.as_str())
    }

    fn number(self, name: &str) -> Option<u64> {
        let digits = name.strip_prefix(self.as_str())?.strip_prefix('-')?.strip_suffix(".jsonl")?;
        let number = digits.parse().ok()?;
        (self.rotated_name(number) == name).then_some(number)
    }

    /// The numbers of its older files, oldest first.
    pub(super) fn rotated(self, folder: impl AsFd) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in Dir::read_from(folder)?.take(NAMES) {
            numbers.extend(entry?.file_name().to_str().ok().and_then(|name| self.number(name)));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_rotation_writes_are_older_files() {
        assert_eq!(Series::Sent.number(&Series::Sent.rotated_name(7)), Some(7));
        let long = u64::from(u32::MAX) * 10;
        assert_eq!(Series::Denied.number(&Series::Denied.rotated_name(long)), Some(long));
        for other in ["sent.jsonl", "sent-7.jsonl", "sent-+000000007.jsonl", "denied-0000000007.jsonl"] {
            assert_eq!(Series::Sent.number(other), None, "{other}");
        }
    }
}
