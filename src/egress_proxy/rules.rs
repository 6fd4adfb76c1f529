//! One generation of the config, read and checked as a whole: rules, credentials, trust, CA. It never changes;
//! a reload makes another one, or fails and leaves the old one alone.

use super::{
    secret::{Credential, SecretError},
    trust::Trust,
};
use crate::clock::Clock;
use crate::config::{
    ConfigError,
    routes::{Auth, RouteEntry, RoutesFile},
};
use crate::dlp::OwnSecrets;
use crate::intercept::{ServerLimits, TrustError};
use crate::pki::{CertificateAuthority, PkiError};
use crate::policy::HostRule;
use crate::runtime::{Fixed, Loaded};
use crate::verdict::egress_proxy::{Ruleset, RulesetError};
use http::HeaderName;
use sha2::{Digest as _, Sha256};
use std::{fmt::Write as _, io, path::Path, sync::Arc};

/// Why a config can't be used. Each says which file, and what is wrong there.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// The file can't be read.
    #[error("can't read {path}: {error}")]
    Unreadable {
        /// The config's path.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// The text is not such a file.
    #[error("{path}: {error}")]
    Config {
        /// The config's path.
        path: String,
        /// What is wrong, with line and column.
        error: ConfigError,
    },
    /// Rules that contradict each other.
    #[error("{path}: {error}")]
    Ruleset {
        /// The config's path.
        path: String,
        /// What is wrong.
        error: RulesetError,
    },
    /// The CA can't be used.
    #[error("{path}: {error}")]
    Authority {
        /// The certificate's file.
        path: String,
        /// What is wrong.
        error: PkiError,
    },
    /// A CA that the upstream would be verified against can't be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A token file can't be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Several of these at once.
    #[error("{}", join(.0))]
    Several(Vec<RulesError>),
}

