//! `bottle verify --audit`: which commit has the rules that decided the lines of an audit log.
//!
//! Each line has the SHA-256 of the config that decided it. It is looked for in the rendered tree of every commit that
//! HEAD comes from, and of the disk.

use crate::cli::failure::Failure;
use crate::cli::folders::{absolute, folder_of, real};
use crate::cli::{Format, Globals, Outcome, audit_files, print_as, say, source};
use crate::git::{Commit, Past, Repository};
use crate::printable::printable_name;
use crate::render::checksum;
use crate::render::paths::{EMBEDDED, PIPELOCK, ROUTES};
use crate::telemetry::audit::Entry;
use crate::tree::Folder;
use anyhow::{Context as _, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

/// A rendered file is read up to this size, in bytes.
const LARGEST: u64 = 16 << 20;

/// What was decided by one config.
struct Decided {
    lines: u64,
    first: Timestamp,
    last: Timestamp,
}

/// Where a config is.
#[derive(Default)]
struct Places {
    /// The earliest commit that has it, of how many.
    earliest: Option<Past>,
    commits: usize,
    is_head: bool,
    is_on_disk: bool,
}

/// Who decided, and by what.
type Config = (&'static str, String);

pub(super) fn run(
    manifest: Option<&Utf8Path>,
    out: Option<&Utf8Path>,
    files: &[Utf8PathBuf],
    globals: &Globals,
) -> anyhow::Result<Outcome> {
    let tree = tree(manifest, out)?;
    let repository = Repository::find(&tree).with_context(|| {
        let text = format!("{tree} does not lie in a git repository, so no commit has it");
        Failure::new("no-repository", text)
    })?;
    let (mut decided, mut without) = (BTreeMap::<Config, Decided>::new(), 0_u64);
    let passed = audit_files::read(files, globals, |entry| {
        let configs = configs(entry);
        without += u64::from(configs.is_empty());
        for config in configs {
            let time = entry.time();
            let it = decided.entry(config).or_insert(Decided { lines: 0, first: time, last: time });
            it.lines += 1;
            (it.first, it.last) = (it.first.min(time), it.last.max(time));
        }
    })?;
    let skipped = passed.torn + passed.foreign;
    ensure!(
        skipped + without > 0 || !decided.is_empty(),
        "{} has no record",
        files.iter().map(|file| file.as_str()).collect::<Vec<_>>().join(", ")
    );
    let mut places = in_commits(&repository, &tree, &decided)?;
    for config in on_disk(&tree)? {
        if decided.contains_key(&config) {
            places.entry(config).or_default().is_on_disk = true;
        }
    }
    let found: Vec<(&Config, &Decided, Places)> =
        decided.iter().map(|(config, it)| (config, it, places.remove(config).unwrap_or_default())).collect();
    let all = found.iter().all(|(.., places)| places.earliest.is_some());
    print_as(
        globals.format,
        &match globals.format {
            Format::Text => text(&found),
            Format::Json => format!("{:#}\n", value(&found, without, skipped)),
        },
    )?;
    if !globals.quiet {
        if without > 0 {
            say(&format!("note: decided by no config (a start, a reload, a stop): {without}\n"));
        }
        if skipped > 0 {
            say(&format!("note: not a record, and passed over: {skipped}\n"));
        }
    }
    Ok(if all { Outcome::Done } else { Outcome::Differs })
}

/// The folder of the rendered tree: absolute, without links.
fn tree(manifest: Option<&Utf8Path>, out: Option<&Utf8Path>) -> anyhow::Result<Utf8PathBuf> {
    if let Some(out) = out {
        return Ok(real(&absolute(out)?));
    }
    let file = source::find_one(manifest)?;
    let name = source::load(&file)?.manifest.name;
    Ok(folder_of(&file)?.join(".bottle").join(name))
}

fn configs(entry: &Entry) -> Vec<Config> {
    let by = |who: &str| if who == "pipelock" { "pipelock" } else { "egress-proxy" };
    let several = |who: &str, configs: &[String]| {
        let who = by(who);
        configs.iter().map(|config| (who, config.clone())).collect()
    };
    match entry {
        Entry::EgressProxy(record) => vec![("egress-proxy", record.config.clone())],
        Entry::Pipelock(record) => record.config.iter().map(|config| ("pipelock", config.clone())).collect(),
        Entry::Suppressed(counted) => several(&counted.decided_by, &counted.configs),
        Entry::Counted(counted) => several(&counted.decided_by, &counted.configs),
        Entry::Counting(_) => Vec::new(),
    }
}

/// The hashes of one tree's files, as the proxies take them.
fn hashes(read: impl Fn(&str) -> anyhow::Result<Option<Vec<u8>>>) -> anyhow::Result<Vec<Config>> {
    let mut found = Vec::new();
    if let Some(routes) = read(ROUTES)? {
        found.push(("egress-proxy", checksum::hex_digest(&routes)));
    }
    if let (Some(mut pipelock), Some(embedded)) = (read(PIPELOCK)?, read(EMBEDDED)?) {
        pipelock.extend(embedded);
        found.push(("pipelock", checksum::hex_digest(&pipelock)));
    }
    Ok(found)
}

fn on_disk(tree: &Utf8Path) -> anyhow::Result<Vec<Config>> {
    let below = tree.strip_prefix("/").unwrap_or(tree);
    let Some(folder) = Folder::open(Utf8Path::new("/"))?.find(below)? else { return Ok(Vec::new()) };
    hashes(|name| {
        let name = Utf8Path::new(name);
        let inside = folder.find(name.parent().unwrap_or(Utf8Path::new("")))?;
        let Some(inside) = inside else { return Ok(None) };
        Ok(inside.read_at_most(name.file_name().unwrap_or_default(), LARGEST)?)
    })
}

fn in_commits(
    repository: &Repository,
    tree: &Utf8Path,
    decided: &BTreeMap<Config, Decided>,
) -> anyhow::Result<HashMap<Config, Places>> {
    let inside = tree.strip_prefix(repository.top()).unwrap_or(tree);
    let head = repository.commit("HEAD")?;
    let mut places = HashMap::<Config, Places>::new();
    // Most commits leave the files as they were.
    let mut known = HashMap::<Vec<Option<String>>, Vec<Config>>::new();
    for past in repository.history(&head)? {
        let entry = |name: &str| repository.entry(&past.commit, &inside.join(name));
        let names: Vec<Option<String>> = [ROUTES, PIPELOCK, EMBEDDED]
            .into_iter()
            .map(|name| Ok(entry(name)?.map(|entry| entry.object())))
            .collect::<anyhow::Result<_>>()?;
        let configs = if let Some(configs) = known.get(&names) {
            configs.clone()
        } else {
            let read =
                |name: &str| entry(name)?.map(|entry| Ok(repository.read(&entry, LARGEST)?)).transpose();
            let configs = hashes(read)?;
            known.insert(names, configs.clone());
            configs
        };
        for config in configs.into_iter().filter(|config| decided.contains_key(config)) {
            let place = places.entry(config).or_default();
            place.commits += 1;
            place.is_head |= is_same(&past.commit, &head);
            if place.earliest.as_ref().is_none_or(|earliest| past.time < earliest.time) {
                place.earliest = Some(past.clone());
            }
        }
    }
    Ok(places)
}

fn is_same(one: &Commit, other: &Commit) -> bool {
    one.short() == other.short()
}

fn shown(time: Timestamp) -> String {
    TimeZone::UTC.to_datetime(time).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn text(found: &[(&Config, &Decided, Places)]) -> String {
    let mut out = String::new();
    for ((by, config), Decided { lines, first, last }, places) in found {
        let config = config.get(..12).unwrap_or(config);
        let plural = if *lines == 1 { "line" } else { "lines" };
        let line = format!("{config}  {by}  {lines} {plural}  {} to {} UTC", shown(*first), shown(*last));
        let _ = writeln!(out, "{}", printable_name(&line)); // writing to a String can't fail
        let line = match &places.earliest {
            Some(Past { commit, time, subject }) => {
                let now = if places.is_head { "; HEAD has it" } else { "" };
                let more = places.commits - 1;
                let more = if more > 0 { format!(", and {more} later") } else { String::new() };
                format!("commit {}  {} UTC  {subject}{more}{now}", commit.short(), shown(*time))
            }
            None if places.is_on_disk => {
                "no commit has it: it is the tree on the disk, which is not committed".to_owned()
            }
            None => "no commit that HEAD comes from has it: it was never committed, or on another branch"
                .to_owned(),
        };
        let _ = writeln!(out, "    {}", printable_name(&line)); // writing to a String can't fail
    }
    if found.is_empty() {
        out.push_str("no line of the log was decided by a config\n");
    }
    out
}

fn value(found: &[(&Config, &Decided, Places)], without: u64, skipped: u64) -> serde_json::Value {
    let config = |((by, config), decided, places): &(&Config, &Decided, Places)| {
        let commit = places.earliest.as_ref();
        json!({
            "config": config, "decided_by": by, "lines": decided.lines, "first": decided.first, "last": decided.last,
            "commit": commit.map(|past| json!({
                "id": past.commit.id(), "time": past.time, "subject": past.subject,
            })),
            "commits": places.commits, "head": places.is_head, "on_disk": places.is_on_disk,
        })
    };
    let configs: Vec<serde_json::Value> = found.iter().map(config).collect();
    json!({ "configs": configs, "without_config": without, "skipped": skipped })
}
