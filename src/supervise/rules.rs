//! The rules that hold, as egress-proxy's config has them. The file is the host's, and is looked at for each question.

use crate::config::routes::RoutesFile;
use crate::egress_proxy::{allowlist, explained};
use crate::policy::WrittenRequest;
use crate::verdict::egress_proxy::Ruleset;
use jiff::civil::Date;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// What egress-proxy decides by, without credentials.
pub(super) struct Rules {
    file: RoutesFile,
    ruleset: Ruleset,
    /// SHA-256 of the file's bytes, in hex.
    pub(super) hash: String,
}

/// The file, and what it said last: to read the same again takes long.
pub(super) struct RulesFile {
    path: PathBuf,
    last: Mutex<Option<Arc<Rules>>>,
}

impl RulesFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, last: Mutex::default() }
    }

    /// The rules of now.
    pub(super) fn load(&self) -> anyhow::Result<Arc<Rules>> {
        let bytes = fs_err::read(&self.path)?;
        let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = last.as_ref().filter(|rules| rules.hash == hash) {
            return Ok(Arc::clone(same));
        }
        let file = RoutesFile::read(&bytes)?;
        let ruleset = Ruleset::from_file(&file)?;
        let rules = Arc::new(Rules { file, ruleset, hash });
        *last = Some(Arc::clone(&rules));
        Ok(rules)
    }
}

impl Rules {
    pub(super) fn bottle(&self) -> &str {
        &self.file.bottle
    }

    pub(super) fn list(&self) -> serde_json::Result<Value> {
        serde_json::to_value(allowlist(&self.file.bottle, &self.ruleset))
    }

    pub(super) fn explain(&self, asked: &WrittenRequest, today: Date) -> serde_json::Result<Value> {
        serde_json::to_value(explained(asked, &self.ruleset, today))
    }
}
