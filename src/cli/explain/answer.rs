//! The answer: the verdict of both proxies, with the rule behind it and the nearest other one.

use super::asked::Asked;
use super::secrets::Found;
use crate::cli::rules::{BottleRules, FileLine};
use crate::intercept::ServerLimits;
use crate::pipelock::scan_body;
use crate::plan::Topology;
use crate::policy::{
    Authority, Difference, GitOperation, HOST_OVERRIDES, Host, HostRule, Intent, METHOD_OVERRIDES,
    MatchedRule, Method, Nearest, PATH_OVERRIDES, PathPattern, Reason, Refusal, Route, same_variable,
};
use crate::verdict::{
    Verdict,
    egress_proxy::{malformed, pipelock_refusal},
    pipelock::Ruleset,
};
use jiff::civil::Date;

/// What the proxies would do, and why.
#[derive(Debug)]
pub(super) struct Answer {
    /// `None`: the request is let through.
    pub(super) refusal: Option<Refusal>,
    pub(super) rule: Option<Rule>,
    pub(super) git: Option<GitOperation>,
    /// The target as it would be sent.
    pub(super) sends: Option<String>,
    pub(super) pipelock: Pipelock,
    /// A secret that pipelock finds.
    pub(super) secret: Option<Found>,
    pub(super) nearest: Option<Near>,
    pub(super) notes: Vec<String>,
}

/// The rule that decided.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) host: Host,
    pub(super) source: String,
    pub(super) place: Option<FileLine>,
    /// The entry of the `path_allowlist` that matched, and its line.
    pub(super) entry: Option<(String, Option<FileLine>)>,
    pub(super) credential: Option<Credential>,
    pub(super) until: Option<Date>,
    pub(super) reason: Option<String>,
}

/// What is put on the request.
#[derive(Debug)]
pub(super) struct Credential {
    pub(super) token_ref: String,
    pub(super) header: String,
}

/// The rule that would have allowed it, had one thing been different.
#[derive(Debug)]
pub(super) struct Near {
    pub(super) text: String,
    pub(super) rule: String,
    pub(super) place: Option<FileLine>,
}

/// What pipelock does with the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pipelock {
    /// The request never comes to it.
    NotAsked,
    /// The host is not in its allowlist, or not with this port.
    Refuses,
    /// It tunnels the bytes without a look.
    PassesThrough,
    /// It reads the request; a finding blocks, or is only logged.
    Inspects {
        /// A finding blocks.
        blocks: bool,
    },
}

