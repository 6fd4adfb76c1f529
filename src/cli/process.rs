//! What every runtime verb does to its process before it serves.

/// Keeps what this process holds in memory (tokens, a CA key) out of core dumps and away from other processes of
/// the same user.
pub(crate) fn guard_memory() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "a core dump of this process would hold its secrets");
    }
}

/// Each connection takes two descriptors; some engines start containers with a soft limit of 1024.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it is forbidden, the smaller number holds and clients wait.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
