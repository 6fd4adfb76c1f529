//! A shape: literals and runs of a class of bytes, one after another. It is read from a small part of the language of
//! regular expressions, and matched without an automaton, so that a long table of kinds costs nothing at the start.

use super::site::Look;

/// Literals and runs, read from an expression.
pub(super) struct Shape {
    parts: Vec<Part>,
}

enum Part {
    /// One of these texts.
    Text(Vec<Vec<u8>>),
    /// So many bytes of a class.
    Run { class: Box<[bool; 256]>, least: usize, most: usize },
}

impl Shape {
    /// Reads literals, `(?:a|b)` of literals, and classes with `?`, `{n}` or `{n,m}`; nothing else.
    pub(super) fn parse(expression: &str) -> Option<Self> {
        let mut rest = expression.as_bytes();
        let mut parts: Vec<Part> = Vec::new();
        while !rest.is_empty() {
            if let Some(tail) = rest.strip_prefix(b"(?:") {
                let end = tail.iter().position(|b| *b == b')')?;
                let texts = tail[..end].split(|b| *b == b'|').map(literal).collect::<Option<_>>()?;
                parts.push(Part::Text(texts));
                rest = &tail[end + 1..];
            } else if rest[0] == b'[' {
                let end = rest.iter().position(|b| *b == b']')?;
                let class = class(&rest[1..end])?;
                let (least, most, tail) = times(&rest[end + 1..])?;
                parts.push(Part::Run { class: Box::new(class), least, most });
                rest = tail;
            } else {
                let end = rest.iter().position(|b| matches!(b, b'[' | b'(')).unwrap_or(rest.len());
                parts.push(Part::Text(vec![literal(&rest[..end])?]));
                rest = &rest[end..];
            }
        }
        Some(Self { parts })
    }

    /// Looks at the beginning of `text`; `complete` says that nothing follows it.
    pub(super) fn look(&self, text: &[u8], complete: bool) -> Look {
        self.walk(text, complete, |class, byte| class[usize::from(byte)], <[u8]>::starts_with)
    }

    /// The length of a match at the beginning of a text whose letters may have lost their case.
    pub(super) fn look_folded(&self, text: &[u8]) -> Option<usize> {
        let in_class = |class: &[bool; 256], byte: u8| {
            class[usize::from(byte.to_ascii_lowercase())] || class[usize::from(byte.to_ascii_uppercase())]
        };
        let starts = |text: &[u8], literal: &[u8]| {
            text.get(..literal.len()).is_some_and(|head| head.eq_ignore_ascii_case(literal))
        };
        match self.walk(text, true, in_class, starts) {
            Look::Match { length, .. } => Some(length),
            Look::No | Look::More => None,
        }
    }

    fn walk(
        &self,
        text: &[u8],
        complete: bool,
        in_class: impl Fn(&[bool; 256], u8) -> bool,
        starts: impl Fn(&[u8], &[u8]) -> bool,
    ) -> Look {
        let (mut at, mut certain) = (0, 0);
        for part in &self.parts {
            let rest = &text[at..];
            match part {
                Part::Text(texts) => match texts.iter().find(|text| starts(rest, text)) {
                    Some(text) => at += text.len(),
                    None if complete => return Look::No,
                    None if texts.iter().any(|text| starts(text, rest)) => return Look::More,
                    None => return Look::No,
                },
                Part::Run { class, least, most } => {
                    let run = rest.iter().take(*most).take_while(|b| in_class(class, **b)).count();
                    if run < *least {
                        return if run == rest.len() && !complete { Look::More } else { Look::No };
                    }
                    if run < *most && run == rest.len() && !complete {
                        return Look::More;
                    }
                    certain = certain.max(at + run + usize::from(run < *most && run < rest.len()));
                    at += run;
                }
            }
            certain = certain.max(at);
        }
        Look::Match { length: at, certain }
    }

