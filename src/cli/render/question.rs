//! What a render would newly allow, and whether a person agreed. What it is compared with is the record of what this
//! person last agreed to, in the private state; never the tree in the project, which an agent may have written.

use crate::capability::{Change, Risk, changes};
use crate::cli::candidate::{Candidate, context_folder};
use crate::cli::change_lines::listed;
use crate::cli::rendered_project::RenderedProject;
use crate::cli::{say, terminal};
use crate::consent::{Agreed, ConsentError, Context, ContextChange, Record};
use crate::printable::printable_name;
use crate::tree::Folder;
use camino::Utf8Path;
use unicode_width::UnicodeWidthStr as _;

/// What a person is asked before a tree is written: how it differs from what was agreed to.
#[derive(Debug)]
pub(super) struct Question {
    /// What the agent could newly do, the dangerous first, and then what it could no longer do.
    pub(super) changes: Vec<Change>,
    /// Nothing was agreed to before.
    pub(super) first: bool,
    /// Why there is nothing to compare with, where there should be.
    damaged: Option<String>,
    /// How the build context differs from the agreed one.
    files: Vec<ContextChange>,
    /// How its Dockerfile differs, as a unified diff.
    dockerfile: String,
}

/// How a person can say yes beforehand.
#[derive(Debug)]
pub(super) enum PriorAnswer<'a> {
    /// Ask on the terminal.
    Ask,
    /// `--accept DIGEST`: yes to exactly this.
    Digest(&'a str),
    /// `--accept-widening`: yes to whatever it is.
    Anything,
}

impl Question {
    /// Compares a candidate with what was agreed to in `state`.
    pub(super) fn compare(
        candidate: &Candidate,
        rendered: &RenderedProject,
        state: &Utf8Path,
    ) -> anyhow::Result<Self> {
        let (record, damaged) = match Record::load(state) {
            Ok(record) => (record, None),
            Err(error @ ConsentError::Damaged { .. }) => (None, Some(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        let changes = changes(record.as_ref().map(|it| &it.capabilities), &candidate.capabilities);
        let (mut files, mut dockerfile) = (Vec::new(), String::new());
        if let (Some(old), Some(new)) =
            (record.as_ref().and_then(|it| it.context.as_ref()), &candidate.context)
        {
            files = old.changes(new);
            if !files.is_empty() {
                dockerfile = dockerfile_diff(new, rendered, state)?;
            }
        }
        let first = record.is_none() && damaged.is_none();
        Ok(Self { changes, first, damaged, files, dockerfile })
    }

    /// What the agent could newly do.
    pub(super) fn newly_allowed(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.risk().is_some())
    }

    /// What it could no longer do.
    pub(super) fn no_longer_allowed(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.risk().is_none())
    }

    /// Whether nothing here goes beyond what was asked about.
    pub(super) fn is_within(&self, asked: &Self) -> bool {
        self.newly_allowed().all(|change| asked.changes.contains(change))
    }

    /// Whether a person is asked.
    pub(super) fn is_asked(&self, answer: &PriorAnswer<'_>) -> bool {
        matches!(answer, PriorAnswer::Ask) && self.newly_allowed().next().is_some()
    }

    /// Asks, where it must; says what it says, with these warnings.
    pub(super) fn is_agreed(
        &self,
        manifest: &Utf8Path,
        candidate: &Candidate,
        answer: &PriorAnswer<'_>,
        warnings: &str,
    ) -> anyhow::Result<bool> {
        if let PriorAnswer::Digest(expected) = answer
            && **expected != candidate.digest
        {
            say(&format!(
                "nothing was written: {manifest} comes to {}, and you accept {expected}; `bottle render --check` \
                 shows what it comes to\n",
                candidate.digest
            ));
            return Ok(false);
        }
        if !self.is_asked(answer) {
            return Ok(true);
        }
        say(&self.text(manifest, warnings));
        let answer = terminal::agrees()?;
        match answer {
            Some(true) => {}
            Some(false) => say("nothing was written\n"),
            None => say(&format!(
                "nothing was written: an agent can have edited the manifest, so a person agrees on a terminal; \
                 or say what you agree to:\n  --accept {}\n(--accept-widening agrees to whatever is there, on a \
                 machine that can be thrown away)\n",
                candidate.digest
            )),
        }
        Ok(answer == Some(true))
    }

    fn text(&self, manifest: &Utf8Path, warnings: &str) -> String {
        let heading = match &self.damaged {
            Some(why) => format!("{why}\n{manifest} lets the agent:\n"),
            None if self.first => {
                format!("You have not run this bottle here before. {manifest} lets the agent:\n")
            }
            None => format!("{manifest} would allow more than you agreed to:\n"),
        };
        let mut text = heading + &listed(self.newly_allowed());
        if self.no_longer_allowed().next().is_some() {
            text += "It would no longer allow:\n";
            text += &listed(self.no_longer_allowed());
        }
        if !self.files.is_empty() {
            text += "The files that its image is built from changed:\n";
            text.extend(self.files.iter().map(|change| format!("  {change}\n")));
            text += &self.dockerfile;
        }
        text += warnings;
        // On a long list what matters has scrolled away.
        if rows(&text) > SCREEN {
            let grave = || self.changes.iter().filter(|change| change.risk().is_some_and(Risk::is_grave));
            let (all, marked) = (self.changes.len(), grave().count());
            if marked == 0 {
                text += "That is long. Nothing of it is marked `!`.\n";
            } else {
                let heading = format!("That is long. Of its {all} changes {marked} are marked `!`:\n");
                text.extend([heading, listed(grave())]);
            }
        }
        text
    }
}

/// Lines that fit on a screen, and what of a line fits in its width.
const SCREEN: usize = 24;
const WIDTH: usize = 80;

/// The rows that a text takes at most on a screen; a tab is up to eight columns.
fn rows(text: &str) -> usize {
    let width = |line: &str| line.width() + 8 * line.matches('\t').count();
    text.lines().map(|line| 1 + width(line) / WIDTH).sum()
}

/// The Dockerfile of now against the one that was agreed to.
fn dockerfile_diff(
    candidate: &Context,
    rendered: &RenderedProject,
    state: &Utf8Path,
) -> anyhow::Result<String> {
    let Some(now) = context_folder(&rendered.project.plan, &rendered.project.folder)? else {
        return Ok(String::new());
    };
    let agreed = Agreed::load(state).ok().flatten();
    let then = agreed.and_then(|agreed| {
        let folder = Folder::open(&agreed.context_folder(state)?).ok()?;
        agreed.record.context?.text(&folder, &now.dockerfile)
    });
    // An agent can put another text there for the time of this look: what is shown is what was digested, or nothing.
    let Some(new) = candidate.text(&now.folder, &now.dockerfile) else {
        return Ok(format!(
            "{} is not shown: it is not text of at most 64 KiB, or it is being changed; read it before you agree\n",
            printable_name(now.dockerfile.as_str())
        ));
    };
    let old = then.unwrap_or_default();
    let diff = similar::TextDiff::from_lines(&old, &new);
    let (from, to) = (format!("agreed/{}", now.dockerfile), now.dockerfile.to_string());
    Ok(diff.unified_diff().context_radius(3).header(&from, &to).to_string())
}
