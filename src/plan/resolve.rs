//! The entry: a manifest and what surrounds it, to a plan.

use super::{AgentImage, ExtraCa, Layout, Plan, Problems, SeedPhrases, Sidecar, Topology, agent};
use crate::diagnostic::{Diagnostic, Report};
use crate::manifest::{DlpAction, Engine, Image, Loaded, Manifest};
use crate::policy::{HostRule, OnSecret, SecretRules, SecretRulesError, is_model_api};
use std::collections::BTreeMap;

/// What a plan needs besides the manifest; read by the caller, so that resolving is pure.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Where OUT lies.
    pub layout: Layout,
    /// The content of the file that `pipelock.extra_ca` names.
    pub extra_ca: Option<String>,
    /// The content of each file that a `git.push.rules` names.
    pub push_rules: BTreeMap<String, String>,
}

impl Surroundings {
    /// OUT is `.bottle/NAME` beside the manifest, and there is no other file.
    #[must_use]
    pub fn beside(name: &str) -> Self {
        Self { layout: Layout::beside(name), extra_ca: None, push_rules: BTreeMap::new() }
    }
}

impl Plan {
    /// Decides everything that a manifest leaves open. The report holds every problem, without places.
    pub fn resolve(manifest: &Manifest, around: &Surroundings) -> Result<Self, Report> {
        Self::resolve_at(manifest, around, |_, said| said)
    }

    /// The same, with the place in the text of everything that is said.
    pub fn resolve_loaded(loaded: &Loaded, around: &Surroundings) -> Result<Self, Report> {
        Self::resolve_at(&loaded.manifest, around, |pointer, said| {
            said.source(&loaded.source).label(loaded.span_of(pointer), "")
        })
    }

    fn resolve_at(
        manifest: &Manifest,
        around: &Surroundings,
        place: impl Fn(&str, Diagnostic) -> Diagnostic,
    ) -> Result<Self, Report> {
        let report =
            |said: Problems| Report(said.into_iter().map(|(pointer, it)| place(&pointer, it)).collect());
        let mut problems = Problems::new();
        let extra_ca = extra_ca(manifest, around, &mut problems);
        let hosts = manifest.hosts().map(|rule| with_action(manifest, rule));
        let mut files = PushFiles::default();
        let hosts = hosts.map(|rule| files.read_for(rule, around, &mut problems)).collect();
        let seed_phrases = seed_phrases(manifest);
        let agent = agent::resolve(manifest, &around.layout, &mut problems);
        if !problems.is_empty() {
            return Err(report(problems));
        }
        Ok(Self {
            name: manifest.name.clone(),
            layout: around.layout.clone(),
            topology: if manifest.has_routes() { Topology::Chain } else { Topology::Direct },
            hosts,
            egress_network: manifest.egress.network.clone(),
            engine: manifest.pipelock.engine.clone(),
            // What removes secrets does so host by host.
            dlp_action: match manifest.egress.dlp_action {
                Some(DlpAction::Warn) => DlpAction::Warn,
                Some(DlpAction::Block | DlpAction::Redact) | None => DlpAction::Block,
            },
            seed_phrases,
            dlp: manifest.pipelock.dlp.clone(),
            extra_ca,
            supervise: manifest.supervise,
            agent,
            sidecars: manifest.services.iter().map(Sidecar::from).collect(),
        })
    }
}

/// A rule with what is done about secrets at its host.
fn with_action(manifest: &Manifest, rule: &HostRule) -> HostRule {
    let embedded = manifest.pipelock.engine == Engine::Embedded;
    let removes = rule.inspect
        && match manifest.egress.dlp_action {
            Some(action) => action == DlpAction::Redact,
            None => embedded && is_model_api(rule.route.host.as_str()),
        };
    HostRule { on_secret: rule.on_secret.or(removes.then_some(OnSecret::Redact)), ..rule.clone() }
}

/// Bytes of files of rules, each as often as a rule names it: every route is written and compiled with its own.
const MOST_PUSH_RULES: usize = 1 << 20;

