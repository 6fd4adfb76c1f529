//! What an agent asks for.

use super::{LARGEST, ProposalId, field};
use crate::manifest::Manifest;
use crate::policy::{HostRule, Method, WrittenRequest};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A proposal as it is kept, one file each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// The format: 1.
    pub version: u32,
    /// What it is called.
    pub id: ProposalId,
    /// When it was made.
    pub time: Timestamp,
    /// SHA-256 of the routes that held then, in hex.
    pub config: String,
    /// What is asked for.
    pub ask: Ask,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// `egress-proxy-block`.
    EgressProxyBlock(RouteAsk),
    /// `pipelock-block`.
    PipelockBlock(FailedAsk),
}

/// A rule for one host, or more of the one that it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteAsk {
    /// The host: a name, without scheme, port or path.
    pub host: String,
    /// The paths, each with what lies below it: `/repos/acme/app`. As narrow as will do.
    pub path_allowlist: Vec<String>,
    /// The methods. Absent: GET and HEAD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<String>>,
    /// A credential that the proxy puts on, by the name that the person knows it by. Never its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthAsk>,
    /// Why it is needed, for the person who decides: one line of plain text.
    pub justification: String,
}

/// How a credential is put on, as the manifest says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthAsk {
    /// `Bearer`, `token`, `Basic` (with `username`) or `header` (with `name`).
    pub scheme: String,
    /// The name of the variable that has the value on the person's machine.
    pub token_ref: String,
    /// Of `Basic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The field's name, of `header`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A request that pipelock, or a rule, stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailedAsk {
    /// The URL that failed, as it was asked for.
    pub failed_url: String,
    /// Why it is needed, for the person who decides: one line of plain text.
    pub justification: String,
}

impl Proposal {
    /// The proposal of this name in a file that anybody may have written, or what is wrong with it, in a sentence that
    /// repeats nothing of it.
    pub fn read(bytes: &[u8], id: &ProposalId) -> Result<Self, String> {
        let proposal = Self::parse(bytes, id)?;
        let ask = proposal.ask.checked()?;
        Ok(Self { ask, ..proposal })
    }

    /// The same without asking the manifest's code, for whoever wrote it.
    pub(super) fn parse(bytes: &[u8], id: &ProposalId) -> Result<Self, String> {
        if bytes.len() as u64 > LARGEST {
            return Err(format!("it has {} bytes, and may have {LARGEST}", bytes.len()));
        }
        // What serde says would repeat names and values.
        let proposal: Self = serde_json::from_slice(bytes).map_err(|error| {
            format!("it can't be read at line {}, column {}", error.line(), error.column())
        })?;
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if proposal.version != 1 {
            return Err(format!("it has version {}, and this is version 1", proposal.version));
        }
        if proposal.id != *id {
            return Err(format!("it says that it is {}", proposal.id));
        }
        if proposal.config.len() != 64 || !proposal.config.bytes().all(is_digit) {
            return Err("its config is no SHA-256 in hex".to_owned());
        }
        Ok(proposal)
    }
}

impl Ask {
    /// The same in the one form in which it is shown and kept, or what is wrong with it, in a sentence. What holds here
    /// holds wherever a proposal is read: it is asked again on the host.
    pub fn checked(self) -> Result<Self, String> {
        match self {
            Self::EgressProxyBlock(ask) => ask.checked().map(Self::EgressProxyBlock),
            Self::PipelockBlock(ask) => ask.checked().map(Self::PipelockBlock),
        }
    }

    /// Why it is needed, in the agent's words.
    #[must_use]
    pub fn justification(&self) -> &str {
        match self {
            Self::EgressProxyBlock(RouteAsk { justification, .. })
            | Self::PipelockBlock(FailedAsk { justification, .. }) => justification,
        }
    }
}

impl RouteAsk {
    fn checked(mut self) -> Result<Self, String> {
        field::check("host", &self.host, field::HOST)?;
        field::check_all("path_allowlist", &self.path_allowlist, field::PATH)?;
        let methods =
            self.methods.get_or_insert_with(|| [Method::GET, Method::HEAD].map(|it| it.to_string()).to_vec());
        field::check_all("methods", methods, field::WORD)?;
        if let Some(AuthAsk { scheme, token_ref, username, name }) = &self.auth {
            field::check("auth.scheme", scheme, field::WORD)?;
            field::check("auth.token_ref", token_ref, field::WORD)?;
            username.iter().try_for_each(|it| field::check("auth.username", it, field::WORD))?;
            name.iter().try_for_each(|it| field::check("auth.name", it, field::WORD))?;
        }
        field::check("justification", &self.justification, field::JUSTIFICATION)?;
        let rule = self.rule()?;
        self.host = rule.route.host.to_string();
        self.methods = Some(rule.route.methods().iter().map(ToString::to_string).collect());
        Ok(self)
    }

