//! Text that somebody else wrote, made safe to show: one rule for every place where a person reads.
//!
//! An agent, a server or a container chooses file names, manifest values and log lines. Shown as they are, they could
//! move the cursor, set colours or the window's title (ECMA-48), reorder what is read (Unicode's UAX #9, the
//! "Trojan Source" attack), or hide text (UTS #55). So every character that steers or that can't be seen is written as
//! an escape such as `\u{202e}`, and a byte that is no UTF-8 as `\x9b`. Look-alikes are not covered.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;
use unicode_width::UnicodeWidthChar as _;

/// As many marks as one letter of a living language carries; more of them would grow over the lines around it.
const MARKS: u8 = 4;

/// A text with lines: keeps line feeds and tabs, escapes everything else that steers or can't be seen.
#[must_use]
pub fn printable_text(text: &str) -> Cow<'_, str> {
    escaped(text, |c| matches!(c, '\n' | '\t'), braces)
}

/// A name or a value inside a line, such as a path: the same, and line feeds and tabs are escaped as well.
#[must_use]
pub fn printable_name(name: &str) -> Cow<'_, str> {
    escaped(name, |_| false, braces)
}

/// A JSON document: the same characters as `\uXXXX` inside its strings, so that its values stay what they are.
#[must_use]
pub fn printable_json(document: &str) -> Cow<'_, str> {
    escaped(
        document,
        |c| matches!(c, '\n' | '\t'),
        |c, out| {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}"); // writing to a String can't fail
            }
        },
    )
}

/// A text that a diagnostic coloured, whose parts were escaped before: as
/// [`printable_text`], but for colours (`SGR`, which is ESC, `[`, digits and semicolons, `m`).
#[must_use]
pub fn printable_coloured(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        let length = colour_length(&rest[at..]);
        out.push_str(&printable_text(&rest[..at]));
        // An ESC that begins no colour is escaped alone.
        let (kept, after) = rest[at..].split_at(length.unwrap_or(1));
        if length.is_some() {
            out.push_str(kept);
        } else {
            out.push_str(&printable_text(kept));
        }
        rest = after;
    }
    out.push_str(&printable_text(rest));
    out
}

fn colour_length(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    parameters[end..].starts_with('m').then_some("\u{1b}[".len() + end + 1)
}

/// What another program printed: as [`printable_text`], with line ends of Windows and terminals (CR LF) as line feeds.
#[must_use]
pub fn printable_output(bytes: &[u8]) -> String {
    let mut stream = Stream::default();
    let mut out = stream.push(bytes);
    out.push_str(&stream.end());
    out
}

/// Whether a character steers a terminal or the order of a text, or can't be seen: controls, the code points that
/// are ignored by default (`Default_Ignorable_Code_Point` of Unicode 17), those for private use, and non-characters.
#[must_use]
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            // Braille's pattern without a dot is blank, and no space.
            | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            // Private use, and what is no character.
            | '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{fffe}'..='\u{ffff}'
            | '\u{1fffe}'..='\u{1ffff}' | '\u{2fffe}'..='\u{2ffff}'
            // Planes 4 to 13 are unassigned; 14 holds tags and variation selectors, 15 and 16 are for private use.
            | '\u{3fffe}'..)
}

/// Decides character by character, since a mark counts only after marks.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    marks: u8,
}

impl Judge {
    /// Whether the next character must be escaped.
    pub(crate) fn escapes(&mut self, c: char) -> bool {
        if is_unprintable(c) {
            self.marks = 0;
            return true;
        }
        if c.width() == Some(0) {
            self.marks = self.marks.saturating_add(1);
        } else {
            self.marks = 0;
        }
        self.marks > MARKS
    }
}

fn braces(c: char, out: &mut String) {
    out.extend(c.escape_unicode());
}

