//! `Plan` to the bytes of every file. Pure.
//!
//! The bytes are a function of the plan and of this program's version: no time, no machine, no argument.

pub mod checksum;
mod compose;
mod configs;

pub use configs::{embedded_file, pipelock_file, routes_file};

use crate::plan::{Plan, Shape};
use crate::yaml;
use camino::Utf8PathBuf;
use serde::Serialize;
use std::collections::BTreeMap;

/// Why a plan could not be written down. None of these is the author's fault.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A value that YAML can't hold.
    #[error("this is a bug in bottle: {0} can't be written as YAML: {1}")]
    Yaml(&'static str, serde_json::Error),
    /// The compose template and its values don't fit.
    #[error("this is a bug in bottle: the template of docker-compose.yml: {0:#}")]
    Template(#[from] minijinja::Error),
}

/// The committed tree: every file by its path below OUT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(pub BTreeMap<Utf8PathBuf, Vec<u8>>);

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

impl Tree {
    /// Writes a plan down.
    pub fn of(plan: &Plan) -> Result<Self, RenderError> {
        let mut tree = Self::default();
        let pipelock = tree.add_yaml("pipelock/pipelock.yaml", "pipelock.yaml", &pipelock_file(plan))?;
        let embedded = tree.add_yaml("pipelock/embedded.yaml", "embedded.yaml", &embedded_file(plan))?;
        let routes = match plan.shape {
            Shape::Chain => tree.add_yaml("egress-proxy/routes.yaml", "routes.yaml", &routes_file(plan))?,
            Shape::Direct => String::new(),
        };
        let mut pipelock_all = pipelock + &embedded;
        if let Some(ca) = &plan.extra_ca {
            pipelock_all += &ca.pem;
            tree.add("pipelock/extra-ca.pem", &ca.pem);
            if plan.shape == Shape::Chain {
                tree.add("egress-proxy/extra-ca.pem", &ca.pem);
            }
        }
        let hashes = compose::Hashes {
            routes: checksum::hex_digest(routes.as_bytes()),
            pipelock: checksum::hex_digest(pipelock_all.as_bytes()),
        };
        tree.add("docker-compose.yml", &compose::render(plan, &hashes)?);
        tree.add_yaml("bottle.lock", "bottle.lock", &LOCK)?;
        tree.add(".gitattributes", GITATTRIBUTES);
        tree.add(".gitignore", GITIGNORE);
        Ok(tree)
    }

    /// The text of a file, for those who print or compare.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.0.get(camino::Utf8Path::new(path)).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    fn add(&mut self, path: &str, body: &str) -> String {
        let sealed = checksum::seal(body);
        self.0.insert(path.into(), sealed.clone().into_bytes());
        sealed
    }

    fn add_yaml(
        &mut self,
        path: &str,
        name: &'static str,
        value: &impl Serialize,
    ) -> Result<String, RenderError> {
        let body = yaml::emit(value).map_err(|error| RenderError::Yaml(name, error))?;
        Ok(self.add(path, &body))
    }
}