fn join(errors: &[RulesError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// One generation of the config.
pub struct Rules {
    /// Counts the generations of this process from 1.
    pub(super) generation: u64,
    pub(super) file: RoutesFile,
    /// SHA-256 of the file's bytes, in hex.
    pub(super) hash: String,
    /// What is decided by.
    pub(super) ruleset: Ruleset<LoadedRule>,
    pub(super) trust: Arc<Trust>,
    pub(super) clock: Clock,
}

/// A rule with its credential.
#[derive(Debug)]
pub(super) struct LoadedRule {
    rule: HostRule,
    pub(super) credential: Option<Credential>,
}

impl AsRef<HostRule> for LoadedRule {
    fn as_ref(&self) -> &HostRule {
        &self.rule
    }
}

impl Loaded<Rules> {
    /// What was found good, for a person.
    #[must_use]
    pub fn summary(&self) -> String {
        let rules = &self.rules;
        let hosts = rules.file.routes.len();
        let mut text = format!("config {}: bottle {}, {hosts} hosts\n", rules.hash, rules.file.bottle);
        let mut names: Vec<&str> = rules.credentials().map(|c| c.token_ref.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let _ = writeln!(text, "credentials: {names}"); // writing to a String can't fail
        let _ = writeln!(text, "agent CA: valid until {}", self.authority.not_after());
        text
    }
}

impl Rules {
    /// Reads the file and every file that it names. All that is wrong is said at once.
    pub fn load(path: &Path, generation: u64, clock: &Clock) -> Result<Loaded<Self>, RulesError> {
        let text = read(path)?;
        let shown = path.display().to_string();
        let config_error = |error| RulesError::Config { path: shown.clone(), error };
        let file = RoutesFile::read(&text).map_err(config_error)?;
        let mut errors = Vec::new();
        let authority = keep(load_authority(&file, clock), &mut errors);
        let trust = keep(Trust::load(&file, generation, clock).map_err(RulesError::from), &mut errors);
        let loaded: Vec<LoadedRule> =
            file.routes.iter().filter_map(|entry| keep(load_rule(entry, &shown), &mut errors)).collect();
        match (authority, trust) {
            (Some(authority), Some(trust)) if errors.is_empty() => {
                let held = loaded.iter().filter_map(|rule| rule.credential.as_ref());
                let own = OwnSecrets::new(held.map(|held| (held.token_ref.as_str(), held.token())));
                let ruleset = Ruleset::new(loaded, &file)
                    .map_err(|error| RulesError::Ruleset { path: shown, error })?
                    .holding(own);
                let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(&text));
                let fixed = Fixed {
                    bottle: file.bottle.clone(),
                    listen: file.listen.clone(),
                    admin: Some(file.admin),
                    limits: file.limits.clone(),
                    // Each takes up to 192 KiB beside its connection: its head, and windows of its body and of its answer.
                    // The rendered stack gives 768 MiB, of which [`super::forward`] counts what else is taken.
                    bounds: ServerLimits { exchanges: 512, ..ServerLimits::from(&file.limits) },
                };
                let (trust, clock) = (Arc::new(trust), clock.clone());
                let rules = Self { generation, file, hash: hash.clone(), ruleset, trust, clock };
                Ok(Loaded { rules, hash, fixed, authority })
            }
            _ => Err(one_or_several(errors)),
        }
    }

    fn credentials(&self) -> impl Iterator<Item = &Credential> {
        self.ruleset.policy.rules().iter().filter_map(|rule| rule.credential.as_ref())
    }
}

fn load_rule(entry: &RouteEntry, path: &str) -> Result<LoadedRule, RulesError> {
    let rule = entry.rule();
    let rule = rule.map_err(|error| RulesError::Ruleset { path: path.to_owned(), error: error.into() })?;
    Ok(LoadedRule { rule, credential: entry.auth.as_ref().map(read_credential).transpose()? })
}

#[expect(clippy::disallowed_methods, reason = "the error names the file")]
fn read(path: &Path) -> Result<Vec<u8>, RulesError> {
    std::fs::read(path).map_err(|error| RulesError::Unreadable { path: path.display().to_string(), error })
}

#[expect(clippy::disallowed_methods, reason = "the error names the file")]
fn read_text(path: &str) -> Result<String, RulesError> {
    std::fs::read_to_string(path).map_err(|error| RulesError::Unreadable { path: path.to_owned(), error })
}

fn keep<T>(result: Result<T, RulesError>, errors: &mut Vec<RulesError>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok()
}

fn one_or_several(mut errors: Vec<RulesError>) -> RulesError {
    match errors.pop() {
        Some(only) if errors.is_empty() => only,
        Some(last) => {
            errors.push(last);
            RulesError::Several(errors)
        }
        None => RulesError::Several(errors),
    }
}

fn load_authority(file: &RoutesFile, clock: &Clock) -> Result<CertificateAuthority, RulesError> {
    let certificate = read_text(&file.ca.cert_file)?;
    let key = zeroize::Zeroizing::new(read_text(&file.ca.key_file)?);
    let authority_error = |error| RulesError::Authority { path: file.ca.cert_file.clone(), error };
    let authority = CertificateAuthority::load(&certificate, &key).map_err(authority_error)?;
    authority.require_valid(clock.now()).map_err(authority_error)?;
    Ok(authority)
}

fn read_credential(auth: &Auth) -> Result<Credential, SecretError> {
    let not_a_field = || SecretError::NotAToken {
        path: auth.secret_file.clone(),
        token_ref: auth.token_ref.clone(),
        what: "would be set in a field whose name is not valid",
    };
    let field = HeaderName::from_bytes(auth.header.as_bytes()).map_err(|_| not_a_field())?;
    Credential::read(field, &auth.prefix, auth.username.as_deref(), &auth.secret_file, &auth.token_ref)
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules")
            .field("generation", &self.generation)
            .field("hash", &self.hash)
            .field("credentials", &self.credentials().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
