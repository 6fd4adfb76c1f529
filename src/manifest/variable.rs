//! Names of environment variables.

/// The portable form of a name (POSIX 1003.1, section 8.1; lower case is admitted).
pub(super) fn is_variable_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(fits)
}