/// The files of rules that `git.push.rules` name, each read once.
#[derive(Default)]
struct PushFiles {
    read: BTreeMap<String, Result<SecretRules, SecretRulesError>>,
    bytes: usize,
}

impl PushFiles {
    /// The same rule with those of its file.
    fn read_for(&mut self, mut rule: HostRule, around: &Surroundings, problems: &mut Problems) -> HostRule {
        let at = format!("{}.git.push.rules", rule.route.source);
        let Some(named) = rule.route.push.as_mut().and_then(|push| push.rules.as_mut()) else { return rule };
        let text = around.push_rules.get(&named.file).map_or("", String::as_str);
        let within = self.bytes <= MOST_PUSH_RULES;
        self.bytes += text.len();
        if self.bytes > MOST_PUSH_RULES {
            if within {
                let most = MOST_PUSH_RULES >> 10;
                let message = format!("the files of rules of all routes have more than {most} KiB together");
                let hint = "each route searches with its own: name shorter files, or fewer routes that push";
                problems.push((at, Diagnostic::error("git-push", message).hint(hint)));
            }
            return rule;
        }
        let file = named.file.clone();
        match self.read.entry(file.clone()).or_insert_with(|| SecretRules::parse(&file, text)) {
            Ok(rules) => *named = rules.clone(),
            Err(error) => {
                let problem = Diagnostic::error("git-push", format!("{file}: {error}"));
                let hint =
                    "`git.push.rules` names a file of rules in gitleaks' format, with `[[rules]]` of its own";
                problems.push((at, problem.hint(hint)));
            }
        }
        rule
    }
}

const EXTRA_CA: &str = "pipelock.extra_ca";

fn extra_ca(manifest: &Manifest, around: &Surroundings, problems: &mut Problems) -> Option<ExtraCa> {
    let file = manifest.pipelock.extra_ca.clone()?;
    let pem = around.extra_ca.clone().unwrap_or_default();
    if pem.contains("PRIVATE KEY") {
        let problem = Diagnostic::error("extra-ca-holds-a-key", format!("{file} holds a private key"));
        let hint = "`pipelock.extra_ca` is copied into the committed tree: give it certificates only";
        problems.push((EXTRA_CA.to_owned(), problem.hint(hint)));
    } else if !pem.contains("-----BEGIN CERTIFICATE-----") {
        let problem = Diagnostic::error("extra-ca-unreadable", format!("{file} holds no certificate"));
        let hint = "`pipelock.extra_ca` names a PEM file with one or more certificates";
        problems.push((EXTRA_CA.to_owned(), problem.hint(hint)));
    }
    Some(ExtraCa { file, pem: certificates(&pem) })
}

/// The certificates of a PEM file and nothing else: what stands between them would land in the committed tree, which
/// the agent reads.
fn certificates(pem: &str) -> String {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let after_begin = pem.split(BEGIN).skip(1);
    let blocks = after_begin.filter_map(|rest| rest.split_once(END).map(|(body, _)| body));
    blocks.flat_map(|body| [BEGIN, body.trim_end(), "\n", END, "\n"]).collect()
}

/// The host whose conversations are made of ordinary words.
const CONVERSATIONS: &str = "api.anthropic.com";

/// The manifest can't ask for them beside that host (`seed-phrases` in `manifest/parse`).
fn seed_phrases(manifest: &Manifest) -> SeedPhrases {
    let converses = manifest.hosts().any(|rule| rule.route.host.as_str() == CONVERSATIONS);
    match (manifest.pipelock.seed_phrases, converses) {
        (true, false) => SeedPhrases { enabled: true, why: "the manifest asks for it" },
        (_, true) => SeedPhrases {
            enabled: false,
            why: "words of seed phrases occur in conversations with api.anthropic.com",
        },
        (false, false) => {
            SeedPhrases { enabled: false, why: "ordinary JSON trips it; `pipelock.seed_phrases` turns it on" }
        }
    }
}

impl From<&Image> for AgentImage {
    fn from(image: &Image) -> Self {
        match image {
            Image::Named(name) => Self::Named(name.clone()),
            Image::Build(build) => Self::Built(build.clone()),
        }
    }
}
