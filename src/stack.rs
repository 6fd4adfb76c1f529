//! Paths in the containers, ports and names inside the stack: what render writes, and what the proxies, the commands on
//! the host and the attack suite look for. The template of the compose file spells them out; a test compares. Where a
//! file lies in the rendered tree is in `render::paths`.

use camino::Utf8Path;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Names of services in the compose file.
pub mod service {
    /// Holds the agent's network namespace.
    pub const NETNS: &str = "netns";
    /// Carries bytes from the agent's loopback to the first proxy.
    pub const GATE: &str = "gate";
    /// The first proxy, where there are routes.
    pub const EGRESS_PROXY: &str = "egress-proxy";
    /// The last proxy, the only service that reaches the Internet.
    pub const PIPELOCK: &str = "pipelock";
    /// Holds the network namespace of a pipelock that is the upstream project's program, and serves its socket.
    pub const RELAY: &str = "pipelock-relay";
    /// The agent, in the network namespace of `netns`.
    pub const AGENT: &str = "agent";
    /// Gives a new home to the agent's user, and ends.
    pub const HOME: &str = "home";
    /// The attack suite in the agent's place; started only when it is asked for.
    pub const ATTACK: &str = "attack";
    /// Shows ports of the agent on the host's loopback, where the manifest says so.
    pub const PUBLISH: &str = "publish";
    /// Carries what comes from there to the agent's loopback.
    pub const INBOUND: &str = "inbound";
    /// Takes the agent's proposals, where the manifest says so.
    pub const SUPERVISE: &str = "supervise";
    /// The stack's own, whatever a manifest says. Every other one is the manifest's.
    pub const ALL: [&str; 11] =
        [NETNS, GATE, EGRESS_PROXY, PIPELOCK, RELAY, AGENT, HOME, ATTACK, PUBLISH, INBOUND, SUPERVISE];

    /// Whether the service carries what is published and nothing else: no request of an agent is cut off where it is made
    /// again.
    #[must_use]
    pub fn is_carrier(name: &str) -> bool {
        [PUBLISH, INBOUND].contains(&name)
    }

    /// Whether the manifest names the service: a container beside the agent.
    #[must_use]
    pub fn is_beside(name: &str) -> bool {
        !ALL.contains(&name)
    }
}

/// Names of networks in the compose file.
pub mod network {
    /// From pipelock to the Internet: a bridge of the stack's own, or a network that exists.
    pub const EGRESS: &str = "egress";
    /// From the host to publish: a bridge of the stack's own, without a way to the Internet.
    pub const PUBLISH: &str = "publish";
}

/// The home of an agent whose manifest names none.
pub const DEFAULT_HOME: &str = "/home/agent";
/// The volume that is the agent's home, in the compose file.
pub const HOME_VOLUME: &str = "home";

/// The volume at a place in a service of the manifest, in the compose file. No label of a service has a dot, so no two
/// services share one, and none is a volume of the stack's own.
#[must_use]
pub fn volume_of(service: &str, place: &Utf8Path) -> String {
    service.to_owned() + &place.as_str().replace('/', ".")
}

/// The proxy's address in the agent's namespace.
pub const GATE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9099);
/// The same, as proxy variables name it.
pub const GATE_URL: &str = "http://127.0.0.1:9099";
/// What the agent reaches without the proxy, as `no_proxy` names it. Dialects differ, so loopback only.
pub const NO_PROXY: &str = "localhost,127.0.0.1,::1";
/// The variable that makes Node's own fetch heed the proxy variables.
pub const NODE_SWITCH: &str = "NODE_USE_ENV_PROXY";
/// Health, readiness and metrics, in each proxy's own namespace.
pub const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9100);
/// The port that pipelock's own config names, on its own loopback: for the upstream program, which has no unix sockets.
/// The embedded engine listens where its config says.
pub const PIPELOCK_PORT: u16 = 8888;
/// The same port there.
pub const PIPELOCK_LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PIPELOCK_PORT);

/// Bytes of a request's body that the upstream program scans; it refuses a larger one. The embedded engine scans any.
pub const LARGEST_BODY: u64 = 32 << 20;
/// The same of a response.
pub const LARGEST_RESPONSE: u64 = 64 << 20;

