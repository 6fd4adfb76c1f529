//! What requests must be beside HTTP: GraphQL, or JSON-RPC.

use super::super::findings::{Findings, quoted};
use super::super::item::Item;
use super::super::raw;
use super::paths::{PathKey, Placed, paths};
use crate::policy::{Below, ContentRules, DenyPath, GraphqlOperation, GraphqlRule, PathPattern, RpcRule};

/// Fields, or methods: a person has to read what passes.
const MOST: usize = 200;
const READ: PathKey = PathKey { name: "paths", verb: "read", most: 20 };

/// What stands around the two keys.
pub(super) struct Around<'r> {
    /// The route.
    pub(super) pointer: &'r str,
    pub(super) allowed: Allowed<'r>,
    pub(super) encoded_slash: bool,
}

/// The `path_allowlist`.
#[derive(Clone, Copy)]
pub(super) enum Allowed<'r> {
    /// Some entry could not be read, and is reported.
    Unknown,
    /// Every path.
    Any,
    Only(&'r [Placed<PathPattern>]),
}

pub(super) fn rules(
    graphql: Option<raw::Graphql>,
    rpc: Option<raw::Rpc>,
    around: &Around<'_>,
    findings: &mut Findings<'_>,
) -> ContentRules {
    let pointer = around.pointer;
    if let (Some(one), Some(other)) = (&graphql, &rpc)
        && (one.paths.is_none() || other.paths.is_none())
    {
        let at = format!("{pointer}.rpc");
        let problem = findings.key("graphql-rpc", &at, "no request is both GraphQL and JSON-RPC");
        findings.push(problem.hint("say in `paths` of both where each of them is, or remove one"));
    }
    let graphql = graphql.map(|raw::Graphql { paths, operations, fields }| {
        let key = format!("{pointer}.graphql");
        let mut kinds = Vec::new();
        for (index, kind) in operations.into_iter().flatten().enumerate() {
            let kind = match kind.0 {
                Some(raw::GraphqlOperation::Query) => GraphqlOperation::Query,
                Some(raw::GraphqlOperation::Mutation) => GraphqlOperation::Mutation,
                Some(raw::GraphqlOperation::Subscription) => GraphqlOperation::Subscription,
                None => continue,
            };
            if kinds.contains(&kind) {
                let at = format!("{key}.operations[{index}]");
                let problem = findings.value("duplicate", &at, format!("`{kind}` is listed twice"));
                findings.push(problem.hint("remove one of the two"));
            } else {
                kinds.push(kind);
            }
        }
        let hint =
            "write the name of the field as the schema has it, such as viewer: not its alias or arguments";
        let fields =
            fields.map(|items| names(items, &format!("{key}.fields"), GraphqlRule::is_name, hint, findings));
        let paths = paths.map(|items| places(items, &key, around, findings));
        Below { paths, rule: GraphqlRule { operations: kinds, fields } }
    });
    let rpc = rpc.map(|raw::Rpc { paths, methods }| {
        let key = format!("{pointer}.rpc");
        let hint = "write the whole name as it is sent, such as tools/list: no spaces and no wildcard";
        let written = methods.unwrap_or_default();
        let is_method = |text: &str| RpcRule::is_method(text) && !text.contains('*');
        let methods = names(written, &format!("{key}.methods"), is_method, hint, findings);
        let paths = paths.map(|items| places(items, &key, around, findings));
        Below { paths, rule: RpcRule { methods } }
    });
    ContentRules { graphql, rpc }
}

fn names(
    items: Vec<Item<String>>,
    key: &str,
    is_name: impl Fn(&str) -> bool,
    hint: &str,
    findings: &mut Findings<'_>,
) -> Vec<String> {
    if items.len() > MOST {
        let message = format!("{} entries, and a route has {MOST} at most", items.len());
        let problem = findings.value("too-many", key, message);
        findings.push(problem.hint("nobody can review as many"));
    }
    let mut out: Vec<String> = Vec::new();
    for (index, name) in items.into_iter().take(MOST).enumerate() {
        let Some(name) = name.0 else { continue };
        let at = format!("{key}[{index}]");
        if !is_name(&name) {
            let problem =
                findings.value("graphql-rpc", &at, format!("{} can't be a name here", quoted(&name)));
            findings.push(problem.hint(hint));
        } else if out.contains(&name) {
            let problem = findings.value("duplicate", &at, format!("{} is listed twice", quoted(&name)));
            findings.push(problem.hint("remove one of the two"));
        } else {
            out.push(name);
        }
    }
    out
}

/// Where a rule holds: it must be able to, and there must be something.
fn places(
    items: Vec<Item<String>>,
    key: &str,
    around: &Around<'_>,
    findings: &mut Findings<'_>,
) -> Vec<DenyPath> {
    let at = format!("{key}.paths");
    let entries = paths(&READ, items, DenyPath::parse, key, findings);
    match around.allowed {
        Allowed::Unknown => {}
        Allowed::Any => {
            let problem = findings.key("graphql-rpc", &at, "`paths` needs a `path_allowlist`");
            findings.push(problem.hint(
                "without one a path goes through in any spelling, so no entry could hold; list what is allowed, or remove \
                 `paths`",
            ));
        }
        Allowed::Only(_) if around.encoded_slash => {
            let problem = findings.key("graphql-rpc", &at, "`paths` can't hold beside `encoded_slash`");
            findings.push(problem.hint("some servers take `%2F` for `/`; remove one of the two"));
        }
        Allowed::Only(allowed) => {
            for entry in &entries {
                if !allowed.iter().any(|it| entry.path.within(&it.path).is_some()) {
                    let message = format!("the `path_allowlist` allows nothing below `{}`", entry.path);
                    let problem = findings.value("graphql-rpc", &entry.at, message);
                    findings.push(problem.hint("allow the path as well, or correct its spelling"));
                }
            }
        }
    }
    entries.into_iter().map(|placed| placed.path).collect()
}
