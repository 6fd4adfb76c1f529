//! Names in trees that git itself acts on, in every spelling that a file system takes for them (`fsck.c`, `path.c`,
//! `utf8.c`): NTFS drops trailing dots and spaces, ends a name at `:` and has short names; HFS+ passes over characters
//! that have no width; neither tells cases apart.

/// A file that git reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Special {
    /// `.gitmodules`.
    Modules,
    /// `.gitattributes`.
    Attributes,
}

impl Special {
    const ALL: [Self; 2] = [Self::Modules, Self::Attributes];

    /// Its name, and what NTFS calls it where the first short names are taken.
    fn spelled(self) -> (&'static str, &'static str) {
        match self {
            Self::Modules => (".gitmodules", "gi7eba"),
            Self::Attributes => (".gitattributes", "gi7d29"),
        }
    }

    /// Which one a name may be read as.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|it| parts(name).any(|part| it.is(part)))
    }

    fn is(self, part: &[u8]) -> bool {
        let (name, fallback) = self.spelled();
        let seen = seen(part);
        seen.eq_ignore_ascii_case(name) || is_short_name(&seen, &name[1..7], fallback)
    }
}

/// Whether a name may be read as `.git` (CVE-2014-9390, CVE-2019-1352, CVE-2019-1353).
pub(super) fn is_dot_git(name: &[u8]) -> bool {
    parts(name).any(|part| [".git", "git~1"].iter().any(|it| seen(part).eq_ignore_ascii_case(it)))
}

/// On Windows a backslash parts folders too.
fn parts(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    name.split(|byte| *byte == b'\\')
}

/// What a file system may make of a name.
fn seen(part: &[u8]) -> String {
    let text = String::from_utf8_lossy(part);
    let ignored = |c: &char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let seen: String = text.chars().filter(|c| !ignored(c)).collect();
    seen.split(':').next().unwrap_or_default().trim_end_matches([' ', '.']).to_owned()
}

/// `gitmod~1` to `~4`, then `gi7eba~1`; with a longer number fewer letters are left of it.
fn is_short_name(seen: &str, first: &str, fallback: &str) -> bool {
    let Some((letters, number)) = seen.split_once('~') else { return false };
    let is_number =
        number.starts_with(|c| matches!(c, '1'..='9')) && number.bytes().all(|it| it.is_ascii_digit());
    let is_first = letters.eq_ignore_ascii_case(first) && matches!(number, "1" | "2" | "3" | "4");
    let begins = fallback.get(..letters.len()).is_some_and(|begin| letters.eq_ignore_ascii_case(begin));
    is_first || is_number && begins && seen.len() == 8
}
