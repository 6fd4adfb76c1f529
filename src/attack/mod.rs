//! The attack suite that ships in the binary: what an agent would try, and whether it got through.
//!
//! It runs where the agent runs (`bottle attack --self` in its container) and knows nothing that an agent
//! could not know: its environment, its files, and what the proxy says of itself at
//! `http://bottle.internal/allowlist`. A check that has no meaning in a bottle says so and counts as neither
//! held nor broken; one that could not be tried is never counted as held.

mod cage;
mod client;
mod environment;
mod kernel;
mod network;
mod proxy;
mod secrets;
mod syscalls;

pub use proxy::Witness;

use crate::junit::{self, Case, Ending};
use serde::Serialize;
use std::borrow::Cow;

/// How one attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "detail")]
pub enum Outcome {
    /// Refused, as it must be; how it was refused.
    Held(String),
    /// It got through; what was reached.
    Broken(String),
    /// It has no meaning here; why.
    NotApplicable(String),
    /// It could not be tried; why. Never counted as held.
    NotTried(String),
}

impl Outcome {
    /// The word that the table shows.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Held(_) => "held",
            Self::Broken(_) => "BROKEN",
            Self::NotApplicable(_) => "n/a",
            Self::NotTried(_) => "not tried",
        }
    }

    /// The explanation beside the word.
    #[must_use]
    pub fn detail(&self) -> &str {
        let (Self::Held(detail)
        | Self::Broken(detail)
        | Self::NotApplicable(detail)
        | Self::NotTried(detail)) = self;
        detail
    }
}

/// One attempt and its outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// A stable name, `area/what`.
    pub name: Cow<'static, str>,
    /// What was tried, for a person.
    pub tried: &'static str,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What the suite needs to know of the place where it runs, read from the environment as an agent would.
#[derive(Clone, Debug)]
pub struct AgentEnvironment {
    /// `HOST:PORT` of the proxy, from `HTTPS_PROXY`.
    pub proxy: Option<String>,
    /// The trust bundle, from `SSL_CERT_FILE`.
    pub ca_bundle: Option<String>,
}

impl AgentEnvironment {
    /// Reads `HTTPS_PROXY` and `SSL_CERT_FILE` through `get`.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        let proxy = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"].into_iter().find_map(&get);
        Self {
            proxy: proxy.map(|url| url.trim_start_matches("http://").trim_end_matches('/').to_owned()),
            ca_bundle: get("SSL_CERT_FILE"),
        }
    }
}

/// A check: its name, what it tries, and the attempt.
struct Check {
    name: &'static str,
    tried: &'static str,
    attempt: fn() -> Outcome,
}

/// Every check of the place itself, in the order in which they run and are shown.
const AREAS: [&[Check]; 5] =
    [network::CHECKS, environment::CHECKS, secrets::CHECKS, cage::CHECKS, kernel::CHECKS];

/// Runs every check in order and returns what was found.
#[must_use]
pub fn run(environment: &AgentEnvironment) -> Vec<Finding> {
    let checks = AREAS.into_iter().flatten().map(|check| Finding {
        name: check.name.into(),
        tried: check.tried,
        outcome: (check.attempt)(),
    });
    let mut findings: Vec<Finding> = checks.collect();
    findings.extend(through_the_proxy(environment, None));
    findings
}

/// Runs what goes through the proxy only. With a witness it is judged by what an origin received as well.
#[must_use]
pub fn through_the_proxy(environment: &AgentEnvironment, witness: Option<Witness<'_>>) -> Vec<Finding> {
    proxy::run(environment, witness)
}

/// An error's text without the number that Rust adds.
fn describe(error: &std::io::Error) -> String {
    // The file is said beside it: what the system said of it is the innermost error.
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// The findings as a JUnit report, for continuous integration.
#[must_use]
pub fn junit(findings: &[Finding]) -> String {
    let case = |finding: &Finding| {
        let detail = finding.outcome.detail().to_owned();
        let ending = match finding.outcome {
            Outcome::Held(_) => Ending::Passed,
            Outcome::Broken(_) => Ending::Failed(detail, String::new()),
            Outcome::NotApplicable(_) => Ending::Skipped(detail),
            Outcome::NotTried(_) => Ending::Error(detail),
        };
        Case { class: "bottle.attack".to_owned(), name: finding.name.to_string(), place: None, ending }
    };
    junit::report("bottle attack", &findings.iter().map(case).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_is_found_as_a_client_would_find_it() {
        let s = AgentEnvironment::read(|k| (k == "HTTPS_PROXY").then(|| "http://127.0.0.1:9099/".to_owned()));
        assert_eq!(s.proxy.as_deref(), Some("127.0.0.1:9099"));
        assert_eq!(AgentEnvironment::read(|_| None).proxy, None);
    }

    #[test]
    fn junit_counts_each_outcome_and_escapes_its_text() {
        let finding = |outcome| Finding { name: "a/b".into(), tried: "t", outcome };
        let xml = junit(&[
            finding(Outcome::Held("h".into())),
            finding(Outcome::Broken("<&\">".into())),
            finding(Outcome::NotTried("x".into())),
        ]);
        assert!(xml.contains("tests=\"3\" failures=\"1\" errors=\"1\" skipped=\"0\""), "{xml}");
        assert!(xml.contains("<failure message=\"&lt;&amp;&quot;&gt;\"/>"), "{xml}");
    }

    #[test]
    fn there_are_at_least_twelve_checks_with_names_of_their_own() {
        let names: std::collections::BTreeSet<_> = AREAS.into_iter().flatten().map(|c| c.name).collect();
        let all: usize = AREAS.iter().map(|area| area.len()).sum();
        assert!(all >= 12);
        assert_eq!(names.len(), all);
    }
}
