//! The name of an object: its SHA-1.

use std::fmt;

/// A SHA-1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId([u8; 20]);

impl ObjectId {
    /// Reads 40 hexadecimal digits in lower case, as git writes them.
    #[must_use]
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER.decode(text).ok()?;
        Self::from_bytes(&bytes)
    }

    /// Reads the 20 bytes that stand in a tree and in a pack.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    /// As it stands in a tree and in a pack.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is forty zeros, which name nothing.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.0 == [0; 20]
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