impl Answer {
    pub(super) fn find(asked: &Asked, rules: &BottleRules, today: Date) -> Answer {
        let wire = match asked.on_the_wire(&ServerLimits::default()) {
            Ok(wire) => wire,
            Err(fault) => return Answer::refused(malformed(fault.kind)),
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
        answer
    }

    fn from_verdict(asked: &Asked, rules: &BottleRules, verdict: Verdict<'_>, today: Date) -> Answer {
        let chain = rules.topology() == Topology::Chain;
        let Verdict { authority, intent, matched, refusal, leak, block, findings, inspected: _, sent: _ } =
            verdict;
        let rule = authority.as_ref().and_then(|authority| rules.policy.rule(&authority.host));
        let route = rule.map(|rule| &rule.route);
        let hostwise = || {
            let authority = authority.as_ref()?;
            Intent::read(asked.scheme, authority, &Method::GET, b"/", None, route).ok()
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
        let secret =
            leak.map(Found::of_leak).or_else(|| block.iter().chain(&findings).find_map(Found::of_block));
        Answer {
            rule: rule.map(|rule| Rule { entry, ..rule_of(rule, rules) }),
            git: intent.as_ref().filter(|_| chain).map(|intent| intent.git),
            sends: intent.as_ref().filter(|_| chain).map(|intent| intent.target.to_string()),
            pipelock: authority
                .as_ref()
                .map_or(Pipelock::Refuses, |it| Pipelock::ask(&rules.chain.pipelock, it, asked)),
            secret,
            nearest: nearest.map(|nearest| near_of(&nearest, rules)),
            notes: match &intent {
                Some(intent) if chain => notes_of(asked, rule, intent),
                _ if chain => Vec::new(),
                _ => vec![DIRECT.to_owned()],
            },
            refusal,
        }
    }

    /// The body of what is let through so far, as pipelock reads it.
    fn search_body(&mut self, asked: &Asked, rules: &BottleRules, headers: &http::HeaderMap) {
        let Some(body) = &asked.body else { return };
        if !matches!(self.pipelock, Pipelock::Inspects { .. }) {
            self.notes.push("the body is not searched for secrets: pipelock does not look inside".to_owned());
            return;
        }
        let scanned = scan_body(&rules.chain.pipelock, headers, body.clone());
        let found = match &scanned {
            Ok(findings) => findings.iter().find_map(Found::of_block),
            Err(block) => Found::of_block(block),
        };
        self.secret = self.secret.take().or(found);
        if let Err(block) = scanned {
            let route = self.rule.as_ref().and_then(|rule| rules.policy.route(&rule.host));
            self.refusal = route.map(|route| pipelock_refusal(&block, route).refusal);
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

    fn refused(refusal: Refusal) -> Answer {
        Answer { refusal: Some(refusal), ..Answer::refused_by_nobody() }
    }

    fn refused_by_nobody() -> Answer {
        Answer {
            refusal: None,
            rule: None,
            git: None,
            sends: None,
            pipelock: Pipelock::Refuses,
            secret: None,
            nearest: None,
            notes: Vec::new(),
        }
    }
}

const DIRECT: &str =
    "this bottle has no routes: no path rule holds, git push is not refused, and pipelock decides by host";

impl Pipelock {
    fn ask(ruleset: &Ruleset, authority: &Authority, asked: &Asked) -> Self {
        if !ruleset.admits(authority, asked.scheme) {
            Pipelock::Refuses
        } else if ruleset.passes_through(authority.host.as_str()) {
            Pipelock::PassesThrough
        } else {
            Pipelock::Inspects { blocks: !ruleset.only_warns() }
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
        place: rules.place_of(&route.source),
        entry: None,
        credential: auth
            .as_ref()
            .map(|auth| Credential { token_ref: auth.token_ref.clone(), header: auth.header.clone() }),
        until: route.until,
        reason: route.reason.clone(),
    }
}

fn entry_of(matched: &MatchedRule<'_>, rules: &BottleRules) -> Option<(String, Option<FileLine>)> {
    let pattern = matched.pattern?;
    Some((pattern.to_string(), place_of_entry(&matched.rule.route, pattern, rules)))
}

fn place_of_entry(route: &Route, entry: &PathPattern, rules: &BottleRules) -> Option<FileLine> {
    let index = route.path_allowlist.iter().flatten().position(|own| own == entry)?;
    rules.place_of(&format!("{}.path_allowlist[{index}]", route.source))
}

fn near_of(nearest: &Nearest<'_>, rules: &BottleRules) -> Near {
    let source = &nearest.route.source;
    let place = match nearest.differs {
        Difference::Path(entry) => place_of_entry(nearest.route, entry, rules),
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
    for (name, _) in asked.fields().filter(|(name, _)| overrides.iter().any(|own| same_variable(own, name))) {
        notes.push(format!("{name} is stripped: it could make the request another one than was decided on"));
    }
    if rule.is_some_and(|rule| rule.auth.is_some()) && asked.values("authorization").next().is_some() {
        notes.push("the Authorization of the request is stripped; the rule's credential is sent".to_owned());
    }
    if asked.body.is_none() && is_lfs_batch(intent) {
        notes.push(
            "an LFS batch is decided on by its body: an `upload` is refused as a git push, a `download` is not"
                .to_owned(),
        );
    }
    notes
}
