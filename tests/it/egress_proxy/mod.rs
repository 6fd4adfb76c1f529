//! The egress proxy as a whole, in process, on real sockets: raw bytes in, a stand-in for pipelock behind it.
//!
//! `hosts`, `framing` and `credentials` are the rows of the table of ways around a policy proxy; `denials` shows
//! each reason code with the whole of what the client gets.

mod attack;
mod audit;
mod both;
mod clients;
mod coded;
mod content;
mod credentials;
mod denials;
mod framing;
mod git_stores;
mod harness;
mod hosts;
mod http2;
mod life;
mod many;
mod pipelock;
mod push;
mod replay;
mod supervise;
mod upstream;
mod verdict;
mod websocket;
mod wildcards;
