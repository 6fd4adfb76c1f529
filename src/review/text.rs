//! For a terminal.

use super::{Bottle, Line, Review, Status};
use crate::capability::Risk;
use crate::printable::printable_name;
use std::fmt::Write as _;

/// What is different, class by class; then the rendered files, where they are wanted. Nothing where both sides are the
/// same. Names are escaped.
#[must_use]
pub fn text(review: &Review, patch: bool) -> String {
    let bottles: Vec<String> = review.bottles.iter().map(|it| bottle(it, patch)).collect();
    bottles.join("\n")
}

fn bottle(bottle: &Bottle, patch: bool) -> String {
    let mut text = format!("{}\n", heading(bottle));
    let mut class = None;
    for line in &bottle.lines {
        let this = title(line);
        if class.as_ref() != Some(&this) {
            let _ = writeln!(text, "\n  {this}"); // writing to a String can't fail
            class = Some(this);
        }
        text += &self::line(line, patch);
    }
    if bottle.files > 0 {
        let nothing = if bottle.lines.is_empty() { "The agent can do what it could. " } else { "" };
        let shown = if patch { ":" } else { "; --patch shows how" };
        let _ = writeln!(text, "\n  {nothing}{}{shown}", rendered(bottle)); // writing to a String can't fail
        if patch {
            text += "\n";
            text += &bottle.patch;
        }
    }
    text
}

/// `dev (bottle.yaml): 2 newly allowed, 1 no longer allowed`.
pub(super) fn heading(bottle: &Bottle) -> String {
    let (name, path) = (printable_name(&bottle.name), printable_name(bottle.path.as_str()));
    let counts = [
        (bottle.count(|sign| matches!(sign.0, '!' | '+')), "newly allowed"),
        (bottle.count(|sign| sign.0 == '-'), "no longer allowed"),
    ];
    let counts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let what = match (bottle.status, counts.is_empty()) {
        (Status::Added, _) => "new".to_owned(),
        (Status::Removed, _) => "gone".to_owned(),
        (Status::Changed, true) => "the agent can do what it could".to_owned(),
        (Status::Changed, false) => counts.join(", "),
    };
    let was = bottle.was.as_ref().map(|(old, place)| {
        let renamed = (*old != bottle.name).then(|| format!("renamed from {}", printable_name(old)));
        let moved = (*place != bottle.path).then(|| format!("moved from {}", printable_name(place.as_str())));
        format!(", {}", [renamed, moved].into_iter().flatten().collect::<Vec<_>>().join(", "))
    });
    format!("{name} ({path}{}): {what}", was.unwrap_or_default())
}

/// `3 rendered files differ`.
pub(super) fn rendered(bottle: &Bottle) -> String {
    match bottle.files {
        1 => "1 rendered file differs".to_owned(),
        files => format!("{files} rendered files differ"),
    }
}

/// The heading of a line's class: what could go wrong, and its name.
fn title(line: &Line) -> String {
    match (line.risk(), line.sign().0) {
        (Some(risk), _) => format!("{} ({})", capitalised(risk.reason()), risk.name()),
        (None, '-') => "No longer allowed".to_owned(),
        (None, _) => "Other form, same rules".to_owned(),
    }
}

/// Details that are shown without the rendered files.
const DETAILS: usize = 12;

fn line(line: &Line, whole: bool) -> String {
    let places = places(line);
    let places = if places.is_empty() { String::new() } else { format!("    {places}") };
    let mut text =
        format!("    {} {}{}\n", line.sign().0, printable_name(&line.text()), printable_name(&places));
    let shown = if whole { line.details.len() } else { DETAILS };
    for detail in line.details.iter().take(shown) {
        let _ = writeln!(text, "        {}", printable_name(detail)); // writing to a String can't fail
    }
    if let Some(more) = line.details.len().checked_sub(shown).filter(|more| *more > 0) {
        let lines = if more == 1 { "line" } else { "lines" };
        let _ = writeln!(text, "        … {more} more {lines}; --patch shows all"); // writing to a String can't fail
    }
    text
}

/// Where the new side says it; for what is no longer there, where the old side said it.
pub(super) fn places(line: &Line) -> String {
    match (&line.place, &line.old_place) {
        (Some(new), Some(old)) => format!("{new} (was {old})"),
        (Some(place), None) | (None, Some(place)) => place.to_string(),
        (None, None) => String::new(),
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// `credential: a credential goes where it did not`.
pub(super) fn risk(risk: Risk) -> String {
    format!("{}: {}", risk.name(), risk.reason())
}
