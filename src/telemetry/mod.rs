//! Logs, audit records, metrics, and the listener that shows them to an operator.
//!
//! Logs are JSON lines on stderr (text on a terminal); audit records are JSON lines on stdout, in a file or in a
//! folder of rotated files. Neither ever holds a field value, a query value or a secret: their types have no place for one.

pub mod admin;
pub mod audit;
pub mod client;
pub mod log;
pub mod status;
