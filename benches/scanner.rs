//! How fast the scanner reads, in MB/s: chat text as JSON, base64, bytes, prose with many escapes.
//!
//! `cargo bench --bench scanner`. Numbers to compare with one another, on one machine, in one run.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // a benchmark prints; a panic says where

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bottle::dlp::{Scanner, Settings};
use std::time::{Duration, Instant};

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[7]
    })
    .take(length)
    .collect()
}

fn chat(length: usize) -> Vec<u8> {
    let source = include_str!("../src/dlp/mod.rs");
    let prose = include_str!("../src/lib.rs");
    let turn = serde_json::json!({"role": "user", "content": [{"type": "text", "text": source},
        {"type": "tool_result", "tool_use_id": "toolu_01", "content": prose}]});
    let turns = std::iter::repeat_n(turn, 1 + length / source.len()).collect::<Vec<_>>();
    let mut body = serde_json::to_vec(&serde_json::json!({"model": "m", "messages": turns})).unwrap();
    body.truncate(length);
    body
}

fn measure(name: &str, scanner: &Scanner, body: &[u8], chunk: usize) {
    let mut best = Duration::MAX;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(2) {
        let once = Instant::now();
        let mut stream = scanner.stream();
        for piece in body.chunks(chunk) {
            assert!(stream.push(piece).is_ok(), "{name} is clean");
        }
        assert!(stream.finish().is_ok(), "{name} is clean");
        best = best.min(once.elapsed());
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = body.len() as f64 / 1e6 / best.as_secs_f64();
    println!("{name:<28} {chunk:>6} B pieces {rate:>8.0} MB/s");
}

fn main() {
    let started = Instant::now();
    let scanner = Scanner::new(Settings::default()).unwrap();
    assert!(scanner.text("two words").is_none());
    println!("compiling the patterns         {:>8.1?}", started.elapsed());
    let length = 4 << 20;
    for chunk in [16 << 10, 64] {
        measure("chat as JSON", &scanner, &chat(length), chunk);
        measure("base64", &scanner, STANDARD.encode(noise(length)).as_bytes(), chunk);
        measure("bytes", &scanner, &noise(length), chunk);
    }
}
