//! `bottle test --replay`: what the rules of now say of the requests of an audit trail.

use super::progress::Progress;
use super::{Args, replay_print};
use crate::cli::folders::{absolute, real};
use crate::cli::{Format, Globals, Outcome, print, print_as, rules, say, source};
use crate::replay::Replay;
use crate::telemetry::audit::{AuditFile, AuditLine};
use crate::tree::{Folder, open_plain};
use anyhow::{Context as _, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    rc::Rc,
};

/// Names of fields that are said at most.
const FIELDS: usize = 10;

/// Lines between two looks at the clock.
const STEP: u64 = 512;

/// What is not as it should be, and does not make the result wrong.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    /// The lines that are torn, by file.
    torn: BTreeMap<String, Vec<u64>>,
    unknown: BTreeSet<String>,
    with_unknown: u64,
}

/// One file, open.
struct Input {
    name: String,
    read: Box<dyn Read>,
    /// Unknown of stdin.
    bytes: Option<u64>,
}

pub(super) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    if let Some(file) = args.files.iter().find(|file| !file.is_dir() && !source::is_manifest(file)) {
        let hint = "name each audit file with a --replay of its own, or the folder that they lie in";
        bail!("{file} is not the name of a manifest; {hint}");
    }
    ensure!(args.files.len() < 2, "--replay takes one manifest, and {} are named", args.files.len());
    let rules = rules::read(args.files.first().map(Utf8PathBuf::as_path), args.rendered.as_deref())?;
    let inputs = open(&args.replay)?;
    let names: Vec<String> = inputs.iter().map(|input| input.name.clone()).collect();
    let total = inputs.iter().map(|input| input.bytes).sum::<Option<u64>>();
    let mut progress = Progress::start(&names, total, globals);
    let (mut replay, mut warnings) = (Replay::new(&rules, args.now), Warnings::default());
    let done = Rc::new(Cell::new(0));
    let mut records = 0;
    for Input { name, read, bytes: _ } in inputs {
        let unreadable = |number: u64| {
            let after = if number == 0 { "it".to_owned() } else { format!("it after line {number}") };
            format!("can't read {after}; nothing was compared")
        };
        let counted = CountedRead { read, done: Rc::clone(&done) };
        let mut file =
            AuditFile::new(counted).with_context(|| unreadable(0)).with_context(|| name.clone())?;
        loop {
            let line =
                file.next_line().with_context(|| unreadable(file.number())).with_context(|| name.clone())?;
            match line {
                None => break,
                Some(AuditLine::Entry(entry, unknown)) => {
                    replay.see(&entry);
                    records += 1;
                    warnings.unknown(unknown);
                }
                Some(AuditLine::Torn) => warnings.torn.entry(name.clone()).or_default().push(file.number()),
                Some(AuditLine::Foreign(why)) => bail!(
                    "{name}, line {}: this is not an audit record of this version of bottle: {why}; nothing was \
                     compared. If a newer bottle wrote it, replay it with that one",
                    file.number()
                ),
            }
            if file.number() % STEP == 0 {
                progress.show(done.get(), records);
            }
        }
    }
    progress.end();
    let summary = replay.finish();
    let warnings = warnings.said();
    ensure!(
        summary.replayed() > 0,
        "no request in {} could be replayed{}",
        names.join(", "),
        replay_print::why_none(&summary)
    );
    let rules_of = rules.file();
    match globals.format {
        Format::Text => {
            for warning in &warnings {
                say(&format!("warning: {warning}\n"));
            }
            print(&replay_print::text(&summary, &rules, &rules_of))?;
        }
        Format::Json => {
            print_as(Format::Json, &replay_print::json(&summary, &rules, &rules_of, &names, &warnings))?;
        }
    }
    Ok(if summary.groups.requests() == 0 { Outcome::Done } else { Outcome::Differs })
}

/// What the arguments name: files, folders of them, and `-` for stdin. No file is read twice.
fn open(arguments: &[Utf8PathBuf]) -> anyhow::Result<Vec<Input>> {
    let (mut inputs, mut seen) = (Vec::new(), BTreeSet::new());
    for argument in arguments {
        if argument == "-" {
            if seen.insert(argument.clone()) {
                inputs.push(Input { name: "stdin".to_owned(), read: Box::new(io::stdin()), bytes: None });
            }
            continue;
        }
        let files = if argument.is_dir() { of_folder(argument)? } else { vec![argument.clone()] };
        for path in files {
            if !seen.insert(real(&absolute(&path)?)) {
                continue;
            }
            let file = open_plain(&path)?;
            let bytes = file.metadata().with_context(|| format!("can't read {path}"))?.len();
            inputs.push(Input { name: path.to_string(), read: Box::new(file), bytes: Some(bytes) });
        }
    }
    Ok(inputs)
}

/// The files of a folder: older ones first, since a hyphen comes before a dot.
fn of_folder(folder: &Utf8Path) -> anyhow::Result<Vec<Utf8PathBuf>> {
    let entries = Folder::open(folder)?.entries()?;
    let is_audit =
        |name: &str| Utf8Path::new(name.strip_suffix(".gz").unwrap_or(name)).extension() == Some("jsonl");
    let files: Vec<Utf8PathBuf> =
        entries.iter().filter(|(name, _)| is_audit(name)).map(|(name, _)| folder.join(name)).collect();
    ensure!(
        !files.is_empty(),
        "{folder} holds no *.jsonl and no *.jsonl.gz; name the folder of one proxy, such as audit/egress-proxy in the \
         state of a bottle"
    );
    Ok(files)
}

impl Warnings {
    fn unknown(&mut self, names: Vec<String>) {
        self.with_unknown += u64::from(!names.is_empty());
        let room = FIELDS.saturating_sub(self.unknown.len());
        self.unknown.extend(names.into_iter().take(room));
    }

    fn said(&self) -> Vec<String> {
        let mut said = Vec::new();
        for (file, lines) in &self.torn {
            let shown: Vec<String> = lines.iter().take(FIELDS).map(u64::to_string).collect();
            let more = if lines.len() > FIELDS { ", …" } else { "" };
            let what = if lines.len() == 1 {
                "1 torn line was"
            } else {
                &format!("{} torn lines were", lines.len())
            };
            said.push(format!(
                "{file}: {what} passed over (line {}{more}): a proxy was killed while it wrote, or still writes",
                shown.join(", ")
            ));
        }
        if self.with_unknown > 0 {
            let names: Vec<&str> = self.unknown.iter().map(String::as_str).collect();
            let what = match self.with_unknown {
                1 => "1 record holds".to_owned(),
                several => format!("{several} records hold"),
            };
            said.push(format!(
                "{what} fields that this version of bottle does not know, and that were ignored: {}",
                names.join(", ")
            ));
        }
        said
    }
}

/// Counts what is read, before it is decompressed.
struct CountedRead {
    read: Box<dyn Read>,
    done: Rc<Cell<u64>>,
}

impl Read for CountedRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.read.read(buffer)?;
        self.done.set(self.done.get() + count as u64);
        Ok(count)
    }
}
