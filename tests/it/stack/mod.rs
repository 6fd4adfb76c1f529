//! The stack as users run it: rendered by the binary, started by Docker Compose, used by real clients.
//!
//! One test for each claim. What they share is in `harness` (Docker, and cleaning up after every end of a run),
//! `internet` (the hosts that an agent reaches, all of them one container) and `project` (a manifest and its stack).

mod cage;
mod change;
mod devcontainer;
mod examples;
mod flood;
mod foreign;
mod gitops;
mod harness;
mod init;
mod internet;
mod kernel;
mod kernel_view;
mod lifecycle;
mod lock;
mod neighbours;
mod project;
mod publish;
mod served;
mod services;
mod siblings;
mod supervise;
mod trust;
mod upstream_engine;
mod working;
