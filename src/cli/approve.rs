//! `bottle approve`: what an agent proposed becomes a rule, after a person saw what it lets the agent do.
//!
//! The rule is made against the manifest of now, in memory; the person agrees to the digest of what it comes to; only then
//! is the manifest written, rendered under that very digest, and the proxies told. If a step fails, all is as it was and the
//! proposal waits.

use super::agreed_stack::{Stack, StackArgs};
use super::candidate::Candidate;
use super::manifest_patch::{self, ManifestFile};
use super::project::Project;
use super::proposals::{Deciding, Decision};
use super::rendered_project::RenderedProject;
use super::token_sources::TokenArgs;
use super::{
    Format, Globals, Outcome, editor, print_as, proposals, reload, render, say, source, terminal, up,
};
use crate::capability::{self, Change as CapabilityChange};
use crate::clock::Clock;
use crate::patch::Proposed;
use crate::plan::Plan;
use crate::printable::printable_text;
use crate::review::{self, Line, Review, What};
use crate::supervise::{Proposal, ProposalId, Verdict};
use crate::tree::replace_plain;
use anyhow::{Context as _, bail, ensure};
use camino::Utf8PathBuf;
use jiff::civil::Date;
use serde_json::json;

/// Approve what an agent proposed: write it into the manifest, render, and tell the proxies
///
/// Shows what it lets the agent do and asks. Without a terminal, --check prints the digest that --accept takes. Exit
/// code 0: approved, or with --check, it can be; 1: you did not agree; 2: it can't be done.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bottle approve 3fa9c21b7d04
  bottle approve 3fa9c21b7d04 --until 2027-01-31
  bottle approve 3fa9c21b7d04 --edit
  bottle approve 3fa9c21b7d04 --modified 'the mirror is allowed instead'")]
pub(crate) struct Args {
    /// The proposal, as `bottle dashboard --once` lists it
    #[arg(value_name = "ID")]
    id: ProposalId,
    #[command(flatten)]
    stack: StackArgs,
    #[command(flatten)]
    tokens: TokenArgs,
    /// Show it and its digest, and write nothing
    #[arg(long, conflicts_with_all = ["accept", "modified"])]
    check: bool,
    /// Agree to this digest and to nothing else, without a question
    #[arg(long, value_name = "DIGEST")]
    accept: Option<String>,
    /// The rule's last day, for a host that has no rule yet
    #[arg(long, value_name = "DATE")]
    until: Option<Date>,
    /// What the agent reads beside `approved`
    #[arg(long, value_name = "TEXT", default_value = "")]
    notes: String,
    /// Say that you allowed something else instead, with your own edit, and what: the manifest is left as it is
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["accept", "until", "notes", "rotate"])]
    modified: Option<String>,
    /// Change what would be written in $VISUAL or $EDITOR first; the agent reads `modified` beside the notes
    #[arg(long, conflicts_with_all = ["modified", "until"])]
    edit: bool,
    /// A text of the manifest that a person made of it
    #[arg(skip)]
    text: Option<String>,
    /// For a token that is new to the stack: make egress-proxy again, with the tokens of now
    #[arg(long)]
    rotate: bool,
    /// The program for the image, where this one can't run in it
    #[arg(long, value_name = "FILE", hide = true)]
    image_binary: Option<Utf8PathBuf>,
}

impl Args {
    /// As a person gives them for one proposal of a bottle.
    pub(crate) fn of(project: &str, id: ProposalId, edit: bool, image_binary: Option<Utf8PathBuf>) -> Self {
        Self {
            id,
            stack: StackArgs { manifest: Some(project.into()), out: None },
            tokens: TokenArgs::default(),
            check: false,
            accept: None,
            until: None,
            notes: String::new(),
            modified: None,
            edit,
            text: None,
            rotate: false,
            image_binary,
        }
    }

    pub(crate) fn with_text(self, text: Option<String>) -> Self {
        Self { text, ..self }
    }

