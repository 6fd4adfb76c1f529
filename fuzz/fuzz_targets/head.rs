//! A head that is read has one reading: httparse, which is the HTTP library's parser, finds the same method, target,
//! version and fields in it and ends it at the same byte. The first byte chooses the place.
#![no_main]

use bottle::intercept::{ServerLimits, head::read_head};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((choice, head)) = data.split_first() else { return };
    let limits = ServerLimits::default();
    let Ok((request, target)) = read_head(head, choice & 1 != 0, &limits) else { return };
    let mut fields = vec![httparse::EMPTY_HEADER; limits.head_fields];
    let mut other = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(length) = other.parse(head).expect("httparse refuses it") else {
        panic!("httparse wants more");
    };
    assert!(head[..length].ends_with(b"\r\n\r\n"));
    assert_eq!(other.method, Some(request.method().as_str()));
    assert_eq!(other.path.map(str::as_bytes), Some(&*target));
    // A map keeps the order of fields only among those of one name.
    assert_eq!(request.headers().len(), other.headers.len());
    for name in request.headers().keys() {
        let ours = request.headers().get_all(name).iter().map(http::HeaderValue::as_bytes);
        let theirs = other.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name.as_str()));
        assert!(ours.eq(theirs.map(|field| field.value)), "{name}");
    }
    let hosts = request.headers().get_all("host").iter().count();
    // What a CONNECT asks for stands in its target.
    assert!(hosts == 1 || request.method() == "CONNECT");
});
