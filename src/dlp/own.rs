//! Credentials that bottle itself holds: they leave only as the credential of their route, and never come back.
//!
//! The bytes are known, so they are looked for as such and in the forms in which a text carries them: letters of one case,
//! reversed, hexadecimal, base64 in its three alignments and both alphabets, percent-encoded, escaped as in JSON, each of
//! them also with line breaks and other white space inside, as MIME and PEM wrap base64. A
//! stream is searched across the borders of its chunks, and no more of it is held back than what begins such a form.

use aho_corasick::AhoCorasick;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use bytes::{Bytes, BytesMut};
use std::{collections::BTreeSet, fmt, ops::Range, sync::Arc};

/// Bytes of the shortest secret that is looked for: what is shorter is found in texts that hold none.
const SHORTEST: usize = 8;

/// What stands in the place of a secret, byte by byte.
const PLACEHOLDER: u8 = b'X';

/// No more of a stream is held back for what may go on behind white space: a text with a longer gap is not searched across it.
const MOST_HELD: usize = 64 * 1024;

/// How often a text may be percent-encoded over.
const DEPTH: usize = 4;

/// The credentials that bottle holds, in every form.
#[derive(Clone, Default)]
pub struct OwnSecrets(Option<Arc<Search>>);

struct Search {
    /// As they are.
    exact: AhoCorasick,
    /// Without case, for short texts.
    folded: AhoCorasick,
    forms: Vec<Vec<u8>>,
    /// The name of each form's secret.
    names: Vec<Arc<str>>,
    /// How forms begin.
    first: [bool; 256],
    longest: usize,
}

/// One of them was found in what was to leave.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it carries the credential {name}, which leaves only where a rule sends it")]
pub struct OwnSecret {
    /// What people know it by.
    pub name: Arc<str>,
}

impl OwnSecrets {
    /// Each with the name that people know it by.
    #[must_use]
    pub fn new<'s>(secrets: impl IntoIterator<Item = (&'s str, &'s [u8])>) -> Self {
        let (mut forms, mut names) = (Vec::new(), Vec::new());
        for (name, secret) in secrets.into_iter().filter(|(_, secret)| secret.len() >= SHORTEST) {
            let name: Arc<str> = name.into();
            for form in forms_of(secret).into_iter().filter(|form| form.len() >= SHORTEST) {
                if !forms.contains(&form) {
                    forms.push(form);
                    names.push(Arc::clone(&name));
                }
            }
        }
        let build = |folded| AhoCorasick::builder().ascii_case_insensitive(folded).build(&forms).ok();
        let (Some(exact), Some(folded), false) = (build(false), build(true), forms.is_empty()) else {
            return Self(None);
        };
        let mut first = [false; 256];
        for byte in forms.iter().filter_map(|form| form.first()) {
            first[usize::from(*byte)] = true;
        }
        let longest = forms.iter().map(Vec::len).max().unwrap_or(0);
        Self(Some(Arc::new(Search { exact, folded, forms, names, first, longest })))
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The first one in a short text, in any case of letters, and as the text is decoded.
    #[must_use]
    pub fn in_text(&self, text: &[u8]) -> Option<OwnSecret> {
        let search = self.0.as_ref()?;
        let mut view = text.to_vec();
        for _ in 0..=DEPTH {
            if let Some(found) = search.folded.find(&view) {
                return Some(search.named(found.pattern().as_usize()));
            }
            let decoded = unescaped(&view);
            if let Some(found) = search.folded.find(&unwrapped(&decoded).bytes) {
                return Some(search.named(found.pattern().as_usize()));
            }
            if decoded.bytes == view {
                return None;
            }
            view = decoded.bytes;
        }
        None
    }

    /// A short text with a placeholder in the place of each; of one that is hidden in escapes nothing is left.
    #[must_use]
    pub fn masked(&self, text: &str) -> String {
        let Some(search) = &self.0 else { return text.to_owned() };
        let mut masked = text.as_bytes().to_vec();
        for found in search.folded.find_iter(text) {
            masked[found.range()].fill(PLACEHOLDER);
        }
        match self.in_text(&masked) {
            Some(_) => "***".to_owned(),
            None => String::from_utf8_lossy(&masked).into_owned(),
        }
    }

