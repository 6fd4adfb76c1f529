//! Whether a credential begins at a place of a text: the row's shape, then what stands around it.

use super::{
    assignment::{self, Named},
    judge::{self, has_crc, is_in_data, is_random, is_stand_in},
    kinds::TABLE,
    patterns::BUILTIN,
    row::When,
    set::PatternId,
    site::{Look, Site, run},
};

/// A kind that chance makes less often than this, in bits, is found inside of data, too.
const SURE: f64 = 40.0;
/// How much further a credential without a fixed length is read, to judge the whole of it.
const FURTHER: usize = 48;

/// What may begin at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Candidate {
    /// A row of the table; `is_word` says that it begins where a word begins.
    Row { id: PatternId, is_word: bool },
    /// Whatever the name before an `=` or a `:` says.
    Named,
}

/// What is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    No,
    /// It depends on bytes that are not there yet.
    More,
    /// A credential, by its indices in the text, certain after so many bytes of the text.
    Match {
        pattern: PatternId,
        /// Where what is secret begins.
        from: usize,
        end: usize,
        certain: usize,
    },
}

/// Looks at `site.at` for `candidate`.
pub(super) fn look(candidate: Candidate, site: &Site<'_>) -> Sight {
    match candidate {
        Candidate::Named => match assignment::look(site) {
            Named::No => Sight::No,
            Named::More => Sight::More,
            Named::Match { pattern, from, length, certain } => Sight::Match {
                pattern,
                from: site.at + from,
                end: site.at + length,
                certain: site.at + certain,
            },
        },
        Candidate::Row { id, is_word } => row(id, is_word, site),
    }
}

/// How much longer than an exact shape a stand-in of it is, at most.
const LONGER: usize = 7;

fn row(pattern: PatternId, is_word: bool, site: &Site<'_>) -> Sight {
    let (kind, row) = (&TABLE[usize::from(pattern)], &BUILTIN.rows[usize::from(pattern)]);
    let start = site.at;
    if let When::Special { look, .. } = kind.when {
        return match look(site) {
            Look::No => Sight::No,
            Look::More => Sight::More,
            Look::Match { length, certain } => {
                Sight::Match { pattern, from: start, end: start + length, certain: start + certain }
            }
        };
    }
    let Some(shape) = &row.shape else { return Sight::No };
    let Some(begins) = start.checked_sub(row.lead) else { return Sight::No };
    let text = &site.text[begins..];
    let (length, mut certain) = match shape.look(text, site.complete) {
        Look::No => return Sight::No,
        Look::More => return Sight::More,
        Look::Match { length, certain } => (length, certain),
    };
    let matched = &text[..length];
    if is_stand_in(matched) {
        return Sight::No;
    }
    let mut clear = if row.lead == 0 { is_word } else { judge::begins_word(site.text, begins) };
    if kind.exact {
        match text.get(length) {
            None if !site.complete => return Sight::More,
            None => {}
            Some(byte) => {
                certain = certain.max(length + 1);
                clear &= !judge::goes_on(*byte);
            }
        }
    }
    let body = shape.prefix(matched);
    let has_crc = kind.crc && has_crc(matched);
    if !clear && !has_crc {
        if kind.exact {
            // A stand-in can be longer than the shape: `AROADBQP57FF2AEXAMPLE`.
            let after = run(&text[length..], LONGER, |b| b.is_ascii_alphanumeric());
            if after < LONGER && length + after == text.len() && !site.complete {
                return Sight::More;
            }
            if judge::is_stand_in_word(&text[..length + after]) {
                return Sight::No;
            }
            certain = certain.max(usize::min(length + after + usize::from(after < LONGER), text.len()));
        }
        let most = if kind.exact { 0 } else { FURTHER };
        let further = shape.goes_on(&text[length..], most);
        if further < most && length + further == text.len() && !site.complete {
            return Sight::More;
        }
        if kind.bounded || !is_random(&text[body..length + further]) {
            return Sight::No;
        }
        certain = certain.max(usize::min(length + further + usize::from(further < most), text.len()));
    } else if kind.random && !is_random(&matched[body..]) {
        return Sight::No;
    }
    let after_slash = begins > 0 && site.text[begins - 1] == b'/';
    if row.strength < SURE && !has_crc && (!clear || after_slash) {
        match is_in_data(site.text, begins, begins + length, site.complete) {
            None => return Sight::More,
            Some((true, _)) => return Sight::No,
            Some((false, after)) => certain = certain.max(after - begins),
        }
    }
    if let Some(unless) = kind.unless {
        match unless(&Site { text: site.text, at: begins, complete: site.complete }, begins + length) {
            None => return Sight::More,
            Some((true, _)) => return Sight::No,
            Some((false, after)) => certain = certain.max(length + after),
        }
    }
    Sight::Match { pattern, from: begins, end: begins + length, certain: begins + certain }
}
