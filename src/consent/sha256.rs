//! A SHA-256 as a value: 64 hexadecimal digits where it is written.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A SHA-256. Its text is 64 hexadecimal digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Sha256Sum(pub [u8; 32]);

impl fmt::Display for Sha256Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Sha256Sum> for String {
    fn from(sum: Sha256Sum) -> Self {
        sum.to_string()
    }
}

impl TryFrom<String> for Sha256Sum {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digit = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        let mut sum = [0; 32];
        let pairs = text.as_bytes().chunks_exact(2);
        if text.len() != 64 {
            return Err(format!("a SHA-256 has 64 hexadecimal digits, not {} characters", text.len()));
        }
        for (byte, pair) in sum.iter_mut().zip(pairs) {
            match (digit(pair[0]), digit(pair[1])) {
                (Some(high), Some(low)) => *byte = high << 4 | low,
                _ => return Err("a SHA-256 consists of the digits 0-9 and a-f".to_owned()),
            }
        }
        Ok(Self(sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_64_digits_in_lower_case_are_a_sum() {
        let text = "00ff".repeat(16);
        assert_eq!(Sha256Sum::try_from(text.clone()).unwrap().to_string(), text);
        assert_eq!(Sha256Sum::try_from(text.clone()).unwrap().0[..2], [0, 255]);
        for bad in [&text[1..], &text.to_uppercase(), &text.replace('f', "g"), &"é".repeat(32)] {
            Sha256Sum::try_from(bad.to_owned()).unwrap_err();
        }
    }
}
