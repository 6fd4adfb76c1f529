//! The byte relay between the agent's loopback and a proxy's socket. It knows no protocol.
