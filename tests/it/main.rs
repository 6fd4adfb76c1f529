//! Black-box tests: the binary, real sockets, real clients, Docker. One binary, so that they link once.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that panics says where

mod architecture;
mod baseline;
mod binary;
mod bypasses;
mod capability;
mod captured;
mod clients;
mod codes;
mod completions;
mod consent_context;
mod diff;
mod dlp;
mod egress_proxy;
mod examples;
mod expectations;
mod explain;
mod gate;
mod gitops;
mod golden;
mod init;
mod intercept;
mod lock;
mod manifest;
mod masking;
mod migrate;
mod origin;
mod patch;
mod pipelock;
mod pki;
mod plan;
mod printer;
mod readme;
mod real_pipelock;
mod reference;
mod render;
mod render_cli;
mod report;
mod seccomp;
mod stack;
mod stack_cli;
mod state;
mod telemetry;
mod tree;
mod wire;
