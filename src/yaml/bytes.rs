//! What is checked before a parser sees the text: size, encoding, line endings, control characters.

use super::{Limits, Problem};

/// The text, unless nothing can be made of it. A byte order mark is reported and then left out by the caller.
pub(super) fn check<'a>(text: &'a [u8], limits: Limits, problems: &mut Vec<Problem>) -> Option<&'a str> {
    if text.len() > limits.bytes {
        let message = format!("the file is larger than {} bytes", limits.bytes);
        problems.push(Problem::new(0..0, message));
        return None;
    }
    if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
        problems.push(
            Problem::new(0..0, "the file is UTF-16, not UTF-8")
                .hint("save it as UTF-8 without a byte order mark"),
        );
        return None;
    }
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            let byte = text.get(at).copied().unwrap_or_default();
            let message = format!("byte 0x{byte:02x} is not UTF-8");
            problems.push(Problem::new(at..at + 1, message).hint("save the file as UTF-8"));
            return None;
        }
    };
    if text.starts_with('\u{feff}') {
        problems.push(
            Problem::new(0..3, "the file begins with a byte order mark").hint("save it as UTF-8 without one"),
        );
    }
    if let Some(at) = text.find("\r\n") {
        problems.push(
            Problem::new(at..at + 1, "the line ends with CRLF")
                .hint("save the file with LF line endings: sed -i 's/\\r$//' FILE"),
        );
    }
    match control(text) {
        Some(problem) => {
            problems.push(problem);
            None
        }
        None => Some(text),
    }
}

/// Controls other than tab and line break are no YAML (1.2.2, section 5.1), and what they do depends on the reader.
fn control(text: &str) -> Option<Problem> {
    let odd = |c: char| match c {
        '\t' | '\n' => false,
        '\u{85}' | '\u{2028}' | '\u{2029}' => true,
        _ => c.is_control(),
    };
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let starts_crlf = c == '\r' && characters.peek().is_some_and(|(_, next)| *next == '\n');
        if odd(c) && !starts_crlf {
            let what = match c {
                '\r' => "a carriage return".to_owned(),
                '\u{85}' | '\u{2028}' | '\u{2029}' => {
                    format!("a Unicode line separator (U+{:04X})", c as u32)
                }
                _ => format!("a control character (U+{:04X})", c as u32),
            };
            return Some(
                Problem::new(at..at + c.len_utf8(), format!("{what} is in the text"))
                    .hint("remove it, or write it as an escape inside double quotes, such as \"\\x07\""),
            );
        }
    }
    None
}
