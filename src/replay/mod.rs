//! Past requests under today's rules: which would newly be denied, which newly allowed, and for which nothing
//! changes.
//!
//! A record keeps of a request what the rules decide on: scheme, host, port, method, canonical path, what it means to
//! git, the day. Each is asked for as `bottle explain` asks ([`Answer::find`]). Nothing is guessed: what a record does
//! not tell is counted by the reason ([`NotReplayed`]). Memory is bounded whatever the length of the trail.

mod groups;
mod past;
mod shape;
mod under_way;

pub use groups::{Change, Group, Groups, RuleNow};
pub use past::NotReplayed;
pub use shape::of as path_shape;
pub use under_way::UnderWay;

use crate::explain::{Advice, Answer, Asked, BottleRules, Proxy, Wanted};
use crate::plan::Topology;
use crate::policy::{Authority, GitOperation, Host, Method, Reason, WrittenRequest};
use crate::telemetry::audit::Entry;
use bytes::Bytes;
use groups::Key;
use http::HeaderMap;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use past::{Past, PastCredential, PastRequest, PastVerdict};
use std::{collections::HashMap, rc::Rc};

/// Answers that are remembered; a trail asks for the same again and again.
const REMEMBERED: usize = 10_000;

/// A replay that goes on.
pub struct Replay<'r> {
    rules: &'r BottleRules,
    /// The day to decide on; that of each record where there is none.
    day: Option<Date>,
    answers: HashMap<String, Rc<Now>>,
    under_way: UnderWay,
    summary: Summary,
}

/// What came of a replay.
#[derive(Debug, Default)]
pub struct Summary {
    /// When the first request was recorded, and the last.
    pub span: Option<(Timestamp, Timestamp)>,
    /// Allowed then and now.
    pub still_allowed: u64,
    /// Denied then and now.
    pub still_denied: u64,
    /// What changed.
    pub groups: Groups,
    /// Requests that were asked for again without their query, which is not recorded.
    pub without_query: u64,
    /// How many requests were not asked for again, by the reason.
    pub not_replayed: HashMap<NotReplayed, u64>,
    /// There were more requests under way than can be told apart.
    pub more_under_way: bool,
}

impl Summary {
    /// How many requests were asked for again.
    #[must_use]
    pub fn replayed(&self) -> u64 {
        self.still_allowed + self.still_denied + self.groups.requests()
    }
}

/// What the rules say now.
struct Now {
    refusal: Option<(Reason, Option<Proxy>)>,
    credential: Option<String>,
    rule: Option<RuleNow>,
}

impl<'r> Replay<'r> {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new(rules: &'r BottleRules, day: Option<Date>) -> Self {
        let (answers, under_way) = (HashMap::new(), UnderWay::default());
        Self { rules, day, answers, under_way, summary: Summary::default() }
    }

    /// Takes the next record.
    pub fn see(&mut self, entry: &Entry) {
        self.under_way.see_end(entry);
        let direct = self.rules.topology() == Topology::Direct;
        match Past::read(entry, &self.rules.bottle, direct) {
            Past::Nothing => {}
            Past::Not(why, count) => self.not_replayed(why, count),
            Past::Dispatch(id) => self.under_way.begin(id),
            Past::Request(request) => self.replay(&request),
        }
    }

    /// What came of it.
    #[must_use]
    pub fn finish(mut self) -> Summary {
        self.not_replayed(NotReplayed::Unfinished, self.under_way.count());
        self.summary.more_under_way = self.under_way.more();
        self.summary
    }

    fn not_replayed(&mut self, why: NotReplayed, count: u64) {
        if count > 0 {
            *self.summary.not_replayed.entry(why).or_default() += count;
        }
    }

    fn replay(&mut self, request: &PastRequest<'_>) {
        let day = self.day.unwrap_or_else(|| TimeZone::UTC.to_datetime(request.time).date());
        let Some(now) = self.now(request, day) else {
            return self.not_replayed(NotReplayed::NoPath, 1);
        };
        let change = match (request.verdict, now.refusal) {
            (PastVerdict::Denied { by_rule: false, .. }, None) => {
                return self.not_replayed(NotReplayed::Content, 1);
            }
            (PastVerdict::Denied { .. }, None) => Some(Change::NewlyAllowed),
            (PastVerdict::Allowed(_), Some(_)) => Some(Change::NewlyDenied),
            (PastVerdict::Allowed(PastCredential::Known(then)), None)
                if then != now.credential.as_deref() =>
            {
                Some(Change::OtherCredential)
            }
            (PastVerdict::Denied { .. }, Some(_)) | (PastVerdict::Allowed(_), None) => None,
        };
        self.summary.without_query += u64::from(request.had_query);
        let (first, last) = self.summary.span.unwrap_or((request.time, request.time));
        self.summary.span = Some((first.min(request.time), last.max(request.time)));
        match change {
            None if now.refusal.is_some() => self.summary.still_denied += 1,
            None => self.summary.still_allowed += 1,
            Some(change) => {
                let rules = self.rules;
                let entry = || match advice(rules, request, day)? {
                    Advice::Entry(entry) => Some(entry),
                    Advice::Allowed | Advice::Nothing | Advice::Unknown(_) => None,
                };
                self.summary.groups.add(&key(change, request, &now), request, now.rule.as_ref(), entry);
            }
        }
    }

