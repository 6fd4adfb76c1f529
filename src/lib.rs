//! `bottle`: one manifest in, a sealed network for an AI coding agent out, and the proxies inside it.
//!
//! Two halves meet in one place. The compiler (`manifest` → `plan` → `render` → `tree` and `state`) turns a
//! manifest into plain files. The runtime (`egress_proxy` and `pipelock`, both instances of `runtime` and made of
//! `intercept`) enforces what those files say. Both halves ask the same [`policy`] and [`verdict`], so that what
//! `bottle explain` says is what the proxies do. `docs/architecture.md` shows both ways; `tests/it/architecture.rs`
//! asserts the direction of every dependency between modules.

pub mod agent_home;
pub mod attack;
pub mod capability;
pub mod cli;
pub mod clock;
pub mod codes;
pub mod config;
pub mod consent;
pub mod content_coding;
pub mod diagnostic;
pub mod dlp;
pub mod dockerfile;
pub mod egress_proxy;
pub mod expectations;
pub mod explain;
pub mod fields;
pub mod gate;
pub mod git;
pub mod git_gate;
pub mod init;
pub mod intercept;
pub mod jail;
pub mod json_schema;
pub mod junit;
pub mod kernel_view;
pub mod lint;
pub mod lock;
pub mod manifest;
pub mod masking;
pub mod patch;
pub mod pipelock;
pub mod pki;
pub mod plan;
pub mod policy;
pub mod printable;
pub mod programs;
pub mod render;
pub mod replay;
pub mod report;
pub mod review;
pub mod runtime;
pub mod socket;
pub mod stack;
pub mod state;
pub mod supervise;
mod system_calls;
pub mod telemetry;
pub mod tree;
pub mod verdict;
pub mod yaml;
