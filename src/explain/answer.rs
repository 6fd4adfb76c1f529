//! The answer: the verdict of both proxies, with the rule behind it and the nearest other one.

use super::asked::Asked;
use super::found::Found;
use super::proxy::Proxy;
use super::rules::{BottleRules, FileLine};
use crate::fields::is_never_passed;
use crate::intercept::ServerLimits;
use crate::manifest::DlpAction;
use crate::pipelock::scan_body;
use crate::plan::Topology;
use crate::policy::{
    Authority, Difference, GitOperation, HOST_OVERRIDES, HostPattern, HostRule, Intent, METHOD_OVERRIDES,
    MatchedRule, Method, Nearest, PATH_OVERRIDES, PathPattern, Reason, Refusal, Route, passing_classes,
    same_variable,
};
use crate::verdict::{
    Verdict,
    egress_proxy::{malformed, pipelock_refusal},
    pipelock::Ruleset,
};
use jiff::civil::Date;

/// What the proxies would do, and why.
#[derive(Debug)]
pub struct Answer {
    /// `None`: the request is let through.
    pub refusal: Option<Refusal>,
    /// Who refuses.
    pub decided_by: Option<Proxy>,
    /// The rule of its host, if one names it.
    pub rule: Option<Rule>,
    /// What it means to git; unknown to pipelock.
    pub git: Option<GitOperation>,
    /// The target as it would be sent.
    pub sends: Option<String>,
    /// What pipelock does with the host.
    pub pipelock: Pipelock,
    /// A secret that pipelock finds.
    pub secret: Option<Found>,
    /// What is removed from the body before it goes on: kinds, and how many of each.
    pub removed: Vec<(String, u32)>,
    /// The rule that would have allowed it.
    pub nearest: Option<Near>,
    /// What happens to the request on the way, and what the question leaves open.
    pub notes: Vec<String>,
}

/// The rule that decided.
#[derive(Debug)]
pub struct Rule {
    /// Its id.
    pub host: HostPattern,
    /// Where it stands in the manifest, as a pointer.
    pub source: String,
    /// The part of it that decided, as a pointer: the entry that allows, or the key that refuses.
    pub pointer: String,
    /// The line of it.
    pub place: Option<FileLine>,
    /// The entry of the `path_allowlist` that matched.
    pub entry: Option<Entry>,
    /// What is put on the request.
    pub credential: Option<Credential>,
    /// The last day on which it allows anything.
    pub until: Option<Date>,
    /// Why it is there.
    pub reason: Option<String>,
}

/// An entry of a `path_allowlist`.
#[derive(Debug)]
pub struct Entry {
    /// As it is written.
    pub path: String,
    /// Where it stands in the manifest.
    pub pointer: String,
    /// The line of it.
    pub place: Option<FileLine>,
}

/// What is put on the request.
#[derive(Debug)]
pub struct Credential {
    /// Its name.
    pub token_ref: String,
    /// The field.
    pub header: String,
}

/// The rule that would have allowed it, had one thing been different.
#[derive(Debug)]
pub struct Near {
    /// What would have to be different, in words.
    pub text: String,
    /// The id of the rule.
    pub rule: String,
    /// The line of it.
    pub place: Option<FileLine>,
}

/// What pipelock does with the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pipelock {
    /// The request never comes to it.
    NotAsked,
    /// The host is not in its allowlist, or not with this port.
    Refuses,
    /// It tunnels the bytes without a look.
    PassesThrough,
    /// It reads the request.
    Inspects {
        /// What a finding does.
        finding: DlpAction,
    },
}

impl Answer {
    /// Asks both proxies.
    #[must_use]
    pub fn find(asked: &Asked, rules: &BottleRules, today: Date) -> Answer {
        let wire = match asked.on_the_wire(&ServerLimits::default()) {
            Ok(wire) => wire,
            Err(fault) => return Answer::malformed(malformed(fault.kind), rules.first()),
        };
        let verdict = rules.chain.verdict(&wire, today);
        if rules.topology() == Topology::Chain
            && verdict.authority.as_ref().is_some_and(|it| it.host.is_internal())
        {
            return Answer::by_the_proxy_itself();
        }
        let mut answer = Answer::from_verdict(asked, rules, verdict, today);
        if answer.refusal.is_none() {
            answer.search_body(asked, rules, wire.request.headers());
        }
        if rules.upstream {
            answer.notes.push(UPSTREAM.to_owned());
        }
        answer
    }

