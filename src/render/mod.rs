//! `Plan` to the bytes of every file. Pure.

pub mod checksum;

/// The rendered files: path relative to the output folder → bytes.
pub type Tree = std::collections::BTreeMap<camino::Utf8PathBuf, Vec<u8>>;