    /// What the rules say of a request; nothing where no request can be made of the record.
    fn now(&mut self, request: &PastRequest<'_>, day: Date) -> Option<Rc<Now>> {
        let PastRequest { scheme, host, port, asked, git, .. } = request;
        let (method, path) = asked.unwrap_or(("CONNECT", ""));
        let asked_for = format!("{scheme} {host} {port} {method} {git} {day} {path}");
        if let Some(known) = self.answers.get(&asked_for) {
            return Some(Rc::clone(known));
        }
        let now = Rc::new(match asked {
            Some((method, path)) => of_answer(&Answer::find(&again(request, method, path)?, self.rules, day)),
            None => of_tunnel(host, *port, self.rules)?,
        });
        if self.answers.len() >= REMEMBERED {
            self.answers.clear();
        }
        self.answers.insert(asked_for, Rc::clone(&now));
        Some(now)
    }
}

/// The request as it can be asked for again. What a record calls a push may have been told from a query or a body:
/// the content type of a push says the same.
fn again(request: &PastRequest<'_>, method: &str, path: &str) -> Option<Asked> {
    let PastRequest { scheme, host, port, git, .. } = request;
    let asks = git.is_push() && method == "GET" && path.ends_with("/info/refs");
    let query = if asks { "?service=git-receive-pack" } else { "" };
    let url = format!("{scheme}://{host}:{port}{path}{query}");
    let push = ("Content-Type".to_owned(), "application/x-git-receive-pack-request".to_owned());
    let fields = if git.is_push() { vec![push] } else { Vec::new() };
    let request = WrittenRequest::parse(method, &url, fields).ok()?;
    Some(Asked { request, body: None::<Bytes> })
}

fn of_answer(answer: &Answer) -> Now {
    let rule = answer.rule.as_ref();
    Now {
        // No record holds a query, and all else was decided before it.
        refusal: answer
            .refusal
            .as_ref()
            .filter(|refusal| {
                !matches!(
                    refusal.reason,
                    Reason::QueryNotAllowed
                        | Reason::GraphqlNotAllowed
                        | Reason::RpcNotAllowed
                        | Reason::PushNotAllowed
                )
            })
            .map(|refusal| (refusal.reason, answer.decided_by)),
        credential: rule.and_then(|rule| rule.credential.as_ref()).map(|it| it.token_ref.clone()),
        rule: rule.map(|rule| RuleNow { id: rule.host.to_string(), pointer: rule.pointer.clone() }),
    }
}

/// A tunnel, of which nothing more is known than where it leads.
fn of_tunnel(host: &str, port: u16, rules: &BottleRules) -> Option<Now> {
    let authority = Authority { host: Host::parse(host).ok()?, port };
    let (target, fields) = (authority.to_string(), HeaderMap::new());
    let refusal = if let Some(first) = &rules.chain.egress_proxy {
        first.connect(&target).err().map(|refusal| (refusal.reason, Proxy::EgressProxy))
    } else {
        let refused = rules.chain.pipelock.connect(&target, &fields).is_err();
        refused.then_some((Reason::HostNotAllowed, Proxy::Pipelock))
    };
    let rule = rules.policy.route(&authority.host);
    Some(Now {
        refusal: refusal.map(|(reason, by)| (reason, Some(by))),
        credential: None,
        rule: rule.map(|route| RuleNow { id: route.host.to_string(), pointer: route.source.clone() }),
    })
}

fn key(change: Change, request: &PastRequest<'_>, now: &Now) -> Key {
    let (method, path) = request.asked.unwrap_or(("CONNECT", ""));
    let standard = request.scheme.default_port() == request.port;
    let port = if standard { String::new() } else { format!(":{}", request.port) };
    let reason = match (request.verdict, now.refusal) {
        (_, Some((reason, _))) => Some(reason.code().to_owned()),
        (PastVerdict::Denied { reason, .. }, None) => Some(reason.to_owned()),
        (PastVerdict::Allowed(_), None) => None,
    };
    let credentials = match request.verdict {
        PastVerdict::Allowed(PastCredential::Known(then)) if change == Change::OtherCredential => {
            Some((then.map(str::to_owned), now.credential.clone()))
        }
        _ => None,
    };
    Key {
        change,
        origin: format!("{}://{}{port}", request.scheme, request.host),
        method: method.to_owned(),
        path: shape::of(path),
        reason,
        decided_by: now.refusal.and_then(|(_, by)| by).map(Proxy::as_str),
        credentials,
    }
}

/// What would allow a request that was refused, as far as its record tells it.
#[must_use]
pub fn advice_on(entry: &Entry, rules: &BottleRules, day: Date) -> Advice {
    let unknown = |why: &str| Advice::Unknown(why.to_owned());
    match Past::read(entry, &rules.bottle, rules.topology() == Topology::Direct) {
        Past::Request(request) if matches!(request.verdict, PastVerdict::Denied { by_rule: true, .. }) => {
            advice(rules, &request, day).unwrap_or(Advice::Nothing)
        }
        Past::Not(NotReplayed::Cut, _) => unknown("a part of the request is masked or cut in the record"),
        Past::Not(NotReplayed::OtherBottle, _) => unknown("the request is one of another bottle"),
        _ => Advice::Nothing,
    }
}

fn advice(rules: &BottleRules, request: &PastRequest<'_>, day: Date) -> Option<Advice> {
    let authority = Authority { host: Host::parse(request.host).ok()?, port: request.port };
    let method = request.asked.map(|(method, _)| Method::parse(method)).transpose().ok()?;
    let path = request.asked.map(|(_, path)| path);
    let is_fetch = request.git == GitOperation::Fetch;
    let wanted = Wanted::new(request.scheme, authority, method, path, is_fetch);
    Some(rules.advice(&wanted, day))
}
