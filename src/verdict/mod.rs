//! What becomes of a request: the pure part of both proxies.
//!
//! From the head of a request to the permit of egress-proxy ([`egress_proxy`]), from there to what pipelock says of it
//! ([`pipelock`]), and both in a row ([`Chain`]). No I/O, no state, no clock. The proxies call these functions while
//! they serve; whoever answers without serving (`explain`) calls the same ones, in the same order.
//!
//! A stage that needs a network or counts requests is not in here: addresses, rates, credentials, bodies that stream.

mod chain;
pub mod egress_proxy;
mod head;
pub mod pipelock;

pub use chain::{Chain, Verdict, WireRequest};
pub use head::Head;