    /// The same of bytes as they come back, in the case that they have; nothing where none is in them.
    #[must_use]
    pub fn scrubbed(&self, text: &[u8]) -> Option<Vec<u8>> {
        let found = self.0.as_ref()?.found(text);
        let mut scrubbed = text.to_vec();
        for range in &found {
            scrubbed[range.clone()].fill(PLACEHOLDER);
        }
        (!found.is_empty()).then_some(scrubbed)
    }

    /// Searches a stream that is to leave.
    #[must_use]
    pub fn outgoing(&self) -> Outgoing {
        Outgoing { search: self.0.clone(), held: BytesMut::new() }
    }

    /// Replaces them in a stream that comes back.
    #[must_use]
    pub fn incoming(&self) -> Incoming {
        Incoming { search: self.0.clone(), held: BytesMut::new(), masked: 0 }
    }
}

/// Names only.
impl fmt::Debug for OwnSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: BTreeSet<&str> =
            self.0.iter().flat_map(|search| &search.names).map(AsRef::as_ref).collect();
        f.debug_tuple("OwnSecrets").field(&names).finish()
    }
}

impl Search {
    fn named(&self, form: usize) -> OwnSecret {
        OwnSecret { name: Arc::clone(&self.names[form]) }
    }

    /// Where they all stand, also those that overlap.
    fn found(&self, text: &[u8]) -> Vec<Range<usize>> {
        // Overlapping ones are found slowly, and there are seldom any.
        if self.exact.is_match(text) {
            self.exact.find_overlapping_iter(text).map(|found| found.range()).collect()
        } else {
            Vec::new()
        }
    }

    /// Where the longest end of a text stands that begins a form; the text's length where none does.
    fn begun(&self, text: &[u8]) -> usize {
        let start = text.len().saturating_sub(self.longest - 1);
        let begins = |at: &usize| {
            self.first[usize::from(text[*at])]
                && self
                    .forms
                    .iter()
                    .any(|form| form.len() > text.len() - at && form.starts_with(&text[*at..]))
        };
        (start..text.len()).find(begins).unwrap_or(text.len())
    }
}

/// The forms in which a text carries a secret.
fn forms_of(secret: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut forms =
        BTreeSet::from([secret.to_vec(), secret.to_ascii_lowercase(), secret.to_ascii_uppercase()]);
    forms.insert(secret.iter().rev().copied().collect());
    forms.insert(data_encoding::HEXLOWER.encode(secret).into_bytes());
    forms.insert(data_encoding::HEXUPPER.encode(secret).into_bytes());
    for lead in 0..3 {
        // What stands before and after it shares bits with the first and the last characters.
        let mut text = vec![0; lead];
        text.extend_from_slice(secret);
        let (skipped, whole) = ((lead * 8).div_ceil(6), text.len() * 8 / 6);
        for encoded in [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
            forms.insert(encoded.as_bytes()[skipped..whole].to_vec());
        }
    }
    let percent = |byte: u8| format!("%{byte:02X}");
    let some = |byte: &u8| match byte {
        b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(*byte).to_string(),
        byte => percent(*byte),
    };
    for encoded in
        [secret.iter().map(some).collect::<String>(), secret.iter().map(|byte| percent(*byte)).collect()]
    {
        // The digits of an escape alone, in the other case.
        let lower: String = encoded
            .split_inclusive('%')
            .enumerate()
            .map(|(index, part)| match part.get(..2).filter(|_| index > 0) {
                Some(digits) => digits.to_ascii_lowercase() + &part[2..],
                None => part.to_owned(),
            })
            .collect();
        forms.extend([encoded.into_bytes(), lower.into_bytes()]);
    }
    if let Ok(text) = std::str::from_utf8(secret) {
        let quoted = serde_json::Value::from(text).to_string();
        let quoted = &quoted[1..quoted.len() - 1];
        forms.extend([quoted.as_bytes().to_vec(), quoted.replace('/', "\\/").into_bytes()]);
    }
    forms
}

/// A text whose escapes are decoded once, `%XX` and those of JSON, and where each of its bytes stood.
struct Unescaped {
    bytes: Vec<u8>,
    at: Vec<usize>,
    /// Where an escape begins that the text's end cuts off.
    cut: usize,
}

