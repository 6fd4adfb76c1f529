//! What no object may carry: the kinds of credentials that are known, and those that bottle itself holds.

use super::{
    found::Found,
    rules::{Candidate, RuledText, SecretScan},
};
use crate::dlp::{Finding, Outgoing, OwnSecrets, Scanner, StreamScanner};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// What it costs to begin with a text, in bytes that are read: many small ones cost more than what is in them.
const BEGIN: u64 = 1 << 10;

/// So much is looked at at once.
const BLOCK: usize = 32 << 10;

/// Findings of one object; it is refused by the first.
const MOST: usize = 20;

/// Line ends that are remembered: a finding that began before them shows the line of the first of these.
const LINE_ENDS: usize = 64 << 10;

/// Bytes of a line that a comment may exempt: a file without line ends is not one.
const LONGEST_LINE: usize = 4 << 10;

/// The comment with which gitleaks passes over a line.
const ALLOW: &[u8] = b"gitleaks:allow";

/// Looks for what must not leave.
pub trait Scan {
    /// Begins a text. `file` is whether it is a file's, in which a comment may exempt a line, and which rules are for.
    fn begin(&self, file: bool) -> Box<dyn Reading + '_>;

    /// Whether a comment in a file exempts its line.
    fn comments(&self) -> bool;

    /// Bytes that were read until now, those that were decoded included.
    fn work(&self) -> u64;

    /// Whether nobody waits for the outcome any more.
    fn stopped(&self) -> bool;

    /// Rules whose findings depend on the path.
    fn rules(&self) -> Option<&SecretScan>;

    /// What these rules find in a text that is not a file.
    fn ruled(&self, text: &[u8]) -> Vec<Candidate>;
}

/// A text that is looked through.
pub trait Reading {
    /// Its next bytes.
    fn push(&mut self, bytes: &[u8]);

    /// Its end, and what is in it.
    fn finish(&mut self) -> Scanned;
}

/// What is in a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// What refuses it: the first twenty.
    pub found: Vec<Found>,
    /// What a comment exempts: the first twenty.
    pub exempted: Vec<Found>,
    /// What rules found, which may pass by its path.
    pub candidates: Vec<Candidate>,
}

/// A line that a comment exempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exempted {
    /// Which kind.
    pub kind: Arc<str>,
    /// Where: file, line and commit, safe to print.
    pub place: String,
}

/// What looks have cost, and whether they go on.
#[derive(Debug, Default)]
pub struct Effort {
    work: AtomicU64,
    stopped: AtomicBool,
}

impl Effort {
    /// Nobody waits any more: the look ends soon.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether it was told to.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: u64) {
        self.work.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The scanners of egress-proxy.
#[derive(Clone, Debug)]
pub struct Scanners {
    /// Finds credentials by their shape.
    pub dlp: Scanner,
    /// Finds those that bottle holds; no comment exempts them.
    pub own: OwnSecrets,
    /// Whether `gitleaks:allow` in a line exempts it. Whoever can write the file can write the comment: with this, an
    /// agent switches the scan off where it likes.
    pub allow_comments: bool,
    /// Of these scanners and all clones of them.
    pub effort: Arc<Effort>,
    /// Finds what the rules of a file describe.
    pub rules: Option<Arc<SecretScan>>,
}

impl Scan for Scanners {
    fn begin(&self, file: bool) -> Box<dyn Reading + '_> {
        let comments = file && self.allow_comments;
        self.effort.add(BEGIN);
        Box::new(Text {
            effort: &self.effort,
            dlp: &self.dlp,
            comments: comments.then(Comments::default),
            ruled: self.rules.as_deref().filter(|_| file).map(RuledText::new),
            stream: self.dlp.stream(),
            began: 0,
            fed: 0,
            lines: Lines::default(),
            own: OwnText::new(&self.own),
            block: Vec::new(),
            scanned: Scanned::default(),
        })
    }

    fn comments(&self) -> bool {
        self.allow_comments
    }

    fn work(&self) -> u64 {
        self.effort.work.load(Ordering::Relaxed)
    }

    fn stopped(&self) -> bool {
        self.effort.is_stopped()
    }

    fn rules(&self) -> Option<&SecretScan> {
        self.rules.as_deref()
    }

    fn ruled(&self, text: &[u8]) -> Vec<Candidate> {
        let Some(rules) = &self.rules else { return Vec::new() };
        let mut reading = RuledText::new(rules);
        let read = reading.push(text);
        let (candidates, last) = reading.finish();
        self.effort.add(read + last);
        candidates.into_iter().filter(|it| rules.is_general(it) && rules.stands(it, None, None)).collect()
    }
}

struct Text<'s> {
    effort: &'s Effort,
    dlp: &'s Scanner,
    comments: Option<Comments>,
    ruled: Option<RuledText<'s>>,
    stream: StreamScanner,
    /// Where in the text `stream` began.
    began: u64,
    fed: u64,
    lines: Lines,
    own: OwnText<'s>,
    block: Vec<u8>,
    scanned: Scanned,
}

impl Reading for Text<'_> {
    fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == BLOCK {
                self.look();
            }
        }
    }

    fn finish(&mut self) -> Scanned {
        self.look();
        if let Some(comments) = &mut self.comments {
            let last = comments.finish(self.dlp);
            self.feed(&last);
        }
        let before = self.stream.work();
        let last = self.stream.finish();
        self.effort.add(self.stream.work() - before);
        if let Err(finding) = last {
            self.found(&finding);
        }
        let mut scanned = std::mem::take(&mut self.scanned);
        scanned.found.extend(self.own.found.take());
        if let Some(mut ruled) = self.ruled.take() {
            let (candidates, work) = ruled.finish();
            self.effort.add(work);
            scanned.candidates = candidates;
        }
        scanned.exempted = self.comments.take().map(|it| it.exempted).unwrap_or_default();
        scanned
    }
}

