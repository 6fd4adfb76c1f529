//! `Plan` to the bytes of every file. Pure.
//!
//! The bytes are a function of the plan and of this program's version: no time, no machine, no argument.

pub mod checksum;
mod compose;
mod configs;
mod devcontainer;
pub mod paths;
mod read;
mod seccomp;
mod target;

pub use configs::{embedded_file, pipelock_file, routes_file};
pub use read::{Unreadable, exactly, plan_of};
pub use target::RenderTarget;

use crate::plan::{Plan, Topology};
use crate::yaml;
use camino::Utf8PathBuf;
use configs::ConfigHashes;
use serde::Serialize;
use std::collections::BTreeMap;

/// Why a plan could not be written down.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A value that YAML can't hold.
    #[error("this is a bug in bottle: {0} can't be written as YAML: {1}")]
    Yaml(&'static str, serde_json::Error),
    /// The compose template and its values don't fit.
    #[error("this is a bug in bottle: the template of docker-compose.yml: {0:#}")]
    Template(#[from] minijinja::Error),
    /// A value that stands for another one in a `devcontainer.json`.
    #[error(
        "{0} holds `${{`, which a devcontainer.json replaces by variables of the host: write it without, or render for compose"
    )]
    Substituted(&'static str),
}

/// The committed files: path below the output folder → bytes.
pub type Tree = BTreeMap<Utf8PathBuf, Vec<u8>>;

/// The versions that a tree was made with; `bottle.lock`.
#[derive(Serialize)]
struct Lock {
    version: u32,
    bottle: &'static str,
    manifest: u32,
}

const LOCK: Lock = Lock { version: 1, bottle: env!("CARGO_PKG_VERSION"), manifest: 1 };

const GITATTRIBUTES: &str = "\
# Hashed bytes: no conversion at checkout, and a merge is a conflict that `bottle render` resolves.
* -text -merge
";

const GITIGNORE: &str = "\
# Made for each host by `bottle render`.
/.env
";

/// Writes a plan down for a target: every file of the committed tree.
pub fn tree(plan: &Plan, target: RenderTarget) -> Result<Tree, RenderError> {
    let mut tree = Tree::new();
    let pipelock = add_yaml(&mut tree, paths::PIPELOCK, &pipelock_file(plan))?;
    let embedded = add_yaml(&mut tree, paths::EMBEDDED, &embedded_file(plan))?;
    let routes = match plan.topology {
        Topology::Chain => add_yaml(&mut tree, paths::ROUTES, &routes_file(plan))?,
        Topology::Direct => String::new(),
    };
    let mut of_pipelock = pipelock + &embedded;
    if let Some(ca) = &plan.extra_ca {
        of_pipelock += &add(&mut tree, paths::PIPELOCK_EXTRA_CA, &ca.pem);
        if plan.topology == Topology::Chain {
            add(&mut tree, paths::EGRESS_PROXY_EXTRA_CA, &ca.pem);
        }
    }
    let configs = ConfigHashes {
        routes: checksum::hex_digest(routes.as_bytes()),
        pipelock: checksum::hex_digest(of_pipelock.as_bytes()),
    };
    for (path, text) in target.files(plan, &configs)? {
        tree.insert(path.into(), text.into_bytes());
    }
    add_yaml(&mut tree, paths::LOCK, &LOCK)?;
    add(&mut tree, paths::GITATTRIBUTES, GITATTRIBUTES);
    add(&mut tree, paths::GITIGNORE, GITIGNORE);
    Ok(tree)
}

/// Adds a file and gives its whole text.
fn add(tree: &mut Tree, path: &str, body: &str) -> String {
    let sealed = checksum::seal(body);
    tree.insert(path.into(), sealed.clone().into_bytes());
    sealed
}

fn add_yaml(tree: &mut Tree, path: &'static str, value: &impl Serialize) -> Result<String, RenderError> {
    let body = yaml::emit(value).map_err(|error| RenderError::Yaml(path, error))?;
    Ok(add(tree, path, &body))
}
