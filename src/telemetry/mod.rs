//! Logs, audit records and metrics.
