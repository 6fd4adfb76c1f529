//! Lints of the rules for hosts.

use super::Found;
use crate::diagnostic::Diagnostic;
use crate::policy::{HostRule, Method, PathPattern, Route};
use jiff::{ToSpan as _, civil::Date};

/// A rule that ends within so many days is said.
const SOON: i64 = 14;

/// Of each rule, in their order.
pub(super) fn lints(hosts: &[HostRule], today: Date) -> Found {
    hosts.iter().flat_map(|rule| of_rule(rule, today)).collect()
}

fn of_rule(rule: &HostRule, today: Date) -> Found {
    let route = &rule.route;
    let mut found = Found::new();
    let mut warn = |key: &str, warning: Option<Diagnostic>| {
        let pointer = if key.is_empty() { route.source.clone() } else { format!("{}.{key}", route.source) };
        found.extend(warning.map(|warning| (pointer, warning)));
    };
    warn("inspect", not_inspected(rule));
    warn("auth", without_paths(rule).or_else(|| on_a_shared_host(rule)));
    warn("", writes_to_a_forge(rule));
    warn("until", expiry(route, today));
    for (at, warning) in shadowed(route) {
        warn(&format!("path_allowlist[{at}]"), Some(warning));
    }
    found
}

fn not_inspected(rule: &HostRule) -> Option<Diagnostic> {
    let Route { source, host, .. } = &rule.route;
    let secret = rule.auth.as_ref().map(|auth| &auth.token_ref);
    Some(match (rule.inspect, secret) {
        (true, _) => return None,
        (false, None) => {
            let message = format!("{source}: pipelock does not look inside TLS to {host}");
            Diagnostic::warning("not-inspected", message)
                .hint("requests to it are not scanned for secrets; keep `inspect: false` for bulk transfers")
        }
        (false, Some(secret)) => {
            let message =
                format!("{source}: requests to {host} carry {secret}, and pipelock does not look into them");
            Diagnostic::warning("credential-not-inspected", message)
                .hint("what the agent sends there with your credential is not scanned for secrets")
                .hint("remove `inspect: false`, or the credential")
        }
    })
}

fn without_paths(rule: &HostRule) -> Option<Diagnostic> {
    let auth = rule.auth.as_ref().filter(|_| rule.route.path_allowlist.is_none())?;
    let host = &rule.route.host;
    let message =
        format!("{}: the agent may use {} on every path of {host}", rule.route.source, auth.token_ref);
    let warning = Diagnostic::warning("credential-without-paths", message).hint(
        "name the paths that it needs in `path_allowlist`: the credential is good for all that it opens",
    );
    Some(match shared(rule) {
        Some(_) => warning.hint(format!(
            "{host} serves many tenants: what the agent read could be written to somebody else's account there"
        )),
        None => warning,
    })
}

/// Hosts that serve many tenants side by side, each in paths of its own: the host, or the end of its name after a
/// dot, and how many segments of a path name a tenant.
const SHARED_HOSTS: &[(&str, usize)] = &[
    ("api.github.com", 2),
    ("uploads.github.com", 2),
    ("github.com", 1),
    ("raw.githubusercontent.com", 1),
    ("gitlab.com", 1),
    ("bitbucket.org", 1),
    ("api.bitbucket.org", 3),
    ("codeberg.org", 1),
    ("dev.azure.com", 1),
    ("huggingface.co", 1),
    ("storage.googleapis.com", 1),
    ("www.googleapis.com", 2),
    ("firestore.googleapis.com", 3),
    ("amazonaws.com", 1),
    ("r2.cloudflarestorage.com", 1),
    ("digitaloceanspaces.com", 1),
    ("api.cloudflare.com", 4),
    ("api.telegram.org", 2),
    ("discord.com", 3),
    ("hooks.slack.com", 2),
    ("slack.com", 2),
    ("api.notion.com", 2),
    ("api.airtable.com", 2),
];

/// The segments of a path that name a tenant of the host, where it has many.
fn shared(rule: &HostRule) -> Option<usize> {
    let host = rule.route.host.as_str();
    let is_below =
        |suffix: &str| host.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    // A bucket in the host's name is one tenant's.
    let is_own = |suffix: &str| {
        matches!(suffix, "amazonaws.com" | "digitaloceanspaces.com" | "r2.cloudflarestorage.com")
            && host.strip_suffix(suffix).is_some_and(|rest| rest.contains(".s3.") || rest.contains(".s3-"))
    };
    let found = SHARED_HOSTS.iter().find(|(suffix, _)| is_below(suffix) && !is_own(suffix));
    found.map(|(_, segments)| *segments)
}

