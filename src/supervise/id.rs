//! What a proposal is called: bottle chooses it, so that no text of the agent's is ever a name.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Twelve hexadecimal digits in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProposalId(String);

/// A text that is no such name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not the id of a proposal, which is twelve hexadecimal digits; `bottle dashboard --once` lists them", shown(.0))]
pub struct NotAnId(String);

/// What is long is cut: it is shown to whoever sent it.
fn shown(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

const DIGITS: usize = 12;

impl ProposalId {
    /// A new one, which nobody can foretell.
    pub(super) fn random() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut bytes = [0_u8; DIGITS / 2];
        aws_lc_rs::rand::fill(&mut bytes)?;
        Ok(Self(data_encoding::HEXLOWER.encode(&bytes)))
    }

    /// The name of its file.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{}.json", self.0)
    }

    /// The proposal that a file is of.
    #[must_use]
    pub fn of_file(name: &str) -> Option<Self> {
        name.strip_suffix(".json")?.parse().ok()
    }
}

impl FromStr for ProposalId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == DIGITS && text.bytes().all(is_digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAnId(text.to_owned()))
        }
    }
}

impl TryFrom<String> for ProposalId {
    type Error = NotAnId;

    fn try_from(text: String) -> Result<Self, NotAnId> {
        text.parse()
    }
}

impl From<ProposalId> for String {
    fn from(id: ProposalId) -> Self {
        id.0
    }
}

impl fmt::Display for ProposalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_that_bottle_makes_is_one() {
        let id = ProposalId::random().unwrap();
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        assert_eq!(ProposalId::of_file(&id.file()), Some(id));
        for bad in [
            "",
            "../../etc",
            "0123456789ab.json",
            "0123456789AB",
            "0123456789a",
            "0123456789ab0",
            "0123456789a\n",
        ] {
            assert!(bad.parse::<ProposalId>().is_err(), "{bad:?}");
        }
        let said = "\u{1b}[2J".parse::<ProposalId>().unwrap_err().to_string();
        assert!(said.starts_with(r"`\u{1b}[2J` is not the id of a proposal"), "{said}");
    }
}
