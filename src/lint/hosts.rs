//! Lints of the rules for hosts.

use super::Found;
use crate::diagnostic::Diagnostic;
use crate::policy::{HostRule, Method, OnSecret, PathPattern, RefName, Route, is_model_api};
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
    warn("dlp_action", alters_uploads(rule));
    warn("auth", without_paths(rule).or_else(|| on_a_shared_host(rule)));
    warn("", any_label(rule));
    warn("query", query_and_body(route));
    warn("path_allowlist", graphql_unread(rule));
    warn("", passes_credentials(rule));
    warn("", writes_to_a_forge(rule));
    warn("git.push", pushes_anywhere(rule));
    warn("git.push.refs", pushes_to_the_default_branch(rule));
    warn("git.push.refs", pushes_beyond_branches(rule));
    warn("git.push.delete", deletes_and_creates(rule));
    warn("until", expiry(route, today));
    for (at, method) in route.methods.iter().flatten().enumerate() {
        warn(&format!("methods[{at}]"), unregistered(route, method));
    }
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

fn alters_uploads(rule: &HostRule) -> Option<Diagnostic> {
    let Route { source, host, .. } = &rule.route;
    if rule.on_secret != Some(OnSecret::Redact) || is_model_api(host.as_str()) {
        return None;
    }
    let message = format!("{source}: what is sent to {host} may arrive with secrets replaced by marks");
    let hint = "`redact` is for APIs that talk with a model; others keep what they are sent, so let them refuse it: `dlp_action: block`";
    Some(Diagnostic::warning("redact-alters-uploads", message).hint(hint))
}

fn without_paths(rule: &HostRule) -> Option<Diagnostic> {
    let auth = rule.auth.as_ref().filter(|_| rule.route.path_allowlist.is_none())?;
    let host = &rule.route.host;
    let message =
        format!("{}: the agent may use {} on every path of {host}", rule.route.source, auth.token_ref);
    let warning = Diagnostic::warning("credential-without-paths", message).hint(
        "name the paths that it needs in `path_allowlist`: the credential is good for all that it opens",
    );
    Some(if is_shared(host.as_str()) && writes(&rule.route) {
        warning.hint(format!(
            "{host} serves many tenants: what the agent read could be written to somebody else's account there"
        ))
    } else {
        warning
    })
}

/// Hosts that serve many tenants side by side: a host, in which `*` stands for the rest of a label; where the paths are
/// that this is about; how many segments of a path name a tenant. Of several rows about one host the first that fits
/// counts. A bucket in the host's name is one tenant's, and so is an account that a credential alone decides on.
const SHARED_HOSTS: &[(&str, &str, usize)] = &[
    ("api.github.com", "/user", 1),
    ("api.github.com", "/", 2),
    ("uploads.github.com", "/", 2),
    ("github.com", "/", 1),
    ("gist.github.com", "/", 1),
    ("gitlab.com", "/api/v4/user", 1),
    ("gitlab.com", "/api", 4),
    ("gitlab.com", "/", 1),
    ("codeberg.org", "/api/v1/user", 1),
    ("codeberg.org", "/api", 4),
    ("codeberg.org", "/", 1),
    ("bitbucket.org", "/", 1),
    ("api.bitbucket.org", "/2.0/user", 2),
    ("api.bitbucket.org", "/", 3),
    ("dev.azure.com", "/", 1),
    ("huggingface.co", "/api", 3),
    ("huggingface.co", "/", 1),
    ("storage.googleapis.com", "/storage", 4),
    ("storage.googleapis.com", "/upload", 5),
    ("storage.googleapis.com", "/", 1),
    ("firestore.googleapis.com", "/", 3),
    ("s3.amazonaws.com", "/", 1),
    ("s3-*.amazonaws.com", "/", 1),
    ("s3.*.amazonaws.com", "/", 1),
    ("s3.dualstack.*.amazonaws.com", "/", 1),
    ("sqs.*.amazonaws.com", "/", 1),
    ("*.digitaloceanspaces.com", "/", 1),
    ("api.cloudflare.com", "/", 4),
    ("api.telegram.org", "/", 2),
    ("discord.com", "/", 3),
    ("hooks.slack.com", "/", 2),
];