    /// The rule that the manifest's own code reads in it.
    pub fn rule(&self) -> Result<HostRule, String> {
        let document = json!({
            "version": crate::manifest::VERSION,
            "name": "proposal",
            "agent": {"image": "none"},
            "egress_proxy": {"routes": [self.entry()]},
        });
        let loaded = Manifest::load("proposal", document.to_string().as_bytes()).map_err(|report| {
            let found = report.0.first();
            let said =
                found.map(|it| [&it.message].into_iter().chain(&it.hints).cloned().collect::<Vec<_>>());
            format!("the manifest would refuse it: {}", said.unwrap_or_default().join("; "))
        })?;
        loaded.manifest.egress_proxy.routes.into_iter().next().ok_or_else(|| "it comes to no rule".to_owned())
    }

    /// The entry of the manifest that it comes to.
    #[must_use]
    pub fn entry(&self) -> Value {
        let Self { host, path_allowlist, methods, auth, justification: _ } = self;
        let mut entry = Map::new();
        entry.insert("host".to_owned(), json!(host));
        entry.insert("path_allowlist".to_owned(), json!(path_allowlist));
        entry.extend(methods.iter().map(|methods| ("methods".to_owned(), json!(methods))));
        entry.extend(auth.iter().map(|auth| ("auth".to_owned(), json!(auth))));
        Value::Object(entry)
    }
}

