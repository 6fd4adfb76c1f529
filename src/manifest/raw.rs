//! The manifest as it is written: the shapes that the schema, the editor's completion and the reference in
//! `docs/` are generated from.
//!
//! A field that must be there is `Option` all the same, with the inner type as its schema: the schema reports
//! what is missing or of the wrong type, and the stages after it still see everything else ([`super::schema_check`]).
//! Every key carries a description and an example; a test asserts it.

use super::item::Item;
use super::raw_test::Test;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{borrow::Cow, collections::BTreeMap};

/// A bottle: what an agent runs in, and what it may reach from there.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "bottle manifest", example = manifest_example())]
pub(super) struct Manifest {
    /// The format of this file.
    #[expect(dead_code, reason = "the schema allows one value")]
    #[schemars(with = "Version", example = 1)]
    pub(super) version: Option<u64>,
    /// A DNS label: lower-case letters, digits and hyphens. Names of containers, networks and volumes derive
    /// from it.
    #[schemars(with = "String", example = &"dev")]
    pub(super) name: Option<String>,
    /// The container that the agent works in.
    #[schemars(with = "Agent", example = json!({"image": "debian:12", "command": ["bash"], "workdir": "/work"}))]
    pub(super) agent: Option<Agent>,
    /// Containers that the agent needs beside it, such as a database, by name: a DNS label. They share the agent's
    /// network namespace, so each reaches the other on 127.0.0.1 and nothing else.
    #[schemars(example = json!({"db": {"image": "postgres:17", "env": {"POSTGRES_PASSWORD": "local"}, "volumes": ["/var/lib/postgresql/data"]}}))]
    pub(super) services: Option<BTreeMap<String, Service>>,
    /// The proxy that holds the rules and the credentials. Without it a bottle has no path rule and no refusal of
    /// `git push`, and the agent talks straight to pipelock.
    #[schemars(example = json!({"routes": [{"host": "api.github.com", "methods": ["GET", "HEAD"]}]}))]
    pub(super) egress_proxy: Option<EgressProxy>,
    /// Hosts without rules of their own, and the way out.
    #[schemars(example = json!({"allowlist": ["raw.example"], "dlp_action": "block"}))]
    pub(super) egress: Option<Egress>,
    /// The last proxy before the Internet: it checks hosts, addresses and what leaves.
    #[schemars(example = json!({"engine": "embedded"}))]
    pub(super) pipelock: Option<Pipelock>,
    /// Whether the agent can ask for what it was refused: a service takes its proposals over MCP, at
    /// `http://bottle.internal/mcp`, and a person on this machine approves or rejects each. Nothing is allowed by asking.
    /// Needs `egress_proxy.routes`. Default: false.
    #[schemars(example = true)]
    pub(super) supervise: Option<bool>,
    /// What `bottle render` says about this file.
    #[schemars(example = json!({"allow": [{"code": "forge-api-writes", "reason": "the agent opens pull requests"}]}))]
    pub(super) lints: Option<Lints>,
    /// A baseline that this file must lie within, relative to this file: a manifest whose name and image may be left
    /// out, and which says the most that the agent may be allowed. Whoever can change this file can remove the key;
    /// `bottle render --within FILE` in a pipeline can't be removed by it.
    #[schemars(example = &"../baseline.yaml")]
    pub(super) within: Option<String>,
    /// Requests and what must become of them; `bottle test` asks the rules. They change nothing of what the agent can
    /// do. A file `NAME.bottle-test.yaml` beside the manifest holds the same list, under the same key.
    #[schemars(length(min = 1), example = json!([{"allow": "GET https://api.github.com/repos/acme/app"}]))]
    pub(super) tests: Option<Vec<Item<Test>>>,
}

fn manifest_example() -> Value {
    json!({
        "version": 1,
        "name": "dev",
        "agent": {"image": "debian:12", "mounts": [{"source": ".", "target": "/work"}]},
        "egress_proxy": {"routes": [{
            "host": "api.github.com",
            "path_allowlist": ["/repos/acme/app"],
            "methods": ["GET", "HEAD"],
            "auth": {"scheme": "token", "token_ref": "GITHUB_TOKEN"},
        }]},
    })
}

