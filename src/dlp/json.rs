//! Where a text of JSON stands: in a string or not, in an escape or not (RFC 8259 §7).

/// Reads bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Strings(Place);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Outside,
    Inside,
    /// After a backslash.
    Escape,
    /// So many digits of `\u` follow.
    Digits(u8),
}

impl Strings {
    pub(super) fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = match (self.0, byte) {
                (Place::Outside, b'"') => Place::Inside,
                (Place::Outside, _) | (Place::Inside | Place::Digits(_), b'"') => Place::Outside,
                (Place::Inside | Place::Digits(_), b'\\') => Place::Escape,
                (Place::Escape, b'u') => Place::Digits(4),
                (Place::Digits(left @ 2..), _) => Place::Digits(left - 1),
                (Place::Inside | Place::Escape | Place::Digits(_), _) => Place::Inside,
            };
        }
    }

    pub(super) fn is_inside(self) -> bool {
        self.0 != Place::Outside
    }

    pub(super) fn is_in_escape(self) -> bool {
        matches!(self.0, Place::Escape | Place::Digits(_))
    }

    /// Whether this byte would end the string.
    pub(super) fn ends_with(self, byte: u8) -> bool {
        byte == b'"' && matches!(self.0, Place::Inside | Place::Digits(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_an_escape_ends_nothing() {
        let at = |text: &str| {
            let mut strings = Strings::default();
            strings.read(text.as_bytes());
            (strings.is_inside(), strings.is_in_escape())
        };
        assert_eq!(at("{"), (false, false));
        assert_eq!(at("{\"a"), (true, false));
        assert_eq!(at("{\"a\\"), (true, true));
        assert_eq!(at("{\"a\\\""), (true, false));
        assert_eq!(at("{\"a\\\\\""), (false, false));
        assert_eq!(at("{\"\\u00"), (true, true));
        assert_eq!(at("{\"\\u0022"), (true, false));
        assert_eq!(at("{\"\\u0022\""), (false, false));
    }
}