impl Text<'_> {
    fn look(&mut self) {
        let block = std::mem::take(&mut self.block);
        self.effort.add(block.len() as u64);
        self.own.look(&block);
        match &mut self.comments {
            Some(comments) => {
                let rest = comments.without(&block, self.dlp);
                self.feed(&rest);
            }
            None => self.feed(&block),
        }
        self.block = block;
        self.block.clear();
    }

    fn feed(&mut self, mut bytes: &[u8]) {
        if let Some(ruled) = &mut self.ruled {
            self.effort.add(ruled.push(bytes));
        }
        self.lines.note(bytes, self.fed);
        while !bytes.is_empty() && self.scanned.found.len() < MOST {
            let before = self.stream.work();
            let result = self.stream.push(bytes);
            self.effort.add(self.stream.work() - before);
            let end = self.fed + bytes.len() as u64;
            let Err(finding) = result else {
                self.fed = end;
                return;
            };
            self.found(&finding);
            // What follows is read anew, so that a second one is named too.
            let after = (self.began + finding.end).clamp(self.fed, end);
            bytes = &bytes[usize::try_from(after - self.fed).unwrap_or(bytes.len())..];
            (self.fed, self.began, self.stream) = (after, after, self.dlp.stream());
        }
        self.fed += bytes.len() as u64;
    }

    fn found(&mut self, finding: &Finding) {
        let line = self.lines.line_of(self.began + finding.offset);
        self.scanned.found.push(Found { kind: kind_of(finding), line });
    }
}

fn kind_of(finding: &Finding) -> Arc<str> {
    if finding.encodings.is_empty() {
        return Arc::clone(&finding.pattern);
    }
    let under: Vec<_> = finding.encodings.iter().map(|it| it.as_str()).collect();
    format!("{} (in {})", finding.pattern, under.join(" in ")).into()
}

/// Where lines end.
#[derive(Default)]
struct Lines {
    before: u64,
    ends: VecDeque<u64>,
}

impl Lines {
    fn note(&mut self, bytes: &[u8], at: u64) {
        for end in memchr::memchr_iter(b'\n', bytes) {
            if self.ends.len() == LINE_ENDS {
                self.ends.pop_front();
                self.before += 1;
            }
            self.ends.push_back(at + end as u64);
        }
    }

    fn line_of(&self, offset: u64) -> u64 {
        self.before + self.ends.partition_point(|end| *end < offset) as u64 + 1
    }
}

/// Takes lines with the comment out of a text. Its line ends stay.
#[derive(Default)]
struct Comments {
    /// A line that has begun.
    begun: Vec<u8>,
    /// It is too long to be looked through.
    long: bool,
    line: u64,
    exempted: Vec<Found>,
}

impl Comments {
    fn without(&mut self, bytes: &[u8], dlp: &Scanner) -> Vec<u8> {
        let mut rest = Vec::with_capacity(bytes.len());
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let ends = part.ends_with(b"\n");
            if self.long || self.begun.len() + part.len() > LONGEST_LINE {
                rest.append(&mut self.begun);
                rest.extend_from_slice(part);
                self.long = !ends;
            } else {
                self.begun.extend_from_slice(part);
                if ends {
                    rest.extend(self.finish(dlp));
                }
            }
            self.line += u64::from(ends);
        }
        rest
    }

    /// The line that has begun, or its end where it is exempted.
    fn finish(&mut self, dlp: &Scanner) -> Vec<u8> {
        let line = std::mem::take(&mut self.begun);
        if memchr::memmem::find(&line, ALLOW).is_none() {
            return line;
        }
        if self.exempted.len() < MOST
            && let Some(finding) = dlp.text(&line)
        {
            self.exempted.push(Found { kind: kind_of(&finding), line: self.line + 1 });
        }
        line.ends_with(b"\n").then_some(b'\n').into_iter().collect()
    }
}

/// The search for credentials that bottle holds.
struct OwnText<'s> {
    own: &'s OwnSecrets,
    /// Nothing once one was found.
    stream: Option<Outgoing>,
    /// The block before, to say in which line one begins that crosses into the next.
    previous: Vec<u8>,
    /// Line ends before it.
    lines: u64,
    found: Option<Found>,
}

impl<'s> OwnText<'s> {
    fn new(own: &'s OwnSecrets) -> Self {
        let stream = (!own.is_empty()).then(|| own.outgoing());
        Self { own, stream, previous: Vec::new(), lines: 0, found: None }
    }

    fn look(&mut self, block: &[u8]) {
        let Some(stream) = &mut self.stream else { return };
        if let Err(secret) = stream.push(Bytes::copy_from_slice(block)) {
            let kind = format!("the credential {}, which bottle holds", secret.name).into();
            self.found = Some(Found { kind, line: self.line(block) });
            self.stream = None;
            return;
        }
        self.lines += memchr::memchr_iter(b'\n', &self.previous).count() as u64;
        self.previous.clear();
        self.previous.extend_from_slice(block);
    }

    /// The line in which one ends that ends in `block`.
    fn line(&self, block: &[u8]) -> u64 {
        let (mut again, mut line) = (self.own.outgoing(), self.lines + 1);
        let text = [&self.previous, block].concat();
        for part in text.split_inclusive(|byte| *byte == b'\n') {
            if again.push(Bytes::copy_from_slice(part)).is_err() {
                break;
            }
            line += u64::from(part.ends_with(b"\n"));
        }
        line
    }
}