    pub(crate) fn accepting(self, digest: String) -> Self {
        Self { accept: Some(digest), ..self }
    }
}

/// The stack and the proposal, where an approval carries nothing along.
fn opened(args: &Args, globals: &Globals) -> anyhow::Result<(Stack, Proposal)> {
    let mut stack = Stack::open_current(&args.stack, globals)?;
    stack.token_args = args.tokens.clone();
    for note in proposals::settle(&stack)? {
        say(&format!("note: {note}\n"));
    }
    let proposal = proposals::read(&stack, &args.id)?;
    if !stack.follows_the_manifest() || !stack.context_is_current() {
        bail!(
            "{} or what its image is built from changed since you agreed: an approval would carry that along; \
             `{}` shows it and asks, then approve",
            stack.file,
            source::command("render", &stack.file)
        );
    }
    Ok((stack, proposal))
}

/// What a person reads before they agree, as data; where there is nothing to agree to, with why and without a digest.
pub(crate) fn review(args: &Args, globals: &Globals) -> anyhow::Result<serde_json::Value> {
    let (stack, proposal) = opened(args, globals)?;
    let (mut value, text) = match Change::of(&stack, &proposal, args) {
        Ok(change) => (change.json(&stack, &proposal), change.text),
        Err(error) => {
            let text = args
                .text
                .clone()
                .map_or_else(|| ManifestFile::read(stack.file.clone()).map(|manifest| manifest.text), Ok)?;
            (json!({"obstacle": format!("{error:#}")}), text)
        }
    };
    value["project"] = stack.bottle.project.clone().into();
    value["id"] = proposal.id.to_string().into();
    value["summary"] = proposals::summary(&proposal).into();
    value["text"] = text.into();
    value["is_edited"] = args.text.is_some().into();
    Ok(value)
}

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    let notes = proposals::notes(args.modified.as_deref().unwrap_or(&args.notes))?;
    let (stack, proposal) = opened(args, globals)?;
    if args.modified.is_some() {
        say_quietly(globals, &proposals::summary(&proposal));
        let deciding = Deciding::begin(&stack)?;
        let digest = stack.agreed.record.digest.clone();
        deciding.end(Decision {
            verdict: Verdict::Modified,
            notes,
            changes: Vec::new(),
            digest,
            proposal: &proposal,
        })?;
        say_quietly(globals, &format!("{} is answered: modified\n", args.id));
        return Ok(Outcome::Done);
    }
    let change = Change::of(&stack, &proposal, args)?;
    // Who is asked has seen it, however quiet the rest is.
    if args.accept.is_none() || !globals.quiet || globals.format == Format::Json {
        change.show(&stack, &proposal, globals)?;
    }
    change.require_tokens(&stack, args)?;
    if args.check {
        return Ok(Outcome::Done);
    }
    if !change.is_agreed(args)? {
        return Ok(Outcome::Differs);
    }
    let verdict = change.verdict.as_str();
    change.carry_out(&stack, &proposal, notes, args, globals)?;
    say_quietly(globals, &format!("{} is {verdict}, and {} says so\n", args.id, stack.file));
    Ok(Outcome::Done)
}

fn say_quietly(globals: &Globals, text: &str) {
    if !globals.quiet {
        say(text);
    }
}

/// What an approval would change.
struct Change {
    manifest: ManifestFile,
    text: String,
    plan: Plan,
    /// Approved, or modified by the person's own edit.
    verdict: Verdict,
    review: Review,
    lines: Vec<String>,
    /// What it allows that nobody asked for.
    beyond: Vec<String>,
    changes: serde_json::Value,
    digest: String,
}

