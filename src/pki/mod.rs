//! Certificate authorities and leaf certificates, from an injected clock.