fn is_host(pattern: &str, host: &str) -> bool {
    let fits = |(wanted, label): (&str, &str)| match wanted.strip_suffix('*') {
        Some(start) => label.starts_with(start),
        None => wanted == label,
    };
    pattern.split('.').count() == host.split('.').count() && pattern.split('.').zip(host.split('.')).all(fits)
}

fn is_shared(host: &str) -> bool {
    SHARED_HOSTS.iter().any(|(pattern, ..)| is_host(pattern, host))
}

/// Whether the path names a tenant of the host.
fn names_a_tenant(host: &str, path: &PathPattern) -> bool {
    let segments = |path: &'_ str| -> Vec<String> {
        path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
    };
    let own = segments(path.as_str());
    let mut rows = SHARED_HOSTS.iter().filter(|(pattern, ..)| is_host(pattern, host));
    let row = rows.find(|(_, below, _)| own.starts_with(&segments(below)));
    let named = own.iter().take_while(|segment| *segment != "*").count();
    row.is_none_or(|(.., needed)| named >= *needed)
}

fn on_a_shared_host(rule: &HostRule) -> Option<Diagnostic> {
    let auth = rule.auth.as_ref().filter(|_| writes(&rule.route))?;
    let Route { source, host, .. } = &rule.route;
    let mut listed = rule.route.path_allowlist.iter().flatten();
    let open = listed.find(|path| !names_a_tenant(host.as_str(), path))?;
    let message = format!(
        "{source}: {host} serves many tenants, and `{}` with {} names none",
        open.as_str(),
        auth.token_ref
    );
    Some(Diagnostic::warning("credential-on-shared-host", message).hint(
        "what the agent read could be written to somebody else's account there; name your own in the path",
    ))
}

/// Somebody else's key is good for writing to their account there.
/// At such a path every change is a POST like every question.
fn graphql_unread(rule: &HostRule) -> Option<Diagnostic> {
    let Route { source, host, path_allowlist, content, .. } = &rule.route;
    let posts = rule.route.methods().contains(&Method::POST);
    let is_endpoint = |path: &&PathPattern| {
        path.as_str().rsplit('/').next().is_some_and(|name| name.eq_ignore_ascii_case("graphql"))
    };
    let path = path_allowlist.iter().flatten().find(is_endpoint)?;
    let auth = rule.auth.as_ref().filter(|_| posts && content.graphql.is_none())?;
    let message = format!("{source}: POST {path} to {host} may change whatever {} may", auth.token_ref);
    Some(
        Diagnostic::warning("graphql-unread", message).hint(format!(
            "`graphql: {{paths: [{path}], operations: [query]}}` lets it ask and change nothing"
        )),
    )
}

/// A server that merges a form with the query may believe the form.
fn query_and_body(route: &Route) -> Option<Diagnostic> {
    let with_body =
        route.methods().iter().find(|method| !["GET", "HEAD", "OPTIONS"].contains(&method.as_str()))?;
    (!route.query.is_empty()).then(|| {
        let Route { source, host, .. } = route;
        let message =
            format!("{source}: {with_body} to {host} may say in its body what `query` refuses in the query");
        Diagnostic::warning("query-and-body", message)
            .hint("servers that read forms merge them with the query; `methods: [GET, HEAD]` has no body")
    })
}

/// Names below a domain are often anybody's to have, and each is a place to send something to.
fn any_label(rule: &HostRule) -> Option<Diagnostic> {
    let Route { source, host, .. } = &rule.route;
    let base = host.base()?;
    let message = format!("{source}: the agent may reach every host one label below {base}");
    Some(
        Diagnostic::warning("wildcard-host", message)
            .hint("whoever can have a name there can receive what the agent sends; name the hosts if they are known")
            .hint("`methods: [GET, HEAD]` and a `path_allowlist` hold there, too"),
    )
}

