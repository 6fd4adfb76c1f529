//! A report on an audit trail: who was asked, what was denied and why, what would allow it, how much left, when.
//!
//! A [`Collector`] takes records one by one, in bounded memory whatever the length of the trail; [`Report`] is what
//! came of it. There is one set of facts, shown in three ways: [`html`], [`text`] and [`json`]. Where something was
//! cut off, counted instead of recorded, or could not be read, the report says so.
//!
//! Every text in a report that a record held was chosen by an agent or a server. It stands in a [`Report`] as it was
//! recorded; each of the three ways makes it harmless in its own place.

mod collector;
mod facts;
mod html;

mod seen;
mod side;
mod tally;
mod text;
mod timeline;
mod words;

pub use collector::{Collector, Listing};
pub use facts::{
    Bottle, Config, CredentialUse, Finding, Group, Host, Listed, Reason, Report, Suggestion, Totals, VERSION,
};
pub use html::html;
pub use text::text;
pub use timeline::{Interval, Timeline};

use crate::explain::BottleRules;
use crate::json_schema;
use serde_json::Value;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// It was sent on, and an answer came.
    Allowed,
    /// A rule refused it.
    Denied,
    /// No rule refused it, and it failed.
    Failed,
    /// The proxy answered by itself.
    Answered,
    /// The client went away before the decision.
    Aborted,
}

/// What a report suggests by.
pub enum Rules<'r> {
    /// These rules, as they are now.
    Of(&'r BottleRules, jiff::civil::Date),
    /// None; in words why, and what to do.
    Unknown(String),
}

/// The report as a document for programs. New members may come; none goes or changes its meaning within a version.
pub fn json(report: &Report) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}

/// The JSON Schema of that document.
#[must_use]
pub fn schema() -> Value {
    json_schema::of::<Report>("report", VERSION)
}
