//! The push gate: what a git push says it changes, and what is in it, read before anything of it is sent on.

pub mod object_id;
pub mod pack;