impl Change {
    /// Of the manifest of now.
    fn of(stack: &Stack, proposal: &Proposal, args: &Args) -> anyhow::Result<Self> {
        let manifest = ManifestFile::read(stack.file.clone())?;
        let today = Clock::system().today();
        let proposed = proposals::patched(&manifest, &proposal.ask, args.until, today)
            .with_context(|| format!("{} can't be approved as it is, and waits", proposal.id));
        let (Proposed { text, beyond }, verdict) = if let Some(text) = &args.text {
            modified(&manifest, proposed.ok(), text.clone())?
        } else if args.edit {
            edited(stack, proposal, &manifest, proposed.ok())?
        } else {
            (proposed?, Verdict::Approved)
        };
        let (loaded, _) = manifest.load_text(&text)?;
        let project = Project::resolve(&manifest.file, loaded, Some(&stack.bottle.out))?;
        let plan = project.plan.clone();
        let Candidate { capabilities, digest, context: _ } =
            Candidate::from_project(&RenderedProject::render(project, None)?)?;
        let step = capability::changes(Some(&stack.agreed.record.capabilities), &capabilities);
        let review = of_step(manifest.review(&text)?, step).with_context(|| {
            format!("{} changed while it was read; nothing was written, and the proposal waits", stack.file)
        })?;
        let changes = manifest_patch::changes(&review)?;
        Ok(Self {
            verdict,
            lines: proposals::lines(&changes),
            beyond,
            manifest,
            text,
            plan,
            review,
            changes,
            digest,
        })
    }

    fn json(&self, stack: &Stack, proposal: &Proposal) -> serde_json::Value {
        json!({
            "version": 1,
            "proposal": proposal,
            "stale": proposals::is_stale(stack, proposal),
            "beyond": self.beyond,
            "patch": self.manifest.diff(&self.text),
            "changes": self.changes,
            "digest": self.digest,
        })
    }

    fn show(&self, stack: &Stack, proposal: &Proposal, globals: &Globals) -> anyhow::Result<()> {
        let stale = proposals::is_stale(stack, proposal);
        let text = match globals.format {
            Format::Json => {
                format!("{:#}\n", self.json(stack, proposal))
            }
            Format::Text => format!(
                "{}{}{}\n{}\n{}digest {}\n",
                proposals::summary(proposal),
                if stale { "made under older rules; this is what it comes to now\n" } else { "" },
                proposals::beyond(&self.beyond),
                printable_text(&self.manifest.diff(&self.text)),
                review::text(&self.review, false),
                self.digest
            ),
        };
        Ok(print_as(globals.format, &text)?)
    }

    /// A token that the stack does not hold needs its value, which nobody can guess.
    fn require_tokens(&self, stack: &Stack, args: &Args) -> anyhow::Result<()> {
        let held = stack.plan.tokens();
        let new: Vec<&str> = self.plan.tokens().into_keys().filter(|name| !held.contains_key(name)).collect();
        if new.is_empty() || args.rotate || args.check {
            return Ok(());
        }
        let names = new.join(" and ");
        bail!(
            "{} sends {names}, which this stack does not hold: nothing was written. Put the value where `bottle up` takes \
             it from: the variable {names} of this shell, a line {}=… in a file for --env-file, or `token_refs` in {}; then \
             approve with --rotate",
            self.manifest.file,
            new[0],
            super::token_sources::CONFIG
        )
    }

    fn is_agreed(&self, args: &Args) -> anyhow::Result<bool> {
        if let Some(accepted) = &args.accept {
            if *accepted == self.digest {
                return Ok(true);
            }
            say(&format!("nothing was written: it comes to {}, and you accept {accepted}\n", self.digest));
            return Ok(false);
        }
        let answer = terminal::agrees()?;
        match answer {
            Some(true) => {}
            Some(false) => say("nothing was written; the proposal waits\n"),
            None => say(&format!(
                "nothing was written: a person agrees on a terminal; or say what you agree to:\n  --accept {}\n",
                self.digest
            )),
        }
        Ok(answer == Some(true))
    }