/// The container that the agent works in. It has no network but loopback, and on it the way to the proxy.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Agent {
    /// The image, by name. Either this or `build`.
    #[schemars(example = &"debian:12")]
    pub(super) image: Option<String>,
    /// The image, built from a Dockerfile. Either this or `image`. A context inside a mount is read-only to the
    /// agent, so that it can't write the Dockerfile of its own next build.
    #[schemars(example = json!({"context": "./agent"}))]
    pub(super) build: Option<Build>,
    /// What to run; the image must contain it. Absent: the image's own command.
    #[schemars(example = ["claude", "--dangerously-skip-permissions"])]
    pub(super) command: Option<Vec<Item<String>>>,
    /// Who runs it: a name of the image, a uid, or `UID:GID`, in quotes if it is a number. Absent: the owner of the
    /// first writable mount, as each machine has it, so that the agent can write there and its files are yours;
    /// never root. Without a writable mount: the image's own.
    #[schemars(example = &"node", example = &"1000:1000")]
    pub(super) user: Option<String>,
    /// The folder to start in, an absolute path. Absent: the image's own.
    #[schemars(example = &"/work")]
    pub(super) workdir: Option<String>,
    /// The agent's home folder (`HOME`), an absolute path, or `false` for the image's own. It is a named volume: logins,
    /// histories, caches and sessions are there again in the next container. A new one begins with what the image has
    /// at that path. `bottle down --volumes` removes it. Default: /home/agent.
    #[schemars(example = &"/home/node", example = false)]
    pub(super) home: Option<Home>,
    /// What the agent sees of this machine.
    #[schemars(example = json!([{"source": ".", "target": "/work"}]))]
    pub(super) mounts: Option<Vec<Item<Mount>>>,
    /// Environment variables, literally: nothing is substituted. A name that bottle sets itself is an error, and
    /// credentials don't belong here.
    #[schemars(with = "Option<BTreeMap<String, String>>", example = json!({"EDITOR": "vi"}))]
    pub(super) env: Option<Env>,
    /// Ports of the agent, or of a service beside it, that this machine shows on 127.0.0.1 and nowhere else: `"HOST:AGENT"`,
    /// or one number for both. TCP, with a server on 127.0.0.1 or 0.0.0.0 there. A page that a browser opens from such a
    /// port can send what it likes to the Internet.
    #[schemars(length(min = 1), example = json!(["3000:3000", 5173]))]
    pub(super) publish: Option<Vec<Item<Publish>>>,
    /// Whether the image's own files are read-only to the agent. Default: false.
    #[schemars(example = true)]
    pub(super) read_only: Option<bool>,
    /// The engine's container runtime for the agent, by the name that the engine has it under. It must use the
    /// namespace that it is given: gVisor (`runsc`) does with `--network=host`; Kata does not. Absent: the engine's
    /// default.
    #[schemars(example = &"runsc")]
    pub(super) runtime: Option<String>,
    /// What the agent may use of this machine.
    #[schemars(example = json!({"memory": "8g", "cpus": 2, "pids": 4096}))]
    pub(super) resources: Option<Resources>,
}

/// A path, or `false`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum Home {
    /// An absolute path.
    Path(String),
    /// `false`: the image's own home, which ends with the container. `true`: the default.
    Kept(bool),
}

/// A port, or two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum Publish {
    /// The same on both sides.
    Both(u64),
    /// `HOST:AGENT`, or one port.
    Text(String),
}

/// What a container may use of this machine. Each limit has a default that leaves the machine alive.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Resources {
    /// Memory, as a whole number with `k`, `m` or `g` (powers of 1024). There is no swap beside it. Default: three
    /// quarters of what the machine has; 1g for a service.
    #[schemars(example = &"8g")]
    pub(super) memory: Option<String>,
    /// Processors, at most; a fraction is possible. Default: all of them, at half the weight of other work.
    #[schemars(example = 2)]
    pub(super) cpus: Option<f64>,
    /// Processes and threads, at most. Default: 4096; 1024 for a service.
    #[schemars(example = 4096)]
    pub(super) pids: Option<u32>,
}

