//! `bottle scan FILE…`: the secrets in files, by the scanner of the proxies.

use super::{Format, Globals, Outcome, print_as, say};
use crate::dlp::{Kind, Scanner, Settings};
use crate::printable::printable_name;
use crate::tree::open_plain;
use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::os::unix::{ffi::OsStrExt as _, fs::FileExt as _};

/// Findings of one file that are shown.
const MOST: usize = 100;

/// Look for secrets in files, as the proxies do
///
/// Says file, line and kind of each, and never the secret. As a hook before a commit: `git diff --cached --name-only -z --diff-filter=d | xargs -0 bottle scan`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bottle scan .env config/*.yaml
  bottle scan --kinds")]
pub(crate) struct Args {
    /// The files
    #[arg(required_unless_present = "kinds")]
    files: Vec<Utf8PathBuf>,
    /// List what is looked for, and where each is described
    #[arg(long, conflicts_with = "files")]
    kinds: bool,
}

/// Where a secret stands.
struct Place {
    file: Utf8PathBuf,
    line: usize,
    kind: String,
    severity: &'static str,
    encodings: Vec<&'static str>,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    if args.kinds {
        let kinds = Scanner::builtin();
        print_as(
            globals.format,
            &match globals.format {
                Format::Text => kinds.fold(String::new(), |mut text, it| {
                    let _ = writeln!(text, "{:<32} {:<9} {}", it.name, it.severity.as_str(), it.source);
                    text
                }),
                Format::Json => format!("{:#}\n", kinds.map(|it| listed(&it)).collect::<Value>()),
            },
        )?;
        return Ok(Outcome::Done);
    }
    let scanner = Scanner::new(Settings::default())?;
    let mut places = Vec::new();
    for file in &args.files {
        match file.symlink_metadata() {
            // A commit of a link has where it leads to, and nothing of what is there.
            Ok(kind) if kind.is_symlink() => {
                let target = fs_err::read_link(file)?;
                places.extend(find(&scanner, file, target.as_os_str().as_bytes())?);
            }
            // In a list of changed files, a submodule.
            Ok(kind) if kind.is_dir() => {
                say(&format!("note: {} is a folder; name the files in it\n", printable_name(file.as_str())));
            }
            _ => places.extend(find(&scanner, file, &open_plain(file)?)?),
        }
        if places.iter().filter(|place| place.file == *file).count() == MOST {
            let shown = printable_name(file.as_str());
            say(&format!("note: {shown} may have more than {MOST}; the rest of it was not looked at\n"));
        }
    }
    print_as(
        globals.format,
        &match globals.format {
            Format::Text => places.iter().map(line).collect(),
            Format::Json => format!("{:#}\n", places.iter().map(value).collect::<Value>()),
        },
    )?;
    Ok(if places.is_empty() { Outcome::Done } else { Outcome::Differs })
}

/// What is read by offset.
trait Text {
    /// Reads from an offset on; nothing at the end.
    fn read_from(&self, offset: u64, piece: &mut [u8]) -> io::Result<usize>;
}

impl Text for std::fs::File {
    fn read_from(&self, offset: u64, piece: &mut [u8]) -> io::Result<usize> {
        self.read_at(piece, offset)
    }
}

impl Text for [u8] {
    fn read_from(&self, offset: u64, piece: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        { rest }.read(piece)
    }
}

/// A file in pieces: whatever its size, only a piece of it is in memory. Behind a finding the scan begins anew.
fn find(scanner: &Scanner, file: &Utf8Path, text: &(impl Text + ?Sized)) -> anyhow::Result<Vec<Place>> {
    let mut piece = vec![0; 64 << 10];
    let (mut places, mut from) = (Vec::new(), 0);
    let mut lines = Lines { counted: 0, line: 1 };
    while places.len() < MOST {
        let mut stream = scanner.stream();
        let mut at = from;
        let found = loop {
            let length = text.read_from(at, &mut piece).with_context(|| format!("can't read {file}"))?;
            at += length as u64;
            let read = if length == 0 { stream.finish() } else { stream.push(&piece[..length]) };
            if length == 0 || read.is_err() {
                break read.err();
            }
        };
        let Some(found) = found else { break };
        places.push(Place {
            file: file.to_owned(),
            line: lines.at(text, from + found.offset, &mut piece)?,
            kind: found.pattern.to_string(),
            severity: found.severity.as_str(),
            encodings: found.encodings.iter().map(|it| it.as_str()).collect(),
        });
        from += found.end.max(1);
    }
    Ok(places)
}

/// Lines up to an offset.
struct Lines {
    counted: u64,
    /// From 1.
    line: usize,
}

impl Lines {
    fn at(&mut self, text: &(impl Text + ?Sized), offset: u64, piece: &mut [u8]) -> io::Result<usize> {
        while self.counted < offset {
            let left = usize::try_from(offset - self.counted).unwrap_or(usize::MAX).min(piece.len());
            let length = text.read_from(self.counted, &mut piece[..left])?;
            if length == 0 {
                break;
            }
            self.line += memchr::memchr_iter(b'\n', &piece[..length]).count();
            self.counted += length as u64;
        }
        Ok(self.line)
    }
}

fn line(place: &Place) -> String {
    let mut line = format!("{}:{}: {} ({})", place.file, place.line, place.kind, place.severity);
    if !place.encodings.is_empty() {
        let _ = write!(line, ", written as {}", place.encodings.join(" of "));
    }
    line + "\n"
}

fn value(place: &Place) -> Value {
    let Place { file, line, kind, severity, encodings } = place;
    json!({"file": file, "line": line, "kind": kind, "severity": severity, "encodings": encodings})
}

fn listed(kind: &Kind) -> Value {
    json!({"name": kind.name, "severity": kind.severity.as_str(), "core": kind.core, "source": kind.source})
}