    fn from_verdict(asked: &Asked, rules: &BottleRules, verdict: Verdict<'_>, today: Date) -> Answer {
        let chain = rules.topology() == Topology::Chain;
        let Verdict { authority, intent, matched, refusal, leak, block, findings, inspected: _, sent: _ } =
            verdict;
        // pipelock gives the host of what it lets through; what it refuses is as it was asked for.
        let authority = authority.or_else(|| asked.authority().filter(|_| !chain));
        let rule = authority.as_ref().and_then(|authority| rules.policy.rule(&authority.host));
        let route = rule.map(|rule| &rule.route);
        let hostwise = || {
            let authority = authority.as_ref()?;
            Intent::read(asked.request.scheme, authority, &Method::GET, b"/", None, route).ok()
        };
        let read = if chain { intent.clone() } else { hostwise() };
        let refusal = refusal.or_else(|| {
            let block = block.as_ref().filter(|_| !chain)?;
            let decided = read.as_ref().map(|intent| rules.policy.decide(intent, today));
            Some(match (decided, route) {
                (Some(Err(refusal)), _) => refusal,
                (_, Some(route)) => pipelock_refusal(block, route).refusal,
                _ => Refusal::new(Reason::MalformedRequest, format!("{block}; retrying does not help")),
            })
        });
        let nearest =
            read.as_ref().filter(|_| refusal.is_some()).and_then(|intent| rules.policy.nearest(intent));
        let entry = matched.as_ref().and_then(|matched| entry_of(matched, rules));
        let decided_by = refusal.as_ref().map(|_| match block {
            Some(_) => Proxy::Pipelock,
            None => rules.first(),
        });
        let pointer = rule.map(|rule| match (&refusal, &entry) {
            (Some(refusal), _) => refusing_pointer(&rule.route, refusal.reason, read.as_ref()),
            (None, Some(entry)) => entry.pointer.clone(),
            (None, None) => rule.route.source.clone(),
        });
        let secret =
            leak.map(Found::of_leak).or_else(|| block.iter().chain(&findings).find_map(Found::of_block));
        Answer {
            rule: rule.zip(pointer).map(|(rule, pointer)| Rule { pointer, entry, ..rule_of(rule, rules) }),
            git: intent.as_ref().filter(|_| chain).map(|intent| intent.git),
            sends: intent.as_ref().filter(|_| chain).map(|intent| intent.target.to_string()),
            pipelock: authority
                .as_ref()
                .map_or(Pipelock::Refuses, |it| Pipelock::ask(&rules.chain.pipelock, it, asked)),
            secret,
            removed: Vec::new(),
            nearest: nearest.map(|nearest| near_of(&nearest, rules)),
            notes: match &intent {
                Some(intent) if chain => notes_of(asked, rule, intent),
                _ if chain => Vec::new(),
                _ => vec![DIRECT.to_owned()],
            },
            refusal,
            decided_by,
        }
    }

