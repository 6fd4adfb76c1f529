//! One type for every body, and what can be put around it.
//!
//! A wrapper never changes what a body says about its length, so that `Content-Length` survives, and passes
//! trailers on.

mod error;
mod peek;
mod wrap;

pub use error::{BodyError, Party};
pub use peek::Peeked;
pub(crate) use wrap::on_frame;
pub use wrap::{BodyEnd, BodyOutcome, Meter, limited, metered, on_end, on_trailers};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};

/// A body of either direction.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// No body.
#[must_use]
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// These bytes.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Any body of bytes whose errors are told apart already.
#[must_use]
pub fn boxed<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes, Error = BodyError> + Send + 'static,
{
    body.boxed_unsync()
}
