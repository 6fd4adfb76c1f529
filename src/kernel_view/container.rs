//! A container's first process, and what the kernel says of it.

use super::expected::{Expected, Mismatch, mismatches};
use super::source::{SourceError, own_table};
use super::{Device, Malformed, MountTable, nofollow};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

/// The first process of a container that runs on this kernel.
#[derive(Debug)]
pub struct Container {
    pid: u32,
    id: String,
    /// `/proc/PID` of this very process; it never is that of another one.
    process: OwnedFd,
    /// Clock ticks since the machine started.
    started: u64,
}

/// Why a container can't be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No such process, or one that is not of that container.
    #[error(
        "process {pid}, the first of container {id} by the engine's word, is not that on this machine ({found}); \
         its cage can't be checked. The engine must run on the same kernel and be seen by this user: Docker Desktop, \
         a remote engine, an engine in another pid namespace and a /proc with hidepid don't allow it"
    )]
    NotHere {
        /// The pid on this machine, by the engine's word.
        pid: u32,
        /// Its full id.
        id: String,
        /// What is there instead.
        found: String,
    },
    /// It ended while it was looked at.
    #[error("process {pid} of container {id} has ended; look at the container's log and start it again")]
    Ended {
        /// The pid on this machine, by the engine's word.
        pid: u32,
        /// Its full id.
        id: String,
    },
    /// The kernel tells this only to root and to the user that the process runs as.
    #[error("this user may not read /proc/{pid}/{file}; only root and the user of that container may")]
    Denied {
        /// The pid on this machine, by the engine's word.
        pid: u32,
        /// Which file below it.
        file: &'static str,
    },
    /// The operating system said no.
    #[error("can't read /proc/{pid}/{file}: {source}")]
    Io {
        /// The pid on this machine, by the engine's word.
        pid: u32,
        /// Which file below it.
        file: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not in the kernel's format.
    #[error("can't read /proc/{pid}/{file}: {problem}")]
    Format {
        /// The pid on this machine, by the engine's word.
        pid: u32,
        /// Which file below it.
        file: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// This process's own mounts, which the container's are compared with, can't be read.
    #[error(transparent)]
    Own(#[from] SourceError),
    /// What is mounted is not what must be, one sentence each.
    #[error("container {id} does not see what it must:\n{}", lines(found))]
    Mounts {
        /// Its full id.
        id: String,
        /// What differs.
        found: Vec<Mismatch>,
    },
}

fn lines(found: &[Mismatch]) -> String {
    found.iter().map(|mismatch| format!("  {mismatch}")).collect::<Vec<_>>().join("\n")
}

impl Container {
    /// The process `pid`, if it is one of the container with the full id `id`, of 64 hexadecimal digits.
    pub fn find(pid: u32, id: &str) -> Result<Self, Fault> {
        let not_here = |found: &str| Fault::NotHere { pid, id: id.to_owned(), found: found.to_owned() };
        if id.len() != 64 || !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(not_here("that is not the full id of a container"));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let process = rustix::fs::open(format!("/proc/{pid}"), flags, Mode::empty())
            .map_err(|_| not_here("there is no such process"))?;
        let mut container = Self { pid, id: id.to_owned(), process, started: 0 };
        container.started = container.start_time()?;
        let cgroups = container.read("cgroup")?;
        if !is_of(&cgroups, id) {
            let first =
                String::from_utf8_lossy(cgroups.split(|byte| *byte == b'\n').next().unwrap_or_default());
            return Err(not_here(&format!("its cgroup is `{}`", first.escape_debug())));
        }
        Ok(container)
    }

    /// The mounts that the container's processes see.
    pub fn mounts(&self) -> Result<MountTable, Fault> {
        let table = self.read("mountinfo")?;
        let format = |problem: Malformed| self.format("mountinfo", &problem.to_string());
        let table = MountTable::parse(&table).map_err(format)?;
        self.require_running()?;
        Ok(table)
    }

    /// Fails with [`Fault::Mounts`] unless exactly what is expected is mounted, besides what Docker itself adds. Where
    /// this user may look at the container's files, the device and inode of each bind are compared too.
    pub fn check_mounts(&self, expected: &Expected) -> Result<(), Fault> {
        let table = self.mounts()?;
        let mut found = mismatches(&table, &own_table()?, expected, &self.id);
        if found.is_empty() {
            found = self.other_objects(expected)?;
        }
        self.require_running()?;
        if found.is_empty() { Ok(()) } else { Err(Fault::Mounts { id: self.id.clone(), found }) }
    }

    /// The inode number of the network namespace, which two processes share exactly when they are in the same one.
    /// [`Fault::Denied`] for a user who may not know; see [`Self::network_by_sysfs`].
    pub fn network_namespace(&self) -> Result<u64, Fault> {
        const FILE: &str = "ns/net";
        let link = rustix::fs::readlinkat(&self.process, FILE, Vec::new());
        let link = link.map_err(|error| self.failed(FILE, error))?;
        self.require_running()?;
        namespace(&link.to_string_lossy()).ok_or_else(|| self.format(FILE, &format!("it is {link:?}")))
    }

    /// The device of the container's `/sys`, which every user may know. The kernel makes one sysfs for each network
    /// namespace (`sysfs_init_fs_context` in Linux's `fs/sysfs/mount.c` takes the namespace as its tag), so two
    /// containers with one device were made in the same network namespace. Two numbers differ as long as both
    /// containers are there. `None` where `/sys` is something else.
    pub fn network_by_sysfs(&self) -> Result<Option<Device>, Fault> {
        let table = self.mounts()?;
        let sys = table.at(Path::new("/sys")).filter(|mount| mount.file_system == "sysfs");
        Ok(sys.map(|mount| mount.device))
    }

    /// What is at a target, but is another file or folder than the one that was agreed to.
    fn other_objects(&self, expected: &Expected) -> Result<Vec<Mismatch>, Fault> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = match rustix::fs::openat(&self.process, "root", flags, Mode::empty()) {
            Ok(root) => root,
            Err(Errno::ACCESS | Errno::PERM) => return Ok(Vec::new()),
            Err(error) => return Err(self.failed("root", error)),
        };
        let is_other = |target: &Path, object: (u64, u64)| {
            let opened = nofollow::open_below(root.as_fd(), target);
            let stat = opened.and_then(rustix::fs::fstat);
            stat.map_or(true, |stat| (stat.st_dev, stat.st_ino) != object)
        };
        let others =
            expected.binds.iter().filter(|bind| is_other(bind.target.as_std_path(), bind.source.object));
        Ok(others.map(Mismatch::other_object).collect())
    }

    fn require_running(&self) -> Result<(), Fault> {
        let same = self.start_time()? == self.started;
        if same { Ok(()) } else { Err(self.ended()) }
    }

    fn start_time(&self) -> Result<u64, Fault> {
        let stat = self.read("stat")?;
        start_time(&stat).ok_or_else(|| self.format("stat", "it has no start time"))
    }

    fn read(&self, file: &'static str) -> Result<Vec<u8>, Fault> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.process, file, flags, Mode::empty());
        let mut bytes = Vec::new();
        let read =
            std::fs::File::from(opened.map_err(|error| self.failed(file, error))?).read_to_end(&mut bytes);
        match read {
            Ok(_) => Ok(bytes),
            Err(source) => Err(match Errno::from_io_error(&source) {
                Some(error) => self.failed(file, error),
                None => Fault::Io { pid: self.pid, file, source },
            }),
        }
    }

    /// A process that has ended has no `mountinfo` (EINVAL) while nobody has waited for it, and nothing afterwards.
    fn failed(&self, file: &'static str, error: Errno) -> Fault {
        match error {
            Errno::ACCESS | Errno::PERM => Fault::Denied { pid: self.pid, file },
            Errno::SRCH | Errno::NOENT | Errno::INVAL => self.ended(),
            error => Fault::Io { pid: self.pid, file, source: error.into() },
        }
    }

    fn ended(&self) -> Fault {
        Fault::Ended { pid: self.pid, id: self.id.clone() }
    }

    fn format(&self, file: &'static str, problem: &str) -> Fault {
        Fault::Format { pid: self.pid, file, problem: problem.to_owned() }
    }
}

/// Whether a `/proc/PID/cgroup` (`cgroups(7)`) is that of a process of the container: `/docker/ID` with the driver
/// `cgroupfs`, `docker-ID.scope` with `systemd`. Only the last part counts: a container inside a container has the
/// outer one's id on the way. Who reads sees the whole path, also where the container has a cgroup namespace.
fn is_of(cgroups: &[u8], id: &str) -> bool {
    let text = String::from_utf8_lossy(cgroups);
    let names = |line: &str| {
        let path = line.splitn(3, ':').nth(2)?;
        let last = path.rsplit('/').next()?;
        let scope = last.strip_prefix("docker-").and_then(|rest| rest.strip_suffix(".scope"));
        Some(scope.unwrap_or(last) == id)
    };
    text.lines().any(|line| names(line) == Some(true))
}

/// Field 22 of `proc_pid_stat(5)`. Field 2, the name in brackets, may hold spaces and brackets itself.
fn start_time(stat: &[u8]) -> Option<u64> {
    let after = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&stat[after + 1..]).ok()?;
    rest.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

/// `net:[4026531840]` (`namespaces(7)`).
fn namespace(link: &str) -> Option<u64> {
    link.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "c4053bf5dbe5e50133ea00384ae176b754ffaef4898eaa82959ac6d70fb3caf4";

    #[test]
    fn a_cgroup_names_its_container_by_its_last_part() {
        let outer = ID.replace('c', "d");
        for (line, expected) in [
            (format!("9:name=systemd:/docker/{ID}\n8:pids:/docker/{ID}\n0::/docker/{ID}\n"), true),
            (format!("0::/system.slice/docker-{ID}.scope\n"), true),
            (
                format!("0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope\n"),
                true,
            ),
            (format!("0::/../{ID}\n"), true),
            (format!("8:pids:/docker/{ID}/docker/{outer}\n"), false),
            (format!("0::/docker/{outer}\n"), false),
            (format!("0::/{ID}x\n"), false),
            (format!("1:name={ID}:/\n"), false),
            ("0::/user.slice/user-1000.slice/session-1.scope\n".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(is_of(line.as_bytes(), ID), expected, "{line}");
        }
    }

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let stat = "29846 (a) S 1 (b) S 29825 29846 29846 0 -1 4194560 1075 0 0 0 1 1 0 0 20 0 1 0 112719 1044480 131 1";
        assert_eq!(start_time(stat.as_bytes()), Some(112_719));
        assert_eq!(start_time(b"1 (a) S 1"), None);
        assert_eq!(start_time(b""), None);
    }

    #[test]
    fn a_namespace_is_its_inode() {
        assert_eq!(namespace("net:[4026532182]"), Some(4_026_532_182));
        assert_eq!(namespace("pid:[4026532182]"), None);
        assert_eq!(namespace("net:[]"), None);
    }

    #[test]
    fn a_process_that_is_not_the_containers_is_refused() {
        let said = |pid, id: &str| Container::find(pid, id).unwrap_err().to_string();
        let own = said(std::process::id(), ID);
        assert!(own.contains("its cgroup is `") && own.contains("Docker Desktop"), "{own}");
        assert!(said(u32::MAX, ID).contains("there is no such process"));
        assert!(said(std::process::id(), &ID[..12]).contains("not the full id"));
    }

    fn of(child: &std::process::Child) -> Container {
        let process = format!("/proc/{}", child.id());
        let process = rustix::fs::open(process, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let mut container = Container { pid: child.id(), id: ID.to_owned(), process, started: 0 };
        container.started = container.start_time().unwrap();
        container
    }

    #[test]
    fn a_process_that_has_ended_is_never_another_one() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let container = of(&child);
        let link = fs_err::read_link("/proc/self/ns/net").unwrap();
        assert_eq!(Some(container.network_namespace().unwrap()), namespace(link.to_str().unwrap()));
        assert!(container.mounts().unwrap().at(Path::new("/proc")).is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        let ended = |fault: Fault| matches!(fault, Fault::Ended { .. });
        assert!(ended(container.mounts().unwrap_err()));
        assert!(ended(container.network_namespace().unwrap_err()));
        assert!(ended(container.check_mounts(&Expected::default()).unwrap_err()));
    }

    #[test]
    fn what_a_user_may_not_read_is_an_error_of_its_own() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let container = of(&child);
        assert!(matches!(container.failed("ns/net", Errno::ACCESS), Fault::Denied { file: "ns/net", .. }));
        assert!(matches!(container.failed("ns/net", Errno::IO), Fault::Io { .. }));
        let said = Fault::Denied { pid: 7, file: "ns/net" }.to_string();
        assert_eq!(
            said,
            "this user may not read /proc/7/ns/net; only root and the user of that container may"
        );
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