/// The folder of the port that netns lends to gate.
pub const LENT: &str = "/run/bottle-gate";
/// The folder of sockets, and of bottle's binary in the agent.
pub const RUN: &str = "/run/bottle";
/// The socket between the gate and whichever proxy comes first.
pub const EGRESS_SOCKET: &str = "/run/bottle/egress.sock";
/// The folder of the socket between the proxies, which no other service mounts.
pub const UPSTREAM: &str = "/run/bottle-upstream";
/// Where pipelock listens for egress-proxy.
pub const PIPELOCK_SOCKET: &str = "/run/bottle-upstream/pipelock.sock";
/// The folder of the sockets between publish and inbound, which no other service mounts.
pub const PUBLISHED: &str = "/run/bottle-publish";
/// The folder of the socket between egress-proxy and supervise, which no other service mounts.
pub const SUPERVISE: &str = "/run/bottle-supervise";
/// Where supervise listens for egress-proxy.
pub const SUPERVISE_SOCKET: &str = "/run/bottle-supervise/mcp.sock";
/// Where supervise writes proposals and reads decisions.
pub const SUPERVISE_STATE: &str = "/var/lib/bottle";
/// bottle's binary in the agent.
pub const AGENT_BINARY: &str = "/run/bottle/bottle";
/// bottle's binary in its own image.
pub const BINARY: &str = "/bottle";

/// The upstream project's program, in its own image.
pub const UPSTREAM_BINARY: &str = "/pipelock";

/// Above everything that is mounted to be read.
pub const ETC: &str = "/etc/bottle";
/// What the agent trusts.
pub const TRUST: &str = "/etc/bottle/trust";
/// The same, as one PEM file.
pub const TRUST_BUNDLE: &str = "/etc/bottle/trust/ca-bundle.pem";
/// Where images have what their programs trust, for those that heed no variable: `GnuTLS` (wget, apt), and OpenSSL without
/// `SSL_CERT_FILE`. Debian, Alpine, Arch; OpenSSL's own name, also on Alpine and the BSDs; Fedora, which links the first
/// of its two to the second; openSUSE. A name may be a link in an image: an engine mounts at its end.
pub const SYSTEM_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
];
/// Where browsers that are made of Chromium read what an administrator decides (their `policy_paths.cc`): Chromium, Google
/// Chrome, and the Chrome that test frameworks download. They have roots of their own, and heed neither a variable nor the
/// system's bundle.
pub const BROWSER_POLICIES: [&str; 3] = [
    "/etc/chromium/policies/managed/bottle.json",
    "/etc/opt/chrome/policies/managed/bottle.json",
    "/etc/opt/chrome_for_testing/policies/managed/bottle.json",
];
/// How the agent's MCP client finds supervise, in a file.
pub const MCP_CONFIG: &str = "/etc/bottle/trust/mcp.json";
/// What an agent is told about its bottle, in a file.
pub const GUIDE: &str = "/etc/bottle/trust/agents.md";
/// The same where Claude Code reads it at its start, beside an organisation's own files.
pub const CLAUDE_GUIDE: &str = "/etc/claude-code/.claude/rules/bottle.md";
/// The same, for Java.
pub const TRUST_STORE: &str = "/etc/bottle/trust/truststore.p12";

/// The config folder of egress-proxy.
pub const EGRESS_PROXY_CONFIG: &str = "/etc/bottle/egress-proxy";
/// The routes that it decides by, and what it is run with.
pub const ROUTES: &str = "/etc/bottle/egress-proxy/routes.yaml";
/// Further CAs that it trusts.
pub const EGRESS_PROXY_EXTRA_CA: &str = "/etc/bottle/egress-proxy/extra-ca.pem";
/// The config folder of pipelock.
pub const PIPELOCK_CONFIG: &str = "/etc/bottle/pipelock";
/// The config that both engines read.
pub const PIPELOCK: &str = "/etc/bottle/pipelock/pipelock.yaml";
/// The config of the embedded engine.
pub const EMBEDDED: &str = "/etc/bottle/pipelock/embedded.yaml";
/// Further CAs that it trusts.
pub const PIPELOCK_EXTRA_CA: &str = "/etc/bottle/pipelock/extra-ca.pem";

/// The CA whose leaves the agent sees, and its key; in egress-proxy.
pub const AGENT_CA: [&str; 2] = ["/etc/bottle/ca/agent-ca.pem", "/etc/bottle/ca/agent-ca-key.pem"];
/// pipelock's CA, which egress-proxy trusts, and its key, which pipelock alone has.
pub const PIPELOCK_CA: [&str; 2] = ["/etc/bottle/ca/pipelock-ca.pem", "/etc/bottle/ca/pipelock-ca-key.pem"];

/// The folder of CAs in each proxy.
pub const CA: &str = "/etc/bottle/ca";
/// The folder of audit files in each proxy.
pub const AUDIT: &str = "/var/log/bottle";
/// Where Compose puts credentials, one file each.
pub const SECRETS: &str = "/run/secrets";

/// Sockets of container engines, on the host and in whatever mounts them.
pub const ENGINE_SOCKETS: [&str; 5] = [
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/crio/crio.sock",
];
