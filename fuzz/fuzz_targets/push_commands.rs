//! The commands of a push and a server's advertisement are read or refused, whatever the bytes, and the same however they
//! are cut; what is read has refs in their one spelling, each once. The first byte says where the rest is cut.
#![no_main]

use bottle::git_gate::{AdvertisementReader, CommandReader};
use bottle::policy::RefName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((cut, bytes)) = input.split_first() else { return };
    let (first, second) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    let (mut whole, mut halves) = (CommandReader::default(), CommandReader::default());
    let outcome = whole.push(bytes);
    let in_halves = match halves.push(first) {
        Ok(None) => halves.push(second),
        Ok(Some(rest)) => Ok(Some([&rest, second].concat())),
        Err(error) => Err(error),
    };
    assert_eq!(outcome, in_halves);
    if outcome.is_ok() {
        let commands = whole.so_far();
        assert_eq!(commands, halves.so_far());
        let mut names: Vec<&str> = commands.list.iter().map(|command| command.name.as_str()).collect();
        assert!(names.iter().all(|name| RefName::parse(name).is_ok()));
        names.sort_unstable();
        assert!(names.windows(2).all(|two| two[0] != two[1]));
    }
    let (mut whole, mut halves) = (AdvertisementReader::default(), AdvertisementReader::default());
    let outcome = whole.push(bytes);
    let in_halves = match halves.push(first) {
        Ok(None) => halves.push(second),
        Ok(Some(head)) => Ok(Some([&head, second].concat())),
        Err(error) => Err(error),
    };
    assert_eq!(outcome, in_halves);
});
