//! The rooms of `bottle` that are fuzzed, compiled from their own sources.
//!
//! They reach nothing but each other (`tests/it/architecture.rs` of the main crate asserts it), so that a build
//! takes two minutes and not that of the whole crate with its TLS stack.

#![allow(unreachable_pub, unused_imports, dead_code)] // `pub(crate)` of a room has its users elsewhere in the main crate

#[path = "../../src/config/mod.rs"]
pub mod config;
#[path = "../../src/content_coding/mod.rs"]
pub mod content_coding;
#[path = "../../src/dlp/mod.rs"]
pub mod dlp;
#[path = "../../src/git_gate/mod.rs"]
pub mod git_gate;
pub mod intercept;
#[path = "../../src/masking.rs"]
pub mod masking;
#[path = "../../src/policy/mod.rs"]
pub mod policy;
#[path = "../../src/printable.rs"]
pub mod printable;
#[path = "../../src/stack.rs"]
pub mod stack;
#[path = "../../src/yaml/mod.rs"]
pub mod yaml;
