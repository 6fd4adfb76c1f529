//! The file formats between the two halves: written by `render`, read by the runtimes. Typed and strict.
//!
//! Three files: [`routes`] for egress-proxy, [`pipelock`] for pipelock (the upstream program reads the same
//! one), and [`embedded`] for what only the embedded engine understands. Every key is present in every file, so
//! that a reader of a rendered tree never has to know a default; an unknown or missing key is an error with its
//! line and its name.

pub mod embedded;
pub mod limits;
pub mod listen;
mod parse;
pub mod pipelock;
pub mod proxy_address;
pub mod routes;

pub use limits::Limits;
pub use listen::Listen;
pub use parse::ConfigError;
pub use proxy_address::ProxyAddress;
