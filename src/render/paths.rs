//! Where each file lies in a rendered tree: paths below `.bottle/NAME/`. What a container sees of them is in
//! [`crate::stack`].

/// What Compose starts.
pub const COMPOSE: &str = "docker-compose.yml";
/// What an editor or the devcontainer CLI starts from; absent in a tree for Compose alone.
pub const DEVCONTAINER: &str = "devcontainer.json";
/// The compose file that it names, by which the running agent is found.
pub const ATTACH: &str = "attach.yml";
/// The system calls that the containers may make, as the compose file names it.
pub const SECCOMP: &str = "seccomp.json";
/// The config of egress-proxy; absent where there are no routes.
pub const ROUTES: &str = "egress-proxy/routes.yaml";
/// Further CAs that egress-proxy trusts, if the manifest names any.
pub const EGRESS_PROXY_EXTRA_CA: &str = "egress-proxy/extra-ca.pem";
/// The config of pipelock that both of its engines read.
pub const PIPELOCK: &str = "pipelock/pipelock.yaml";
/// The config of pipelock's embedded engine.
pub const EMBEDDED: &str = "pipelock/embedded.yaml";
/// Further CAs that pipelock trusts, if the manifest names any.
pub const PIPELOCK_EXTRA_CA: &str = "pipelock/extra-ca.pem";
/// The versions that the tree was made with.
pub const LOCK: &str = "bottle.lock";
/// Keeps git from converting and merging what is hashed.
pub const GITATTRIBUTES: &str = ".gitattributes";
/// Keeps this host's `.env` out of git.
pub const GITIGNORE: &str = ".gitignore";
