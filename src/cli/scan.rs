//! `bottle scan FILE…`: the secrets in files, by the scanner of the proxies.

use super::{Format, Globals, Outcome, print_as};
use crate::dlp::{Kind, Scanner, Settings};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Read as _;

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
        let mut text = Vec::new();
        fs_err::File::open(file)?.read_to_end(&mut text)?;
        places.extend(find(&scanner, file, &text));
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

fn find(scanner: &Scanner, file: &Utf8Path, text: &[u8]) -> Vec<Place> {
    let (mut places, mut from) = (Vec::new(), 0);
    while let Some(found) =
        text.get(from..).filter(|_| places.len() < MOST).and_then(|rest| scanner.text(rest))
    {
        let index = |offset: u64| from + usize::try_from(offset).unwrap_or(text.len());
        let before = &text[..index(found.offset).min(text.len())];
        places.push(Place {
            file: file.to_owned(),
            line: 1 + memchr::memchr_iter(b'\n', before).count(),
            kind: found.pattern.to_string(),
            severity: found.severity.as_str(),
            encodings: found.encodings.iter().map(|it| it.as_str()).collect(),
        });
        from = index(found.end).max(from + 1);
    }
    places
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