fn passes_credentials(rule: &HostRule) -> Option<Diagnostic> {
    let Route { source, host, path_allowlist, .. } = &rule.route;
    let open = !rule.guards_fields() && writes(&rule.route) && is_shared(host.as_str());
    let anywhere = path_allowlist
        .as_ref()
        .is_none_or(|listed| listed.iter().any(|path| !names_a_tenant(host.as_str(), path)));
    (open && anywhere).then(|| {
        let message = format!("{source}: {host} serves many tenants, and takes what credential the agent sends");
        Diagnostic::warning("client-credentials", message)
            .hint("with a key that somebody left for it the agent can write what it read to their account there")
            .hint("`client_credentials: strip`, paths that name your own, or `methods: [GET, HEAD]` close that")
    })
}

/// A credential, a method that writes, and a REST API of a forge below the allowed paths.
fn writes_to_a_forge(rule: &HostRule) -> Option<Diagnostic> {
    (rule.auth.is_some() && writes(&rule.route) && reaches_forge_api(&rule.route)).then(|| {
        let message = format!("{}: {} takes writes with a credential", rule.route.source, rule.route.host);
        Diagnostic::warning("forge-api-writes", message)
            .hint("refusing git push is not \"no writes\": contents, blobs and refs can be written by API, whatever `git.push` says")
            .hint("`methods: [GET, HEAD]` makes it read-only")
    })
}

/// A push to every repository that a path reaches.
fn pushes_anywhere(rule: &HostRule) -> Option<Diagnostic> {
    let Route { source, host, path_allowlist, push, .. } = &rule.route;
    let names_a_repository = |path: &PathPattern| {
        let segments: Vec<&str> = path.as_str().split('/').filter(|segment| !segment.is_empty()).collect();
        let is_git = segments.last().is_some_and(|name| name.strip_suffix(".git").is_some());
        !segments.contains(&"*") && (is_git || segments.len() > 1) && names_a_tenant(host.as_str(), path)
    };
    let narrow = path_allowlist.as_ref().is_some_and(|listed| listed.iter().all(names_a_repository));
    (push.is_some() && !narrow).then(|| {
        Diagnostic::warning("push-anywhere", format!("{source}: git.push holds for every repository of {host} that a path reaches"))
            .hint("name each repository in `path_allowlist`: /acme/app.git, and /acme/app for servers that serve it without `.git`")
    })
}

/// A push to what people build and deploy from.
fn pushes_to_the_default_branch(rule: &HostRule) -> Option<Diagnostic> {
    let Route { source, host, push, .. } = &rule.route;
    let refs = &push.as_ref()?.refs;
    let names = ["refs/heads/main", "refs/heads/master"];
    let hit = names.iter().filter_map(|name| RefName::parse(name).ok()).find_map(|name| {
        let entry = refs.iter().find(|entry| entry.matches(&name))?;
        Some((name, entry))
    });
    let (name, entry) = hit?;
    Some(
        Diagnostic::warning(
            "push-to-default-branch",
            format!("{source}: `{entry}` lets the agent push to {name} of {host}, without a person between"),
        )
        .hint("let it push to branches of its own, such as refs/heads/agent/*, and merge them after a look")
        .hint("whoever deploys from that branch runs what the agent wrote"),
    )
}

/// What is neither a branch nor a tag, and what forges and git do by it.
const BEYOND: [(&str, &str); 8] = [
    ("refs/for/", "on Gerrit, a push there opens a change for review, and names who reviews it"),
    ("refs/changes/", "on Gerrit, they are the changes of everybody"),
    ("refs/meta/", "on Gerrit, refs/meta/config says who may do what"),
    ("refs/users/", "on Gerrit, they are accounts"),
    ("refs/pull/", "on GitHub and Gitea, they are pull requests"),
    ("refs/merge-requests/", "on GitLab, they are merge requests"),
    ("refs/notes/", "git shows notes beside the commits of others"),
    ("refs/replace/", "for whoever fetches them, git reads another object in the place of each"),
];

/// A push to refs by which a forge does something.
fn pushes_beyond_branches(rule: &HostRule) -> Option<Diagnostic> {
    let Route { source, host, push, .. } = &rule.route;
    let entry =
        push.as_ref()?.refs.iter().find(|entry| !entry.stays_below(&["refs/heads/", "refs/tags/"]))?;
    let message =
        format!("{source}: `{entry}` lets the agent push refs of {host} that are neither branches nor tags");
    let warning = Diagnostic::warning("push-beyond-branches", message).hint(
        "name branches: refs/heads/agent/*; a forge may do what no rule about refs says by any other ref",
    );
    let known = BEYOND.iter().filter(|(folder, _)| entry.reaches(folder));
    Some(known.fold(warning, |warning, (folder, what)| warning.hint(format!("{folder}*: {what}"))))
}

