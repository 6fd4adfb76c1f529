//! What a render would newly allow, and whether somebody agreed. The manifest is a file that an agent with the
//! project mounted can edit, so a render that widens is a question to a person.

use crate::capability::{Capabilities, widened};
use crate::cli::say;
use crate::cli::site::Site;
use crate::tree::Comparison;
use camino::Utf8Path;
use std::io::{BufRead as _, IsTerminal as _};

/// The question.
#[derive(Debug)]
pub(super) struct Widening {
    /// One line for each thing that the agent could newly do.
    pub(super) lines: Vec<String>,
    /// Why everything counts as new, where that is so.
    why_all: Option<String>,
    /// Nothing was rendered here before, so there is nothing to compare with.
    pub(super) first: bool,
}

impl Widening {
    /// Compares the tree on disk with `tree`. `fresh`: no other bottle is rendered beside it. A new name in the
    /// manifest must not be a way around the question.
    pub(super) fn of(comparison: &Comparison, site: &Site, fresh: bool) -> anyhow::Result<Self> {
        let out = site.project.plan.layout.out();
        let new = Capabilities::of_tree(&site.tree, out)?;
        let (old, why_all) = if comparison.on_disk.is_empty() {
            let beside = (!fresh).then(|| "a new bottle beside others".to_owned());
            (Capabilities::default(), beside)
        } else {
            match Capabilities::of_tree(&comparison.on_disk, out) {
                Ok(old) => (old, None),
                Err(error) => {
                    (Capabilities::default(), Some(format!("the tree on disk can't be read: {error}")))
                }
            }
        };
        let first = comparison.on_disk.is_empty() && fresh;
        Ok(Self { lines: widened(&old, &new), why_all, first })
    }

    /// Whether nothing here goes beyond what was asked about.
    pub(super) fn is_within(&self, asked: &Self) -> bool {
        self.first || self.lines.iter().all(|line| asked.lines.contains(line))
    }

    /// Asks, where it must. `yes` is `--accept-widening`.
    pub(super) fn accepted(&self, manifest: &Utf8Path, yes: bool) -> anyhow::Result<bool> {
        if self.first || self.lines.is_empty() || yes {
            return Ok(true);
        }
        let why = self.why_all.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        say(&format!("{manifest} would let the agent newly do{why}:\n{}", self.list()));
        if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
            say("Let it? [y/N] ");
            let mut answer = String::new();
            std::io::stdin().lock().read_line(&mut answer)?;
            if matches!(answer.trim(), "y" | "Y" | "yes") {
                return Ok(true);
            }
            say("nothing was written\n");
        } else {
            say(
                "nothing was written: an agent can have edited the manifest; if this is wanted, say so with \
                 --accept-widening\n",
            );
        }
        Ok(false)
    }

    /// The lines, each with its sign.
    pub(super) fn list(&self) -> String {
        self.lines.iter().flat_map(|line| ["  + ", line, "\n"]).collect()
    }
}