fn unescaped(text: &[u8]) -> Unescaped {
    let mut view = Unescaped { bytes: Vec::with_capacity(text.len()), at: Vec::new(), cut: text.len() };
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let rest = &text[at + 1..];
        let (value, length) = match (byte, rest) {
            (b'%', [high, low, ..]) => hex(&[*high, *low]).map_or((byte, 1), |value| (value, 3)),
            (b'\\', [b'u', digits @ ..]) if digits.len() >= 4 => {
                match (hex(&digits[..2]), hex(&digits[2..4])) {
                    (Some(0), Some(value)) => (value, 6),
                    _ => (byte, 1),
                }
            }
            (b'\\', [escaped @ (b'/' | b'\\' | b'"'), ..]) => (*escaped, 2),
            (b'%', _) | (b'\\', [] | [b'u', ..]) => {
                view.cut = view.cut.min(at);
                (byte, 1)
            }
            _ => (byte, 1),
        };
        view.bytes.push(value);
        view.at.push(at);
        at += length;
    }
    view
}

/// The same without white space, and without the escapes of JSON for it.
fn unwrapped(view: &Unescaped) -> Unescaped {
    let mut flat = Unescaped { bytes: Vec::with_capacity(view.bytes.len()), at: Vec::new(), cut: view.cut };
    let mut at = 0;
    while let Some(&byte) = view.bytes.get(at) {
        let gap = match (byte, view.bytes.get(at + 1)) {
            (b'\n' | b'\r' | b'\t' | b' ', _) => 1,
            (b'\\', Some(b'n' | b'r' | b't')) => 2,
            _ => 0,
        };
        if gap == 0 {
            flat.bytes.push(byte);
            flat.at.push(view.at[at]);
        }
        at += gap.max(1);
    }
    flat
}

fn hex(digits: &[u8]) -> Option<u8> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + value(*digit)?))?).ok()
}

/// What was held and what has come, as one.
fn joined(held: &mut BytesMut, chunk: Bytes) -> Bytes {
    if held.is_empty() {
        return chunk;
    }
    held.extend_from_slice(&chunk);
    held.split().freeze()
}

/// A stream that is to leave.
pub struct Outgoing {
    search: Option<Arc<Search>>,
    held: BytesMut,
}

impl Outgoing {
    /// What may leave now that this has come.
    pub fn push(&mut self, chunk: Bytes) -> Result<Bytes, OwnSecret> {
        let Some(search) = &self.search else { return Ok(chunk) };
        let mut window = joined(&mut self.held, chunk);
        let found =
            |text: &[u8]| search.exact.find(text).map(|found| search.named(found.pattern().as_usize()));
        if let Some(own) = found(&window) {
            return Err(own);
        }
        let mut begun = search.begun(&window);
        let escaped = memchr::memchr2(b'%', b'\\', &window).is_some();
        if escaped || memchr::memchr3(b'\n', b'\r', b'\t', &window).is_some() {
            let view = unescaped(&window);
            let flat = unwrapped(&view);
            for view in [&view, &flat] {
                if let Some(own) = found(&view.bytes) {
                    return Err(own);
                }
            }
            // An escape that is cut off may become any byte.
            let begins = |view: &Unescaped| {
                let whole = view.at.partition_point(|at| *at < view.cut);
                let begins = search.begun(&view.bytes[..whole]);
                view.at.get(begins).copied().unwrap_or(view.cut).min(view.cut)
            };
            let behind_gaps = begins(&flat);
            begun = begun.min(begins(&view));
            if window.len() - behind_gaps <= MOST_HELD {
                begun = begun.min(behind_gaps);
            }
        }
        self.held.extend_from_slice(&window.split_off(begun));
        Ok(window)
    }

    /// What was held back.
    pub fn finish(&mut self) -> Bytes {
        self.held.split().freeze()
    }

    /// Bytes that are held back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }
}

/// A stream that comes back.
pub struct Incoming {
    search: Option<Arc<Search>>,
    held: BytesMut,
    /// So many bytes of what is held are of one that began before it.
    masked: usize,
}

