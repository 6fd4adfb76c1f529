//! What an agent may request: `Host`, `CanonicalPath`, `Route`, and one decision function. No I/O; reaches no other module.