    /// Applies it and keeps that, or says to both sides that it failed. Nobody else decides in the meantime.
    fn carry_out(
        self,
        stack: &Stack,
        proposal: &Proposal,
        notes: String,
        args: &Args,
        globals: &Globals,
    ) -> anyhow::Result<()> {
        let deciding = Deciding::begin(stack)?;
        ensure!(
            proposals::read(stack, &proposal.id)? == *proposal,
            "{} is not what was shown; nothing was written",
            proposal.id
        );
        let asked_beyond = self.beyond.iter().map(|it| format!("not asked for: {it}"));
        let changes = self.lines.iter().cloned().chain(asked_beyond).collect();
        let digest = self.digest.clone();
        let decision = Decision { proposal, verdict: self.verdict, notes, changes, digest };
        deciding.note_begin(&decision)?;
        if let Err(error) = self.apply(stack, args, globals) {
            let notes = format!("{error:#}").chars().take(proposals::LONGEST_NOTES).collect();
            let failed = Decision { verdict: Verdict::Failed, notes, ..decision };
            return Err(match deciding.end(failed) {
                Ok(()) => error,
                Err(untold) => error.context(format!("the agent could not be told ({untold:#})")),
            });
        }
        deciding.end(decision).with_context(|| {
            format!(
                "{} is live and {} says it, but that could not be kept: mend this, and `bottle dashboard --once` brings it \
                 to its end",
                proposal.id, stack.file
            )
        })
    }

    /// Writes, renders, tells the proxies; or leaves all as it was, and says why.
    fn apply(&self, stack: &Stack, args: &Args, globals: &Globals) -> anyhow::Result<()> {
        let (file, old, new) = (&self.manifest.file, self.manifest.text.as_bytes(), self.text.as_bytes());
        let runs = !stack.running()?.is_empty();
        replace_plain(file, old, new)?;
        let done =
            rendered(stack, &self.digest, args, globals).and_then(|()| told(stack, runs, args, globals));
        let Err(error) = done else { return Ok(()) };
        let undone = replace_plain(file, new, old).map_err(anyhow::Error::from).and_then(|()| {
            let was = &stack.agreed.record.digest;
            if crate::consent::Agreed::load(&stack.bottle.state)?.is_some_and(|it| it.record.digest == *was) {
                return Ok(()); // the proxies were told nothing
            }
            rendered(stack, was, args, globals)?;
            if runs { reload::apply(stack) } else { Ok(()) }
        });
        match undone {
            Ok(()) => Err(error.context("nothing changed, and the proposal waits")),
            Err(undoing) => Err(error.context(format!(
                "the approval failed, and so did going back ({undoing:#}): look at {file}, then `bottle render` and \
                 `bottle reload`; the proposal waits"
            ))),
        }
    }
}

/// What a person makes of the text with the rule, or of the manifest where there can be no such text.
fn edited(
    stack: &Stack,
    proposal: &Proposal,
    manifest: &ManifestFile,
    proposed: Option<Proposed>,
) -> anyhow::Result<(Proposed, Verdict)> {
    let start = proposed.as_ref().map_or(&manifest.text, |proposed| &proposed.text);
    let name = format!("edit-{}.yaml", proposal.id);
    let text = editor::edited(&proposals::private_folder(stack)?, &name, start)?;
    modified(manifest, proposed, text)
}

/// What a person wrote, or the proposal where they changed nothing of it.
fn modified(
    manifest: &ManifestFile,
    proposed: Option<Proposed>,
    text: String,
) -> anyhow::Result<(Proposed, Verdict)> {
    ensure!(
        text != manifest.text,
        "{} is as it was: nothing was written, and the proposal waits",
        manifest.file
    );
    Ok(match proposed {
        Some(proposed) if proposed.text == text => (proposed, Verdict::Approved),
        _ => (Proposed { text, beyond: Vec::new() }, Verdict::Modified),
    })
}