fn on_a_shared_host(rule: &HostRule) -> Option<Diagnostic> {
    let auth = rule.auth.as_ref().filter(|_| writes(&rule.route))?;
    let needed = shared(rule)?;
    let names_nobody = |path: &&PathPattern| {
        let named =
            path.as_str().split('/').skip(1).take_while(|segment| !segment.is_empty() && *segment != "*");
        named.count() < needed
    };
    let open = rule.route.path_allowlist.iter().flatten().find(names_nobody)?;
    let Route { source, host, .. } = &rule.route;
    let message = format!(
        "{source}: {host} serves many tenants, and `{}` with {} names none",
        open.as_str(),
        auth.token_ref
    );
    Some(Diagnostic::warning("credential-on-shared-host", message).hint(
        "what the agent read could be written to somebody else's account there; name your own in the path",
    ))
}

/// A credential, a method that writes, and a REST API of a forge below the allowed paths.
fn writes_to_a_forge(rule: &HostRule) -> Option<Diagnostic> {
    (rule.auth.is_some() && writes(&rule.route) && reaches_forge_api(&rule.route)).then(|| {
        let message = format!("{}: {} takes writes with a credential", rule.route.source, rule.route.host);
        Diagnostic::warning("forge-api-writes", message)
            .hint("refusing git push is not \"no writes\": contents, blobs and refs can be written by API")
            .hint("`methods: [GET, HEAD]` makes it read-only")
    })
}

/// Whether a method changes anything (RFC 9110, section 9.2.1).
fn writes(route: &Route) -> bool {
    let writes = |method: &Method| !matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS");
    route.methods.as_ref().is_none_or(|list| list.iter().any(writes))
}

/// REST roots of forges.
const FORGE_API: [&str; 4] = ["/repos", "/api/v3/repos", "/api/v1/repos", "/api/v4/projects"];

/// Labels that say that a host is a forge, where no path does.
const FORGES: [&str; 6] = ["github", "gitlab", "gitea", "forgejo", "codeberg", "git"];

fn reaches_forge_api(route: &Route) -> bool {
    let Some(allowed) = &route.path_allowlist else {
        let host = route.host.as_str();
        return host.starts_with("api.github.") || host.split('.').any(|label| FORGES.contains(&label));
    };
    let mut roots = FORGE_API.iter().filter_map(|root| PathPattern::parse(root, route.encoded_slash).ok());
    let denied = |root: &PathPattern| route.deny_paths.iter().any(|entry| entry.covers(root));
    roots.any(|root| !denied(&root) && allowed.iter().any(|entry| entry.overlaps(&root)))
}

fn expiry(route: &Route, today: Date) -> Option<Diagnostic> {
    let until = route.until?;
    let Route { source, host, .. } = route;
    if until < today {
        let message = format!("{source}: the rule for {host} allows nothing since {until} is over");
        let hint = "remove the rule, or set a later `until`";
        return Some(Diagnostic::warning("rule-expired", message).hint(hint));
    }
    let soon = today.checked_add(SOON.days()).unwrap_or(Date::MAX);
    (until <= soon).then(|| {
        let message = format!("{source}: {until} is the last day of the rule for {host}");
        let hint = "after it every request to the host is refused (`rule_expired`); set a later `until` if it is still needed";
        Diagnostic::warning("rule-expires-soon", message).hint(hint)
    })
}

/// Entries of the `path_allowlist` that another one allows anyway, by their index.
fn shadowed(route: &Route) -> Vec<(usize, Diagnostic)> {
    let listed = route.path_allowlist.as_deref().unwrap_or_default();
    let mut found = Vec::new();
    for (at, path) in listed.iter().enumerate() {
        let around = listed.iter().enumerate().find(|(other, wide)| *other != at && wide.covers(path));
        if let Some((_, wide)) = around {
            let message = format!(
                "{}: `{}` allows nothing that `{}` does not allow already",
                route.source,
                path.as_str(),
                wide.as_str()
            );
            let hint = format!("remove it; or remove `{}`, if the narrow one is meant", wide.as_str());
            found.push((at, Diagnostic::warning("shadowed-path", message).hint(hint)));
        }
    }
    found
}
