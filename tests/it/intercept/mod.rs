//! `intercept` from outside: raw bytes on sockets, against the smallest handler there can be.

mod heads;
mod life;
mod relay;
mod streaming;
mod tunnels;
mod upstream;