/// The review of a patch with the changes of a step from what was agreed to, to what an approval agrees to: that is what a
/// person is shown. The manifest, its lock, the certificate and the build context are read more than once, and an agent can
/// write to all of them in between, so what the patch alone does may be another step.
fn of_step(mut review: Review, step: Vec<CapabilityChange>) -> anyhow::Result<Review> {
    let Some(bottle) = review.bottles.first_mut() else {
        ensure!(step.is_empty(), "the patch changes nothing, and what belongs to the manifest does");
        return Ok(review);
    };
    let mut of_patch = std::mem::take(&mut bottle.lines);
    for change in step {
        let is_it = |line: &Line| matches!(&line.what, What::Capability(it) if **it == change);
        let line = match of_patch.iter().position(is_it) {
            Some(at) => of_patch.remove(at),
            None => Line {
                what: What::Capability(Box::new(change)),
                details: Vec::new(),
                place: None,
                old_place: None,
            },
        };
        bottle.lines.push(line);
    }
    bottle.lines.extend(of_patch.into_iter().filter(|line| !matches!(line.what, What::Capability(_))));
    Ok(review)
}

/// Renders what a person agreed to and nothing else.
fn rendered(stack: &Stack, digest: &str, args: &Args, globals: &Globals) -> anyhow::Result<()> {
    let quiet = Globals { format: Format::Text, quiet: true, ..globals.clone() };
    let render_args = render::Args::accepting(
        stack.file.clone(),
        stack.bottle.out.clone(),
        digest.to_owned(),
        args.image_binary.clone(),
    );
    match render::run(&render_args, &quiet)? {
        Outcome::Done => Ok(()),
        _ => bail!("{} does not come to {digest} any more", stack.file),
    }
}

fn told(stack: &Stack, runs: bool, args: &Args, globals: &Globals) -> anyhow::Result<()> {
    if !runs {
        say_quietly(globals, "nothing runs: the rule holds from the next `bottle up` on\n");
        return Ok(());
    }
    let mut after = Stack::open(&args.stack, globals)?;
    after.token_args.clone_from(&stack.token_args);
    if args.rotate {
        up::rotate(&mut after)?;
    }
    reload::apply(&after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_slips_in_beside_the_patch_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8PathBuf::from_path_buf(folder.path().join("bottle.yaml")).unwrap();
        let text = |hosts: &str, mounts: &str| {
            format!(
                "version: 1\nname: dev\nagent: {{image: debian, mounts: [{{source: ., target: /work}}{mounts}]}}\n\
                 egress_proxy: {{routes: [{hosts}]}}\n"
            )
        };
        let agreed = text("{host: a.test, path_allowlist: [/a]}", "");
        fs_err::write(&file, &agreed).unwrap();
        let manifest = ManifestFile::read(file).unwrap();
        let of = |text: &str| manifest.judge(text).unwrap().capabilities;
        let proposed = "{host: a.test, path_allowlist: [/a, /second]}";
        let patch = || manifest.review(&text(proposed, "")).unwrap();
        let shown = |candidate: &str| {
            let step = capability::changes(Some(&of(&agreed)), &of(candidate));
            review::text(&of_step(patch(), step).unwrap(), false)
        };
        let alone = review::text(&patch(), false);
        assert_eq!(shown(&text(proposed, "")), alone);
        for (hosts, mounts, wanted) in [
            ("{host: evil.test}, ", "", "evil.test"),
            ("", ", {source: /etc, target: /etc-of-host}", "/etc-of-host"),
        ] {
            let said = shown(&text(&format!("{hosts}{proposed}"), mounts));
            assert!(said.contains(wanted) && !alone.contains(wanted), "{said}");
            assert!(said.contains("/second"), "{said}");
        }
        // What was taken out again is not promised.
        let said = shown(&agreed);
        assert!(!said.contains("/second"), "{said}");
        // A patch without a change carries nothing along.
        let none = || manifest.review(&agreed).unwrap();
        let step = capability::changes(Some(&of(&agreed)), &of(&text(proposed, "")));
        assert!(of_step(none(), step).is_err());
        assert!(of_step(none(), Vec::new()).is_ok());
    }
}
