//! A connection of whatever kind.

use tokio::io::{AsyncRead, AsyncWrite};

/// Anything that carries bytes both ways.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// A connection of whatever kind.
pub type Stream = Box<dyn Io>;
