//! Any bytes give a document or problems with places inside the text; what was read is the same after it was written.
#![no_main]

use bottle::yaml::{self, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let reading = yaml::read(data, Limits::default());
    for problem in &reading.problems {
        assert!(problem.span.start <= problem.span.end && problem.span.end <= data.len(), "{problem:?}");
        assert!(!problem.message.is_empty());
    }
    let Some(document) = reading.document.filter(|_| reading.problems.is_empty()) else { return };
    let written = yaml::emit_value(&document.value);
    let limits = Limits { bytes: usize::MAX, ..Limits::default() };
    match yaml::parse(written.as_bytes(), limits) {
        Ok(again) => assert_eq!(again.value, document.value),
        Err(problems) => panic!("{problems:?} in what was written:\n{written}"),
    }
});
