//! The TLS-intercepting forward proxy that both runtimes are made of. Knows no policy and not who uses it.
