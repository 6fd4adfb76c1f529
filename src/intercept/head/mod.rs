//! The check of HTTP/1 heads and of body framing, in front of the HTTP library.
//!
//! RFC 9112 lets a recipient be lenient in ways that let two recipients disagree about where a message ends or
//! whom it is for. Here nothing is repaired: a head is either exactly what the grammar allows, and passes byte
//! by byte, or it is a [`HeadFault`].

mod fault;

pub use fault::{FaultKind, HeadFault};
