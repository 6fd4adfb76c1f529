//! What `learn`, `tighten` and `migrate` have in common: the manifest as it is, the patch as a diff and as what it
//! lets the agent do, and writing it.

use super::bottles::{self, Planted};
use super::candidate::machine;
use super::failure::fail;
use super::folders::folder_of;
use super::rules;
use super::test::read_body;
use super::{Globals, Outcome, audit_files, say, source};
use crate::capability::Capabilities;
use crate::diagnostic::Report;
use crate::expectations::{Suite, Tested};
use crate::explain::BottleRules;
use crate::manifest::{LARGEST, Loaded, Manifest};
use crate::patch::{Candidate, Usage};
use crate::plan::{Plan, Topology};
use crate::review::{Bottle, BottleSide, Review, SideParts};
use crate::tree::{read_plain, replace_plain, unified_diff};
use anyhow::{Context as _, ensure};
use camino::Utf8PathBuf;
use jiff::civil::Date;

/// A manifest, as it is on the disk.
pub(crate) struct ManifestFile {
    pub(crate) file: Utf8PathBuf,
    pub(crate) text: String,
}

/// The audit files among the arguments, and the manifest, which comes last if it is named. Without audit files, those of
/// the bottle.
pub(crate) fn split(arguments: &[Utf8PathBuf]) -> anyhow::Result<(Vec<Utf8PathBuf>, Utf8PathBuf)> {
    let is_manifest = |path: &Utf8PathBuf| matches!(path.extension(), Some("yaml" | "yml"));
    let (audit, manifest) = match arguments.split_last() {
        Some((last, audit)) if is_manifest(last) => (audit, Some(last)),
        _ => (arguments, None),
    };
    if let Some(early) = audit.iter().find(|path| is_manifest(path)) {
        anyhow::bail!("{early} looks like a manifest; there is one, and it comes after the audit logs");
    }
    let manifest = manifest.map(Utf8PathBuf::as_path);
    if audit.is_empty() {
        let found = bottles::find(manifest, None, Planted::PassedOver)?;
        return Ok((audit_files::of_bottle(&found.bottle)?, found.file));
    }
    Ok((audit_files::expanded(audit), source::find_one(manifest)?))
}

impl ManifestFile {
    pub(crate) fn read(file: Utf8PathBuf) -> anyhow::Result<Self> {
        let bytes = read_plain(&file, LARGEST as u64)?;
        let text = String::from_utf8(bytes).ok().with_context(|| format!("{file} is not UTF-8"))?;
        Ok(Self { file, text })
    }

    pub(crate) fn load(&self) -> anyhow::Result<(Loaded, Plan)> {
        self.load_text(&self.text)
    }

    pub(crate) fn load_text(&self, text: &str) -> anyhow::Result<(Loaded, Plan)> {
        let loaded = Manifest::load(self.file.as_str(), text.as_bytes())?;
        let plan = rules::resolve(&loaded)?;
        Ok((loaded, plan))
    }

    /// What another text of the manifest would come to.
    pub(crate) fn judge(&self, text: &str) -> Result<Candidate, String> {
        let (loaded, plan) = self.load_text(text).map_err(|error| first_sentence(&error))?;
        let folder = folder_of(&self.file).map_err(|error| first_sentence(&error))?;
        let capabilities = Capabilities::from_plan(&plan, &machine(&plan, &folder, None));
        let BottleRules { chain, policy, .. } =
            BottleRules::of_plan(&plan, loaded).map_err(|error| first_sentence(&error))?;
        Ok(Candidate { chain, policy, capabilities })
    }

    /// The unified diff to another text.
    pub(crate) fn diff(&self, new: &str) -> String {
        unified_diff(&self.file, Some(self.text.as_bytes()), Some(new.as_bytes()))
    }

