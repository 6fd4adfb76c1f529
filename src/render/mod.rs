//! `Plan` to the bytes of every file. Pure.

pub mod checksum;
