//! The rules that hold, as egress-proxy's config has them. They are read anew at each question: a file of the host's.

use crate::config::routes::RoutesFile;
use crate::egress_proxy::{allowlist, explained};
use crate::policy::WrittenRequest;
use crate::verdict::egress_proxy::Ruleset;
use jiff::civil::Date;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::path::Path;

/// What egress-proxy decides by, without credentials.
pub(super) struct Rules {
    file: RoutesFile,
    ruleset: Ruleset,
    /// SHA-256 of the file's bytes, in hex.
    pub(super) hash: String,
}

impl Rules {
    pub(super) fn load(path: &Path) -> anyhow::Result<Self> {
        let bytes = fs_err::read(path)?;
        let file = RoutesFile::read(&bytes)?;
        let ruleset = Ruleset::from_file(&file)?;
        let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes));
        Ok(Self { file, ruleset, hash })
    }

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
