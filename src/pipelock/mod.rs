//! Runtime two, the embedded engine: hostname allowlist, SSRF guard, DLP scan. Its way out is a vetted address.
