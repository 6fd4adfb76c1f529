//! The system calls that a program of a stack may make: one list for the profile that `bottle render` writes and for the
//! filter that `bottle jail` installs. What is not here fails. The numbers are those of the kernel's
//! `include/uapi/linux/sched.h`, `include/linux/socket.h` and `include/uapi/linux/personality.h`. Why it is like this:
//! `docs/decisions/0015-a-seccomp-profile-of-our-own.md`.

/// System calls with one reason to be allowed.
pub(crate) struct Group {
    /// For whoever reads the rendered file.
    pub(crate) why: &'static str,
    /// Separated by spaces.
    pub(crate) names: &'static str,
}

/// Allowed whatever their arguments are. Names that an architecture does not have are skipped by the engine.
pub(crate) const GROUPS: &[Group] = &[
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
pub(crate) const TRACING: Group =
    Group { why: "debuggers", names: "process_vm_readv process_vm_writev ptrace" };

/// The address families that a socket may have; `AF_VSOCK`, `AF_ALG`, `AF_PACKET` and forty more are not here.
pub(crate) const FAMILIES: &[(u32, &str)] =
    &[(1, "AF_UNIX"), (2, "AF_INET"), (10, "AF_INET6"), (16, "AF_NETLINK")];

/// `CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET`; `clone` can't say `CLONE_NEWTIME`.
pub(crate) const NAMESPACES: u32 = 0x7e02_0000;

/// `PER_LINUX`, `PER_LINUX32`, both with `UNAME26`, and the question what it is.
pub(crate) const PERSONALITIES: &[u32] = &[0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];
