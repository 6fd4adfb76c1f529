//! Why there is no jail, in a sentence for whoever sets the pod up: what is in the way, and what to set.

use rustix::io::Errno;
use std::io;

/// Why there is no jail. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Its network namespace would not be that of the container.
    #[error(
        "`bottle jail` is process {0} of its container and must be process 1: what `kubectl exec` starts would have the \
         pod's network. Make it the container's `command`, behind no other init, and leave `shareProcessNamespace` out"
    )]
    NotFirst(i32),
    /// The id 0 is mapped into a user namespace by privileged processes only (`user_namespaces(7)`, since Linux 5.12).
    #[error(
        "the agent would be user 0, which no user namespace takes from a process without the capability SETFCAP. Set \
         `runAsUser: 1000` and `runAsNonRoot: true` in the `securityContext` of the agent's container"
    )]
    Root,
    /// A process that is not what it was started as can't be mapped as one user.
    #[error("the real and the effective user or group differ: start `bottle` without a set-user-ID bit")]
    TwoUsers,
    /// A file that is open already could lead out.
    #[error(
        "descriptor {descriptor} is open ({what}) and would be the agent's too: start `bottle jail` with nothing open but \
         0, 1 and 2, and these as pipes, files or a terminal"
    )]
    Open {
        /// Its number.
        descriptor: u32,
        /// What `/proc/self/fd` says of it.
        what: String,
    },
    /// `unshare` fails whatever it is asked for.
    #[error(
        "the seccomp profile of this container forbids `unshare`, as `RuntimeDefault` does, so no network namespace can be \
         made. Set `seccompProfile` in the `securityContext` of the agent's container to `type: Localhost` with a profile \
         that allows `unshare`; where Pod Security is `baseline` and the kubelet has no `seccompDefault`, it can be left \
         out, and `bottle jail` filters system calls itself"
    )]
    Seccomp,
    /// A limit of the node.
    #[error(
        "this node allows no more {what} namespaces: user.max_{what}_namespaces is {limit}. Raise it on the node, for \
         example with `sysctl -w user.max_{what}_namespaces=15000`"
    )]
    Limit {
        /// `user` or `net`.
        what: &'static str,
        /// What the kernel says, or `unknown`.
        limit: String,
    },
    /// Debian's switch.
    #[error(
        "this node allows user namespaces to root only: kernel.unprivileged_userns_clone is 0. Set it to 1 on the node, \
         with `sysctl -w kernel.unprivileged_userns_clone=1`"
    )]
    Unprivileged,
    /// Ubuntu's since 23.10.
    #[error(
        "AppArmor restricts user namespaces on this node (kernel.apparmor_restrict_unprivileged_userns is 1; this process \
         has the profile {profile}). Load a profile with the rule `userns,` on the node and name it in `appArmorProfile` of \
         the agent's container, or set the switch to 0 on the node"
    )]
    AppArmor {
        /// What `/proc/self/attr/current` says, or `unknown`.
        profile: String,
    },
    /// Anything else that the kernel said.
    #[error("can't {what}: {error}. Nothing was started")]
    Step {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        error: io::Error,
    },
    /// It was done, and it is not so.
    #[error(
        "{0}: this kernel, or the sandbox that stands for it, does not do what it says. Nothing was started"
    )]
    NotHeld(String),
}

/// What a step returns to a [`Refusal`].
pub(super) fn step(what: &'static str) -> impl Fn(Errno) -> Refusal {
    move |errno| Refusal::Step { what, error: errno.into() }
}

/// The same for an [`io::Error`].
pub(super) fn io_step(what: &'static str) -> impl Fn(io::Error) -> Refusal {
    move |error| Refusal::Step { what, error }
}

