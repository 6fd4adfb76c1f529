//! `bottle explain-code CODE`: what a code stands for, and what to do.

use super::{Format, Globals, Outcome, print_as};
use crate::codes::{self, CODES, Code};
use anyhow::bail;
use serde_json::json;
use std::fmt::Write as _;

/// Say what a code stands for, and what to do
///
/// The codes are those in brackets in the output of `bottle render`, and the reasons of refused requests. Without one,
/// all of them are listed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bottle explain-code floating-image
  bottle explain-code path_not_allowed")]
pub(crate) struct Args {
    /// As it is printed: `floating-image`, `path_not_allowed`
    code: Option<String>,
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let Some(name) = &args.code else {
        print_as(
            globals.format,
            &match globals.format {
                Format::Text => listed(),
                Format::Json => format!("{:#}\n", json!(CODES.iter().map(value).collect::<Vec<_>>())),
            },
        )?;
        return Ok(Outcome::Done);
    };
    // As it is often copied.
    let name = name.trim_matches(['[', ']']);
    let Some(code) = codes::find(name) else {
        let nearest =
            CODES.iter().map(|code| (strsim::damerau_levenshtein(name, code.name), code.name)).min();
        match nearest {
            Some((distance, meant)) if distance * 3 <= meant.len() => {
                bail!("`{name}` is not a code; did you mean {meant}?")
            }
            _ => bail!("`{name}` is not a code; `bottle explain-code` lists them"),
        }
    };
    print_as(
        globals.format,
        &match globals.format {
            Format::Text => code.page.to_owned(),
            Format::Json => format!("{:#}\n", value(code)),
        },
    )?;
    Ok(Outcome::Done)
}

fn value(code: &Code) -> serde_json::Value {
    json!({"code": code.name, "kind": code.kind.as_str(), "title": code.title(), "page": code.page})
}

fn listed() -> String {
    let width = CODES.iter().map(|code| code.name.len()).max().unwrap_or_default();
    let mut out = String::new();
    for code in CODES {
        let _ = writeln!(out, "{:<width$}  {:<7}  {}", code.name, code.kind.as_str(), code.title());
    }
    out
}