impl FailedAsk {
    fn checked(self) -> Result<Self, String> {
        field::check("failed_url", &self.failed_url, field::URL)?;
        field::check("justification", &self.justification, field::JUSTIFICATION)?;
        let asked = WrittenRequest::parse("GET", &self.failed_url, Vec::new());
        let asked = asked.map_err(|error| format!("failed_url: {error}"))?;
        let authority = crate::policy::Authority::parse(&asked.authority, Some(asked.scheme.default_port()));
        authority.map_err(|error| format!("failed_url: the host is malformed: {error}"))?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(change: impl FnOnce(&mut RouteAsk)) -> Result<Ask, String> {
        let mut ask = RouteAsk {
            host: "api.example".to_owned(),
            path_allowlist: vec!["/v1".to_owned()],
            methods: None,
            auth: None,
            justification: "to read releases".to_owned(),
        };
        change(&mut ask);
        Ask::EgressProxyBlock(ask).checked()
    }

    fn refused(change: impl FnOnce(&mut RouteAsk)) -> String {
        route(change).unwrap_err()
    }

    #[test]
    fn a_proposal_has_one_form_and_only_reads_if_it_says_no_method() {
        let Ok(Ask::EgressProxyBlock(ask)) = route(|ask| ask.host = "API.Example.".to_owned()) else {
            panic!()
        };
        assert_eq!(ask.host, "api.example");
        assert_eq!(ask.methods.as_deref(), Some(["GET".to_owned(), "HEAD".to_owned()].as_slice()));
        let again = Ask::EgressProxyBlock(ask.clone()).checked();
        assert_eq!(again, Ok(Ask::EgressProxyBlock(ask)));
    }

    #[test]
    fn what_the_manifest_refuses_is_refused_in_its_words() {
        for (host, said) in [
            ("https://api.example/v1", "the manifest would refuse it: "),
            ("exämple.test", "the manifest would refuse it: "),
            ("10.0.0.1", "the manifest would refuse it: "),
            ("bottle.internal", "the manifest would refuse it: "),
            ("a.test\u{1b}[2J", "host holds the character U+001B"),
            ("", "host is empty"),
        ] {
            let error = refused(|ask| ask.host = host.to_owned());
            assert!(error.starts_with(said), "{host}: {error}");
            assert!(!error.contains('\u{1b}'));
        }
        let error = refused(|ask| ask.path_allowlist = vec!["/a/../b".to_owned()]);
        assert!(error.contains("/a/../b") && error.contains("the manifest would refuse it"), "{error}");
        assert!(refused(|ask| ask.methods = Some(vec!["TRACE".to_owned()])).contains("TRACE"));
        let auth = |scheme: &str| AuthAsk {
            scheme: scheme.to_owned(),
            token_ref: "API_TOKEN".to_owned(),
            username: None,
            name: None,
        };
        assert!(refused(|ask| ask.auth = Some(auth("Basic"))).contains("username"));
        assert!(refused(|ask| ask.auth = Some(auth("Digest"))).contains("Digest"));
        route(|ask| ask.auth = Some(auth("Bearer"))).unwrap();
        assert!(refused(|ask| ask.justification = "x".repeat(501)).contains("may have 500"));
    }

    #[test]
    fn a_field_that_nobody_knows_is_refused() {
        let text = r#"{"host":"a.test","path_allowlist":["/"],"justification":"x","inspect":false}"#;
        let error = serde_json::from_str::<RouteAsk>(text).unwrap_err().to_string();
        assert!(error.contains("unknown field `inspect`"), "{error}");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_without_repeating_it() {
        let id: ProposalId = "0123456789ab".parse().unwrap();
        let ask = r#"{"pipelock-block":{"failed_url":"https://a.test/x","justification":"x"}}"#;
        let file = |id: &str, config: &str, more: &str| {
            format!(
                r#"{{"version":1,"id":"{id}","time":"2026-11-28T10:00:00Z","config":"{config}","ask":{ask}{more}}}"#
            )
        };
        let config = "0".repeat(64);
        Proposal::read(file("0123456789ab", &config, "").as_bytes(), &id).unwrap();
        let long = format!(",\"{}\":1", "e".repeat(5000));
        for (text, said) in [
            (file("0123456789ab", &config, ",\"\\u001b[2J\":1"), "it can't be read at line 1, column "),
            (file("0123456789ab", &config, &long), "it can't be read at line 1, column "),
            (file("\\u001b[2J", &config, ""), "it can't be read at line 1, column "),
            (file("ba9876543210", &config, ""), "it says that it is ba9876543210"),
            (file("0123456789ab", "x", ""), "its config is no SHA-256 in hex"),
            (file("0123456789ab", &config.replace('0', "A"), ""), "its config is no SHA-256 in hex"),
            ("x".repeat(70_000), "it has 70000 bytes, and may have 65536"),
        ] {
            let error = Proposal::read(text.as_bytes(), &id).unwrap_err();
            assert!(error.starts_with(said) && error.len() < 80 && !error.contains('\u{1b}'), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_file_is_a_proposal_in_its_one_form_or_a_short_sentence(
            cut in 0_usize..400,
            put in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..20),
            take in 0_usize..20,
        ) {
            let id: ProposalId = "0123456789ab".parse().unwrap();
            let mut bytes = format!(
                r#"{{"version":1,"id":"{id}","time":"2026-11-28T10:00:00Z","config":"{}","ask":{{"egress-proxy-block":{{"host":"a.test","path_allowlist":["/x"],"methods":["GET"],"justification":"x"}}}}}}"#,
                "0".repeat(64)
            )
            .into_bytes();
            let at = cut.min(bytes.len());
            let end = (at + take).min(bytes.len());
            bytes.splice(at..end, put);
            match Proposal::read(&bytes, &id) {
                Ok(proposal) => {
                    let kept = serde_json::to_vec(&proposal).unwrap();
                    proptest::prop_assert_eq!(Proposal::read(&kept, &id), Ok(proposal));
                    proptest::prop_assert!(kept.iter().all(|byte| *byte >= b' '));
                }
                Err(why) => proptest::prop_assert!(
                    why.len() < 2000 && !why.chars().any(crate::printable::is_unprintable),
                    "{}",
                    why
                ),
            }
        }
    }

    #[test]
    fn a_failed_url_is_a_url_with_a_host_of_the_usual_form() {
        let failed = |url: &str| {
            let (failed_url, justification) = (url.to_owned(), "x".to_owned());
            Ask::PipelockBlock(FailedAsk { failed_url, justification }).checked()
        };
        failed("https://a.test/x?y=1").unwrap();
        for bad in
            ["a.test", "ftp://a.test/", "https://a b/", "https://a.test/\u{202e}", "https://u:p@a.test/"]
        {
            assert!(failed(bad).is_err(), "{bad}");
        }
    }
}
