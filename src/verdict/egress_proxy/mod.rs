//! What egress-proxy decides from a CONNECT and from the head of a request: authority, route, git, date, path, method,
//! upgrade, and secrets in fields.

mod authority;
mod fields;
mod leak;
mod pipelock_answer;
mod read_body;

pub use authority::{Destination, server_name_differs};
pub use fields::{strip_internal, strip_trailers};
pub use leak::Leak;
pub use pipelock_answer::{PipelockAnswer, PipelockRefusal, pipelock_refusal};
pub use read_body::{READ_BODY, check_content, lfs_operation};

use crate::config::routes::{RoutesFile, RuleError};
use crate::dlp::{OwnSecrets, Scanner, Scanners, Settings, SettingsError};
use crate::policy::{
    Authority, CREDENTIAL_FIELDS, HostRule, Intent, MatchedRule, Method, Policy, PolicyError, Reason,
    Refusal, refuse_upgrade,
};
use crate::verdict::Head;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use jiff::civil::Date;
use std::{collections::BTreeSet, fmt::Display, sync::Arc};

/// Why a file is no rules.
#[derive(Debug, thiserror::Error)]
pub enum RulesetError {
    /// A rule that is none.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// Rules that contradict each other.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The built-in patterns can't be set up.
    #[error(transparent)]
    Scanner(#[from] SettingsError),
}

/// What egress-proxy decides by.
pub struct Ruleset<R = HostRule> {
    /// At most one rule for each host.
    pub policy: Policy<R>,
    scanners: Scanners,
    own: OwnSecrets,
    credential_fields: Arc<[HeaderName]>,
}

impl Ruleset {
    /// From the config.
    pub fn from_file(file: &RoutesFile) -> Result<Self, RulesetError> {
        Self::new(file.rules()?, file)
    }
}

impl<R: AsRef<HostRule>> Ruleset<R> {
    /// From rules in any form, and what the config says besides.
    pub fn new(rules: impl IntoIterator<Item = R>, file: &RoutesFile) -> Result<Self, RulesetError> {
        let policy = Policy::from_rules(rules)?;
        let auths = policy.rules().iter().filter_map(|rule| rule.as_ref().auth.as_ref());
        let injected = auths.map(|auth| auth.header.as_str());
        let names: BTreeSet<&str> = CREDENTIAL_FIELDS.iter().copied().chain(injected).collect();
        let credential_fields = names.into_iter().filter_map(|name| name.parse().ok()).collect();
        let settings = Settings { custom: file.patterns.clone(), ..Settings::default() };
        let scanners = Scanners::new(settings, &file.exceptions)?;
        Ok(Self { policy, scanners, own: OwnSecrets::default(), credential_fields })
    }

    /// The same with the credentials that are held, which no request may carry.
    #[must_use]
    pub fn holding(self, own: OwnSecrets) -> Self {
        Self { own, ..self }
    }

    /// The credentials that are held; none where they are not known.
    #[must_use]
    pub fn own(&self) -> &OwnSecrets {
        &self.own
    }

    /// What reads that which is sent to a host.
    #[must_use]
    pub fn scanner_of(&self, host: &str) -> &Scanner {
        self.scanners.of(host)
    }

    /// What is masked in what is logged: also what passes to some hosts.
    #[must_use]
    pub fn logged(&self) -> &Scanner {
        self.scanners.all()
    }

    /// Every field in which a client could send a credential of its own: the well-known ones, and those that any
    /// route of this bottle injects.
    #[must_use]
    pub fn credential_fields(&self) -> &Arc<[HeaderName]> {
        &self.credential_fields
    }

    /// Decides on a CONNECT to `target`, in authority-form. An unknown host is refused in its tunnel.
    pub fn connect(&self, target: &str) -> Result<Authority, Refusal> {
        authority::at_connect(target, &self.policy)
    }

    /// What a request for this destination asks for, but for an LFS batch, whose body says it.
    pub fn intent(&self, destination: &Destination, head: Head<'_>) -> Result<Intent, Refusal> {
        let Destination { scheme, authority, target } = destination;
        let route = self.policy.route(&authority.host);
        let content_type = authority::content_type(head.headers)?;
        Intent::read(*scheme, authority, &Method::from(head.method), target, content_type, route)
    }

    /// Decides on a request, and takes off its fields what does not leave.
    pub fn permit(
        &self,
        intent: Intent,
        headers: &mut HeaderMap,
        today: Date,
    ) -> Result<Permit<'_, R>, Refusal> {
        let matched = self.policy.decide(&intent, today)?;
        let rule = matched.rule.as_ref();
        let HostRule { route, client, auth, inspect: _, on_secret: _, addresses: _ } = rule;
        let upgrades = headers.get_all(header::UPGRADE);
        refuse_upgrade(upgrades.iter().map(HeaderValue::as_bytes), route)?;
        fields::strip(headers);
        if rule.guards_fields() {
            fields::keep(headers, client);
            let query = intent.target.query.as_deref().unwrap_or_default();
            if let Some(name) = client.refused_parameter(query) {
                return Err(fields::parameter_refused(&name, rule));
            }
        }
        if auth.is_some() {
            // What comes back is searched for the credential.
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if let Some(refusal) = self.own_secret(&intent, headers, route) {
            return Err(refusal);
        }
        match self.leak(route.host.as_str(), headers) {
            Some(leak) => Err(leak.refusal(route)),
            None => Ok(Permit { uri: uri(&intent)?, intent, matched }),
        }
    }
}

/// A request that may be sent on, with all that it means.
#[derive(Debug)]
pub struct Permit<'r, R = HostRule> {
    /// What was decided on.
    pub intent: Intent,
    /// The rule that allows it.
    pub matched: MatchedRule<'r, R>,
    /// Scheme, authority and target as they are sent.
    pub uri: Uri,
}

/// A request whose syntax has a fault.
#[must_use]
pub fn malformed(fault: impl Display) -> Refusal {
    let message = format!("the request is malformed: {fault}; retrying does not help");
    Refusal::new(Reason::MalformedRequest, message)
}

/// The bytes that were matched are the bytes that are sent, or nothing is.
fn uri(intent: &Intent) -> Result<Uri, Refusal> {
    let authority = if intent.authority.port == intent.scheme.default_port() {
        intent.authority.host.to_string()
    } else {
        intent.authority.to_string()
    };
    let target = intent.target.to_string();
    Uri::builder()
        .scheme(intent.scheme.as_str())
        .authority(authority)
        .path_and_query(target.as_str())
        .build()
        .ok()
        .filter(|uri| uri.path_and_query().is_some_and(|sent| sent.as_str() == target))
        .ok_or_else(|| {
            Refusal::new(
                Reason::MalformedTarget,
                "the target holds characters that must be percent-encoded; retrying does not help",
            )
        })
}
