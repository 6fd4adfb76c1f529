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
    /// Those of a manifest.
    #[must_use]
    pub fn of_manifest(loaded: &Loaded) -> Self {
        let span_of = |pointer: &str| loaded.document.span_of(pointer);
        Self::new(&loaded.source, &loaded.manifest.tests, span_of)
    }

    /// Those of a file beside a manifest.
    #[must_use]
    pub fn of_file(file: &TestFile) -> Self {
        Self::new(&file.source, &file.tests, |pointer| file.document.span_of(pointer))
    }

    fn new(
        source: &Arc<Source>,
        expectations: &[Expectation],
        span_of: impl Fn(&str) -> Range<usize>,
    ) -> Self {
        let case = |expectation: &Expectation| {
            let span = |key: &str| span_of(&format!("{}.{key}", expectation.pointer));
            let spans = Spans {
                request: span(expectation.expected.as_str()),
                reason: span("reason"),
                by: span("by"),
                credential: span("credential"),
                rule: span("rule"),
            };
            Case { expectation: expectation.clone(), spans }
        };
        Self { source: Arc::clone(source), cases: expectations.iter().map(case).collect() }
    }

    /// The file that they stand in, as a person names it.
    #[must_use]
    pub fn file(&self) -> &Utf8Path {
        Utf8Path::new(self.source.name())
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

    /// Asks for each, on its day or on this one. `read` reads a body from a file, relative to that of the expectations;
    /// one body is held at a time, since a small file can name a large one many times.
    pub fn run(
        &self,
        rules: &BottleRules,
        today: Date,
        read: impl Fn(&Utf8Path) -> anyhow::Result<Vec<u8>>,
    ) -> anyhow::Result<Vec<Tested>> {
        self.cases.iter().map(|case| case.run(&self.source, rules, today, &read)).collect()
    }
}

impl Case {
    fn written(&self) -> String {
        let request = &self.expectation.request;
        format!("{} {}", request.method, request.url)
    }

    fn run(
        &self,
        source: &Arc<Source>,
        rules: &BottleRules,
        today: Date,
        read: impl Fn(&Utf8Path) -> anyhow::Result<Vec<u8>>,
    ) -> anyhow::Result<Tested> {
        let today = self.expectation.now.unwrap_or(today);
        let body = match &self.expectation.body {
            None => None,
            Some(TestBody::Text(text)) => Some(text.clone().into_bytes()),
            Some(TestBody::File(path)) => Some(read(path)?),
        };
        let asked = Asked { request: self.expectation.request.clone(), body: body.map(Into::into) };
        let answer = Answer::find(&asked, rules, today);
        let reason = answer.refusal.as_ref().map(|refusal| refusal.reason);
        Ok(Tested {
            name: self.expectation.name.clone(),
            file: source.name().to_owned(),
            line: source.position(self.spans.request.start).0,
            request: self.written(),
            expected: self.expectation.expected.as_str(),
            denied: reason.zip(answer.decided_by),
            failure: compare::failure(self, &answer, source, rules, today),
        })
    }
}
