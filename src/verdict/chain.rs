//! Both proxies in a row.

use super::{
    Head,
    egress_proxy::{self, Destination, Leak, Permit, check_content, lfs_operation, pipelock_refusal},
    pipelock::{self, Block, RequestSoFar},
};
use crate::policy::{Authority, GitOperation, Intent, MatchedRule, Reason, Refusal, Route, Scheme};
use bytes::Bytes;
use http::{HeaderMap, Request, Version, header};
use jiff::civil::Date;
use std::sync::Arc;

/// What stands between an agent and the Internet.
pub struct Chain {
    /// The first proxy; a bottle without routes has none.
    pub egress_proxy: Option<egress_proxy::Ruleset>,
    /// The second, or only one.
    pub pipelock: Arc<pipelock::Ruleset>,
}

/// A request as it reaches the first proxy, its syntax checked.
#[derive(Debug)]
pub struct WireRequest {
    /// The CONNECT of its tunnel: target and fields. `None` outside of a tunnel.
    pub connect: Option<(String, HeaderMap)>,
    /// Its method, URI and fields.
    pub request: Request<()>,
    /// Its target as it was received.
    pub target: Bytes,
    /// Its body, where it matters: that of an LFS batch, of GraphQL and of JSON-RPC says what is asked.
    pub body: Option<Bytes>,
}

/// What becomes of a request, as far as heads and rules say it.
#[derive(Debug, Default)]
pub struct Verdict<'r> {
    /// Where it goes, once that is read.
    pub authority: Option<Authority>,
    /// What it asks for, once that is read.
    pub intent: Option<Intent>,
    /// The rule of egress-proxy that allows it.
    pub matched: Option<MatchedRule<'r>>,
    /// Why it is refused, in the words of the first proxy; `None`: it is let through, as far as its head goes.
    pub refusal: Option<Refusal>,
    /// A secret that egress-proxy found in a field.
    pub leak: Option<Leak>,
    /// Why pipelock refuses it.
    pub block: Option<Block>,
    /// What pipelock found and only logs.
    pub findings: Vec<Block>,
    /// The fields as they leave the first proxy, without its own credential.
    pub sent: HeaderMap,
    /// pipelock reads the request, its body too.
    pub inspected: bool,
}

impl Chain {
    /// What becomes of a request on this day.
    #[must_use]
    pub fn verdict(&self, asked: &WireRequest, today: Date) -> Verdict<'_> {
        let mut verdict = Verdict::default();
        if let Some(first) = &self.egress_proxy {
            verdict.refusal = self.through_both(first, asked, today, &mut verdict).err();
        } else {
            let connect = asked.connect.as_ref().map(|(target, fields)| (target.as_str(), fields));
            verdict.sent.clone_from(asked.request.headers());
            verdict.block = self.by_pipelock(connect, &asked.request, &asked.target, &mut verdict).err();
        }
        verdict
    }

    fn through_both<'r>(
        &'r self,
        first: &'r egress_proxy::Ruleset,
        asked: &WireRequest,
        today: Date,
        verdict: &mut Verdict<'r>,
    ) -> Result<(), Refusal> {
        let tunnel = match &asked.connect {
            Some((target, _)) => Some(first.connect(target)?),
            None => None,
        };
        let head = Head::from_request(&asked.request, &asked.target, tunnel.as_ref());
        let destination = Destination::from_head(head)?;
        verdict.authority = Some(destination.authority.clone());
        if destination.authority.host.is_internal() {
            return Ok(());
        }
        let mut intent = first.intent(&destination, head)?;
        let path = destination.target.split(|b| *b == b'?').next().unwrap_or_default();
        if let Some(body) = asked.body.as_ref().filter(|body| !body.is_empty())
            && !intent.git.is_push()
            && GitOperation::is_lfs_batch(path)
        {
            intent.git = lfs_operation(path, asked.request.headers(), body)?;
        }
        let intent = verdict.intent.insert(intent);
        verdict.sent.clone_from(asked.request.headers());
        let permit = first.permit(intent.clone(), &mut verdict.sent, today).inspect_err(|refusal| {
            if refusal.reason == Reason::CredentialInRequest {
                verdict.leak = first.leak(destination.authority.host.as_str(), &verdict.sent);
            }
        })?;
        let route = &permit.matched.rule.route;
        // What a method without a body asks for is known; another's is where its body is.
        let bodyless = || ["GET", "HEAD"].contains(&asked.request.method().as_str()).then(Bytes::new);
        if route.content.hold(&permit.intent.target.path)
            && let Some(body) = asked.body.clone().or_else(bodyless)
        {
            check_content(route, &permit.intent, &verdict.sent, &body)?;
        }
        let Permit { intent: _, matched, uri, handshake: _ } = permit;
        verdict.matched = Some(matched);
        self.onward(route, uri, &destination, asked, verdict)
    }

    /// What the first proxy sends on, and pipelock's word on it.
    fn onward(
        &self,
        route: &Route,
        uri: http::Uri,
        destination: &Destination,
        asked: &WireRequest,
        verdict: &mut Verdict<'_>,
    ) -> Result<(), Refusal> {
        let target: Bytes = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned().into();
        let mut request = Request::new(());
        *request.method_mut() = asked.request.method().clone();
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = uri;
        request.headers_mut().clone_from(&verdict.sent);
        let authority = destination.authority.to_string();
        let mut fields = HeaderMap::new();
        let connect = (destination.scheme == Scheme::Https).then(|| {
            fields.extend(authority.parse().ok().map(|host| (header::HOST, host)));
            (authority.as_str(), &fields)
        });
        self.by_pipelock(connect, &request, &target, verdict).map_err(|block| {
            let refusal = pipelock_refusal(&block, route).refusal;
            verdict.block = Some(block);
            refusal
        })
    }

    fn by_pipelock(
        &self,
        connect: Option<(&str, &HeaderMap)>,
        request: &Request<()>,
        target: &Bytes,
        verdict: &mut Verdict<'_>,
    ) -> Result<(), Block> {
        let tunnel = connect.map(|(target, fields)| self.pipelock.connect(target, fields)).transpose()?;
        if let Some(tunnel) = &tunnel {
            verdict.authority = Some(tunnel.clone());
            if self.pipelock.passes_through(tunnel.host.as_str()) {
                return Ok(());
            }
        }
        let mut so_far = RequestSoFar::default();
        let decided =
            self.pipelock.request(Head::from_request(request, target, tunnel.as_ref()), &mut so_far);
        verdict.findings = so_far.findings;
        verdict.authority = verdict.authority.take().or(so_far.destination.map(|it| it.authority));
        verdict.inspected = decided.is_ok();
        decided
    }
}
