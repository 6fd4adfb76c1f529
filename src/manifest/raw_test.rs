//! Expectations as they are written: the one source of their schema, in a manifest and beside it.

use super::item::Item;
use crate::policy::{Basis, Reason};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{borrow::Cow, collections::BTreeMap};

/// Expectations beside a manifest: what `NAME.bottle-test.yaml` holds.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "bottle expectations", example = json!({
    "tests": [
        {"allow": "GET https://api.github.com/repos/acme/app", "credential": "GITHUB_TOKEN"},
        {"deny": "POST https://api.github.com/repos/acme/app/issues", "reason": "method_not_allowed"},
    ],
}))]
pub(super) struct TestFile {
    /// The manifest, relative to this file. Default: `NAME.bottle.yaml` beside `NAME.bottle-test.yaml`, else
    /// `bottle.yaml` beside it.
    #[schemars(example = &"bottle.yaml")]
    pub(super) manifest: Option<String>,
    /// Requests and what must become of them.
    #[schemars(
        with = "Vec<Item<Test>>",
        length(min = 1),
        example = json!([{"allow": "GET https://api.github.com/repos/acme/app"}])
    )]
    pub(super) tests: Option<Vec<Item<Test>>>,
}

/// A request, and what must become of it. Either `allow` or `deny`; the other keys say more.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Test {
    /// A name for reports. Default: the request.
    #[schemars(example = &"the agent reads its own repository")]
    pub(super) name: Option<String>,
    /// A request that must be let through: a method and a whole URL, both as they would be sent.
    #[schemars(example = &"GET https://api.github.com/repos/acme/app")]
    pub(super) allow: Option<String>,
    /// A request that must be refused.
    #[schemars(example = &"DELETE https://api.github.com/repos/acme/app")]
    pub(super) deny: Option<String>,
    /// Fields of the request.
    #[schemars(with = "Option<BTreeMap<String, String>>", example = json!({"Content-Type": "application/json"}))]
    pub(super) headers: Option<Map<String, Value>>,
    /// The body of the request, as it would be sent.
    #[schemars(example = &"{\"title\": \"hello\"}")]
    pub(super) body: Option<String>,
    /// The same from a file in the folder of this one, or below it.
    #[schemars(example = &"./fixtures/upload.bin")]
    pub(super) body_file: Option<String>,
    /// The day to decide on (UTC). Default: `--now`, else today.
    #[schemars(extend("format" = "date"), example = &"2027-03-31")]
    pub(super) now: Option<String>,
    /// Beside `deny`: the code of the reason, as `bottle explain` and `X-Bottle-Reason` say it.
    #[schemars(with = "Option<DecidedReason>", example = &"method_not_allowed")]
    pub(super) reason: Option<String>,
    /// Beside `deny`: the proxy that refuses.
    #[schemars(example = &"egress-proxy")]
    pub(super) by: Option<By>,
    /// Beside `allow`: the `token_ref` of the credential that is set; `none` if none must be.
    #[schemars(example = &"GITHUB_TOKEN")]
    pub(super) credential: Option<String>,
    /// What decides, as a pointer into the manifest: a rule, a key of it, or an entry of its lists.
    #[schemars(example = &"egress_proxy.routes[0].path_allowlist[1]")]
    pub(super) rule: Option<String>,
}

/// The proxy that refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(super) enum By {
    #[serde(rename = "egress-proxy")]
    EgressProxy,
    #[serde(rename = "pipelock")]
    Pipelock,
}

/// The reasons that need neither a network nor an origin: the others can't be asked for here.
struct DecidedReason;

impl JsonSchema for DecidedReason {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Reason".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let decided = Reason::ALL.iter().filter(|reason| reason.basis() != Basis::Moment);
        let codes: Vec<&str> = decided.map(|reason| reason.code()).collect();
        schemars::json_schema!({"type": "string", "enum": codes})
    }
}
