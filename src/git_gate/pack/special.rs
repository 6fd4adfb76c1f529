//! What stands in the files that git itself acts on, as far as a checkout or a clone with submodules has been turned
//! against whoever makes one (CVE-2018-11235, CVE-2018-17456, CVE-2020-5260, CVE-2022-41903). The names of what is
//! wrong are those of `git fsck`.

/// Bytes of a `.gitmodules` that is read.
pub(super) const LARGEST_MODULES: u64 = 64 << 10;

/// Bytes of a `.gitattributes`, and of a line of it (`attr.h`).
const LARGEST_ATTRIBUTES: u64 = 100 << 20;
const LONGEST_ATTRIBUTES_LINE: u64 = 2048;

/// What a `.gitmodules` of more than [`LARGEST_MODULES`] is told.
pub(super) const MODULES_TOO_LARGE: &str = "a `.gitmodules` is larger than 64 KiB (gitmodulesLarge)";

/// What is not read is not passed on.
pub(super) const NOT_READ: &str = "a `.gitmodules` is not written as git writes it, and so not read (gitmodulesParse): write it with `git submodule`";

/// Lines of a text that comes in parts.
#[derive(Default)]
pub(super) struct Lines {
    all: u64,
    line: u64,
    longest: u64,
}

impl Lines {
    pub(super) fn push(&mut self, mut part: &[u8]) {
        self.all += part.len() as u64;
        while let Some(end) = memchr::memchr(b'\n', part) {
            self.longest = self.longest.max(self.line + end as u64);
            self.line = 0;
            part = &part[end + 1..];
        }
        self.line += part.len() as u64;
    }

    /// What is wrong with it as a `.gitattributes`.
    pub(super) fn as_attributes(&self) -> Result<(), &'static str> {
        if self.all > LARGEST_ATTRIBUTES {
            return Err("a `.gitattributes` is larger than 100 MiB (gitattributesLarge)");
        }
        if self.longest.max(self.line) >= LONGEST_ATTRIBUTES_LINE {
            return Err("a `.gitattributes` has a line of 2048 bytes or more (gitattributesLineLength)");
        }
        Ok(())
    }
}

/// Reads a `.gitmodules` as git writes it.
pub(super) fn modules(content: &[u8]) -> Result<(), &'static str> {
    let text = std::str::from_utf8(content).map_err(|_| NOT_READ)?;
    let mut submodule = None;
    for line in text.split('\n').map(|line| line.trim_matches([' ', '\t', '\r'])) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err(NOT_READ);
        }
        if let Some(section) = line.strip_prefix('[') {
            let section = section.strip_suffix(']').ok_or(NOT_READ)?;
            submodule = Some(is_submodule(section)?);
            continue;
        }
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => {
                (key.trim_end_matches([' ', '\t']), unquoted(value.trim_matches([' ', '\t']))?)
            }
            None => (line, ""),
        };
        if !key.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-') {
            return Err(NOT_READ);
        }
        if submodule.ok_or(NOT_READ)? {
            setting(&key.to_ascii_lowercase(), value)?;
        }
    }
    Ok(())
}

/// Whether a section is one of a submodule, with a good name.
fn is_submodule(section: &str) -> Result<bool, &'static str> {
    let Some((kind, name)) = section.split_once([' ', '\t']) else {
        let plain = section.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-');
        return if plain { Ok(false) } else { Err(NOT_READ) };
    };
    let quoted = name.trim_start_matches([' ', '\t']).strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    let (mut name, mut escaped) = (String::new(), false);
    for c in quoted.ok_or(NOT_READ)?.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return Err(NOT_READ),
            c => {
                name.push(c);
                escaped = false;
            }
        }
    }
    if escaped {
        return Err(NOT_READ);
    }
    if !kind.eq_ignore_ascii_case("submodule") {
        return Ok(false);
    }
    if name.is_empty() || name.split(['/', '\\']).any(|part| part == "..") {
        return Err("the name of a submodule is empty, or leads out of its folder (gitmodulesName)");
    }
    Ok(true)
}

/// A value that needs no more reading.
fn unquoted(value: &str) -> Result<&str, &'static str> {
    let inner = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    let value = match inner {
        Some(inner) => inner,
        None => value.split(['#', ';']).next().unwrap_or_default().trim_end_matches([' ', '\t']),
    };
    if value.contains(['"', '\\']) { Err(NOT_READ) } else { Ok(value) }
}

fn setting(key: &str, value: &str) -> Result<(), &'static str> {
    match key {
        "path" if value.starts_with('-') => {
            Err("the path of a submodule begins as an option does (gitmodulesPath)")
        }
        "url" if !is_good_url(value) => Err(
            "the URL of a submodule is an option, holds a line end, or leads above its root (gitmodulesUrl)",
        ),
        "update" if value.starts_with('!') => Err("a submodule is updated by a command (gitmodulesUpdate)"),
        _ => Ok(()),
    }
}

fn is_good_url(url: &str) -> bool {
    let lower = url.to_ascii_lowercase();
    // `http::…` names a remote helper, and what follows is a URL for it.
    let address = ["http", "https", "ftp", "ftps"].iter().find_map(|it| {
        let rest = lower.strip_prefix(it)?;
        rest.strip_prefix("::")
            .and_then(|rest| rest.split_once(':').map(|it| it.1))
            .or(rest.strip_prefix(':'))
    });
    let has_host = address.is_none_or(|rest| {
        rest.strip_prefix("//")
            .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':', '?', '#']))
    });
    let mut rest = url;
    while let Some(above) = rest.strip_prefix("../").or_else(|| rest.strip_prefix("./")) {
        rest = above;
    }
    let escapes = rest.len() < url.len() && url.contains("../") && rest.starts_with([':', '/']);
    !url.starts_with('-') && !lower.contains("%0a") && has_host && !escapes
}
