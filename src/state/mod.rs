//! What is minted per host and never committed: CA keys, trust bundle, image context.
