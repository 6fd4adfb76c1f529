//! What a server says became of a push (gitprotocol-pack(5), report-status): read as it passes, for the audit trail.
//! Nothing of it is kept back or changed.

use super::{
    commands::Commands,
    pkt_line::{self, Pkt},
};
use std::collections::HashMap;

/// Bytes of an answer that are read: a report of 1000 refs with a reason each, and what people are told beside it.
const MOST: usize = 4 << 20;

/// What a server said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Why it did not take the pack; nothing where it did, or said nothing of it.
    pub unpack: Option<String>,
    /// Refs that it changed.
    pub accepted: u64,
    /// Refs that it did not.
    pub refused: u64,
    /// Of each of the first refs that were asked about, in their order: `ok`, or why not; nothing where it said nothing.
    pub refs: Vec<Option<String>>,
    /// Its report came to its end.
    pub whole: bool,
}

/// Reads an answer.
#[derive(Debug)]
pub struct AnswerReader {
    names: HashMap<String, usize>,
    /// The report stands in lines of its own, or in the first band of others.
    banded: bool,
    read: usize,
    outer: Vec<u8>,
    report: Vec<u8>,
    /// Nothing more of it is read.
    over: bool,
    answer: Answer,
}

impl AnswerReader {
    /// Of the answer to these commands; the first `named` refs are told apart. Nothing where the client asked for no report.
    #[must_use]
    pub fn new(commands: &Commands, named: usize) -> Option<Self> {
        let capabilities = &commands.capabilities;
        let refs = commands.list.iter().take(named).map(|command| command.name.to_string());
        let places: HashMap<String, usize> = refs.zip(0..).collect();
        capabilities.report_status.then(|| Self {
            answer: Answer { refs: vec![None; places.len()], ..Answer::default() },
            names: places,
            banded: capabilities.side_band,
            read: 0,
            outer: Vec::new(),
            report: Vec::new(),
            over: false,
        })
    }

    /// Takes more of the answer.
    pub fn push(&mut self, data: &[u8]) {
        self.read = self.read.saturating_add(data.len());
        self.over |= self.read > MOST;
        if self.over {
            return;
        }
        if !self.banded {
            self.report.extend_from_slice(data);
            return self.lines();
        }
        self.outer.extend_from_slice(data);
        let mut at = 0;
        while let Some((pkt, length)) = self.next(&self.outer, at) {
            if let Pkt::Data([1, report @ ..]) = pkt {
                self.report.extend_from_slice(report);
            }
            at += length;
        }
        self.outer.drain(..at);
        self.lines();
    }

    /// What was said until now.
    #[must_use]
    pub fn said(&self) -> &Answer {
        &self.answer
    }

    fn next<'b>(&self, bytes: &'b [u8], at: usize) -> Option<(Pkt<'b>, usize)> {
        if self.over { None } else { pkt_line::read(bytes.get(at..)?).ok().flatten() }
    }

    fn lines(&mut self) {
        let report = std::mem::take(&mut self.report);
        let mut at = 0;
        while let Some((pkt, length)) = self.next(&report, at) {
            match pkt {
                Pkt::Flush => (self.over, self.answer.whole) = (true, true),
                Pkt::Data(line) => {
                    self.line(&String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)));
                }
            }
            at += length;
        }
        self.report.extend_from_slice(&report[at..]);
    }

    fn line(&mut self, line: &str) {
        let Some((word, rest)) = line.split_once(' ') else { return };
        let (name, reason) = match word {
            "ok" => (rest, "ok"),
            "ng" => rest.split_once(' ').unwrap_or((rest, "no reason")),
            "unpack" => {
                self.answer.unpack = (rest != "ok").then(|| rest.to_owned());
                return;
            }
            _ => return,
        };
        *(if word == "ok" { &mut self.answer.accepted } else { &mut self.answer.refused }) += 1;
        if let Some(said) = self.names.get(name).and_then(|at| self.answer.refs.get_mut(*at)) {
            *said = Some(reason.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git_gate::commands::CommandReader;

    const REPORT: [&str; 5] = [
        "unpack ok\n",
        "ok refs/heads/0\n",
        "option refname refs/heads/0\n",
        "ng refs/heads/1 fetch first\n",
        "ng refs/heads/2 hook\u{1b} declined\n",
    ];

    fn commands(capabilities: &str) -> Commands {
        let mut sent = Vec::new();
        for n in 0..3 {
            let capabilities = if n == 0 { format!("\0{capabilities}") } else { String::new() };
            let line = format!("{} {} refs/heads/{n}{capabilities}", "1".repeat(40), "2".repeat(40));
            pkt_line::write(line.as_bytes(), &mut sent);
        }
        sent.extend_from_slice(pkt_line::FLUSH);
        let mut reader = CommandReader::default();
        reader.push(&sent).unwrap();
        reader.so_far().clone()
    }

    fn lines(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            pkt_line::write(line.as_bytes(), &mut out);
        }
        out.extend_from_slice(pkt_line::FLUSH);
        out
    }

    /// In two bands, the report in pieces of seven bytes.
    fn banded(report: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        pkt_line::write(b"\x02ok refs/heads/2\n", &mut out);
        for piece in report.chunks(7) {
            pkt_line::write(&[b"\x01", piece].concat(), &mut out);
        }
        out.extend_from_slice(pkt_line::FLUSH);
        out
    }

    fn read(capabilities: &str, named: usize, answer: &[u8]) -> Answer {
        let mut whole = AnswerReader::new(&commands(capabilities), named).unwrap();
        whole.push(answer);
        let mut bytewise = AnswerReader::new(&commands(capabilities), named).unwrap();
        for byte in answer {
            bytewise.push(&[*byte]);
        }
        assert_eq!(whole.said(), bytewise.said());
        whole.said().clone()
    }

    #[test]
    fn each_ref_has_its_answer_in_bands_and_without() {
        let report = lines(&REPORT);
        let said = read("report-status", 3, &report);
        let refs = ["ok", "fetch first", "hook\u{1b} declined"].map(|it| Some(it.to_owned()));
        assert_eq!(said, Answer { unpack: None, accepted: 1, refused: 2, refs: refs.into(), whole: true });
        assert_eq!(read("report-status-v2 side-band-64k", 3, &banded(&report)), said);
        let one = read("report-status", 1, &report);
        assert_eq!((one.refs.len(), one.accepted, one.refused), (1, 1, 2), "the others are counted");
        assert!(AnswerReader::new(&commands("side-band-64k"), 3).is_none());
    }

    #[test]
    fn what_is_no_report_says_nothing() {
        let blank = Answer { refs: vec![None; 3], ..Answer::default() };
        for bad in [&b""[..], b"<html>", b"0001", &lines(&REPORT)[..10], &lines(&["x\n"])[..6]] {
            assert_eq!(read("report-status", 3, bad), blank, "{bad:?}");
        }
        let unpack = read("report-status", 3, &lines(&["unpack index-pack failed"]));
        assert_eq!(unpack.unpack.as_deref(), Some("index-pack failed"));
        let cut = read("report-status", 3, &lines(&REPORT)[..40]);
        assert!(!cut.whole && cut.accepted == 1, "{cut:?}");
        let mut endless = AnswerReader::new(&commands("report-status"), 3).unwrap();
        for _ in 0..MOST / 990 + 10 {
            endless.push(&lines(&[&"x".repeat(992)])[..1000 - 4]);
        }
        endless.push(&lines(&REPORT));
        assert_eq!(endless.said(), &blank, "it is read to a bound");
    }
}
