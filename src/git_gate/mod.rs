//! The push gate: what a git push says it changes, and what is in it, read before anything of it is sent on.
//!
//! Commands and the advertisement are read as git writes them and in no other way; a pack is read as a whole. What is
//! refused is answered as a server would, so that git prints what happened and what to do.

mod advertisement;
mod answer;
mod capabilities;
mod commands;
mod intake;
pub mod object_id;
pub mod pack;
mod pkt_line;
mod report;
mod spool;

pub use advertisement::{AdvertisementError, AdvertisementReader};
pub use answer::{Answer, AnswerReader};
pub use capabilities::{Capabilities, CapabilityError};
pub use commands::{Command, CommandReader, Commands, CommandsError};
pub use intake::{Intake, NOTHING_SENT, Received, Refused};
pub use pkt_line::PktError;
pub use report::Rejection;
pub use spool::{Room, Spool};
