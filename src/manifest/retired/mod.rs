//! Keys that manifests had once: each is an error that names its successor.

mod cred_proxy;
mod migrate;
mod recipe;

pub use migrate::{Migrated, migrate};

use super::findings::Findings;
use serde_json::Value;

/// Keys whose successor is said in a sentence.
pub(super) const RETIRED: &[(&str, &str)] = &[
    (
        "tokens",
        "each route names its own credential: `auth: {scheme: Bearer, token_ref: NAME}` on a route of `egress_proxy.routes`, \
         where NAME is the environment variable that held the token",
    ),
    (
        "ssh",
        "git goes over https: write a route for the host in `egress_proxy.routes`; `git@HOST:` remotes of routed hosts work as \
         they are, and pushes are made from this machine",
    ),
    ("runtime", "`agent` says what runs, by `image` or `build`, and `docker compose up` runs it"),
];

/// Reports the retired keys of a manifest, and takes them out.
pub(super) fn take_out(manifest: &mut Value, findings: &mut Findings<'_>) {
    let Some(map) = manifest.as_object_mut() else { return };
    for (key, successor) in RETIRED {
        if map.shift_remove(*key).is_some() {
            let problem =
                findings.key("retired-key", key, format!("`{key}` is no longer a key of the manifest"));
            findings.push(problem.hint(*successor));
        }
    }
    if let Some(old) = map.shift_remove("cred_proxy") {
        cred_proxy::report(&old, manifest, findings);
    }
}