/// A container beside the agent, in its network namespace. It sees nothing of this machine, has no port and no proxy, and
/// holds no credential of the bottle.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    /// The image, by name.
    #[schemars(with = "String", example = &"postgres:17")]
    pub(super) image: Option<String>,
    /// What to run, after the image's entry point. Absent: the image's own command.
    #[schemars(example = ["postgres", "-c", "fsync=off"])]
    pub(super) command: Option<Vec<Item<String>>>,
    /// Who runs it, without any capability: a name of the image, a uid, or `UID:GID`, in quotes if it is a number. Absent: the
    /// image's own user, with the five capabilities that an image needs which begins as root and becomes somebody else
    /// (CHOWN, `DAC_OVERRIDE`, FOWNER, SETGID, SETUID).
    #[schemars(example = &"postgres", example = &"999:999")]
    pub(super) user: Option<String>,
    /// Environment variables, literally: nothing is substituted. A proxy variable is an error, and credentials don't belong
    /// here.
    #[schemars(with = "Option<BTreeMap<String, String>>", example = json!({"POSTGRES_PASSWORD": "local"}))]
    pub(super) env: Option<Env>,
    /// Folders that stay, absolute paths in the service: each is a named volume, and a new one begins with what the image has
    /// there. `bottle down --volumes` removes them.
    #[schemars(length(min = 1), example = ["/var/lib/postgresql/data"])]
    pub(super) volumes: Option<Vec<Item<String>>>,
    /// What the service may use of this machine.
    #[schemars(example = json!({"memory": "2g"}))]
    pub(super) resources: Option<Resources>,
}

/// Names and literal values, in the order written.
pub(super) type Env = serde_json::Map<String, Value>;

/// How the agent's image is built.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Build {
    /// The folder that is sent to the builder, relative to this file.
    #[schemars(with = "String", example = &"./agent")]
    pub(super) context: Option<String>,
    /// The Dockerfile: a file in the context, relative to it. Default: `Dockerfile`.
    #[schemars(example = &"Dockerfile.agent")]
    pub(super) dockerfile: Option<String>,
    /// Build arguments, literally. They are stored in the image: no place for credentials.
    #[schemars(with = "Option<BTreeMap<String, String>>", example = json!({"NODE_VERSION": "24"}))]
    pub(super) args: Option<Env>,
    /// The stage to build. Default: the last one.
    #[schemars(example = &"agent")]
    pub(super) target: Option<String>,
}

/// A folder or file of this machine that the agent sees.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Mount {
    /// On this machine: relative to this file, or absolute.
    #[schemars(with = "String", example = &".")]
    pub(super) source: Option<String>,
    /// In the agent: an absolute path.
    #[schemars(with = "String", example = &"/work")]
    pub(super) target: Option<String>,
    /// Whether the agent can only read it. Default: false.
    #[schemars(example = true)]
    pub(super) read_only: Option<bool>,
}

/// The proxy that holds the rules and the credentials.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EgressProxy {
    /// One rule for each host. What no rule allows is refused, and `git push` is refused where no route says `git.push`.
    #[schemars(with = "Vec<Item<Route>>", example = json!([{"host": "api.github.com", "path_allowlist": ["/repos/acme/app"]}]))]
    pub(super) routes: Option<Vec<Item<Route>>>,
}

