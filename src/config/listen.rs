//! Where a runtime listens: a unix socket or an address.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use std::{fmt, net::SocketAddr, str::FromStr};

/// `unix:/run/bottle/egress.sock`, or `0.0.0.0:8888`.
///
/// The textual form is the one in config files and on the command line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Listen {
    /// A unix socket at an absolute path.
    Unix(Utf8PathBuf),
    /// A TCP address; port 0 lets the system choose.
    Tcp(SocketAddr),
}

/// A text that is no place to listen at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no address to listen at: write `unix:/absolute/path` or `ADDRESS:PORT` with a numeric address"
)]
pub struct ListenError(String);

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        if let Some(path) = unix_path(text) {
            return Ok(Self::Unix(path));
        }
        text.parse().map(Self::Tcp).map_err(|_| ListenError(text.to_owned()))
    }
}

/// The path of `unix:/absolute/path`.
pub(super) fn unix_path(text: &str) -> Option<Utf8PathBuf> {
    let path = text.strip_prefix("unix:")?;
    let is_file = path.starts_with('/') && !path.ends_with('/') && !path.contains('\0');
    is_file.then(|| path.into())
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{path}"),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

impl TryFrom<String> for Listen {
    type Error = ListenError;

    fn try_from(text: String) -> Result<Self, ListenError> {
        text.parse()
    }
}

impl From<Listen> for String {
    fn from(listen: Listen) -> Self {
        listen.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["unix:/run/bottle/egress.sock", "0.0.0.0:8888", "127.0.0.1:0", "[::1]:9100"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_could_be_meant_otherwise() {
        for text in
            ["", "unix:", "unix:relative.sock", "unix:/run/", "localhost:80", "8888", ":8888", "/run/x.sock"]
        {
            let error = text.parse::<Listen>().unwrap_err().to_string();
            assert!(error.contains("unix:/absolute/path") && error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