    /// The body of what is let through so far, as pipelock reads it.
    fn search_body(&mut self, asked: &Asked, rules: &BottleRules, headers: &http::HeaderMap) {
        let Some(body) = &asked.body else { return };
        if !matches!(self.pipelock, Pipelock::Inspects { .. }) {
            self.notes.push("the body is not searched for secrets: pipelock does not look inside".to_owned());
            return;
        }
        let host = self.rule.as_ref().map(|rule| rule.host.as_str()).unwrap_or_default();
        let scanned = scan_body(&rules.chain.pipelock, host, headers, body.clone());
        let found = match &scanned {
            Ok(body) => body.logged.iter().find_map(Found::of_block),
            Err(block) => Found::of_block(block),
        };
        self.secret = self.secret.take().or(found);
        if let Ok(body) = &scanned {
            self.removed.extend(body.removed.iter().map(|(kind, count)| (kind.to_owned(), count)));
        }
        if let Err(block) = scanned {
            if self.pipelock == (Pipelock::Inspects { finding: DlpAction::Redact }) {
                self.notes.push(REFUSED_ALL_THE_SAME.to_owned());
            }
            let route = self.rule.as_ref().and_then(|rule| rules.policy.named(&rule.host));
            let route = route.map(|rule| &rule.route);
            self.refusal = route.map(|route| pipelock_refusal(&block, route).refusal);
            self.decided_by = self.refusal.as_ref().map(|_| Proxy::Pipelock);
            if let Some(rule) = &mut self.rule {
                rule.pointer.clone_from(&rule.source);
            }
        }
    }

    /// [`INTERNAL_HOST`](crate::policy::INTERNAL_HOST) is not a host on the Internet.
    fn by_the_proxy_itself() -> Answer {
        let note = "egress-proxy answers for this host itself; nothing leaves".to_owned();
        Answer {
            refusal: None,
            pipelock: Pipelock::NotAsked,
            notes: vec![note],
            ..Answer::refused_by_nobody()
        }
    }

    fn malformed(refusal: Refusal, by: Proxy) -> Answer {
        Answer { refusal: Some(refusal), decided_by: Some(by), ..Answer::refused_by_nobody() }
    }

    fn refused_by_nobody() -> Answer {
        Answer {
            refusal: None,
            decided_by: None,
            rule: None,
            git: None,
            sends: None,
            pipelock: Pipelock::Refuses,
            secret: None,
            nearest: None,
            removed: Vec::new(),
            notes: Vec::new(),
        }
    }
}

const UPSTREAM: &str = "pipelock is the upstream project's program in this bottle: what is said of it is what the embedded engine \
     would do, and `bottle plan` lists what differs";

const REFUSED_ALL_THE_SAME: &str = "`dlp_action` is `redact` for this host, but a secret is removed only where it stands in clear, in a JSON \
     or text body that is neither encoded nor signed";

const DIRECT: &str =
    "this bottle has no routes: no path rule holds, git push is not refused, and pipelock decides by host";

impl Pipelock {
    fn ask(ruleset: &Ruleset, authority: &Authority, asked: &Asked) -> Self {
        if !ruleset.admits(authority, asked.request.scheme) {
            Pipelock::Refuses
        } else if ruleset.passes_through(authority.host.as_str()) {
            Pipelock::PassesThrough
        } else {
            let host = authority.host.as_str();
            let finding = if ruleset.removes(host) {
                DlpAction::Redact
            } else if ruleset.only_warns(host) {
                DlpAction::Warn
            } else {
                DlpAction::Block
            };
            Pipelock::Inspects { finding }
        }
    }
}

fn is_lfs_batch(intent: &Intent) -> bool {
    GitOperation::is_lfs_batch(intent.target.path.as_str().as_bytes())
}

fn rule_of(rule: &HostRule, rules: &BottleRules) -> Rule {
    let (route, auth) = (&rule.route, &rule.auth);
    Rule {
        host: route.host.clone(),
        source: route.source.clone(),
        pointer: route.source.clone(),
        place: rules.place_of(&route.source),
        entry: None,
        credential: auth
            .as_ref()
            .map(|auth| Credential { token_ref: auth.token_ref.clone(), header: auth.header.clone() }),
        until: route.until,
        reason: route.reason.clone(),
    }
}

fn entry_of(matched: &MatchedRule<'_>, rules: &BottleRules) -> Option<Entry> {
    let pattern = matched.pattern?;
    let pointer = pointer_of_entry(&matched.rule.route, pattern)?;
    Some(Entry { path: pattern.to_string(), place: rules.place_of(&pointer), pointer })
}

fn pointer_of_entry(route: &Route, entry: &PathPattern) -> Option<String> {
    let index = route.path_allowlist.iter().flatten().position(|own| own == entry)?;
    Some(format!("{}.path_allowlist[{index}]", route.source))
}