/// What the node and the container say of themselves, for the sentence. None of it decides whether the jail is made.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// `unshare` that asks for nothing succeeds: only a filter lets it fail.
    pub(super) unshare_works: bool,
    pub(super) max_user: Option<String>,
    pub(super) max_net: Option<String>,
    pub(super) unprivileged_clone: Option<String>,
    pub(super) apparmor_restricts: Option<String>,
    pub(super) apparmor_profile: Option<String>,
}

impl Evidence {
    pub(super) fn read(unshare_works: bool) -> Self {
        let text = |path: &str| {
            let text = fs_err::read_to_string(path).ok()?;
            Some(text.trim_end_matches(['\n', '\0']).to_owned())
        };
        Self {
            unshare_works,
            max_user: text("/proc/sys/user/max_user_namespaces"),
            max_net: text("/proc/sys/user/max_net_namespaces"),
            unprivileged_clone: text("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor_restricts: text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            apparmor_profile: text("/proc/self/attr/current"),
        }
    }

    /// Why a step failed that makes or sets up a namespace. `kind` is `user` or `net`.
    pub(super) fn explain(self, what: &'static str, kind: &'static str, error: io::Error) -> Refusal {
        let is = |value: &Option<String>, text: &str| value.as_deref() == Some(text);
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        if !self.unshare_works {
            return Refusal::Seccomp;
        }
        match errno {
            // unshare(2): ENOSPC, or EUSERS before Linux 4.9
            Some(Errno::NOSPC | Errno::USERS) => {
                let limit = if kind == "net" { self.max_net } else { self.max_user };
                Refusal::Limit { what: kind, limit: limit.unwrap_or_else(|| "unknown".into()) }
            }
            Some(Errno::PERM | Errno::ACCESS) if is(&self.unprivileged_clone, "0") => Refusal::Unprivileged,
            Some(Errno::PERM | Errno::ACCESS) if is(&self.apparmor_restricts, "1") => {
                Refusal::AppArmor { profile: self.apparmor_profile.unwrap_or_else(|| "unknown".into()) }
            }
            _ => Refusal::Step { what, error },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(evidence: Evidence, kind: &'static str, errno: Errno) -> String {
        evidence.explain("make a user namespace", kind, errno.into()).to_string()
    }

    #[test]
    fn the_cause_is_named_by_what_the_node_says() {
        let some = |text: &str| Some(text.to_owned());
        let works = || Evidence { unshare_works: true, ..Evidence::default() };
        // A filter refuses first, whatever else would.
        let all =
            Evidence { apparmor_restricts: some("1"), unprivileged_clone: some("0"), ..Evidence::default() };
        assert!(
            said(all, "user", Errno::PERM)
                .starts_with("the seccomp profile of this container forbids `unshare`")
        );
        let limit = Evidence { max_user: some("0"), max_net: some("7"), ..works() };
        assert_eq!(
            said(limit, "user", Errno::NOSPC),
            "this node allows no more user namespaces: user.max_user_namespaces is 0. Raise it on the node, for example \
             with `sysctl -w user.max_user_namespaces=15000`"
        );
        let limit = Evidence { max_user: some("0"), max_net: some("7"), ..works() };
        assert!(said(limit, "net", Errno::NOSPC).contains("user.max_net_namespaces is 7."));
        let debian = Evidence { unprivileged_clone: some("0"), ..works() };
        assert!(
            said(debian, "user", Errno::PERM).contains("kernel.unprivileged_userns_clone is 0. Set it to 1")
        );
        let ubuntu = Evidence {
            unprivileged_clone: some("1"),
            apparmor_restricts: some("1"),
            apparmor_profile: some("cri-containerd.apparmor.d (enforce)"),
            ..works()
        };
        let text = said(ubuntu, "user", Errno::ACCESS);
        assert!(text.contains("has the profile cri-containerd.apparmor.d (enforce)"), "{text}");
        assert!(text.contains("a profile with the rule `userns,` on the node"), "{text}");
        assert_eq!(
            said(works(), "user", Errno::PERM),
            "can't make a user namespace: Operation not permitted (os error 1). Nothing was started"
        );
    }
}
