//! Whether a Dockerfile builds from nothing but what is named by its digest.
//!
//! It is not read as a builder would, since there are several and each has its own ways with quotes, escapes, spaces and
//! directives. What counts is what is written plainly: a line that two builders could read in two ways, or that this
//! reader does not know, is as bad as an image without its digest. The order of what a builder does to lines (comments,
//! then continuations, then words) is that of `BuildKit`'s `frontend/dockerfile/parser`.

use crate::lock::is_digest;
use std::fmt;

/// A line that keeps a build from being the same tomorrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlocked {
    /// On which the instruction begins, from 1.
    pub line: usize,
    /// Why.
    pub why: Why,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// An image whose name can stand for another one tomorrow.
    Floating(String),
    /// It can't be told what the line builds from.
    Unclear(String),
}

impl fmt::Display for Unlocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line;
        match &self.why {
            Why::Floating(image) => {
                write!(f, "line {line} of the Dockerfile names `{image}`, which is not named by its digest")
            }
            Why::Unclear(why) => {
                write!(f, "--locked can't tell what line {line} of the Dockerfile builds from: {why}")
            }
        }
    }
}

type Checked<T = ()> = Result<T, Why>;

fn unclear<T>(why: impl Into<String>) -> Checked<T> {
    Err(Why::Unclear(why.into()))
}

/// Instructions that name no image, whatever else stands in them.
const PLAIN: [&str; 14] = [
    "ARG",
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
    "RUN",
];

/// Lines that are not in order, so many at most.
const MOST_FOUND: usize = 20;

/// The first lines that are not in order; none for a Dockerfile that builds from what is named by its digest alone.
#[must_use]
pub fn unlocked(dockerfile: &str) -> Vec<Unlocked> {
    let mut found = Vec::new();
    let mut stages = Stages::default();
    for (line, instruction) in instructions(dockerfile) {
        if found.len() == MOST_FOUND {
            break;
        }
        let checked = instruction.and_then(|text| check(&text, &mut stages));
        found.extend(checked.err().map(|why| Unlocked { line, why }));
    }
    found
}

/// Each instruction on one line, with the line that it begins on, and comments that say more than they seem to.
fn instructions(dockerfile: &str) -> Vec<(usize, Checked<String>)> {
    let mut found: Vec<(usize, Checked<String>)> = Vec::new();
    let (mut goes_on, mut heads) = (false, true);
    for (at, line) in dockerfile.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let bare = line.trim_matches([' ', '\t']);
        if let Some(comment) = bare.strip_prefix('#') {
            let checked = plain(line, true).and_then(|()| if heads { directive(comment) } else { Ok(()) });
            found.extend(checked.err().map(|why| (at + 1, Err(why))));
            continue;
        }
        if bare.is_empty() {
            continue; // also in an instruction: BuildKit goes on after it, with a warning
        }
        let ends_doubled = bare.ends_with("\\\\");
        let part = bare.strip_suffix('\\').filter(|_| !ends_doubled);
        // Spaces before a continued line are kept, and those after it separate words as well.
        let text = line.trim_end_matches([' ', '\t']);
        let text = if part.is_some() { &text[..text.len() - 1] } else { text };
        let checked = match plain(line, false) {
            Ok(()) if ends_doubled => unclear("it ends in two backslashes, which builders read differently"),
            checked => checked,
        };
        if let Some((_, whole)) = found.last_mut().filter(|_| goes_on) {
            *whole =
                std::mem::replace(whole, Ok(String::new())).and_then(|whole| checked.map(|()| whole + text));
        } else {
            heads &= checked.is_err();
            found.push((at + 1, checked.map(|()| text.to_owned())));
        }
        goes_on = part.is_some();
    }
    found
}

/// Refuses characters that look like nothing, or that a builder could take for a space or the end of a line.
fn plain(line: &str, is_comment: bool) -> Checked {
    let fits = |c: char| {
        matches!(c, ' '..='~' | '\t') || is_comment && !c.is_ascii() && !c.is_control() && c != '\u{feff}'
    };
    match line.chars().find(|c| !fits(*c)) {
        None => Ok(()),
        Some(c) => {
            unclear(format!("it holds the character U+{:04X}, and only plain ASCII is read", u32::from(c)))
        }
    }
}

/// Before the first instruction a comment can name the program that reads the rest, or change what `\` means. Anything
/// that resembles such a directive must be one, written plainly.
fn directive(comment: &str) -> Checked {
    let resembles: String = comment
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '=')
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let value = comment.split_once('=').map_or("", |(_, value)| value.trim_matches([' ', '\t']));
    if resembles.starts_with("escape=") && value != "\\" {
        return unclear("it makes another character than `\\` the escape");
    }
    if resembles.starts_with("syntax=") && !is_pinned(value) {
        return Err(Why::Floating(value.to_owned()));
    }
    Ok(())
}

/// The stages so far, the one that is being built last.
#[derive(Default)]
struct Stages(Vec<Option<String>>);

impl Stages {
    fn has(&self, name: &str) -> bool {
        Self::find(&self.0, name)
    }

