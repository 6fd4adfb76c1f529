//! The audit trail: what a proxy was asked, what it decided, and what it sent on. One JSON object a line.
//!
//! What it promises:
//!
//! * **Nothing is sent unrecorded.** A request first [reserves](Log::reserve) the place of its record, and its
//!   dispatch is written, by write(2), before its first byte goes on; if it is to be counted instead, that
//!   [counting begins](Counting) is. A slow or full disk makes requests wait.
//! * **It survives the process.** In a [`Folder`] files are only appended to. A kill loses no line that was
//!   written; a torn line is closed by the next start and skipped by the [`AuditReader`].
//! * **It is bounded, and no client pushes out what is younger than [24 hours](RETENTION).** What was sent on and what was
//!   refused are two [`Series`] of files, each rotated by size. A flood is counted instead of written, of requests
//!   ([`Counted`]) as of refusals ([`Suppressed`]); requests of other kinds than those of the flood still are written.
//! * **A line is short.** Text that an agent chose is cut to [`LONGEST`] bytes, with a mark that says so.
//!
//! A record has no field for a header's value or a query, so it can't leak one. A secret elsewhere, in a path for
//! example, is masked by who fills the record: this module knows no patterns.

mod announced;
mod budget;
mod counted;
mod cut;
mod entry;
mod fields;
mod files;
mod flood;
mod folder;
mod log;
mod metrics;
pub mod reader;
mod record;
mod rotation;
mod sent;
mod series;
mod sink;
mod tail;
mod writer;

pub use announced::Announced;
pub use counted::{Counted, CountedKind, Counting};
pub use cut::{LONGEST, cut};
pub use entry::{Entry, PipelockRecord};
pub use files::{AuditFile, AuditLine};
pub use flood::Suppressed;
pub use folder::Folder;
pub use log::{AuditSlot, Log};
pub use reader::{AuditReader, ReadError, Skipped};
pub use record::{
    Event, Facts, PushRecord, PushedRef, Record, Recorded, ServerReport, Verdict, common_method, outcome,
};
pub use rotation::{FILE_BYTES, FILES_KEPT, RETENTION};
pub use series::Series;
pub use sink::Sink;

/// The version of the records.
const VERSION: u32 = 1;

/// The JSON Schema of a line.
#[must_use]
pub fn schema() -> serde_json::Value {
    crate::json_schema::of::<Entry>("audit", VERSION)
}