    /// The tests of the manifest that hold now and would fail with another text; each with its place of now.
    pub(crate) fn broken_tests(&self, new: &str, today: Date) -> anyhow::Result<Vec<Tested>> {
        let run = |text: &str| -> anyhow::Result<Vec<Tested>> {
            let (loaded, plan) = self.load_text(text)?;
            let suite = Suite::of_manifest(&loaded);
            let rules = BottleRules::of_plan(&plan, loaded)?;
            suite.run(&rules, today, |body| read_body(&self.file, body))
        };
        let (now, then) = (run(&self.text)?, run(new)?);
        let breaks = |(now, then): &(Tested, Tested)| now.failure.is_none() && then.failure.is_some();
        Ok(now.into_iter().zip(then).filter(breaks).map(|(now, _)| now).collect())
    }

    /// What the agent could newly do and no longer do with another text.
    pub(crate) fn review(&self, new: &str) -> anyhow::Result<Review> {
        let (was, is) = (self.side(&self.text)?, self.side(new)?);
        let mut bottles: Vec<Bottle> = Bottle::compare(Some(&was), Some(&is)).into_iter().collect();
        for bottle in &mut bottles {
            (bottle.files, bottle.patch) = (0, String::new()); // nothing is rendered yet
        }
        Ok(Review::new(self.file.to_string(), "the patch".to_owned(), bottles))
    }

    fn side(&self, text: &str) -> anyhow::Result<BottleSide> {
        let (loaded, plan) = self.load_text(text)?;
        let (path, side) = (self.file.clone(), String::new());
        Ok(BottleSide::new(SideParts {
            path,
            side,
            loaded: Some(loaded),
            plan,
            context: None,
            committed: None,
        })?)
    }

    /// Ends a verb that made a patch: writes it if that was asked for, and says so.
    pub(crate) fn end(&self, new: &str, write: bool, verb: &str, quiet: bool) -> anyhow::Result<Outcome> {
        if new == self.text {
            return Ok(Outcome::Done);
        }
        if !write {
            if !quiet {
                say(&format!("nothing was written; `bottle {verb} --write` applies the patch\n"));
            }
            return Ok(Outcome::Differs);
        }
        replace_plain(&self.file, self.text.as_bytes(), new.as_bytes())?;
        if !quiet {
            say(&format!(
                "{} was written; `{}` comes next\n",
                self.file,
                source::command("render", &self.file)
            ));
        }
        Ok(Outcome::Done)
    }
}

/// What the bottle did, as its audit records tell it. `needs_all`: a line that can't be read is an error.
pub(crate) fn usage(
    audit: &[Utf8PathBuf],
    plan: &Plan,
    needs_all: bool,
    globals: &Globals,
) -> anyhow::Result<Usage> {
    let mut usage = Usage::new(&plan.name, plan.topology == Topology::Direct);
    let passed = audit_files::read(audit, globals, |entry| usage.see(entry))?;
    usage.finish();
    if passed.foreign > 0 && needs_all {
        fail!(
            "not-an-audit-log",
            "{} of the log are not records of this version of bottle: what they used is not known, so nothing is taken away; \
             use the version that wrote them, or a log without them",
            counted(passed.foreign, "line")
        );
    }
    let skipped = passed.torn + passed.foreign;
    if skipped > 0 {
        say(&format!(
            "note: passed over {}: torn when a proxy was killed, or not of this version\n",
            counted(skipped, "line")
        ));
    }
    let (others, names) = &usage.others;
    let names: Vec<&str> = names.iter().map(String::as_str).take(5).collect();
    ensure!(
        !usage.is_empty(),
        "the log has no record of the bottle {}{}",
        plan.name,
        if *others > 0 { format!(", and {others} of {}", names.join(", ")) } else { String::new() }
    );
    if *others > 0 {
        say(&format!(
            "note: {others} records are of other bottles, and are not used: {}\n",
            names.join(", ")
        ));
    }
    Ok(usage)
}

/// What is wrong, on one line.
fn first_sentence(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Report>().and_then(|report| report.0.first()) {
        Some(first) => first.message.clone(),
        None => format!("{error:#}"),
    }
}

/// `5 refusals`, `1 refusal`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The lines of a review for JSON, as `bottle diff` prints them.
pub(crate) fn changes(review: &Review) -> anyhow::Result<serde_json::Value> {
    let document: serde_json::Value = serde_json::from_str(&crate::review::json(review)?)?;
    Ok(document.pointer("/bottles/0/lines").cloned().unwrap_or_else(|| serde_json::json!([])))
}
