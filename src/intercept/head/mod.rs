//! The check of HTTP/1 heads and of body framing, in front of the HTTP library.
//!
//! RFC 9112 lets a recipient be lenient in ways that let two recipients disagree about where a message ends or
//! whom it is for. Here nothing is repaired: a head is either exactly what the grammar allows, and passes byte
//! by byte, or it is a [`HeadFault`].
//!
//! How a fault is answered in order: `filter` stops reading the client at the faulty head and gives the library
//! a well-formed stand-in instead, while the verdict on every head travels beside the stream, one entry a head,
//! in `Verdicts`. The stand-in's turn comes after the answers to whatever was pipelined before it.

mod check;
mod chunk;
mod fault;
mod filter;
mod io;
mod lines;
mod whole;

pub(in crate::intercept) use check::decimal;
pub(in crate::intercept) use fault::FramingFault;
pub use fault::{FaultKind, HeadFault};
pub(in crate::intercept) use filter::{ConnectionKind, Verdict};
pub(in crate::intercept) use io::{CheckedIo, Verdicts};
pub use whole::read_head;
