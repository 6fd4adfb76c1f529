//! For a comment on a pull request: GitHub Flavored Markdown, which GitLab and Gitea understand too.
//!
//! Everything that a manifest says stands in a code span or a code block, where a name can't become a link, a mention or
//! markup.

use super::{Bottle, Line, Review, text};
use crate::printable::{printable_name, printable_text};
use std::fmt::Write as _;

/// The whole comment. Names are escaped.
#[must_use]
pub fn markdown(review: &Review) -> String {
    let (old, new) = (code(&review.old), code(&review.new));
    if review.is_empty() {
        return format!("### bottle: agents can do what they could\n\n{old} → {new}: no difference.\n");
    }
    let title = if review.widens() { "agents can do more" } else { "agents can do no more than before" };
    let mut shown = format!("### bottle: {title}\n\n{old} → {new}\n");
    let mut is_cut = false;
    for bottle in &review.bottles {
        let (table, whole) = table(bottle);
        is_cut |= !whole;
        for part in [table, patch(bottle)] {
            if shown.len() + part.len() <= LARGEST {
                shown += &part;
            } else {
                is_cut = true;
            }
        }
    }
    // First: nobody must think that the rest is harmless.
    if is_cut { format!("{CUT}\n\n{shown}") } else { shown }
}

const CUT: &str =
    "**This comment is cut, and more may be newly allowed: `bottle diff --patch` shows all of it.**";

/// What differs, as a table; of one that is too long for a comment the worst part. Says whether it is whole.
fn table(bottle: &Bottle) -> (String, bool) {
    let mut shown = format!("\n**{}**\n", code(&text::heading(bottle)));
    if !bottle.lines.is_empty() {
        shown += "\n| | what | risk | where |\n|---|---|---|---|\n";
    }
    for (at, line) in bottle.lines.iter().map(line).enumerate() {
        if shown.len() + line.len() > LARGEST_TABLE {
            let _ = write!(shown, "\n… and {} more lines\n", bottle.lines.len() - at); // writing to a String can't fail
            return (shown, false);
        }
        shown += &line;
    }
    for line in bottle.lines.iter().filter(|line| !line.details.is_empty()) {
        let block = block("diff", &line.details.join("\n"));
        if shown.len() + block.len() > LARGEST / 2 {
            return (shown, false);
        }
        let _ = write!(shown, "\n{}\n{block}", code(&line.text())); // writing to a String can't fail
    }
    (shown, true)
}

/// How the rendered files differ, folded.
fn patch(bottle: &Bottle) -> String {
    if bottle.files == 0 {
        return String::new();
    }
    let block = block("diff", &bottle.patch);
    format!("\n<details><summary>{}</summary>\n{block}\n</details>\n", text::rendered(bottle))
}

/// What a comment holds at most: 65,536 characters on GitHub. In bytes.
const LARGEST: usize = 60_000;
/// What of it one table takes at most. In bytes.
const LARGEST_TABLE: usize = 20_000;

fn line(line: &Line) -> String {
    let risk = line.risk().map(text::risk).unwrap_or_default();
    let places = text::places(line);
    let places = if places.is_empty() { String::new() } else { code(&places) };
    format!("| `{}` | {} | {risk} | {places} |\n", line.sign().0, code(&line.text()))
}

/// A code span that its text can't end; a pipe would end a cell of a table even there.
fn code(text: &str) -> String {
    let text = printable_name(text);
    let fence = "`".repeat(longest_run(&text) + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{}{pad}{fence}", text.replace('|', "\\|"))
}

/// A code block that its text can't end.
fn block(language: &str, text: &str) -> String {
    let text = printable_text(text);
    let fence = "`".repeat(longest_run(&text).max(2) + 1);
    format!("\n{fence}{language}\n{}\n{fence}\n", text.trim_end_matches('\n'))
}

fn longest_run(text: &str) -> usize {
    text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0)
}