/// A rule for one host.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    /// The host: letters, digits and hyphens, no scheme, port, path or address. `*.cdn.example` is every host exactly one
    /// label below `cdn.example`, but those that a rule of their own names.
    #[schemars(with = "String", example = &"api.github.com")]
    pub(super) host: Option<String>,
    /// The paths that the agent may request. An entry allows itself and what lies below it, on whole segments:
    /// `/repos/acme` allows `/repos/acme/app` and never `/repos/acme-evil`. `*` is one whole segment, or, beside
    /// `encoded_slash`, what follows an encoded slash: `/@acme%2F*`. Absent: every path, and then no path is rewritten.
    #[schemars(length(min = 1), example = ["/repos/acme/app", "/user"])]
    pub(super) path_allowlist: Option<Vec<Item<String>>>,
    /// Paths below the `path_allowlist` that stay refused, each with what lies below it; written as its entries are.
    /// One refuses more spellings than it names: letters in any case, every escape, and a name with and without `.git` or
    /// with a format such as `.json` behind it. A server may still serve the same under another path, so what the
    /// `path_allowlist` does not name is safer. Only beside a `path_allowlist`, and not beside `encoded_slash`.
    #[schemars(length(min = 1), example = ["/repos/acme/app/actions/secrets"])]
    pub(super) deny_paths: Option<Vec<Item<String>>>,
    /// Parameters that the query of every request must have, each exactly once and with one of the values, decoded. A
    /// second one that some server could take for the same (another case, `a[]`, behind a `;`) is refused; parameters
    /// that are not named pass. The body is not looked at: servers that read forms from it need `methods`, too.
    #[schemars(with = "Option<BTreeMap<String, Vec<String>>>", extend("minProperties" = 1), example = json!({"action": ["list", "show"]}))]
    pub(super) query: Option<BTreeMap<String, Vec<Item<String>>>>,
    /// Requests must be GraphQL with these operations and fields, or are refused. The document is parsed; a persisted
    /// query, which is only a name, is refused.
    #[schemars(example = json!({"paths": ["/graphql"], "operations": ["query"], "fields": ["viewer", "repository"]}))]
    pub(super) graphql: Option<Graphql>,
    /// Requests must be JSON-RPC with these methods, or are refused. MCP is JSON-RPC.
    #[schemars(example = json!({"paths": ["/mcp"], "methods": ["initialize", "notifications/initialized", "tools/list"]}))]
    pub(super) rpc: Option<Rpc>,
    /// What git may change at this host beside clone and fetch, which a `path_allowlist` is enough for.
    #[schemars(example = json!({"push": {"refs": ["refs/heads/agent/*"]}}))]
    pub(super) git: Option<Git>,
    /// The methods that the agent may use. Absent: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS; any other must be
    /// listed, and CONNECT and TRACE can't be.
    #[schemars(length(min = 1), example = ["GET", "HEAD"])]
    pub(super) methods: Option<Vec<Item<String>>>,
    /// The credential that the proxy sets on every request to this host, over https only. The agent never sees
    /// it, and credentials that the agent sends to this host are removed.
    #[schemars(example = json!({"scheme": "Bearer", "token_ref": "CLAUDE_CODE_OAUTH_TOKEN"}))]
    pub(super) auth: Option<Auth>,
    /// The hosts of a wildcard that get its credential. Every other host that it matches is requested without one, and the
    /// agent's own credentials are removed there, too. Only beside `auth` on a wildcard, which needs it.
    #[schemars(length(min = 1), example = ["eu.cdn.example"])]
    pub(super) credential_hosts: Option<Vec<Item<String>>>,
    /// Whether credentials that the agent sends to this host are passed on. `strip`: only known classes of its fields
    /// pass, as beside `auth`, and a query with a credential is refused. Not beside `auth`. Default: `pass`.
    #[schemars(example = &"strip")]
    pub(super) client_credentials: Option<ClientCredentials>,
    /// Fields of the agent that pass although their class goes off. Beside `auth` or `client_credentials: strip`.
    #[schemars(length(min = 1), example = ["x-goog-user-project"])]
    pub(super) pass_headers: Option<Vec<Item<String>>>,
    /// Parameters of the query that pass although servers take credentials in them. Beside `auth` or
    /// `client_credentials: strip`.
    #[schemars(length(min = 1), example = ["key"])]
    pub(super) pass_query: Option<Vec<Item<String>>>,
    /// The ports. 80 is plain http, every other one https. Default: `[443]`.
    #[schemars(length(min = 1), inner(range(min = 1, max = 65535)), example = [443, 8443])]
    pub(super) ports: Option<Vec<Item<u16>>>,
    /// Whether connections to this host may go on as WebSocket. What the agent sends is searched for secrets, message by
    /// message, and extensions such as compression are not agreed on. Default: false.
    #[schemars(example = true)]
    pub(super) websocket: Option<bool>,
    /// Whether `%2F` may stand inside a path segment (names of scoped packages). Only beside a `path_allowlist`;
    /// default: false.
    #[schemars(example = true)]
    pub(super) encoded_slash: Option<bool>,
    /// Whether pipelock looks inside TLS. `false` is for bulk transfers: pipelock then checks the host and nothing
    /// else. Default: true.
    #[schemars(example = false)]
    pub(super) inspect: Option<bool>,
    /// What pipelock does when it finds a secret in a request to this host: `block` refuses it, `redact` removes the secret
    /// from a JSON or text body and lets the rest go on. Default: what `egress.dlp_action` says.
    #[schemars(example = &"redact")]
    pub(super) dlp_action: Option<HostDlpAction>,
    /// The address ranges of a private origin, such as a forge on an intranet. Absent: public addresses only.
    /// Loopback, link-local and metadata addresses are never allowed.
    #[schemars(length(min = 1), example = ["10.20.0.0/16"])]
    pub(super) addresses: Option<Vec<Item<String>>>,
    /// Why this rule is there; shown where it decides.
    #[schemars(example = &"the agent reads issues")]
    pub(super) reason: Option<String>,
    /// The last day (UTC) on which this rule allows anything.
    #[schemars(extend("format" = "date"), example = &"2027-03-31")]
    pub(super) until: Option<String>,
}

