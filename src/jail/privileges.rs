//! What the jail gives up before it starts anything, and how it looks afterwards.

use super::refusal::{Refusal, step};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capability_is_in_bounding_set,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_capabilities_secure_bits, set_no_new_privs,
};

/// Empties every set of capabilities (capabilities(7)), and locks what could fill one again.
pub(super) fn drop_all() -> Result<(), Refusal> {
    // The kernel says EINVAL of a number that it does not know; there are 64 at most.
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if capability_is_in_bounding_set(one).unwrap_or(false) {
            remove_capability_from_bounding_set(one)
                .map_err(step("drop a capability from the bounding set"))?;
        }
    }
    clear_ambient_capability_set().map_err(step("clear the ambient capabilities"))?;
    let locked = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    set_capabilities_secure_bits(locked).map_err(step("lock the capabilities"))?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, sets).map_err(step("drop the capabilities"))?;
    set_no_new_privs(true).map_err(step("set no_new_privs"))?;
    // A pod can't say it. The core of a program holds what it knew, and the node may hand it to a program of its own.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(step("forbid core files"))?;
    // The agent runs as the same user: without this it could trace this process, and read and write its memory. What is
    // started is not concerned: `execve` sets it anew.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(step("keep the agent from tracing process 1"))
}

/// What `/proc/self/status` says, after everything (`proc_pid_status(5)`).
pub(super) fn look(status: &str) -> Result<(), Refusal> {
    let value = |key: &str| {
        status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap_or_default().trim()
    };
    for key in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        if u64::from_str_radix(value(key), 16) != Ok(0) {
            return Err(Refusal::NotHeld(format!(
                "{key} is {:?} after all capabilities were dropped",
                value(key)
            )));
        }
    }
    // SECCOMP_MODE_FILTER
    for (key, wanted) in [("NoNewPrivs", "1"), ("Seccomp", "2"), ("Threads", "1")] {
        if value(key) != wanted {
            return Err(Refusal::NotHeld(format!("{key} is {:?} and not {wanted}", value(key))));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_status_counts() {
        let good = "Name:\tx\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
                    CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nThreads:\t1\n";
        look(good).unwrap();
        for line in good.lines().skip(1) {
            let key = line.split(':').next().unwrap();
            assert!(
                look(&good.replace(line, "")).unwrap_err().to_string().starts_with(key),
                "{key} is missing"
            );
            let other = good.replace(line, &format!("{key}:\t00000004"));
            assert!(look(&other).unwrap_err().to_string().starts_with(key), "{key} is another");
        }
        let text = look(&good.replace("Seccomp:\t2", "Seccomp:\t0")).unwrap_err().to_string();
        assert_eq!(
            text,
            "Seccomp is \"0\" and not 2: this kernel, or the sandbox that stands for it, does not do what it says. \
             Nothing was started"
        );
    }
}
