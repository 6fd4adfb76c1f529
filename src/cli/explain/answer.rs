//! The answer: the verdict of the first proxy, then pipelock's, with the rule behind it and the nearest other one.

use super::asked::Asked;
use super::secrets::{Found, Search};
use crate::cli::rules::{Place, Rules};
use crate::config::pipelock::Action;
use crate::plan::Shape;
use crate::policy::{
    Authority, Difference, GitOperation, Grant, HOST_OVERRIDES, Intent, METHOD_OVERRIDES, Method, Nearest,
    PATH_OVERRIDES, PathPattern, Reason, Refusal, Route, Scheme, refuse_upgrade, same_variable,
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
    pub(super) id: String,
    pub(super) source: String,
    pub(super) place: Option<Place>,
    /// The entry of the `path_allowlist` that matched, and its line.
    pub(super) entry: Option<(String, Option<Place>)>,
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
    pub(super) place: Option<Place>,
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
    pub(super) fn find(asked: &Asked, rules: &Rules, today: Date) -> anyhow::Result<Answer> {
        let authority = match &asked.authority {
            Ok(authority) => authority,
            Err(error) => {
                let message = format!("the host of the URL is malformed: {error}; retrying does not help");
                let refusal = Refusal::new(Reason::MalformedAuthority, message);
                return Ok(Answer::refused(refusal, Pipelock::Refuses));
            }
        };
        if rules.shape == Shape::Chain && authority.host.is_internal() {
            return Ok(Answer::by_the_proxy_itself());
        }
        let pipelock = of_pipelock(rules, authority);
        let answer = match rules.shape {
            Shape::Chain => of_chain(asked, authority, rules, today, pipelock),
            Shape::Direct => of_direct(asked, authority, rules, today, pipelock),
        };
        answer.searched(asked, rules.policy.route(&authority.host), rules)
    }

    /// What is let through so far is searched for secrets: by egress-proxy in the fields that pipelock does not read,
    /// then by pipelock, if it looks inside.
    fn searched(mut self, asked: &Asked, route: Option<&Route>, rules: &Rules) -> anyhow::Result<Answer> {
        if self.refusal.is_some() {
            return Ok(self);
        }
        let search = Search::of(asked, route, rules)?;
        if let Some(found) = search.by_egress_proxy().filter(|_| rules.shape == Shape::Chain) {
            let message = secret_found("egress-proxy", &found);
            let refusal = Refusal::new(Reason::CredentialInRequest, message);
            return Ok(Answer { refusal: Some(refusal), secret: Some(found), ..self });
        }
        let Pipelock::Inspects { blocks } = self.pipelock else {
            if asked.body.is_some() {
                self.notes
                    .push("the body is not searched for secrets: pipelock does not look inside".to_owned());
            }
            return Ok(self);
        };
        self.secret = search.by_pipelock();
        if let Some(found) = self.secret.as_ref().filter(|_| blocks) {
            self.refusal = Some(Refusal::new(Reason::BlockedByPipelock, secret_found("pipelock", found)));
        }
        Ok(self)
    }

    /// [`INTERNAL_HOST`](crate::policy::INTERNAL_HOST) is not a host on the Internet.
    fn by_the_proxy_itself() -> Answer {
        let note = "egress-proxy answers for this host itself; nothing leaves";
        Answer {
            refusal: None,
            rule: None,
            git: None,
            sends: None,
            pipelock: Pipelock::NotAsked,
            secret: None,
            nearest: None,
            notes: vec![note.to_owned()],
        }
    }

    fn refused(refusal: Refusal, pipelock: Pipelock) -> Answer {
        Answer {
            refusal: Some(refusal),
            rule: None,
            git: None,
            sends: None,
            pipelock,
            secret: None,
            nearest: None,
            notes: Vec::new(),
        }
    }
}

fn secret_found(by: &str, Found { finding, place }: &Found) -> String {
    format!(
        "{by} finds a secret ({}) in {place} and blocks the request; retrying does not help",
        finding.pattern
    )
}

