//! A place in a text, and what a look at it says.

/// What a look at the bytes from a start says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// No match begins here.
    No,
    /// It depends on bytes that are not there yet.
    More,
    /// A match of this many bytes, certain after that many.
    Match { length: usize, certain: usize },
}

/// How far back a kind looks for what it belongs to: a query, a card's name.
pub(super) const CONTEXT: usize = 768;

/// A place in a text.
pub(super) struct Site<'t> {
    pub(super) text: &'t [u8],
    pub(super) at: usize,
    /// Nothing follows the text.
    pub(super) complete: bool,
}

impl<'t> Site<'t> {
    pub(super) fn right(&self) -> &'t [u8] {
        &self.text[self.at..]
    }

    pub(super) fn left(&self, most: usize) -> &'t [u8] {
        &self.text[self.at.saturating_sub(most)..self.at]
    }

    /// Not enough is there to say more.
    pub(super) fn short(&self) -> Look {
        if self.complete { Look::No } else { Look::More }
    }

    /// What stands before it of the same URL.
    pub(super) fn url(&self) -> &'t [u8] {
        let left = self.left(CONTEXT);
        let begins = left.iter().rposition(|b| *b <= b' ' || matches!(b, b'"' | b'\'' | b'<' | b'>' | b'`'));
        &left[begins.map_or(0, |at| at + 1)..]
    }
}

/// How many bytes of a kind `text` begins with, of at most `most`.
pub(super) fn run(text: &[u8], most: usize, of: impl Fn(u8) -> bool) -> usize {
    text.iter().take(most).take_while(|b| of(**b)).count()
}
