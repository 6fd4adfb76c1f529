//! The languages of a project, and the versions that it asks for.

use super::words::version;

/// A version, and where it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Of nothing but letters, digits, `.`, `-`, `_` and `+`.
    pub number: String,
    /// A file, or `default`.
    pub source: String,
}

impl Version {
    /// Nothing, where the text is no version.
    pub(super) fn new(number: &str, source: &str) -> Option<Self> {
        version(number).map(|number| Self { number: number.to_owned(), source: source.to_owned() })
    }

    pub(super) fn default_of(number: &str) -> Self {
        Self { number: number.to_owned(), source: "default".to_owned() }
    }
}

/// What a project is built with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toolchains {
    /// Node.js.
    pub node: Option<Version>,
    /// Python.
    pub python: Option<Version>,
    /// Rust: a channel, or nothing but that it is needed.
    pub rust: Option<Version>,
    /// Parts of Rust beside the compiler that `rust-toolchain.toml` names.
    pub rust_parts: Vec<String>,
    /// Go.
    pub go: Option<Version>,
    /// A JDK.
    pub java: Option<Version>,
    /// Maven, where the project has no wrapper.
    pub maven: bool,
    /// Gradle, where the project has no wrapper.
    pub gradle: bool,
    /// Package managers that npm installs: `pnpm@9.1.0`.
    pub by_npm: Vec<String>,
    /// Package managers that pip installs.
    pub by_pip: Vec<&'static str>,
}
