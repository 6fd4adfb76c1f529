//! The binary needs nothing of the image that it runs in.

use std::process::Command;

const BOTTLE: &str = env!("CARGO_BIN_EXE_bottle");

fn readelf(flags: &str) -> String {
    let ran = Command::new("readelf").args([flags, "--wide", BOTTLE]).output().unwrap();
    assert!(ran.status.success());
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn it_is_a_static_pie_with_full_relro() {
    let header = readelf("--file-header");
    assert!(header.contains("Type:                              DYN"), "{header}");
    let segments = readelf("--program-headers");
    assert!(!segments.contains("INTERP"), "it asks for a loader:\n{segments}");
    assert!(segments.contains("GNU_RELRO"), "{segments}");
    let stack = segments.lines().find(|line| line.trim_start().starts_with("GNU_STACK")).unwrap();
    assert!(stack.contains(" RW "), "an executable stack: {stack}");
    let dynamic = readelf("--dynamic");
    assert!(!dynamic.contains("(NEEDED)"), "it needs libraries:\n{dynamic}");
    assert!(!dynamic.contains("(TEXTREL)"), "{dynamic}");
    assert!(dynamic.contains("(FLAGS_1)") && dynamic.contains("NOW") && dynamic.contains("PIE"), "{dynamic}");
}
