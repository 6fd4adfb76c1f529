//! Token files: a secret on its way from a file to one request field, and nowhere else.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use std::{fmt, io, path::Path, sync::Arc};
use zeroize::Zeroizing;

/// No token is longer; a larger file is another file.
const MAX_BYTES: usize = 64 * 1024;

/// Why a token file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It is not there or can't be read.
    #[error(
        "the token file {path} of {token_ref} can't be read: {why}; is ${token_ref} set where the stack is started? \
         What was started without it is replaced by `bottle up --rotate`"
    )]
    Unreadable {
        /// The file, as the config names it.
        path: String,
        /// The name of the token.
        token_ref: String,
        /// What the system said.
        why: io::Error,
    },
    /// Nothing in it.
    #[error(
        "the token file {path} of {token_ref} is empty; is ${token_ref} set where the stack is started? \
         What was started without it is replaced by `bottle up --rotate`"
    )]
    Empty {
        /// The file, as the config names it.
        path: String,
        /// The name of the token.
        token_ref: String,
    },
    /// Bytes that can't stand in a request field.
    #[error("the token in {path} ({token_ref}) {what}; a token is one line of visible characters")]
    NotAToken {
        /// The file, as the config names it.
        path: String,
        /// The name of the token.
        token_ref: String,
        /// What is wrong, without the bytes.
        what: &'static str,
    },
}

/// The bytes without the line's end, which is no part of the token.
fn without_end(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\r\n").or_else(|| bytes.strip_suffix(b"\n")).unwrap_or(bytes)
}

/// What can stand in a request field: one line of visible characters, whose own end is left out. Otherwise says what is
/// wrong, without the bytes: `has several lines`.
pub fn require_token(bytes: &[u8]) -> Result<&[u8], &'static str> {
    let token = without_end(bytes);
    let problem = match token {
        [] => "is empty",
        _ if token.len() > MAX_BYTES => "is larger than 64 KiB",
        _ if token.contains(&b'\n') => "has several lines",
        _ if token.iter().any(u8::is_ascii_control) => "holds a control byte",
        [b' ', ..] | [.., b' '] => "begins or ends with a space",
        _ => return Ok(token),
    };
    Err(problem)
}

