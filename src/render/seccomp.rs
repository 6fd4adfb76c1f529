//! `seccomp.json`: the system calls that a process of the stack may make. Pure, and the same for every plan.
//!
//! The engine brings a profile of its own, and the older the engine, the more of it is open: 20.10 lets a
//! container open `AF_VSOCK` sockets, which no network namespace confines, and use `io_uring`, whose requests no
//! filter sees. This profile replaces it for every service, so that what holds does not depend on the engine.
//!
//! It is an allowlist: what it does not name fails with `EPERM`. No entry asks for a capability, because no
//! service has one. The format is Docker's (<https://docs.docker.com/engine/security/seccomp/>); the numbers are
//! those of the kernel's `include/uapi/linux/sched.h`, `include/linux/socket.h` and
//! `include/uapi/linux/personality.h`. Why it is like this: `docs/decisions/0015-a-seccomp-profile-of-our-own.md`.

use serde_json::{Value, json};
use std::fmt::Write as _;

/// System calls with one reason to be allowed.
struct Group {
    /// For whoever reads the rendered file.
    why: &'static str,
    /// Separated by spaces.
    names: &'static str,
}

/// Allowed whatever their arguments are. Names that an architecture does not have are skipped by the engine.
const GROUPS: &[Group] = &[
    Group {
        why: "files: read, write, position, copy",
        names: "close close_range copy_file_range creat dup dup2 dup3 fadvise64 fallocate fcntl fdatasync flock \
            fsync ftruncate ioctl lseek open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 \
            pwritev pwritev2 read readahead readv sendfile splice sync sync_file_range syncfs tee truncate \
            vmsplice write writev",
    },
    Group {
        why: "folders, names, links",
        names: "chdir fchdir getcwd getdents getdents64 link linkat mkdir mkdirat mknod mknodat readlink \
            readlinkat rename renameat renameat2 rmdir symlink symlinkat umask unlink unlinkat",
    },
    Group {
        why: "what is known of files, and who may use them",
        names: "access chmod chown faccessat faccessat2 fchmod fchmodat fchmodat2 fchown fchownat fgetxattr \
            file_getattr file_setattr flistxattr fremovexattr fsetxattr fstat fstatfs futimesat getxattr \
            getxattrat lchown lgetxattr listxattr listxattrat llistxattr lremovexattr lsetxattr lstat \
            name_to_handle_at newfstatat removexattr removexattrat setxattr setxattrat stat statfs statx \
            utime utimensat utimes",
    },
    Group {
        why: "waiting for files, timers and signals",
        names: "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait \
            epoll_wait_old eventfd eventfd2 inotify_add_watch inotify_init inotify_init1 inotify_rm_watch \
            poll ppoll pselect6 select signalfd signalfd4 timerfd_create timerfd_gettime timerfd_settime",
    },
    Group {
        why: "the older asynchronous reads and writes; io_uring is not here",
        names: "io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit",
    },
    Group {
        why: "memory",
        names: "brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 \
            mlockall mmap mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free \
            pkey_mprotect process_mrelease remap_file_pages",
    },
    Group {
        why: "processes and threads; clone has a rule of its own",
        names: "arch_prctl execve execveat exit exit_group fork get_robust_list getcpu getpgid getpgrp getpid \
            getppid getpriority getsid gettid ioprio_get ioprio_set pidfd_open pidfd_send_signal prctl rseq \
            set_robust_list set_tid_address setpgid setpriority setsid uretprobe vfork wait4 waitid",
    },
    Group { why: "locks between threads", names: "futex futex_requeue futex_wait futex_waitv futex_wake" },
    Group {
        why: "signals",
        names: "kill pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo \
            rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sigaltstack tgkill tkill",
    },
    Group {
        why: "scheduling of the caller's own processes",
        names: "sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam \
            sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam \
            sched_setscheduler sched_yield",
    },
    Group {
        why: "clocks and timers; setting a clock needs a capability that nobody has here",
        names: "adjtimex alarm clock_adjtime clock_getres clock_gettime clock_nanosleep getitimer gettimeofday \
            nanosleep setitimer time timer_create timer_delete timer_getoverrun timer_gettime timer_settime \
            times",
    },
    Group {
        why: "limits and use of resources, names of the system, random bytes",
        names: "getrandom getrlimit getrusage prlimit64 setrlimit sysinfo uname",
    },
    Group {
        why: "users and groups; what they may become is up to the capabilities, and there are none",
        names: "capget capset getegid geteuid getgid getgroups getresgid getresuid getuid setfsgid setfsuid \
            setgid setgroups setregid setresgid setresuid setreuid setuid",
    },
    Group {
        why: "sockets that are open already; socket and socketpair have rules of their own",
        names: "accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg \
            sendmmsg sendmsg sendto setsockopt shutdown",
    },
    Group {
        why: "System V and POSIX messages, semaphores and shared memory, in the container's own IPC namespace",
        names: "mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv \
            msgsnd semctl semget semop semtimedop shmat shmctl shmdt shmget",
    },
    Group {
        why: "programs that confine themselves further, as browsers do",
        names: "landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp",
    },
];

