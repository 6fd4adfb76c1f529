//! Expectations, run: each request is asked for as `bottle explain` asks, and the answer compared with what must
//! become of it. A failure is a diagnostic that points at the expectation, with the rule that decided.

mod compare;

use crate::diagnostic::{Diagnostic, Source};
use crate::explain::{Answer, Asked, BottleRules, Proxy};
use crate::manifest::{Expectation, Loaded, TestBody, TestFile};
use crate::policy::Reason;
use camino::Utf8Path;
use jiff::civil::Date;
use std::{ops::Range, sync::Arc};

/// The expectations of one file, ready to be run.
#[derive(Debug)]
pub struct Suite {
    source: Arc<Source>,
    cases: Vec<Case>,
}

/// One of them.
#[derive(Debug)]
struct Case {
    expectation: Expectation,
    asked: Asked,
    spans: Spans,
}

/// The places of its keys, for labels; those of absent keys are the place of the request.
#[derive(Debug)]
struct Spans {
    request: Range<usize>,
    reason: Range<usize>,
    by: Range<usize>,
    credential: Range<usize>,
    rule: Range<usize>,
}

/// What became of an expectation.
#[derive(Debug)]
pub struct Tested {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The file that it stands in.
    pub file: String,
    /// Its line there.
    pub line: usize,
    /// Method and URL.
    pub request: String,
    /// `allow` or `deny`.
    pub expected: &'static str,
    /// Why the request is denied, and by whom; `None`: it is allowed.
    pub denied: Option<(Reason, Proxy)>,
    /// Why the expectation fails; `None`: it holds.
    pub failure: Option<Diagnostic>,
}

impl Suite {
    /// Those of a manifest; `read` reads a body from a file, relative to the manifest.
    pub fn of_manifest(
        loaded: &Loaded,
        read: impl Fn(&Utf8Path) -> anyhow::Result<Vec<u8>>,
    ) -> anyhow::Result<Self> {
        let span_of = |pointer: &str| loaded.document.span_of(pointer);
        Self::new(&loaded.source, &loaded.manifest.tests, span_of, read)
    }

    /// Those of a file beside a manifest; `read` reads a body from a file, relative to that one.
    pub fn of_file(
        file: &TestFile,
        read: impl Fn(&Utf8Path) -> anyhow::Result<Vec<u8>>,
    ) -> anyhow::Result<Self> {
        Self::new(&file.source, &file.tests, |pointer| file.document.span_of(pointer), read)
    }

    fn new(
        source: &Arc<Source>,
        expectations: &[Expectation],
        span_of: impl Fn(&str) -> Range<usize>,
        read: impl Fn(&Utf8Path) -> anyhow::Result<Vec<u8>>,
    ) -> anyhow::Result<Self> {
        let case = |expectation: &Expectation| -> anyhow::Result<Case> {
            let body = match &expectation.body {
                None => None,
                Some(TestBody::Text(text)) => Some(text.clone().into_bytes()),
                Some(TestBody::File(path)) => Some(read(path)?),
            };
            let request = expectation.request.clone();
            let asked = Asked { request, body: body.map(Into::into) };
            let span = |key: &str| span_of(&format!("{}.{key}", expectation.pointer));
            let spans = Spans {
                request: span(expectation.expected.as_str()),
                reason: span("reason"),
                by: span("by"),
                credential: span("credential"),
                rule: span("rule"),
            };
            Ok(Case { expectation: expectation.clone(), asked, spans })
        };
        let cases = expectations.iter().map(case).collect::<anyhow::Result<_>>()?;
        Ok(Self { source: Arc::clone(source), cases })
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// Keeps those whose name or request holds a text.
    pub fn keep(&mut self, text: &str) {
        self.cases.retain(|case| {
            let name = case.expectation.name.as_deref().unwrap_or_default();
            name.contains(text) || case.written().contains(text)
        });
    }

    /// Asks for each, on its day or on this one.
    #[must_use]
    pub fn run(&self, rules: &BottleRules, today: Date) -> Vec<Tested> {
        self.cases.iter().map(|case| case.run(&self.source, rules, today)).collect()
    }
}

impl Case {
    fn written(&self) -> String {
        format!("{} {}", self.asked.request.method, self.asked.request.url)
    }

    fn run(&self, source: &Arc<Source>, rules: &BottleRules, today: Date) -> Tested {
        let today = self.expectation.now.unwrap_or(today);
        let answer = Answer::find(&self.asked, rules, today);
        let reason = answer.refusal.as_ref().map(|refusal| refusal.reason);
        Tested {
            name: self.expectation.name.clone(),
            file: source.name().to_owned(),
            line: source.position(self.spans.request.start).0,
            request: self.written(),
            expected: self.expectation.expected.as_str(),
            denied: reason.zip(answer.decided_by),
            failure: compare::failure(self, &answer, source, rules, today),
        }
    }
}
