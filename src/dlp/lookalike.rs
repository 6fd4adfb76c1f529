//! Characters beyond ASCII that stand for one of it, or for none: full-width forms, letters of mathematics, look-alikes of
//! other scripts, and what takes no room at all (Unicode TR 36 and TR 39).

/// What a character is to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// This character of ASCII.
    As(u8),
    /// Nothing.
    Nothing,
    /// A character of its own.
    Itself,
}

/// Letters of Greek and Cyrillic that look like one of ASCII.
const LETTERS: &[(char, u8)] = &[
    ('а', b'a'),
    ('е', b'e'),
    ('о', b'o'),
    ('р', b'p'),
    ('с', b'c'),
    ('у', b'y'),
    ('х', b'x'),
    ('і', b'i'),
    ('ј', b'j'),
    ('ѕ', b's'),
    ('һ', b'h'),
    ('ԁ', b'd'),
    ('ԛ', b'q'),
    ('ԝ', b'w'),
    ('А', b'A'),
    ('В', b'B'),
    ('Е', b'E'),
    ('К', b'K'),
    ('М', b'M'),
    ('Н', b'H'),
    ('О', b'O'),
    ('Р', b'P'),
    ('С', b'C'),
    ('Т', b'T'),
    ('Х', b'X'),
    ('У', b'Y'),
    ('І', b'I'),
    ('Ј', b'J'),
    ('Ѕ', b'S'),
    ('ο', b'o'),
    ('α', b'a'),
    ('ν', b'v'),
    ('ρ', b'p'),
    ('ι', b'i'),
    ('κ', b'k'),
    ('Α', b'A'),
    ('Β', b'B'),
    ('Ε', b'E'),
    ('Ζ', b'Z'),
    ('Η', b'H'),
    ('Ι', b'I'),
    ('Κ', b'K'),
    ('Μ', b'M'),
    ('Ν', b'N'),
    ('Ο', b'O'),
    ('Ρ', b'P'),
    ('Τ', b'T'),
    ('Υ', b'Y'),
    ('Χ', b'X'),
    ('ı', b'i'),
    ('ſ', b's'),
    ('K', b'K'),
    ('ℓ', b'l'),
    ('․', b'.'),
    ('‐', b'-'),
    ('‑', b'-'),
    ('‒', b'-'),
    ('–', b'-'),
    ('—', b'-'),
    ('―', b'-'),
    ('−', b'-'),
    ('﹘', b'-'),
    ('﹣', b'-'),
    ('﹍', b'_'),
    ('﹎', b'_'),
    ('﹏', b'_'),
    ('‿', b'_'),
    ('∕', b'/'),
    ('⁄', b'/'),
    ('꞉', b':'),
    ('∶', b':'),
];

/// Whether a letter of another script has this place: such a script is read as it is, unless ASCII stands beside it.
pub(super) fn is_letter(c: char) -> bool {
    LETTERS.iter().any(|(letter, _)| *letter == c)
}

pub(super) fn seen(c: char) -> Seen {
    let code = u32::from(c);
    let from =
        |base: u32, first: u8| u8::try_from(code - base).map_or(Seen::Itself, |it| Seen::As(first + it));
    match code {
        0xff01..=0xff5e => from(0xff01, b'!'),
        // Bold, italic, script … letters and digits of mathematics.
        0x1d400..=0x1d6a3 => {
            let place = u8::try_from((code - 0x1d400) % 52).unwrap_or(0);
            Seen::As(if place < 26 { b'A' + place } else { b'a' + place - 26 })
        }
        0x1d7ce..=0x1d7ff => Seen::As(b'0' + u8::try_from((code - 0x1d7ce) % 10).unwrap_or(0)),
        0x24b6..=0x24cf => from(0x24b6, b'A'),
        0x24d0..=0x24e9 => from(0x24d0, b'a'),
        0x1f130..=0x1f149 => from(0x1f130, b'A'),
        0x1f150..=0x1f169 => from(0x1f150, b'A'),
        0x1f170..=0x1f189 => from(0x1f170, b'A'),
        0x2080..=0x2089 => from(0x2080, b'0'),
        // Tags, which no reader sees.
        0xe0020..=0xe007e => from(0xe0020, b' '),
        0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
        | 0x202a..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff9..=0xfffb
        | 0xe0000..=0xe001f | 0xe007f..=0xe0fff
        // Marks that combine with the letter before them.
        | 0x300..=0x36f | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x20d0..=0x20ff | 0xfe20..=0xfe2f => Seen::Nothing,
        _ => LETTERS.iter().find(|(letter, _)| *letter == c).map_or(Seen::Itself, |(_, ascii)| Seen::As(*ascii)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_what_a_reader_sees() {
        for (c, ascii) in [
            ('ｇ', b'g'),
            ('＿', b'_'),
            ('𝐠', b'g'),
            ('𝟗', b'9'),
            ('Ⓖ', b'G'),
            ('а', b'a'),
            ('\u{e0067}', b'g'),
        ] {
            assert_eq!(seen(c), Seen::As(ascii), "{c:?}");
        }
        for c in ['\u{200b}', '\u{ad}', '\u{301}', '\u{feff}', '\u{e0001}'] {
            assert_eq!(seen(c), Seen::Nothing, "{c:?}");
        }
        for c in ['é', '中', 'ж', '…'] {
            assert_eq!(seen(c), Seen::Itself, "{c:?}");
        }
    }
}
