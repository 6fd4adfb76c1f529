//! Files of sections, keys and values: pip's, npm's, git's, and Java's properties.

/// A value, and what it stands under.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// As it stands in brackets.
    pub(super) section: String,
    pub(super) key: String,
    /// Several lines are joined by a line break.
    pub(super) value: String,
}

/// The entries of a text. A line that is indented goes on with the value before it, where that is the dialect's rule.
pub(super) fn entries(text: &str, goes_on: bool) -> Vec<Entry> {
    let mut section = String::new();
    let mut found: Vec<Entry> = Vec::new();
    for line in text.lines() {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            name.clone_into(&mut section);
        } else if goes_on && line.starts_with([' ', '\t']) && !found.is_empty() {
            if let Some(last) = found.last_mut() {
                last.value.push('\n');
                last.value.push_str(bare);
            }
        } else if let Some((key, value)) =
            bare.split_once(['=', ':']).filter(|_| goes_on).or(bare.split_once('='))
        {
            let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
            found.push(Entry { section: section.clone(), key, value });
        }
    }
    found
}

/// A value of git's configuration, without quotes, escapes and the comment behind it (git-config(1), "Syntax").
pub(super) fn unquoted(value: &str) -> Option<String> {
    let mut out = String::new();
    let mut quoted = false;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' => match chars.next()? {
                c @ ('"' | '\\') => out.push(c),
                'n' => out.push('\n'),
                't' => out.push('\t'),
                _ => return None,
            },
            '#' | ';' if !quoted => break,
            c => out.push(c),
        }
    }
    (!quoted).then(|| out.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_can_have_several_lines() {
        let text = "# c\n[global]\nindex-url = https://a.test/simple\nextra-index-url =\n    https://b.test\n    https://c.test\n";
        let found = entries(text, true);
        assert_eq!(found.len(), 2);
        assert_eq!((&*found[0].section, &*found[0].value), ("global", "https://a.test/simple"));
        assert_eq!(found[1].value, "\nhttps://b.test\nhttps://c.test");
        let found = entries("@a:registry=https://a.test/\n;x\n//a.test/:_authToken=t\n", false);
        assert_eq!((&*found[0].key, &*found[1].key), ("@a:registry", "//a.test/:_authToken"));
    }

    #[test]
    fn gits_quotes_and_comments_are_taken_off() {
        assert_eq!(unquoted("a b # c").as_deref(), Some("a b"));
        assert_eq!(unquoted(r#""a # b" ; c"#).as_deref(), Some("a # b"));
        assert_eq!(unquoted(r#"Jo \"X\" \\ y"#).as_deref(), Some(r#"Jo "X" \ y"#));
        assert_eq!(unquoted(r#""open"#), None);
        assert_eq!(unquoted(r"\q"), None);
    }
}
