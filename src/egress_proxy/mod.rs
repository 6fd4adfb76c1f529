//! Runtime one: TLS interception, policy, credentials. Its only way out is pipelock.