    /// How many bytes the literals at the beginning take in `text`, which matches.
    pub(super) fn prefix(&self, text: &[u8]) -> usize {
        match self.parts.first() {
            Some(Part::Text(texts)) if self.parts.len() > 1 => {
                texts.iter().filter(|it| text.starts_with(it)).map(Vec::len).max().unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// How many bytes of the class of its last run follow, of at most `most`; with `text` after the match.
    pub(super) fn goes_on(&self, text: &[u8], most: usize) -> usize {
        match self.parts.last() {
            Some(Part::Run { class, .. }) => {
                text.iter().take(most).take_while(|b| class[usize::from(**b)]).count()
            }
            _ => 0,
        }
    }

    /// The literal that a shape which begins with a long run is looked for by: which part, and how far in it stands.
    fn anchor(&self) -> (usize, usize) {
        let begins_with_run = matches!(self.parts.first(), Some(Part::Run { least: 3.., .. }));
        let mut before = 0;
        for (index, part) in self.parts.iter().enumerate().filter(|_| begins_with_run) {
            match part {
                Part::Text(texts) if texts.iter().all(|text| text.len() >= 3) => return (index, before),
                Part::Text(texts) if texts.len() == 1 => before += texts.iter().map(Vec::len).sum::<usize>(),
                Part::Run { least, most, .. } if least == most => before += least,
                Part::Text(_) | Part::Run { .. } => break,
            }
        }
        (0, 0)
    }

    /// How far before its anchor it begins.
    pub(super) fn lead(&self) -> usize {
        self.anchor().1
    }

    /// Every three bytes that its anchor can begin with.
    pub(super) fn heads_after_lead(&self) -> Vec<[u8; 3]> {
        heads(&self.parts[self.anchor().0..])
    }

    /// Every three bytes that a match can begin with.
    pub(super) fn heads(&self) -> Vec<[u8; 3]> {
        heads(&self.parts)
    }

    /// How unlikely a match is in random base64 of either alphabet, in bits.
    pub(super) fn strength(&self) -> f64 {
        f64::min(self.strength_in(*b"-_"), self.strength_in(*b"+/"))
    }

    fn strength_in(&self, others: [u8; 2]) -> f64 {
        let is_in = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
        // One byte of so many of the 64, or of none.
        let bits = |count: usize| match u32::try_from(count) {
            Ok(1..) => 6.0 - f64::from(u32::try_from(count).unwrap_or(64)).log2(),
            _ => 64.0,
        };
        let of_text = |text: &Vec<u8>| text.iter().map(|b| bits(usize::from(is_in(*b)))).sum::<f64>();
        let of = |part: &Part| match part {
            Part::Text(texts) => texts.iter().map(of_text).fold(f64::INFINITY, f64::min),
            Part::Run { class, least, .. } => {
                let count = (0..=255).filter(|b| class[usize::from(*b)] && is_in(*b)).count();
                f64::from(u32::try_from(*least).unwrap_or(0)) * bits(count)
            }
        };
        self.parts.iter().map(of).sum()
    }
}

fn heads(parts: &[Part]) -> Vec<[u8; 3]> {
    let mut heads: Vec<Vec<u8>> = vec![Vec::new()];
    for part in parts {
        if heads.iter().all(|head| head.len() >= 3) {
            break;
        }
        heads = match part {
            Part::Text(texts) => cross(&heads, &texts.iter().map(Vec::as_slice)),
            Part::Run { class, least, most } => {
                let bytes: Vec<[u8; 1]> = (0..=255).filter(|b| class[usize::from(*b)]).map(|b| [b]).collect();
                let mut out = if *least == 0 { heads.clone() } else { Vec::new() };
                let mut longer = heads;
                for _ in 0..(*most).min(3) {
                    longer = cross(&longer, &bytes.iter().map(<[u8; 1]>::as_slice));
                }
                out.extend(longer);
                out
            }
        };
    }
    heads.iter().filter_map(|head| head.first_chunk::<3>().copied()).collect()
}

fn cross<'t>(heads: &[Vec<u8>], texts: &(impl Iterator<Item = &'t [u8]> + Clone)) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for head in heads {
        if head.len() >= 3 {
            out.push(head.clone());
            continue;
        }
        out.extend(texts.clone().map(|text| [head.as_slice(), text].concat()));
    }
    for head in &mut out {
        head.truncate(3);
    }
    out.sort_unstable();
    out.dedup();
    out
}

/// A text without anything but literals.
fn literal(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => out.push(bytes.next().copied().filter(|b| !b.is_ascii_alphanumeric())?),
            b'.' | b'*' | b'+' | b'?' | b'{' | b'}' | b'^' | b'$' | b'|' | b')' | b'(' | b']' => return None,
            _ => out.push(*byte),
        }
    }
    (!out.is_empty()).then_some(out)
}

fn class(text: &[u8]) -> Option<[bool; 256]> {
    let mut class = [false; 256];
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        match (first, tail) {
            (b'^' | b'\\', _) => return None,
            (first, [b'-', last, after @ ..]) => {
                (*first..=*last).for_each(|b| class[usize::from(b)] = true);
                rest = after;
            }
            (byte, after) => {
                class[usize::from(*byte)] = true;
                rest = after;
            }
        }
    }
    Some(class)
}

/// `{n}`, `{n,m}`, `?` or nothing, and what follows it.
fn times(text: &[u8]) -> Option<(usize, usize, &[u8])> {
    if let Some(rest) = text.strip_prefix(b"?") {
        return Some((0, 1, rest));
    }
    let Some(inner) = text.strip_prefix(b"{") else { return Some((1, 1, text)) };
    let end = inner.iter().position(|b| *b == b'}')?;
    let numbers = std::str::from_utf8(&inner[..end]).ok()?;
    let (least, most) = numbers.split_once(',').unwrap_or((numbers, numbers));
    Some((least.parse().ok()?, most.parse().ok()?, &inner[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_says_when_it_needs_more() {
        let shape = Shape::parse("gh[pour]_[A-Za-z0-9]{36}").unwrap();
        let token = format!("gh{}{}", "p_", "a".repeat(36));
        let token = token.as_bytes();
        assert_eq!(shape.look(&token[..20], false), Look::More);
        assert_eq!(shape.look(&token[..1], false), Look::More);
        assert_eq!(shape.look(&token[..20], true), Look::No);
        assert_eq!(shape.look(token, true), Look::Match { length: 40, certain: 40 });
        assert_eq!(shape.look(b"ghost", false), Look::No);
    }

    #[test]
    fn a_run_of_any_length_is_certain_with_the_byte_after_it() {
        let shape = Shape::parse(r"xapp-[0-9]-[A-Za-z0-9]{8,14}-(?:ab|cd)\.[a-f]{2}").unwrap();
        let text = b"xapp-1-A0B1C2D3E4-cd.ff";
        assert_eq!(shape.look(text, false), Look::Match { length: text.len(), certain: text.len() });
        assert_eq!(shape.look(&text[..17], false), Look::More);
        assert_eq!(shape.heads(), [*b"xap"]);
        for refused in [r"a\w", "a*", "(a)", "a{2}", "[^a]", "a.b"] {
            assert!(Shape::parse(refused).is_none(), "{refused}");
        }
    }
}
