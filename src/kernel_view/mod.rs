//! What the kernel of this machine says of a container: which process it is, what is mounted in it, which network
//! namespace it is in. Nothing that runs inside a container is asked about its own cage.
//!
//! A container is made of what stands at a path when it is made. Whoever can write a folder on the way may put a link
//! or another folder there in that moment, so what was mounted is compared afterwards, before the container may
//! start: [`Source::at`] says what `/proc/PID/mountinfo` must show for a bind of a path, [`Container::check_mounts`]
//! that it shows this and nothing besides. Anything but a clear match is an error.
//!
//! Who may read what of a process (Linux 6.18, Docker 20.10; seen with uid 65534 and uid 1000):
//!
//! | of a container that runs as | `mountinfo`, `cgroup`, `stat` | `ns/net`, `root` |
//! |---|---|---|
//! | root, capabilities dropped | every user | root alone |
//! | another user | every user | root alone |
//! | the same user, capabilities dropped | every user | that user, and root |
//!
//! The kernel asks for `PTRACE_MODE_READ` (`ptrace(2)`) for the last two; a `/proc` that is mounted with `hidepid`
//! hides the first three too, which is an error here. So an ordinary user in the `docker` group gets
//! [`Fault::Denied`] for [`Container::network_namespace`]; [`Container::network_by_sysfs`] compares the networks of
//! two containers without it.
//!
//! A pid says little: it may be of another machine, or of another process by now. [`Container::find`] therefore opens
//! `/proc/PID` once and reads everything through it (after the process has ended, such a folder says ESRCH, also
//! when the number is used again), and takes only a process whose cgroup is the container's. The start time (field 22
//! of `stat`) is compared besides.
//!
//! Who could change a path in the next moment is asked the same way: [`Way`] has the entries that lead to it, and
//! [`MountTable::could_move`] says whether a container shows one of them where it can be renamed. Paths do not tell
//! that: the folder of a mount may have been renamed since the engine noted it.
//!
//! What can be seen holds for the moment in which it is read. Linux only.

mod container;
mod docker;
mod expected;
mod mountinfo;
mod nofollow;
mod source;
mod way;

pub use container::{Container, Fault};
pub use expected::{Bind, Expected, Mismatch, Volume};
pub use mountinfo::{Device, Malformed, Mount, MountTable};
pub use source::{Source, SourceError};
pub use way::Way;

/// A path as a person may see it: what a terminal would act on is escaped, since an agent may have chosen the name.
fn shown(path: &std::path::Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}