impl Incoming {
    /// What may be passed on now that this has come.
    pub fn push(&mut self, chunk: Bytes) -> Bytes {
        let Some(search) = self.search.clone() else { return chunk };
        let window = joined(&mut self.held, chunk);
        let begun = search.begun(&window);
        self.pass(&search, window, begun)
    }

    /// What was held back.
    pub fn finish(&mut self) -> Bytes {
        let window = self.held.split().freeze();
        match self.search.clone() {
            Some(search) => {
                let all = window.len();
                self.pass(&search, window, all)
            }
            None => window,
        }
    }

    /// Bytes that are held back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Gives the first `until` bytes, and holds the others as they came.
    fn pass(&mut self, search: &Search, mut window: Bytes, until: usize) -> Bytes {
        let found = search.found(&window);
        self.held.extend_from_slice(&window[until..]);
        if found.is_empty() && self.masked == 0 {
            window.truncate(until);
            return window;
        }
        let mut out = window[..until].to_vec();
        let begun = found.iter().filter(|range| range.start < until).map(|range| range.end);
        let masked = begun.max().unwrap_or(0).max(self.masked);
        out[..self.masked.min(until)].fill(PLACEHOLDER);
        for range in found.iter().filter(|range| range.start < until) {
            out[range.start..range.end.min(until)].fill(PLACEHOLDER);
        }
        self.masked = masked.saturating_sub(until);
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &str = "plAnted/4f1d9c\"token+x";

    fn own() -> OwnSecrets {
        OwnSecrets::new([("TOKEN", SECRET.as_bytes())])
    }

    /// Every form, as another program writes it.
    fn written() -> Vec<String> {
        let base64 = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
        vec![
            SECRET.to_owned(),
            SECRET.to_lowercase(),
            SECRET.to_uppercase(),
            SECRET.chars().rev().collect(),
            data_encoding::HEXLOWER.encode(SECRET.as_bytes()),
            data_encoding::HEXUPPER.encode(SECRET.as_bytes()),
            SECRET.bytes().map(|b| format!("%{b:02x}")).collect::<Vec<_>>().concat(),
            SECRET.replace('/', "%2F").replace('"', "%22").replace('+', "%2B"),
            SECRET.replace('/', "%2f").replace('"', "%22").replace('+', "%2b"),
            serde_json::to_string(SECRET).unwrap(),
            serde_json::to_string(SECRET).unwrap().replace('/', "\\/"),
            base64(SECRET.to_owned()),
            base64(format!("u:{SECRET}")),
            base64(format!("user:{SECRET}:z")),
            base64(format!("use:{SECRET}zz")).replace('+', "-").replace('/', "_"),
        ]
    }

    fn passed(own: &OwnSecrets, text: &[u8], size: usize) -> Result<Vec<u8>, OwnSecret> {
        let (mut stream, mut out) = (own.outgoing(), Vec::new());
        for chunk in text.chunks(size) {
            out.extend(stream.push(Bytes::copy_from_slice(chunk))?);
        }
        out.extend(stream.finish());
        Ok(out)
    }

    fn returned(own: &OwnSecrets, text: &[u8], size: usize) -> Vec<u8> {
        let (mut stream, mut out) = (own.incoming(), Vec::new());
        for chunk in text.chunks(size) {
            out.extend(stream.push(Bytes::copy_from_slice(chunk)));
        }
        out.extend(stream.finish());
        out
    }

    #[test]
    fn every_form_is_found_in_every_split_and_replaced_by_as_many_bytes() {
        let own = own();
        for form in written() {
            let text = format!("before {form} after");
            assert!(own.in_text(text.as_bytes()).is_some(), "{form}");
            for size in 1..=text.len() {
                assert!(passed(&own, text.as_bytes(), size).is_err(), "{form} by {size}");
                let back = returned(&own, text.as_bytes(), size);
                assert_eq!(back.len(), text.len(), "{form} by {size}");
                assert!(own.scrubbed(&back).is_none() && back != text.as_bytes(), "{form} by {size}");
                assert!(back.starts_with(b"before ") && back.ends_with(b" after"), "{form} by {size}");
            }
        }
    }

    #[test]
    fn what_hides_in_escapes_is_found() {
        let own = own();
        let mixed = SECRET.replace('p', "%70").replace('t', "%74");
        let twice = mixed.replace('%', "%25");
        let json = SECRET.replace('A', "\\u0041").replace('"', "\\\"");
        assert!(own.in_text(twice.as_bytes()).is_some());
        for text in [mixed, json] {
            for size in 1..=text.len() {
                assert!(passed(&own, text.as_bytes(), size).is_err(), "{text} by {size}");
            }
            assert_eq!(own.masked(&format!("/a/{text}")), "***");
        }
        assert_eq!(
            own.masked(&format!("/a/{}", SECRET.to_uppercase())),
            format!("/a/{}", "X".repeat(SECRET.len()))
        );
    }

    #[test]
    fn what_is_wrapped_over_lines_is_found() {
        let encoded = STANDARD_NO_PAD.encode(format!("user:{SECRET}:and more of it"));
        let wrap = |width: usize, gap: &str| {
            encoded
                .as_bytes()
                .chunks(width)
                .map(|line| String::from_utf8_lossy(line))
                .collect::<Vec<_>>()
                .join(gap)
        };
        for gap in ["\n", "\r\n", "\n    ", "\\n", "\\r\\n", "%0D%0A", "\\u000a", "\t\n"] {
            for width in [1, 7, 16] {
                let text = format!("{{\"a\": \"{}\"}}\n", wrap(width, gap));
                assert!(own().in_text(text.as_bytes()).is_some(), "{gap:?} {width}");
                for size in [1, 5, 1000] {
                    assert!(passed(&own(), text.as_bytes(), size).is_err(), "{gap:?} {width} {size}");
                }
            }
        }
        // What is held for it is bounded.
        let mut stream = own().outgoing();
        let gaps = Bytes::from(vec![b'\n'; 4096]);
        stream.push(Bytes::copy_from_slice(&SECRET.as_bytes()[..4])).unwrap();
        for _ in 0..100 {
            stream.push(gaps.clone()).unwrap();
            assert!(stream.held() <= MOST_HELD, "{}", stream.held());
        }
    }

    #[test]
    fn only_what_begins_a_form_is_held_back() {
        let own = own();
        let mut out = own.incoming();
        assert_eq!(out.push(Bytes::from_static(b"data: event\n\n")), "data: event\n\n");
        assert_eq!(out.push(Bytes::from_static(b"data: plAn")), "data: ");
        assert_eq!((out.held(), out.push(Bytes::from_static(b"e"))), (4, "plAne".into()));
        let mut sent = own.outgoing();
        assert_eq!(sent.push(Bytes::from_static(b"50% of \\")).unwrap(), "50% of ");
        assert_eq!(sent.finish(), "\\");
    }

    #[test]
    fn short_secrets_and_none_find_nothing_and_no_debug_shows_one() {
        for own in [OwnSecrets::default(), OwnSecrets::new([("T", b"short".as_slice())])] {
            assert!(own.is_empty());
            assert_eq!(own.in_text(b"short"), None);
            assert_eq!(returned(&own, b"short", 2), b"short");
        }
        assert_eq!(format!("{:?}", own()), "OwnSecrets({\"TOKEN\"})");
        let said = own().in_text(SECRET.as_bytes()).unwrap().to_string();
        assert_eq!(said, "it carries the credential TOKEN, which leaves only where a rule sends it");
    }

    #[test]
    fn two_that_overlap_go_both() {
        let own = OwnSecrets::new([("A", b"aaaaaaaabbbb".as_slice()), ("B", b"bbbbcccccccc".as_slice())]);
        for size in 1..20 {
            assert_eq!(returned(&own, b"aaaaaaaabbbbcccccccc", size), b"X".repeat(20), "{size}");
        }
    }

    proptest! {
        /// A text without a secret passes both ways as it is, however it is split.
        #[test]
        fn what_holds_none_passes_unchanged(text in "[plAnted/4f%\\\\u0 \n]{0,200}", size in 1usize..50) {
            let own = own();
            prop_assume!(own.in_text(text.as_bytes()).is_none());
            prop_assert_eq!(passed(&own, text.as_bytes(), size).unwrap(), text.as_bytes());
            prop_assert_eq!(returned(&own, text.as_bytes(), size), text.as_bytes());
        }
    }
}