/// egress-proxy decides, then pipelock.
fn of_chain(asked: &Asked, authority: &Authority, rules: &Rules, today: Date, pipelock: Pipelock) -> Answer {
    let route = rules.policy.route(&authority.host);
    // A tunnel that is refused carries no request; plain http has none.
    let opened =
        if asked.scheme == Scheme::Https { rules.policy.decide_connect(authority).map(drop) } else { Ok(()) };
    let intent = match opened.and_then(|()| read(asked, authority, route)) {
        Ok(intent) => intent,
        Err(refusal) => {
            let rule = route.map(|route| rule_of(route, rules));
            return Answer { rule, ..Answer::refused(refusal, pipelock) };
        }
    };
    Answer {
        git: Some(intent.git),
        sends: Some(intent.target.to_string()),
        notes: notes_of(asked, route, &intent),
        ..dressed(asked, route, decided(&intent, rules, today, pipelock))
    }
}

/// What was let through so far is refused if it asks for an upgrade.
fn dressed(asked: &Asked, route: Option<&Route>, answer: Answer) -> Answer {
    let upgrades = asked.values("upgrade").map(str::as_bytes);
    let refused = route.filter(|_| answer.refusal.is_none()).map(|route| refuse_upgrade(upgrades, route));
    match refused {
        Some(Err(refusal)) => Answer { refusal: Some(refusal), ..answer },
        _ => answer,
    }
}

/// Without egress-proxy pipelock alone decides, by host and port.
fn of_direct(asked: &Asked, authority: &Authority, rules: &Rules, today: Date, pipelock: Pipelock) -> Answer {
    let route = rules.policy.route(&authority.host);
    let note = "this bottle has no routes: no path rule holds, git push is not refused, and pipelock decides by host";
    match Intent::read(asked.scheme, authority, &Method::GET, b"/", None, route) {
        Ok(host) => Answer { notes: vec![note.to_owned()], ..decided(&host, rules, today, pipelock) },
        Err(refusal) => Answer::refused(refusal, pipelock),
    }
}

fn decided(intent: &Intent, rules: &Rules, today: Date, pipelock: Pipelock) -> Answer {
    let decided = rules.policy.decide(intent, today);
    let entry = decided.as_ref().ok().and_then(|grant| entry_of(grant, rules));
    let rule =
        rules.policy.route(&intent.authority.host).map(|route| Rule { entry, ..rule_of(route, rules) });
    let refusal = match decided {
        Err(refusal) => Some(refusal),
        Ok(_) if pipelock == Pipelock::Refuses => Some(only_pipelock_refuses(&intent.authority)),
        Ok(_) => None,
    };
    let nearest = refusal.as_ref().and_then(|_| rules.policy.nearest(intent));
    let nearest = nearest.map(|nearest| near_of(&nearest, rules));
    Answer { refusal, rule, git: None, sends: None, pipelock, secret: None, nearest, notes: Vec::new() }
}

/// The request as egress-proxy reads it: one authority in CONNECT (or the target) and `Host`, then the target.
fn read(asked: &Asked, authority: &Authority, route: Option<&Route>) -> Result<Intent, Refusal> {
    let hosts: Vec<&str> = asked.values("host").collect();
    if hosts.len() > 1 {
        return Err(Refusal::new(
            Reason::MalformedRequest,
            "a request has one `Host` field, not several; retrying does not help",
        ));
    }
    if let [host] = hosts.as_slice() {
        let named = Authority::parse(host, Some(asked.scheme.default_port())).map_err(|error| {
            let message = format!("the host of Host is malformed: {error}; retrying does not help");
            Refusal::new(Reason::MalformedAuthority, message)
        })?;
        if named != *authority {
            let message = format!(
                "the URL names {authority} but Host names {named}; they must be the same; retrying does not help"
            );
            return Err(Refusal::new(Reason::AuthorityMismatch, message));
        }
    }
    let content_type = asked.values("content-type").collect::<Vec<_>>().join(", ");
    let content_type = (!content_type.is_empty()).then_some(content_type.as_bytes());
    let target = asked.target.as_bytes();
    let mut intent = Intent::read(asked.scheme, authority, &asked.method, target, content_type, route)?;
    if let Some(body) = asked.body.as_ref().filter(|_| is_lfs_batch(&intent) && !intent.git.is_push()) {
        intent.git = GitOperation::lfs_operation(body).map_err(|error| {
            Refusal::new(Reason::MalformedRequest, format!("{error}; retrying does not help"))
        })?;
    }
    Ok(intent)
}