/// What GraphQL may ask for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Graphql {
    /// Where it is, each with what lies below it and in every spelling; other requests are not read. Only beside a
    /// `path_allowlist`. Absent: every request to the host.
    #[schemars(length(min = 1), example = ["/graphql"])]
    pub(super) paths: Option<Vec<Item<String>>>,
    /// The kinds of operations: `query` reads, `mutation` writes, `subscription` reads on and on. All of a document must
    /// be allowed, whichever of them is run.
    #[schemars(with = "Vec<GraphqlOperation>", length(min = 1), example = ["query"])]
    pub(super) operations: Option<Vec<Item<GraphqlOperation>>>,
    /// The fields that an operation may begin with, by their names in the schema; `__schema` and `__type` ask for the
    /// schema itself. Absent: every field.
    #[schemars(length(min = 1), example = ["viewer", "repository"])]
    pub(super) fields: Option<Vec<Item<String>>>,
}

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum GraphqlOperation {
    Query,
    Mutation,
    Subscription,
}

/// What JSON-RPC may call.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rpc {
    /// Where it is, each with what lies below it and in every spelling; other requests are not read. Only beside a
    /// `path_allowlist`. Absent: every request to the host.
    #[schemars(length(min = 1), example = ["/mcp"])]
    pub(super) paths: Option<Vec<Item<String>>>,
    /// The methods of calls and notifications, exactly as they are sent. Answers to what the server asks pass.
    #[schemars(with = "Vec<String>", length(min = 1), example = ["tools/list", "tools/call"])]
    pub(super) methods: Option<Vec<Item<String>>>,
}

/// What git may change.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Git {
    /// Pushes over https that change nothing but these refs pass, after egress-proxy has checked and scanned what is in
    /// them. Every other push is refused.
    #[schemars(with = "GitPush", example = json!({"refs": ["refs/heads/agent/*"], "max_pack": "50MiB"}))]
    pub(super) push: Option<GitPush>,
}

/// What a push may change.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GitPush {
    /// The refs by their full names. One `*` in an entry stands for one character or more, `/` included:
    /// `refs/heads/agent/*` allows `refs/heads/agent/a/b`. One ref outside refuses the whole push.
    #[schemars(with = "Vec<String>", length(min = 1), example = ["refs/heads/agent/*", "refs/tags/agent-*"])]
    pub(super) refs: Option<Vec<Item<String>>>,
    /// Whether refs may be made. Default: true.
    #[schemars(example = false)]
    pub(super) create: Option<bool>,
    /// Whether refs may be deleted. Default: false.
    #[schemars(example = true)]
    pub(super) delete: Option<bool>,
    /// Whether a ref may move to commits that do not descend from its old tip. Default: false; then what is pushed
    /// must show that it does.
    #[schemars(example = true)]
    pub(super) force: Option<bool>,
    /// The largest pack, with `KiB` or `MiB`: up to 128MiB. Default: `50MiB`.
    #[schemars(example = &"20MiB")]
    pub(super) max_pack: Option<String>,
    /// A file of rules in gitleaks' format, relative to the manifest: what a push may not carry beside what the built-in
    /// patterns find. It is read when the bottle is rendered.
    #[schemars(example = &".gitleaks.toml")]
    pub(super) rules: Option<String>,
}

/// What becomes of the agent's own credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum ClientCredentials {
    Strip,
    Pass,
}

/// A credential by name. The secret itself never stands in this file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Auth {
    /// `Bearer` and `token`: `Authorization: SCHEME TOKEN`. `Basic`: with `username`. `header`: in the field `name`.
    #[schemars(with = "Scheme", example = &"Bearer")]
    pub(super) scheme: Option<Scheme>,
    /// The name of the environment variable that holds the secret when `docker compose up` runs.
    #[schemars(with = "String", example = &"GITHUB_TOKEN")]
    pub(super) token_ref: Option<String>,
    /// The user name of `scheme: Basic`.
    #[schemars(example = &"x-access-token")]
    pub(super) username: Option<String>,
    /// The field of `scheme: header`.
    #[schemars(example = &"x-api-key")]
    pub(super) name: Option<String>,
}

/// How a credential is put on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(super) enum Scheme {
    Bearer,
    #[serde(rename = "token")]
    Token,
    Basic,
    #[serde(rename = "header")]
    Header,
}