/// For gdb, strace and the like. Before Linux 4.8 a traced process could leave its filter.
const TRACING: Group = Group { why: "debuggers", names: "process_vm_readv process_vm_writev ptrace" };

/// The address families that a socket may have; `AF_VSOCK`, `AF_ALG`, `AF_PACKET` and forty more are not here.
const FAMILIES: &[(u32, &str)] = &[(1, "AF_UNIX"), (2, "AF_INET"), (10, "AF_INET6"), (16, "AF_NETLINK")];

/// `CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET`; `clone` can't say `CLONE_NEWTIME`.
const NAMESPACES: u32 = 0x7e02_0000;

/// `PER_LINUX`, `PER_LINUX32`, both with `UNAME26`, and the question what it is.
const PERSONALITIES: &[u32] = &[0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// Widest line of names.
const WIDTH: usize = 110;

/// Each architecture's own calls and no second set: 32-bit x86 has `socketcall`, by which `socket` is reached with
/// arguments in memory, where no filter reads them. libseccomp opens it together with `socket`, listed or not.
const ARCHITECTURES: [&str; 2] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"];

/// The members of the profile and its closing brace: what follows the opening brace, for
/// [`seal_json`](super::checksum::seal_json).
pub(super) fn members() -> String {
    let mut entries: Vec<String> =
        GROUPS.iter().map(|group| entry(group.why, group.names, &json!({}))).collect();
    entries.push(entry(TRACING.why, TRACING.names, &json!({"includes": {"minKernel": "4.8"}})));
    for (number, name) in FAMILIES {
        let only = json!({"args": [equal(*number)]});
        entries.push(entry(name, "socket socketpair", &only));
    }
    for value in PERSONALITIES {
        entries.push(entry("how programs see the kernel", "personality", &json!({"args": [equal(*value)]})));
    }
    let no_namespace = json!({"args": [
        {"index": 0, "value": NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"},
    ]});
    entries.push(entry("processes and threads, in no namespace of their own", "clone", &no_namespace));
    // Its flags lie in memory, where a filter can't read; without it, libraries use `clone`.
    let absent = json!({"action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS});
    entries.push(entry("said to be unknown, so that clone is used", "clone3", &absent));

    let architectures =
        ARCHITECTURES.map(|name| format!("    {{\"architecture\": \"{name}\", \"subArchitectures\": []}}"));
    format!(
        "  \"defaultAction\": \"SCMP_ACT_ERRNO\",\n  \"defaultErrnoRet\": {EPERM},\n  \
         \"archMap\": [\n{}\n  ],\n  \"syscalls\": [\n{}\n  ]\n}}\n",
        architectures.join(",\n"),
        entries.join(",\n"),
    )
}

/// One entry of `syscalls`, with what `more` has besides; `SCMP_ACT_ALLOW` where `more` names no action.
fn entry(why: &str, names: &str, more: &Value) -> String {
    let mut text = format!("    {{\n      \"comment\": {},\n      \"names\": [", Value::from(why));
    let mut column = WIDTH;
    let mut names = names.split_whitespace().peekable();
    while let Some(name) = names.next() {
        let end = if names.peek().is_some() { "," } else { "" };
        let word = format!("\"{name}\"{end}");
        if column + 1 + word.len() > WIDTH {
            text.push_str("\n       ");
            column = 7;
        }
        let _ = write!(text, " {word}"); // writing to a String does not fail
        column += 1 + word.len();
    }
    text.push_str("\n      ]");
    let action = more.get("action").cloned().unwrap_or_else(|| json!("SCMP_ACT_ALLOW"));
    let _ = write!(text, ",\n      \"action\": {action}");
    for (key, value) in more.as_object().into_iter().flatten().filter(|(key, _)| *key != "action") {
        let _ = write!(text, ",\n      \"{key}\": {value}");
    }
    text.push_str("\n    }");
    text
}

/// The first argument is `value`.
fn equal(value: u32) -> Value {
    json!({"index": 0, "value": value, "valueTwo": 0, "op": "SCMP_CMP_EQ"})
}