/// A ref that may be deleted and made may be made anywhere.
fn deletes_and_creates(rule: &HostRule) -> Option<Diagnostic> {
    let Route { source, push, .. } = &rule.route;
    push.as_ref().filter(|push| push.create && push.delete && !push.force)?;
    let message = format!("{source}: git.push.delete beside git.push.create is as good as git.push.force");
    Some(
        Diagnostic::warning("push-delete-is-force", message)
            .hint("a branch that the agent deletes it can make again at another commit, in two pushes")
            .hint("say `force: true` if that is meant, `create: false`, or no `delete`: a person cleans up"),
    )
}

/// Whether a method changes anything (RFC 9110, section 9.2.1).
fn writes(route: &Route) -> bool {
    let writes = |method: &Method| !matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS");
    route.methods().iter().any(writes)
}

/// REST roots of forges that no other API has.
const FORGE_API: [&str; 3] = ["/api/v3/repos", "/api/v1/repos", "/api/v4/projects"];

/// Labels that say that a host is a forge.
const FORGES: [&str; 6] = ["github", "gitlab", "gitea", "forgejo", "codeberg", "git"];

/// Hosts under the name of a forge that serve no API: its pages, and the site of one whose API has a host of its own.
const NO_API: [&str; 4] = [".github.io", ".gitlab.io", ".codeberg.page", ".github.com"];

/// Where GitHub has its API; other hosts have something else at `/repos`.
const GITHUB_API: &str = "/repos";

fn is_forge(host: &str) -> bool {
    let below = format!(".{host}");
    let named = host.split('.').any(|label| FORGES.contains(&label));
    is_github_api(host) || named && !NO_API.iter().any(|end| below.ends_with(end))
}

/// `api.github.com`, and `api.NAME.ghe.com`.
fn is_github_api(host: &str) -> bool {
    host.starts_with("api.") && (host.ends_with(".github.com") || host.ends_with(".ghe.com"))
}

fn reaches_forge_api(route: &Route) -> bool {
    let forge = is_forge(route.host.as_str());
    let Some(allowed) = &route.path_allowlist else { return forge };
    let parse = |root: &&str| PathPattern::parse(root, route.encoded_slash).ok();
    let roots = FORGE_API.iter().chain([GITHUB_API].iter().filter(|_| is_github_api(route.host.as_str())));
    let denied = |root: &PathPattern| route.deny_paths.iter().any(|entry| entry.covers(root));
    // A wide entry reaches such an API only where there is one.
    let reaches = |entry: &PathPattern, root: &PathPattern| {
        if forge { entry.overlaps(root) } else { root.covers(entry) }
    };
    roots.filter_map(parse).any(|root| !denied(&root) && allowed.iter().any(|entry| reaches(entry, &root)))
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

/// A method that the registry does not have: a slip, or one of a server's own.
fn unregistered(route: &Route, method: &Method) -> Option<Diagnostic> {
    let (name, known) = (method.as_str(), Method::registered());
    if known.contains(&name) {
        return None;
    }
    let message = format!("{}: {name} is not a registered method (RFC 9110, section 16.1.1)", route.source);
    let nearest = known
        .iter()
        .filter(|known| !matches!(**known, "CONNECT" | "TRACE" | "PRI"))
        .min_by_key(|known| strsim::damerau_levenshtein(&name.to_ascii_uppercase(), known))?;
    Some(
        Diagnostic::warning("unregistered-method", message)
            .hint(format!("the nearest that is: {nearest}"))
            .hint("a server that does not define it itself refuses it"),
    )
}

/// Each entry is held against each other: of a longer list nobody reads what is said.
const LONGEST_LIST: usize = 200;

/// Entries of the `path_allowlist` that another one allows anyway, by their index.
fn shadowed(route: &Route) -> Vec<(usize, Diagnostic)> {
    let listed = route.path_allowlist.as_deref().unwrap_or_default();
    let listed = if listed.len() > LONGEST_LIST { &[] } else { listed };
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