/// The key of a rule that refuses, or the whole rule.
fn refusing_pointer(route: &Route, reason: Reason, read: Option<&Intent>) -> String {
    let source = &route.source;
    let denied = || {
        let entry = route.denied(&read?.target.path)?;
        route.deny_paths.iter().position(|own| own == entry)
    };
    match reason {
        Reason::PathNotAllowed => format!("{source}.path_allowlist"),
        Reason::PathDenied => denied()
            .map_or_else(|| format!("{source}.deny_paths"), |index| format!("{source}.deny_paths[{index}]")),
        Reason::QueryNotAllowed => format!("{source}.query"),
        Reason::GraphqlNotAllowed => format!("{source}.graphql"),
        Reason::PushNotAllowed => format!("{source}.git.push"),
        Reason::GitPush if route.push.is_some() => format!("{source}.git.push"),
        Reason::RpcNotAllowed => format!("{source}.rpc"),
        Reason::MethodNotAllowed => format!("{source}.methods"),
        Reason::PortNotAllowed => format!("{source}.ports"),
        Reason::RuleExpired => format!("{source}.until"),
        _ => source.clone(),
    }
}

fn near_of(nearest: &Nearest<'_>, rules: &BottleRules) -> Near {
    let source = &nearest.route.source;
    let place = match nearest.differs {
        Difference::Path(entry) => {
            pointer_of_entry(nearest.route, entry).and_then(|pointer| rules.place_of(&pointer))
        }
        Difference::Denied(entry) => {
            let index = nearest.route.deny_paths.iter().position(|own| own == entry);
            index.and_then(|index| rules.place_of(&format!("{source}.deny_paths[{index}]")))
        }
        Difference::Host(_) => rules.place_of(source),
        Difference::Port(_) => rules.place_of(&format!("{source}.ports")),
        Difference::Method(_) => rules.place_of(&format!("{source}.methods")),
        Difference::Date(_) => rules.place_of(&format!("{source}.until")),
    };
    Near { text: nearest.to_string(), rule: nearest.route.host.to_string(), place }
}

/// What happens to the request on the way, and what the question leaves open.
fn notes_of(asked: &Asked, rule: Option<&HostRule>, intent: &Intent) -> Vec<String> {
    let mut notes = Vec::new();
    let overrides = [METHOD_OVERRIDES, PATH_OVERRIDES, HOST_OVERRIDES].concat();
    for (name, _) in
        asked.request.fields.iter().filter(|(name, _)| overrides.iter().any(|own| same_variable(own, name)))
    {
        notes.push(format!("{name} is stripped: it could make the request another one than was decided on"));
    }
    if let Some(rule) = rule.filter(|rule| rule.guards_fields()) {
        let stripped = asked.request.fields.iter().map(|(name, _)| name.as_str());
        let stripped: Vec<&str> =
            stripped.filter(|name| !is_never_passed(name) && !rule.client.passes(name)).collect();
        if !stripped.is_empty() {
            notes.push(format!(
                "of the agent's own fields {} {} off: only known ones pass here ({}), and what `pass_headers` names",
                stripped.join(", "),
                if stripped.len() == 1 { "goes" } else { "go" },
                passing_classes().collect::<Vec<_>>().join(", ")
            ));
        }
    }
    let reads = rule.is_some_and(|rule| rule.route.content.hold(&intent.target.path));
    if asked.body.is_none() && reads && intent.method == Method::POST {
        notes.push("the rule reads the body, too: give it with --body to know what becomes of it".to_owned());
    }
    if let Some(rules) = rule.and_then(|rule| rule.route.push.as_ref())
        && intent.smart_push().is_some()
    {
        notes.push(format!(
            "what a push may change is decided on when its commands and its pack are there ({rules}); the pack is searched \
             for secrets, also where pipelock does not look inside"
        ));
    }
    if asked.body.is_none() && is_lfs_batch(intent) {
        notes.push(
            "an LFS batch is decided on by its body: an `upload` is refused as a git push, a `download` is not"
                .to_owned(),
        );
    }
    notes
}
