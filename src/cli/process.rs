//! What every runtime verb does to its process before it serves.

/// Each connection takes two descriptors; some engines start containers with a soft limit of 1024.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it is forbidden, the smaller number holds and clients wait.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
