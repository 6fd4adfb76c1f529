//! Lists in what people read.

/// Entries that a list of what is allowed shows before it says how many more there are.
const SHOWN: usize = 20;

/// At most [`SHOWN`] entries, then how many there are besides.
pub(super) fn shorten(entries: impl ExactSizeIterator<Item = String>) -> Vec<String> {
    let more = entries.len().saturating_sub(SHOWN);
    let mut shown: Vec<String> = entries.take(SHOWN).collect();
    if more > 0 {
        shown.push(format!("… and {more} more"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_says_how_many_more() {
        assert_eq!(shorten((0..20).map(|n| n.to_string())).len(), 20);
        let long = shorten((0..23).map(|n| n.to_string()));
        assert_eq!((long.len(), long[20].as_str()), (21, "… and 3 more"));
    }
}