/// The bytes of a secret; wiped when dropped, never shown.
struct Secret(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Secret {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Secret {
    /// Reads a token file: one trailing newline is no part of the token.
    #[expect(clippy::disallowed_methods, reason = "the error names the file")]
    fn read(path: &str, token_ref: &str) -> Result<Self, SecretError> {
        let bytes = std::fs::read(Path::new(path)).map(Zeroizing::new).map_err(|why| {
            SecretError::Unreadable { path: path.to_owned(), token_ref: token_ref.to_owned(), why }
        })?;
        if without_end(&bytes).is_empty() {
            return Err(SecretError::Empty { path: path.to_owned(), token_ref: token_ref.to_owned() });
        }
        let token = require_token(&bytes).map_err(|what| SecretError::NotAToken {
            path: path.to_owned(),
            token_ref: token_ref.to_owned(),
            what,
        })?;
        Ok(Self(Zeroizing::new(token.to_vec())))
    }

    /// The value of the field that carries it. Its memory is shared by all clones and wiped after the last.
    fn to_field(&self, prefix: &str, username: Option<&str>) -> Option<HeaderValue> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let encoded;
        let token: &[u8] = match username {
            Some(name) => {
                let mut pair = Zeroizing::new(Vec::with_capacity(name.len() + 1 + self.0.len()));
                pair.extend_from_slice(name.as_bytes());
                pair.push(b':');
                pair.extend_from_slice(&self.0);
                encoded = Zeroizing::new(STANDARD.encode(&*pair));
                encoded.as_bytes()
            }
            None => &self.0,
        };
        let mut field = Zeroizing::new(Vec::with_capacity(prefix.len() + token.len()));
        field.extend_from_slice(prefix.as_bytes());
        field.extend_from_slice(token);
        let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(Self(field))).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// A credential ready to be set: its field, its value, and the name that people know it by.
#[derive(Clone)]
pub(super) struct Credential {
    /// The request field that it is set as; what the agent sent under this name is gone.
    pub(super) field: HeaderName,
    /// Its `Debug` says `Sensitive`.
    value: HeaderValue,
    /// What logs say.
    pub(super) token_ref: String,
    /// The token alone, which is looked for in all that passes.
    token: Arc<Secret>,
}

impl Credential {
    /// Reads the token file and forms the field's value: `prefix + token`, or `prefix + base64(username:token)`.
    pub(super) fn read(
        field: HeaderName,
        prefix: &str,
        username: Option<&str>,
        path: &str,
        token_ref: &str,
    ) -> Result<Self, SecretError> {
        let token = Secret::read(path, token_ref)?;
        let value = token.to_field(prefix, username).ok_or_else(|| SecretError::NotAToken {
            path: path.to_owned(),
            token_ref: token_ref.to_owned(),
            what: "can't stand in a request field",
        })?;
        Ok(Self { field, value, token_ref: token_ref.to_owned(), token: Arc::new(token) })
    }

    /// The token's bytes.
    pub(super) fn token(&self) -> &[u8] {
        &self.token.0
    }

    /// The value of the field; asked for each request, when nothing but sending it is left.
    pub(super) fn value(&self) -> impl Future<Output = HeaderValue> + use<> {
        std::future::ready(self.value.clone())
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({} in {})", self.token_ref, self.field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::AUTHORIZATION;

    fn read(content: &[u8], prefix: &str, username: Option<&str>) -> Result<Credential, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("TOKEN");
        fs_err::write(&path, content).unwrap();
        let path = path.to_str().unwrap();
        Credential::read(AUTHORIZATION, prefix, username, path, "TOKEN")
            .map_err(|e| e.to_string().replace(path, "FILE"))
    }

    #[test]
    fn one_trailing_newline_is_no_part_of_the_token() {
        for content in [b"abc".as_slice(), b"abc\n", b"abc\r\n"] {
            assert_eq!(read(content, "Bearer ", None).unwrap().value, "Bearer abc");
        }
    }

    #[test]
    fn a_user_name_makes_it_basic() {
        let credential = read(b"ghp_x\n", "Basic ", Some("x-access-token")).unwrap();
        assert_eq!(credential.value, "Basic eC1hY2Nlc3MtdG9rZW46Z2hwX3g=");
    }

    #[test]
    fn what_is_no_token_is_refused_without_showing_it() {
        let why = |content: &[u8]| read(content, "", None).unwrap_err();
        let empty = "the token file FILE of TOKEN is empty; is $TOKEN set where the stack is started? \
                     What was started without it is replaced by `bottle up --rotate`";
        assert_eq!(why(b""), empty);
        assert_eq!(why(b"\n"), empty);
        for (content, what) in [
            (b"a\n\n".as_slice(), "has several lines"),
            (b"a\nb", "has several lines"),
            (b"a\rb", "holds a control byte"),
            (b"a\0", "holds a control byte"),
            (b" a", "begins or ends with a space"),
        ] {
            let text = format!("the token in FILE (TOKEN) {what}; a token is one line of visible characters");
            assert_eq!(why(content), text);
        }
        let large = vec![b'a'; MAX_BYTES + 1];
        assert!(why(&large).contains("is larger than 64 KiB"));
    }

    #[test]
    fn an_absent_file_is_named_with_what_to_do() {
        let error = Credential::read(AUTHORIZATION, "", None, "/nowhere/TOKEN", "TOKEN").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the token file /nowhere/TOKEN of TOKEN can't be read: No such file or directory (os error 2); \
             is $TOKEN set where the stack is started? What was started without it is replaced by `bottle up --rotate`"
        );
    }

    #[test]
    fn debug_shows_names_only() {
        let credential = read(b"planted-secret", "Bearer ", None).unwrap();
        let shown = format!("{credential:?} {:?}", credential.value);
        assert_eq!(shown, "Credential(TOKEN in authorization) Sensitive");
    }
}
