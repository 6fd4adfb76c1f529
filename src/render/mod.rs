//! `Plan` to the bytes of every file. Pure.
