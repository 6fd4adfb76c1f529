//! Where an answer takes its rules from: a manifest, or a rendered tree. Either way they are the files
//! that the proxies run with, read by the code that the proxies read them with.

use super::advice::{Advice, Wanted, scalar};
use super::proxy::Proxy;
use crate::config::embedded::EmbeddedFile;
use crate::config::pipelock::PipelockFile;
use crate::config::routes::RoutesFile;
use crate::manifest::Loaded;
use crate::plan::{Plan, Topology};
use crate::policy::{Authority, Policy};
use crate::render::{
    self,
    paths::{EMBEDDED, PIPELOCK, ROUTES},
};
use crate::tree::Folder;
use crate::verdict::{Chain, egress_proxy, pipelock};
use crate::yaml::{self, Document};
use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use jiff::civil::Date;
use std::sync::Arc;

/// The rules of one bottle, with the place of each.
pub struct BottleRules {
    /// The bottle's name.
    pub bottle: String,
    /// What both proxies decide by.
    pub chain: Chain,
    /// What the first proxy decides by.
    pub policy: Policy,
    /// pipelock is the upstream project's program, whose answers are not known here.
    pub(super) upstream: bool,
    places: RulePlaces,
}

/// What a pointer into the manifest is looked up in.
#[derive(Debug)]
enum RulePlaces {
    /// The manifest itself.
    Manifest(Box<Loaded>),
    /// The config of a rendered tree, whose entries say where they come from.
    Tree { file: Utf8PathBuf, document: Document, list: &'static str },
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLine {
    /// Its path, as a person named it.
    pub file: String,
    /// From 1.
    pub line: usize,
}

impl std::fmt::Display for FileLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl BottleRules {
    /// The rules of a plan, and the manifest that it was resolved from.
    pub fn of_plan(plan: &Plan, loaded: Loaded) -> anyhow::Result<BottleRules> {
        let routes = (plan.topology == Topology::Chain).then(|| render::routes_file(plan));
        let places = RulePlaces::Manifest(Box::new(loaded));
        BottleRules::new(routes.as_ref(), &render::pipelock_file(plan), render::embedded_file(plan), places)
    }

    /// Reads the configs of a rendered tree.
    pub fn of_tree(folder: &Utf8Path) -> anyhow::Result<BottleRules> {
        let open = Folder::open(folder)?;
        let needed = |name: &str| {
            let text = find(&open, name)?;
            text.with_context(|| format!("{} is not there; is {folder} a rendered tree?", folder.join(name)))
        };
        let parsed = |name: &str| folder.join(name).to_string();
        let pipelock = PipelockFile::read(&needed(PIPELOCK)?).with_context(|| parsed(PIPELOCK))?;
        let embedded_text = needed(EMBEDDED)?;
        let embedded = EmbeddedFile::read(&embedded_text).with_context(|| parsed(EMBEDDED))?;
        let Some(text) = find(&open, ROUTES)? else {
            let places = RulePlaces::tree(folder.join(EMBEDDED), &embedded_text, "hosts")?;
            return BottleRules::new(None, &pipelock, embedded, places);
        };
        let routes = RoutesFile::read(&text).with_context(|| parsed(ROUTES))?;
        BottleRules::new(
            Some(&routes),
            &pipelock,
            embedded,
            RulePlaces::tree(folder.join(ROUTES), &text, "routes")?,
        )
    }

    fn new(
        routes: Option<&RoutesFile>,
        pipelock: &PipelockFile,
        embedded: EmbeddedFile,
        places: RulePlaces,
    ) -> anyhow::Result<BottleRules> {
        let policy = match routes {
            Some(routes) => routes.to_policy()?,
            // In a bottle without routes pipelock is the only one who decides, and by host and port alone.
            None => Policy::new(embedded.rules(pipelock)?)?,
        };
        let chain = Chain {
            egress_proxy: routes.map(egress_proxy::Ruleset::from_file).transpose()?,
            pipelock: Arc::new(pipelock::Ruleset::from_file(pipelock, Some(&embedded))?),
        };
        // The key that only that program has.
        let upstream = pipelock.metrics_listen.is_some();
        Ok(BottleRules { bottle: embedded.bottle, chain, policy, upstream, places })
    }

    /// The manifest that the rules stand in; none of a rendered tree's.
    #[must_use]
    pub fn manifest(&self) -> Option<&Loaded> {
        match &self.places {
            RulePlaces::Manifest(loaded) => Some(loaded),
            RulePlaces::Tree { .. } => None,
        }
    }

    /// The file that the rules stand in, as a person named it.
    #[must_use]
    pub fn file(&self) -> String {
        match &self.places {
            RulePlaces::Manifest(loaded) => loaded.source.name().to_owned(),
            RulePlaces::Tree { file, .. } => file.to_string(),
        }
    }

    /// The proxy that a request comes to first.
    #[must_use]
    pub fn first(&self) -> Proxy {
        match self.topology() {
            Topology::Chain => Proxy::EgressProxy,
            Topology::Direct => Proxy::Pipelock,
        }
    }

    /// What stands between the agent and the Internet.
    #[must_use]
    pub fn topology(&self) -> Topology {
        if self.chain.egress_proxy.is_some() { Topology::Chain } else { Topology::Direct }
    }

    /// What would have to change in the manifest for a request to be allowed.
    #[must_use]
    pub fn advice(&self, wanted: &Wanted, today: Date) -> Advice {
        let Authority { host, port } = wanted.authority();
        match self.topology() {
            Topology::Chain => wanted.advice(&self.policy, today),
            // Without routes an entry says a host, and nothing of ports.
            Topology::Direct if *port == 443 && self.policy.route(host).is_none() && !host.is_loopback() => {
                Advice::Entry(format!("egress:\n  allowlist: [..., {}]\n", scalar(host.as_str())))
            }
            Topology::Direct => Advice::Nothing,
        }
    }

    /// The line that a pointer into the manifest stands on: `egress_proxy.routes[1].methods`. A rendered tree gives
    /// the line of the entry that was rendered from it.
    #[must_use]
    pub fn place_of(&self, pointer: &str) -> Option<FileLine> {
        match &self.places {
            RulePlaces::Manifest(loaded) => {
                Some(FileLine { file: loaded.source.name().to_owned(), line: loaded.line_of(pointer) })
            }
            RulePlaces::Tree { file, document, list } => {
                let (at, rest) =
                    document.value[*list].as_array()?.iter().enumerate().find_map(|(at, entry)| {
                        let rest = pointer.strip_prefix(entry["source"].as_str()?)?;
                        (rest.is_empty() || rest.starts_with('.')).then_some((at, rest))
                    })?;
                let line = document.line_of(&format!("{list}[{at}]{rest}"));
                Some(FileLine { file: file.to_string(), line })
            }
        }
    }
}

impl RulePlaces {
    fn tree(file: Utf8PathBuf, text: &[u8], list: &'static str) -> anyhow::Result<RulePlaces> {
        let limits = yaml::Limits { bytes: 16 * 1024 * 1024, nodes: 2_000_000, ..yaml::Limits::default() };
        match yaml::parse(text, limits) {
            Ok(document) => Ok(RulePlaces::Tree { file, document, list }),
            Err(problems) => {
                bail!("{file}: {}", problems.first().map(ToString::to_string).unwrap_or_default())
            }
        }
    }
}

/// A file of a rendered tree, which an agent may have been able to write.
fn find(tree: &Folder, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
    let name = Utf8Path::new(name);
    let folder = tree.find(name.parent().unwrap_or(Utf8Path::new("")))?;
    Ok(folder.map(|folder| folder.read(name.file_name().unwrap_or_default())).transpose()?.flatten())
}
