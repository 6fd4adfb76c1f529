//! What is another thing where the upstream project's program does pipelock's work.

use super::{Plan, Topology};
use crate::stack::{LARGEST_BODY, LARGEST_RESPONSE};
use ipnet::IpNet;
use std::collections::BTreeSet;

/// One way in which the upstream program differs from the embedded engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is about.
    pub about: &'static str,
    /// What the upstream program does, and what to do about it.
    pub what: String,
}

impl Plan {
    /// Whether pipelock is the upstream project's program.
    #[must_use]
    pub fn runs_upstream(&self) -> bool {
        self.engine.image().is_some()
    }

    /// The private ranges that every allowed host may be at: the upstream program has one list for all of them.
    #[must_use]
    pub fn shared_addresses(&self) -> Vec<IpNet> {
        let ranges = self.hosts.iter().flat_map(|rule| rule.addresses.iter().copied());
        let ranges: BTreeSet<IpNet> = ranges.filter(|_| self.runs_upstream()).collect();
        ranges.into_iter().collect()
    }

    /// The same for people, where a host may be where its own rule does not let it.
    #[must_use]
    pub fn addresses_of_all(&self) -> Option<String> {
        let shared = self.shared_addresses();
        let is_wider =
            self.hosts.iter().any(|rule| shared.iter().any(|range| !rule.addresses.contains(range)));
        let shown: Vec<String> = shared.iter().map(ToString::to_string).collect();
        is_wider.then(|| shown.join(", "))
    }

    /// Whether a host is reached on every port: pipelock's upstream program knows none, and no egress-proxy stands before
    /// it.
    #[must_use]
    pub fn reaches_every_port(&self) -> bool {
        self.runs_upstream() && self.topology == Topology::Direct
    }

    /// Whether a proxy of bottle's own records requests: egress-proxy, or the embedded engine.
    #[must_use]
    pub fn keeps_records(&self) -> bool {
        !self.runs_upstream() || self.topology == Topology::Chain
    }

    /// How this bottle differs from the same one with the embedded engine; nothing where it has that.
    #[must_use]
    pub fn differences(&self) -> Vec<Difference> {
        if !self.runs_upstream() {
            return Vec::new();
        }
        let chain = self.topology == Topology::Chain;
        let megabytes = |bytes: u64| bytes >> 20;
        let (body, response) = (megabytes(LARGEST_BODY), megabytes(LARGEST_RESPONSE));
        let mut found = vec![
            (
                "audit trail",
                if chain {
                    "pipelock keeps none in the state, only its container's log; egress-proxy keeps its own"
                } else {
                    "there is none: `bottle logs` and `bottle report` read nothing, `docker compose logs pipelock` has lines"
                }
                .to_owned(),
            ),
            (
                "size",
                format!("a request over {body} MiB and a response over {response} MiB are refused, not streamed"),
            ),
            (
                "encoded bodies",
                if chain {
                    "egress-proxy decodes gzip and deflate and refuses others; answers come without coding, range or condition"
                } else {
                    "refused, in requests and responses: clients must ask for `identity`"
                }
                .to_owned(),
            ),
            ("placeholders", "not known to it; none of today's looks like a secret to it".to_owned()),
            (
                "new rules",
                "it takes them when `bottle render` writes them; `bottle reload` restarts it, which cuts requests off"
                    .to_owned(),
            ),
            (
                "`bottle explain`, `bottle test`",
                "answer for pipelock as the embedded engine does; this program may refuse more".to_owned(),
            ),
        ];
        if !chain {
            found.push(("ports", "an allowed host is reached on every port, not on 443 alone".to_owned()));
            let what = "its own pages on the proxy's port (/fetch, /health, /ws, /api) answer the agent";
            found.push(("pages", what.to_owned()));
        }
        if let Some(ranges) = self.addresses_of_all() {
            found.push((
                "addresses",
                format!("every allowed host may be at {ranges}, not its own host alone"),
            ));
        }
        if self.seed_phrases.enabled {
            found.push(("seed phrases", "words of different keys of JSON count as one phrase".to_owned()));
        }
        if self.dlp_warns() {
            let what = "releases after 2.3 refuse a critical finding although `dlp_action` is `warn`";
            found.push(("a secret in a request", what.to_owned()));
        }
        if !self.dlp.patterns.is_empty() {
            let what =
                "searched for by its own decoders, which see no body that it refuses for its size or coding";
            found.push(("patterns", what.to_owned()));
        }
        if self.extra_ca.is_some() {
            found.push((
                "extra_ca",
                "trusted beside the roots that its image has, not beside ours".to_owned(),
            ));
        }
        found.into_iter().map(|(about, what)| Difference { about, what }).collect()
    }
}