fn escaped(text: &str, keeps: impl Fn(char) -> bool, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') || (byte.is_ascii() && keeps(char::from(byte)));
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut judge = Judge::default();
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if judge.escapes(c) && !keeps(c) { escape(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// The output of another program in pieces, which may end inside a character.
#[derive(Debug, Default)]
pub struct Stream {
    judge: Judge,
    /// The beginning of a character, or a CR whose LF may follow.
    held: Vec<u8>,
}

impl Stream {
    /// What can be shown of what came so far.
    pub fn push(&mut self, piece: &[u8]) -> String {
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(piece);
        self.shown(&bytes, false)
    }

    /// What was still held back at the end.
    pub fn end(&mut self) -> String {
        let bytes = std::mem::take(&mut self.held);
        self.shown(&bytes, true)
    }

    fn shown(&mut self, bytes: &[u8], is_end: bool) -> String {
        let mut out = String::with_capacity(bytes.len());
        let mut at = 0;
        for chunk in bytes.utf8_chunks() {
            at += chunk.valid().len() + chunk.invalid().len();
            self.text(chunk.valid(), at == bytes.len() && chunk.invalid().is_empty() && !is_end, &mut out);
            // Only the last chunk can be a character whose rest has not come yet.
            if at == bytes.len() && !is_end && is_incomplete(chunk.invalid()) {
                self.held = chunk.invalid().to_vec();
                return out;
            }
            for byte in chunk.invalid() {
                let _ = write!(out, "\\x{byte:02x}"); // writing to a String can't fail
            }
        }
        out
    }

    fn text(&mut self, text: &str, may_go_on: bool, out: &mut String) {
        let mut characters = text.chars().peekable();
        while let Some(c) = characters.next() {
            match (c, characters.peek()) {
                ('\r', Some('\n')) => {}
                ('\r', None) if may_go_on => self.held.push(b'\r'),
                ('\n' | '\t', _) => {
                    self.judge = Judge::default();
                    out.push(c);
                }
                _ if self.judge.escapes(c) => braces(c, out),
                _ => out.push(c),
            }
        }
    }
}

/// Whether more bytes can make a character of these.
fn is_incomplete(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// Escapes what is written to it; [`Escaping::end`] writes what was held back.
#[derive(Debug)]
pub struct Escaping<W> {
    out: W,
    stream: Stream,
}

impl<W: io::Write> Escaping<W> {
    /// Writes to `out` what is safe to show.
    pub fn new(out: W) -> Self {
        Self { out, stream: Stream::default() }
    }

    /// Says that nothing more comes.
    pub fn end(&mut self) -> io::Result<()> {
        let rest = self.stream.end();
        self.out.write_all(rest.as_bytes())?;
        self.out.flush()
    }
}

impl<W: io::Write> io::Write for Escaping<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let shown = self.stream.push(bytes);
        self.out.write_all(shown.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_steers_or_hides_is_written_as_an_escape() {
        for (text, shown) in [
            ("\u{1b}[2Jx", r"\u{1b}[2Jx"),
            ("a\rb\u{7f}\u{9b}", r"a\u{d}b\u{7f}\u{9b}"),
            ("a\u{202e}b\u{2066}\u{200b}\u{feff}", r"a\u{202e}b\u{2066}\u{200b}\u{feff}"),
            ("\u{e0041}\u{e0100}\u{fe0f}\u{ad}\u{61c}", r"\u{e0041}\u{e0100}\u{fe0f}\u{ad}\u{61c}"),
            ("\u{fff9}\u{2063}\u{2028}\u{3164}", r"\u{fff9}\u{2063}\u{2028}\u{3164}"),
            ("\u{e000}\u{10ffff}\u{50000}", r"\u{e000}\u{10ffff}\u{50000}"),
            ("bücher 名前 👍 e\u{301} é", "bücher 名前 👍 e\u{301} é"),
        ] {
            assert_eq!(printable_text(text), shown);
            assert_eq!(printable_name(text), shown);
        }
    }

    #[test]
    fn a_text_has_lines_and_a_name_has_none() {
        assert_eq!(printable_text("é\n\tb"), "é\n\tb");
        assert_eq!(printable_name("a\n\tb"), r"a\u{a}\u{9}b");
        assert!(matches!(printable_text("a\n\tb"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_heap_of_marks_ends() {
        let heap = format!("e{}", "\u{301}".repeat(6));
        assert_eq!(printable_text(&heap), "e\u{301}\u{301}\u{301}\u{301}\\u{301}\\u{301}");
        // Vietnamese, Hebrew and Thai stay as they are.
        for plain in ["ệ e\u{323}\u{302}", "שָׁלוֹם", "ที่นี่"] {
            assert_eq!(printable_text(plain), plain);
        }
    }

    #[test]
    fn json_keeps_its_values() {
        let value = serde_json::json!({"a\u{202e}": "\u{1b}\u{9b}\u{e0041}é\n", "b": ["\u{200b}"]});
        for document in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let shown = printable_json(&document);
            assert!(shown.contains("\\u202e") && shown.contains("\\udb40\\udc41"), "{shown}");
            assert!(!shown.chars().any(|c| is_unprintable(c) && c != '\n'), "{shown:?}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        }
    }

    #[test]
    fn of_the_escape_sequences_only_colours_pass() {
        let coloured = "\u{1b}[1m\u{1b}[38;5;9merror\u{1b}[0m: a\u{202e}\n";
        assert_eq!(printable_coloured(coloured), "\u{1b}[1m\u{1b}[38;5;9merror\u{1b}[0m: a\\u{202e}\n");
        for other in
            ["\u{1b}[2J", "\u{1b}]0;title\u{7}", "\u{1b}[1", "\u{1b}", "\u{1b}[?25l", "\u{1b}[1;\u{1b}"]
        {
            assert!(!printable_coloured(other).contains(['\u{1b}', '\u{7}']), "{other:?}");
        }
    }

    #[test]
    fn output_may_hold_any_bytes() {
        assert_eq!(printable_output(b"a\r\nb\rc\x9b31m\xff\n"), "a\nb\\u{d}c\\x9b31m\\xff\n");
        assert_eq!(printable_output(b"\xe2\x82"), r"\xe2\x82", "an unfinished character at the end");
        assert_eq!(printable_output(b"\xed\xa0\x80"), r"\xed\xa0\x80", "half of a surrogate pair");
    }

    proptest! {
        #[test]
        fn where_a_piece_ends_changes_nothing(
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(0xe2), Just(0x80), Just(0xae), Just(0xcc)],
                0..40,
            ),
            ends in proptest::collection::vec(0_usize..40, 0..6),
        ) {
            let mut ends: Vec<usize> = ends.into_iter().map(|end| end.min(bytes.len())).collect();
            ends.extend([0, bytes.len()]);
            ends.sort_unstable();
            let mut out = Vec::new();
            let mut escaping = Escaping::new(&mut out);
            for ends in ends.windows(2) {
                io::Write::write_all(&mut escaping, &bytes[ends[0]..ends[1]]).unwrap();
            }
            escaping.end().unwrap();
            let out = String::from_utf8(out).unwrap();
            prop_assert!(!out.chars().any(|c| is_unprintable(c) && !matches!(c, '\n' | '\t')));
            prop_assert_eq!(out, printable_output(&bytes));
        }

        #[test]
        fn nothing_that_is_shown_steers(text in any::<String>()) {
            for shown in [printable_text(&text), printable_name(&text), printable_json(&text)] {
                prop_assert!(!shown.chars().any(|c| is_unprintable(c) && !matches!(c, '\n' | '\t')));
            }
        }
    }
}