/// Hosts without rules of their own, and the way out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Egress {
    /// Hosts that the agent may reach with no path rule and no credential. An entry is a host, or a map with the
    /// options of a route; in a bottle without routes only `addresses`, `inspect` and `reason` make sense there.
    #[schemars(example = json!(["raw.example", {"host": "files.example", "inspect": false}]))]
    pub(super) allowlist: Option<Vec<Item<Entry>>>,
    /// What pipelock does when it finds a secret in a request: `block` refuses it, `redact` removes the secret from a JSON or
    /// text body and lets the rest go on, `warn` lets it pass and logs it. Default: `redact` for the hosts of known model
    /// APIs, `block` for all others.
    #[schemars(example = &"block")]
    pub(super) dlp_action: Option<DlpAction>,
    /// An existing Docker network that pipelock leaves by, for origins that run in containers. It serves nobody there.
    /// Absent: a bridge of the stack's own.
    #[schemars(example = &"intranet")]
    pub(super) network: Option<String>,
}

/// A host, or a map with the options of a route.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum Entry {
    Host(String),
    Route(Box<Route>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum DlpAction {
    Block,
    Warn,
    Redact,
}

/// The same for one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum HostDlpAction {
    Block,
    Redact,
}

/// The last proxy before the Internet.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pipelock {
    /// The program that does its work: `embedded` is this binary, `image` the upstream project's program, in the image that
    /// `image` names. `bottle plan` says what differs then. Default: `embedded`.
    #[schemars(example = &"embedded")]
    pub(super) engine: Option<Engine>,
    /// The image of `engine: image`, by name; best with its digest. Its program reads the `pipelock.yaml` of the rendered
    /// tree and sees what leaves in plain text, credentials included.
    #[schemars(example = &"registry.example/pipelock:2.3.0")]
    pub(super) image: Option<String>,
    /// A PEM file of certificates that pipelock trusts besides the public roots (private origins, corporate
    /// inspection), relative to this file. It is copied into the rendered tree.
    #[schemars(example = &"./intranet-ca.pem")]
    pub(super) extra_ca: Option<String>,
    /// Whether pipelock looks for the seed phrases of wallets. They consist of ordinary words, so conversations
    /// with a model are at risk: an error beside `api.anthropic.com`. Default: false.
    #[schemars(example = true)]
    pub(super) seed_phrases: Option<bool>,
    /// Patterns of secrets beside the built-in ones, searched for in every request that pipelock looks into.
    #[schemars(length(min = 1, max = 100), example = json!([{"name": "Badge", "regex": "BADGE-[0-9]{8}"}]))]
    pub(super) patterns: Option<Vec<Item<Pattern>>>,
    /// What the scan for secrets lets pass, and where.
    #[schemars(length(min = 1), example = json!([{"pattern": "IBAN", "host": "bank.example", "reason": "payments name accounts"}]))]
    pub(super) except: Option<Vec<Item<Exception>>>,
}

/// A pattern of a secret.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pattern {
    /// What findings call it.
    #[schemars(with = "String", example = &"Badge")]
    pub(super) name: Option<String>,
    /// A regular expression as RE2 and Rust's regex crate read it, at most 1024 bytes. It matches letters of any case, has
    /// ASCII classes, and has no look-around: reading a request takes time in proportion to its length.
    #[schemars(with = "String", example = &"BADGE-[0-9]{8}")]
    pub(super) regex: Option<String>,
}

/// What the scan for secrets lets pass.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Exception {
    /// The pattern's name, as a finding shows it. `*`: every pattern but the core ones (cloud keys, tokens of forges,
    /// private keys), which pass nowhere.
    #[schemars(with = "String", example = &"IBAN")]
    pub(super) pattern: Option<String>,
    /// A host that a route or the allowlist names. `*`: every one of them.
    #[schemars(with = "String", example = &"bank.example")]
    pub(super) host: Option<String>,
    /// Why it is fine; for whoever reviews this file.
    #[schemars(with = "String", example = &"payments name accounts")]
    pub(super) reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum Engine {
    Embedded,
    Image,
}

/// What `bottle render` says about this file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Lints {
    /// Lints that are silenced, each with the reason why it is fine here.
    #[schemars(example = json!([{"code": "floating-image", "reason": "built on this machine"}]))]
    pub(super) allow: Option<Vec<Item<AllowedLint>>>,
}

/// A lint that is silenced.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AllowedLint {
    /// The code of the lint, as `bottle render` prints it.
    #[schemars(with = "String", example = &"forge-api-writes")]
    pub(super) code: Option<String>,
    /// Why it is fine here; for whoever reviews this file.
    #[schemars(with = "String", example = &"the agent opens pull requests")]
    pub(super) reason: Option<String>,
}

/// The one version there is.
struct Version;

impl JsonSchema for Version {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "integer", "enum": [super::VERSION]})
    }
}
