//! The agent's environment: what makes its tools use the gate, trust its CA and start without a credential.

use super::{Variable, placeholder};
use crate::manifest::Manifest;
use crate::policy::{Method, Route};
use crate::stack::{GATE, GATE_URL, NO_PROXY, NODE_SWITCH, TRUST_BUNDLE, TRUST_STORE};
use std::collections::BTreeMap;

const WHY_PROXY: &str = "the gate is the only way out; the variable is a convenience, not the wall";
const WHY_NO_PROXY: &str =
    "empty, since Compose would add what the Docker client's own configuration says, a password included";
const WHY_LOOPBACK: &str = "the agent's own services are reached directly; dialects differ, so loopback only";
const WHY_TRUST: &str = "the proxy ends TLS with a CA of its own";
const WHY_JAVA: &str = "Java reads neither proxy variables nor PEM bundles; Maven 3.9 and newer reads Java's properties where told to";
const WHY_NODE: &str = "Node's own fetch ignores the proxy variables without it (Node 24 and newer; older ones need an agent library)";
const WHY_HOME: &str = "a volume that outlives the container (agent.home)";
const WHY_YARN: &str = "Yarn 2 and newer reads no proxy variable but its own";
const WHY_CARGO: &str = "cargo's own git knows no rewriting and no proxy for ssh: it asks git";
const WHY_SAFE: &str = "git works in a mount whose owner is another user";
const WHY_GIT: &str = "`git@HOST:` remotes of hosts that may serve git go over https, where rules apply";

/// One variable for each family of tools; all of them name the same bundle.
const TRUST: [&str; 10] = [
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "CURL_CA_BUNDLE",
    "DENO_CERT",
    "GIT_SSL_CAINFO",
    "NIX_SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
];

/// Variables of single tools: name, value, why.
const DIALECTS: [(&str, &str, &str); 3] = [
    ("CARGO_NET_GIT_FETCH_WITH_CLI", "true", WHY_CARGO),
    ("YARN_HTTPS_PROXY", GATE_URL, WHY_YARN),
    ("YARN_HTTP_PROXY", GATE_URL, WHY_YARN),
];

/// Every variable that the `proxies` of a Docker client's configuration turn into (docker/cli,
/// `cli/config/configfile`): Compose adds each one that a service does not set itself, also a proxy's password.
pub const PROXY_VARIABLES: [&str; 10] = [
    "ALL_PROXY",
    "FTP_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "all_proxy",
    "ftp_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

fn java() -> String {
    let (host, port) = (GATE.ip(), GATE.port());
    format!(
        "-Dhttp.proxyHost={host} -Dhttp.proxyPort={port} -Dhttps.proxyHost={host} -Dhttps.proxyPort={port} \
         -Dhttp.nonProxyHosts=localhost|127.*|[::1] -Djavax.net.ssl.trustStore={TRUST_STORE} \
         -Djavax.net.ssl.trustStoreType=PKCS12 -Djavax.net.ssl.trustStorePassword=changeit \
         -Daether.connector.http.useSystemProperties=true"
    )
}

/// Whether bottle decides this variable, whatever the manifest allows.
#[must_use]
pub fn is_ours(name: &str) -> bool {
    PROXY_VARIABLES.contains(&name)
        || TRUST.contains(&name)
        || DIALECTS.iter().any(|(own, ..)| *own == name)
        || ["HOME", "JAVA_TOOL_OPTIONS", NODE_SWITCH].contains(&name)
        || name.starts_with("GIT_CONFIG_")
        || placeholder::is_set_beside_a_credential(name)
}

/// Whether a variable is bottle's own. A name that bottle sets beside some credential only may be the manifest's, with
/// another value.
#[must_use]
pub fn is_set_by_bottle(name: &str, value: &str) -> bool {
    if placeholder::is_set_beside_a_credential(name) {
        placeholder::is_as_set(name, value)
    } else {
        is_ours(name)
    }
}

/// Every variable, by bottle and by the manifest, which can't hold a name that bottle sets (`env` in
/// `manifest/parse/env.rs`).
pub(super) fn resolve(manifest: &Manifest) -> BTreeMap<String, Variable> {
    let mut variables = BTreeMap::new();
    let mut set = |name: &str, value: &str, why: &'static str| {
        variables.insert(
            name.to_owned(),
            Variable { value: value.to_owned(), why: Some(why), placeholder: false },
        );
    };
    for name in PROXY_VARIABLES {
        set(name, "", WHY_NO_PROXY);
    }
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
        set(name, GATE_URL, WHY_PROXY);
    }
    for name in ["NO_PROXY", "no_proxy"] {
        set(name, NO_PROXY, WHY_LOOPBACK);
    }
    for name in TRUST {
        set(name, TRUST_BUNDLE, WHY_TRUST);
    }
    set("JAVA_TOOL_OPTIONS", &java(), WHY_JAVA);
    set(NODE_SWITCH, "1", WHY_NODE);
    if let Some(home) = &manifest.agent.home {
        set("HOME", home.as_str(), WHY_HOME);
    }
    for (name, value, why) in DIALECTS {
        set(name, value, why);
    }
    for (name, value, why) in git_config(manifest) {
        set(&name, &value, why);
    }
    for (name, variable) in stand_ins(manifest) {
        variables.insert(name, variable);
    }
    for (name, value) in &manifest.agent.env {
        let own = Variable { value: value.clone(), why: None, placeholder: false };
        variables.entry(name.clone()).or_insert(own);
    }
    variables
}

/// `GIT_CONFIG_COUNT` and its keys and values: two rewrites for each host that may serve git, and trust in every
/// folder, since all that the agent sees is the agent's.
fn git_config(manifest: &Manifest) -> Vec<(String, String, &'static str)> {
    let hosts = manifest.hosts().map(|rule| &rule.route).filter(|route| may_serve_git(route));
    let rewrites = hosts.filter_map(|route| route.host.exact()).flat_map(|host| {
        let key = format!("url.https://{host}/.insteadOf");
        [(key.clone(), format!("git@{host}:"), WHY_GIT), (key, format!("ssh://git@{host}/"), WHY_GIT)]
    });
    let safe = ("safe.directory".to_owned(), "*".to_owned(), WHY_SAFE);
    let settings: Vec<_> = rewrites.chain([safe]).collect();
    let count = ("GIT_CONFIG_COUNT".to_owned(), settings.len().to_string(), WHY_SAFE);
    let pairs = settings.into_iter().enumerate().flat_map(|(at, (key, value, why))| {
        [(format!("GIT_CONFIG_KEY_{at}"), key, why), (format!("GIT_CONFIG_VALUE_{at}"), value, why)]
    });
    std::iter::once(count).chain(pairs).collect()
}

/// A fetch is a GET and a POST on the https port.
fn may_serve_git(route: &Route) -> bool {
    route.ports.contains(&443) && route.allows_method(&Method::GET) && route.allows_method(&Method::POST)
}

fn stand_ins(manifest: &Manifest) -> BTreeMap<String, Variable> {
    let mut variables = BTreeMap::new();
    let names = manifest.hosts().filter_map(|rule| rule.auth.as_ref()).map(|auth| &auth.token_ref);
    for known in names.filter_map(|name| placeholder::known(name)) {
        let mut set = |name: &str, value: &str, placeholder| {
            variables.insert(
                name.to_owned(),
                Variable { value: value.to_owned(), why: Some(known.why), placeholder },
            );
        };
        set(known.name, known.value, true);
        for (name, value) in known.switches {
            set(name, value, false);
        }
    }
    variables
}
