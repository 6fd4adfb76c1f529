//! WebSocket (RFC 6455) as it passes a proxy: pieces of its messages as they come, and frames to send them on in.

mod frame;
mod pieces;
mod text;

pub use frame::{FrameFault, Head, Kind, Sender, mask};
pub use pieces::{Piece, Pieces};
pub use text::{Text, check_close};
