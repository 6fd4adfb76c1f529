//! Any bytes give a config or one error with a place; rules that were read can be decided by.
#![no_main]

use bottle::config::{embedded::EmbeddedFile, pipelock::PipelockFile, routes::RoutesFile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match RoutesFile::read(data) {
        Ok(file) => assert!(file.to_policy().is_ok()),
        Err(error) => assert!(error.line >= 1 && error.column >= 1),
    }
    let _ = PipelockFile::read(data);
    let _ = EmbeddedFile::read(data);
});
