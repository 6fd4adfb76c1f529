//! The audit trail: what a proxy was asked, what it decided, and what it sent on. One JSON object a line.
//!
//! What it promises:
//!
//! * **Nothing is sent unrecorded.** A request first [reserves](Log::reserve) the place of its record, and its
//!   dispatch is written, by write(2), before its first byte goes on. A slow or full disk makes requests wait.
//! * **It survives the process.** In a [`Folder`] files are only appended to. A kill loses no line that was
//!   written; a torn line is closed by the next start and skipped by the [`Reader`].
//! * **It is bounded, and one kind does not push out the other.** What was sent on and what was refused are two
//!   [`Series`] of files, each rotated by size. A flood of refusals is counted instead of written ([`Suppressed`]).
//! * **A line is short.** Text that an agent chose is cut to [`LONGEST`] bytes, with a mark that says so.
//!
//! A record has no field for a header's value or a query, so it can't leak one. A secret elsewhere, in a path for
//! example, is masked by who fills the record: this module knows no patterns.

mod cut;
mod entry;
mod flood;
mod folder;
mod log;
mod metrics;
pub mod reader;
mod record;
mod series;
mod sink;
mod tail;

pub use cut::{LONGEST, cut};
pub use entry::{Entry, PipelockRecord};
pub use flood::Suppressed;
pub use folder::{FILE_BYTES, FILES_KEPT, Folder};
pub use log::{Log, Place};
pub use reader::{ReadError, Reader, Skipped};
pub use record::{Event, Record, Recorded, Refused, Verdict};
pub use series::Series;
pub use sink::Sink;
