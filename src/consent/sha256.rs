//! A SHA-256 as a value: 64 hexadecimal digits where it is written.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A SHA-256. Its text is 64 hexadecimal digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Sha256Sum(pub [u8; 32]);

impl fmt::Display for Sha256Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
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
        if text.len() != 64 {
            return Err(format!("a SHA-256 has 64 hexadecimal digits, not {} characters", text.len()));
        }
        let mut sum = [0; 32];
        HEXLOWER
            .decode_mut(text.as_bytes(), &mut sum)
            .map_err(|_| "a SHA-256 consists of the digits 0-9 and a-f".to_owned())?;
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
