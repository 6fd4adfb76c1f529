//! What the check lets through, the HTTP library reads in the same way, however the bytes are split.
//! The first byte chooses the split.
#![no_main]

use bottle::intercept::serve;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    let whole = serve(bytes, usize::MAX);
    assert_eq!(serve(bytes, usize::from(*choice) + 1), whole);
    for (_, fields, body) in &whole {
        let announced = |name: &str| fields.iter().filter(|(field, _)| field == name).count();
        assert!(announced("host") == 1 && announced("content-length") + announced("transfer-encoding") <= 1);
        assert!(body.as_ref().is_none_or(|body| body.len() <= bytes.len()));
    }
});