fn is_lfs_batch(intent: &Intent) -> bool {
    GitOperation::is_lfs_batch(intent.target.path.as_str().as_bytes())
}

fn rule_of(route: &Route, rules: &Rules) -> Rule {
    let auth = rules.entries.iter().find(|entry| entry.id == route.id).and_then(|entry| entry.auth.as_ref());
    Rule {
        id: route.id.clone(),
        source: route.source.clone(),
        place: rules.place_of(&route.source),
        entry: None,
        credential: auth
            .map(|auth| Credential { token_ref: auth.token_ref.clone(), header: auth.header.clone() }),
        until: route.until,
        reason: route.reason.clone(),
    }
}

fn entry_of(grant: &Grant<'_>, rules: &Rules) -> Option<(String, Option<Place>)> {
    let pattern = grant.pattern?;
    Some((pattern.to_string(), place_of_entry(grant.route, pattern, rules)))
}

fn place_of_entry(route: &Route, entry: &PathPattern, rules: &Rules) -> Option<Place> {
    let index = route.paths.iter().flatten().position(|own| own == entry)?;
    rules.place_of(&format!("{}.path_allowlist[{index}]", route.source))
}

fn near_of(nearest: &Nearest<'_>, rules: &Rules) -> Near {
    let source = &nearest.route.source;
    let place = match nearest.differs {
        Difference::Path(entry) => place_of_entry(nearest.route, entry, rules),
        Difference::Host(_) => rules.place_of(source),
        Difference::Port(_) => rules.place_of(&format!("{source}.ports")),
        Difference::Method(_) => rules.place_of(&format!("{source}.methods")),
        Difference::Date(_) => rules.place_of(&format!("{source}.until")),
    };
    Near { text: nearest.to_string(), rule: nearest.route.id.clone(), place }
}

fn of_pipelock(rules: &Rules, authority: &Authority) -> Pipelock {
    let Authority { host, port } = authority;
    let config = &rules.pipelock;
    let listed = config.api_allowlist.iter().any(|name| name == host.as_str());
    let entry = rules.embedded.hosts.iter().find(|entry| entry.host == host.as_str());
    if !listed || !entry.map_or(*port == 443, |entry| entry.ports.contains(port)) {
        return Pipelock::Refuses;
    }
    let tls = &config.tls_interception;
    if !tls.enabled || tls.passthrough_domains.iter().any(|name| name == host.as_str()) {
        return Pipelock::PassesThrough;
    }
    Pipelock::Inspects { blocks: config.request_body_scanning.action == Action::Block }
}

fn only_pipelock_refuses(authority: &Authority) -> Refusal {
    let message = format!(
        "egress-proxy has a rule for {authority} but pipelock does not let it through: the two files are not of one \
         render; retrying does not help"
    );
    Refusal::new(Reason::HostNotAllowed, message)
}

/// What happens to the request on the way, and what the question leaves open.
fn notes_of(asked: &Asked, route: Option<&Route>, intent: &Intent) -> Vec<String> {
    let mut notes = Vec::new();
    let overrides = [METHOD_OVERRIDES, PATH_OVERRIDES, HOST_OVERRIDES].concat();
    for (name, _) in asked.fields().filter(|(name, _)| overrides.iter().any(|own| same_variable(own, name))) {
        notes.push(format!("{name} is stripped: it could make the request another one than was decided on"));
    }
    if route.is_some_and(|route| route.credential.is_some()) && asked.values("authorization").next().is_some()
    {
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