    fn find(stages: &[Option<String>], name: &str) -> bool {
        stages.iter().flatten().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Whether an instruction of the last stage means an earlier one by `name`, which may be a number here. A builder that
    /// does not know the last one before it is whole takes its own name for that of an image.
    fn has_earlier(&self, name: &str) -> bool {
        let earlier = &self.0[..self.0.len().saturating_sub(1)];
        let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        let counts = is_number && name.parse::<usize>().is_ok_and(|at| at < earlier.len());
        counts || Self::find(earlier, name)
    }
}

fn check(text: &str, stages: &mut Stages) -> Checked {
    let mut words = text.split([' ', '\t']).filter(|word| !word.is_empty());
    let Some(first) = words.next() else { return unclear("it is empty") };
    let keyword = first.to_ascii_uppercase();
    let words: Vec<&str> = words.collect();
    if matches!(keyword.as_str(), "RUN" | "COPY" | "ADD") && text.contains("<<") {
        return unclear("it could begin a here-document; write the commands in a file of the build context");
    }
    match keyword.as_str() {
        "FROM" => from(&words, stages),
        "COPY" => copy(&words, stages),
        "ADD" => add(&words),
        "RUN" => run(&words, stages),
        "ONBUILD" => unclear("ONBUILD acts in another build"),
        keyword if PLAIN.contains(&keyword) => Ok(()),
        _ => unclear(format!("`{first}` is no instruction that is known here")),
    }
}

/// Flags with their values, and arguments.
type Split<'a> = (Vec<(&'a str, &'a str)>, &'a [&'a str]);

/// The flags before the arguments, each with its value, and the arguments. A flag that is not one of `known` is refused.
fn flags<'a>(words: &'a [&'a str], known: &[&str]) -> Checked<Split<'a>> {
    let count = words.iter().take_while(|word| word.starts_with("--")).count();
    let (flags, arguments) = words.split_at(count);
    let mut found = Vec::new();
    for word in flags {
        if word.contains(['"', '\'', '\\', '`']) {
            return unclear(format!("the flag `{word}` holds a quote or an escape"));
        }
        let (name, value) = word[2..].split_once('=').unwrap_or((&word[2..], ""));
        if !known.contains(&name) {
            return unclear(format!("the flag `--{name}` is not known here"));
        }
        found.push((name, value));
    }
    Ok((found, arguments))
}

fn from(words: &[&str], stages: &mut Stages) -> Checked {
    let read = flags(words, &["platform"]);
    let (image, stage) = match read.as_ref().map(|(_, arguments)| *arguments) {
        Ok([image]) => (*image, None),
        Ok([image, r#as, name]) if r#as.eq_ignore_ascii_case("AS") => (*image, Some(*name)),
        _ => ("", None),
    };
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let is_stage = stages.has(image);
    // A stage that is wrong is counted as well, so that what follows is said as it is.
    stages.0.push(stage.filter(|name| is_name(name)).map(str::to_owned));
    read?;
    if image.is_empty() || stage.is_some_and(|name| !is_name(name)) {
        return unclear("it is not `FROM IMAGE` or `FROM IMAGE AS NAME`");
    }
    if is_stage || image == "scratch" || is_pinned(image) {
        Ok(())
    } else {
        Err(Why::Floating(image.to_owned()))
    }
}

fn source(name: &str, stages: &Stages) -> Checked {
    if stages.has_earlier(name) || is_pinned(name) { Ok(()) } else { Err(Why::Floating(name.to_owned())) }
}

fn copy(words: &[&str], stages: &Stages) -> Checked {
    let (flags, _) = flags(words, &["from", "chown", "chmod", "link", "parents", "exclude"])?;
    flags.iter().filter(|(name, _)| *name == "from").try_for_each(|(_, value)| source(value, stages))
}

/// Files of the build context, or one file of a server with its digest. A repository is told by its name alone, so names
/// are plain.
fn add(words: &[&str]) -> Checked {
    let (flags, arguments) = flags(words, &["checksum", "chown", "chmod", "link", "exclude", "unpack"])?;
    let is_checked = flags.iter().any(|(name, value)| *name == "checksum" && is_digest(value));
    let is_url = |word: &str| {
        word.starts_with("https://")
            && !word.contains(['"', '\'', '\\', '$', '#', '`'])
            && !word.contains(".git")
    };
    if let [url, _] = arguments
        && is_checked
        && is_url(url)
    {
        return Ok(());
    }
    let is_local = |word: &&str| {
        let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "._-/*?+,=".contains(c));
        plain && !word.to_ascii_lowercase().starts_with("github.com")
    };
    match arguments.iter().find(|word| !is_local(word)) {
        None => Ok(()),
        Some(word) => unclear(format!(
            "ADD takes `{word}`, which may come from elsewhere; use COPY, or `--checksum=sha256:… https://…`"
        )),
    }
}

fn run(words: &[&str], stages: &Stages) -> Checked {
    const KEYS: [&str; 18] = [
        "type",
        "from",
        "source",
        "src",
        "target",
        "dst",
        "destination",
        "readonly",
        "ro",
        "readwrite",
        "rw",
        "sharing",
        "id",
        "mode",
        "uid",
        "gid",
        "required",
        "size",
    ];
    let (flags, _) = flags(words, &["mount", "network", "security", "device"])?;
    for (_, mount) in flags.iter().filter(|(name, _)| *name == "mount") {
        for field in mount.split(',') {
            let (key, value) = field.split_once('=').unwrap_or((field, ""));
            match key.to_ascii_lowercase().as_str() {
                "from" => source(value, stages)?,
                key if KEYS.contains(&key) => {}
                _ => return unclear(format!("`{key}` of `--mount` is not known here")),
            }
        }
    }
    Ok(())
}

/// An image by its digest, in no characters that a builder replaces.
fn is_pinned(name: &str) -> bool {
    name.split_once('@').is_some_and(|(name, digest)| {
        name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-/:".contains(c))
            && is_digest(digest)
    })
}

#[cfg(test)]
mod tests;
