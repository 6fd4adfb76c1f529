//! Audit trails that a person names: files, plain or gzip, folders of them, and stdin.

use super::Globals;
use super::failure::fail;
use super::folders::{absolute, real};
use super::progress::Progress;
use crate::consent::Bottle;
use crate::telemetry::audit::{AuditFile, AuditLine, Entry};
use crate::tree::{Folder, open_plain};
use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    rc::Rc,
};

/// Names of fields and numbers of lines that are said at most.
const SAID: usize = 10;

/// Lines between two looks at the clock.
const STEP: u64 = 512;

/// One file, open.
pub(crate) struct Input {
    /// As a person named it.
    pub(crate) name: String,
    read: Box<dyn Read>,
    /// Unknown of stdin.
    bytes: Option<u64>,
}

/// How a command reads, in its words.
pub(crate) struct Reading<'a> {
    /// `replaying`, `reading`, …
    pub(crate) doing: &'a str,
    /// What did not happen if a file can't be read to its end: `nothing was compared`.
    pub(crate) lost: &'a str,
}

/// A line that is a record, or none.
pub(crate) enum Line<'a> {
    /// A record.
    Entry(&'a Entry),
    /// Neither a record nor the beginning of one: file, number, and why.
    Foreign(&'a str, u64, String),
}

/// What is not as it should be, and does not make the result wrong.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    /// The lines that are torn, by file: how many, and the first.
    torn: BTreeMap<String, (u64, Vec<u64>)>,
    unknown: BTreeSet<String>,
    with_unknown: u64,
}

/// The folders of the proxies, where the folder is that of a whole trail.
pub(crate) fn of_both_proxies(folder: &Utf8Path) -> Vec<Utf8PathBuf> {
    let has_files = |folder: &Utf8PathBuf| folder.join("sent.jsonl").symlink_metadata().is_ok();
    ["egress-proxy", "pipelock"].iter().map(|name| folder.join(name)).filter(has_files).collect()
}

/// The same, where a folder of a whole trail is named.
pub(crate) fn expanded(arguments: &[Utf8PathBuf]) -> Vec<Utf8PathBuf> {
    let expand = |argument: &Utf8PathBuf| {
        let folders = of_both_proxies(argument);
        if folders.is_empty() { vec![argument.clone()] } else { folders }
    };
    arguments.iter().flat_map(expand).collect()
}

/// The trail that a bottle keeps of itself.
pub(crate) fn of_bottle(bottle: &Bottle) -> anyhow::Result<Vec<Utf8PathBuf>> {
    let audit = bottle.state.join("audit");
    let folders = of_both_proxies(&audit);
    if folders.is_empty() {
        bail!("there are no audit records of {} in {audit}: nothing was started yet", bottle.name);
    }
    Ok(folders)
}

/// What the arguments name: files, folders of them, and `-` for stdin. No file is read twice.
pub(crate) fn open(arguments: &[Utf8PathBuf]) -> anyhow::Result<Vec<Input>> {
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
    if files.is_empty() {
        fail!(
            "not-an-audit-log",
            "{folder} holds no *.jsonl and no *.jsonl.gz; name the folder of one proxy, such as audit/egress-proxy in \
             the state of a bottle"
        );
    }
    Ok(files)
}

/// Reads every line of every file. Refuses a copy of another file, whose requests would count twice.
pub(crate) fn read_all(
    inputs: Vec<Input>,
    reading: &Reading<'_>,
    globals: &Globals,
    mut each: impl FnMut(Line<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Warnings> {
    let names: Vec<String> = inputs.iter().map(|input| input.name.clone()).collect();
    let total = inputs.iter().map(|input| input.bytes).sum::<Option<u64>>();
    let mut progress = Progress::start(reading.doing, &names, total, globals);
    let mut warnings = Warnings::default();
    let done = Rc::new(Cell::new(0));
    let mut records = 0;
    let mut firsts: Vec<(String, Entry)> = Vec::new();
    for Input { name, read, bytes: _ } in inputs {
        let unreadable = |number: u64| {
            let after = if number == 0 { "it".to_owned() } else { format!("it after line {number}") };
            format!("can't read {after}; {}", reading.lost)
        };
        let counted = CountedRead { read, done: Rc::clone(&done) };
        let mut file =
            AuditFile::new(counted).with_context(|| unreadable(0)).with_context(|| name.clone())?;
        let mut begins = true;
        loop {
            let line =
                file.next_line().with_context(|| unreadable(file.number())).with_context(|| name.clone())?;
            match line {
                None => break,
                Some(AuditLine::Entry(entry, unknown)) => {
                    if std::mem::take(&mut begins) {
                        if let Some((other, _)) = firsts.iter().find(|(_, first)| *first == *entry) {
                            bail!(
                                "{other} and {name} begin with the same record: one is a copy of the other, and its \
                                 requests would count twice; name one of the two"
                            );
                        }
                        firsts.push((name.clone(), (*entry).clone()));
                    }
                    each(Line::Entry(&entry))?;
                    records += 1;
                    warnings.unknown(unknown);
                }
                Some(AuditLine::Torn) => warnings.torn(&name, file.number()),
                Some(AuditLine::Foreign(why)) => each(Line::Foreign(&name, file.number(), why))?,
            }
            if file.number().is_multiple_of(STEP) {
                progress.show(done.get(), records);
            }
        }
    }
    progress.end();
    Ok(warnings)
}

impl Warnings {
    fn torn(&mut self, file: &str, number: u64) {
        let (count, first) = self.torn.entry(file.to_owned()).or_default();
        *count += 1;
        if first.len() < SAID {
            first.push(number);
        }
    }

    fn unknown(&mut self, names: Vec<String>) {
        self.with_unknown += u64::from(!names.is_empty());
        let room = SAID.saturating_sub(self.unknown.len());
        self.unknown.extend(names.into_iter().take(room));
    }

    /// A sentence each.
    pub(crate) fn said(&self) -> Vec<String> {
        let mut said = Vec::new();
        for (file, (count, first)) in &self.torn {
            let shown: Vec<String> = first.iter().map(u64::to_string).collect();
            let more = if *count > SAID as u64 { ", …" } else { "" };
            let what = if *count == 1 { "1 torn line was" } else { &format!("{count} torn lines were") };
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

/// Lines that are no records of this version.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PassedOver {
    /// The beginning of a record: a proxy was killed, or still writes.
    pub(crate) torn: u64,
    /// Something else: what it tells is not known.
    pub(crate) foreign: u64,
}

/// Gives every record of what the arguments name.
pub(crate) fn read(
    arguments: &[Utf8PathBuf],
    globals: &Globals,
    mut each: impl FnMut(&Entry),
) -> anyhow::Result<PassedOver> {
    let (mut records, mut foreign) = (0_u64, 0_u64);
    let reading = Reading { doing: "reading", lost: "nothing was decided" };
    let warnings = read_all(open(arguments)?, &reading, globals, |line| {
        match line {
            Line::Entry(entry) => {
                records += 1;
                each(entry);
            }
            Line::Foreign(..) => foreign += 1,
        }
        Ok(())
    })?;
    let torn = warnings.torn.values().map(|(count, _)| count).sum::<u64>();
    if records == 0 && foreign + torn > 0 {
        fail!(
            "not-an-audit-log",
            "{} is not an audit log: none of its {} lines is a record",
            arguments.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(", "),
            foreign + torn
        );
    }
    Ok(PassedOver { torn, foreign })
}
