//! Runtime two, the embedded engine: hostname allowlist, SSRF guard, DLP scan. Its way out is a vetted address.
//!
//! It reads the file that the upstream program reads, strictly, and answers as that program does: 403 with
//! `blocked: …` and `X-Pipelock-Block-Reason`. What it promises:
//!
//! * Only allowed hosts, on their ports; the name of the CONNECT, of TLS and of the request is the same.
//! * The address that is dialled is one that was vetted: a name is looked up once for each connection, and one
//!   forbidden address condemns the whole answer.
//! * A request with a credential in URL, fields or body never reaches an origin complete.
//! * Bodies of any length pass in flat memory, encoded ones too; nothing is buffered beyond the first MiB. All of
//!   them share one budget of memory, in which those that do not move give way to others.
//!
//! Where it differs from the upstream program: responses stream, so that findings in them are logged and never
//! block; requests are counted for each host, not for each registrable domain.

mod address;
mod answer;
mod body;
mod connect;
mod engine;
mod events;
mod injection;
mod instance;
mod lines;
mod metrics;
mod network;
mod pointer;
mod rate;
mod rules;
mod scan;

pub use body::{ScannedBody, scan_body};
pub use engine::Engine;
pub use events::Events;
pub use instance::Pipelock;
pub use network::{Network, Pending};
pub use rules::{Paths, Rules, RulesError};
