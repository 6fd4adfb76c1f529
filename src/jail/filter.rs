//! The filter of system calls that the jail installs on itself, and so on everything that it starts.

use super::refusal::Refusal;
use crate::system_calls::{FAMILIES, GROUPS, NAMESPACES, PERSONALITIES, TRACING};
use rustix::io::Errno;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};
use std::{collections::BTreeMap, io};
use syscalls::Sysno;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Installs it on the calling thread, for good; sets `no_new_privs`, without which nobody unprivileged may (seccomp(2)).
pub(super) fn install() -> Result<(), Refusal> {
    for program in programs().map_err(|error| failed(&error))? {
        apply_filter(&program).map_err(|error| failed(&error))?;
    }
    Ok(())
}

fn failed(error: &dyn std::error::Error) -> Refusal {
    Refusal::Step { what: "filter system calls", error: io::Error::other(error.to_string()) }
}

/// The allowlist, and on top of it a filter that says of `clone3` that the kernel does not have it: its flags lie in memory,
/// where no filter reads, and libraries that get this answer use `clone`. Of two errors the later filter's is returned.
fn programs() -> Result<[BpfProgram; 2], BackendError> {
    let target = TargetArch::try_from(std::env::consts::ARCH)?;
    let error = |errno: Errno| SeccompAction::Errno(errno.raw_os_error().unsigned_abs());
    let allowed = SeccompFilter::new(rules()?, error(Errno::PERM), SeccompAction::Allow, target)?;
    let clone3 = number("clone3").into_iter().map(|it| (it, Vec::new())).collect();
    let absent = SeccompFilter::new(clone3, SeccompAction::Allow, error(Errno::NOSYS), target)?;
    Ok([allowed.try_into()?, absent.try_into()?])
}

fn rules() -> Result<Rules, BackendError> {
    // No rule for a call allows it whatever its arguments are. A name that is not known here stays refused.
    let names = GROUPS.iter().chain([&TRACING]).flat_map(|group| group.names.split_whitespace());
    let mut rules: Rules = names.filter_map(number).map(|it| (it, Vec::new())).collect();
    let mut only = |name: &str, operator: SeccompCmpOp, values: &[u32]| {
        let one = |value: &u32| {
            // Each of these is 32 bits wide, and the kernel ignores the rest of the register.
            let length = SeccompCmpArgLen::Dword;
            SeccompRule::new(vec![SeccompCondition::new(0, length, operator.clone(), u64::from(*value))?])
        };
        let alternatives = values.iter().map(one).collect::<Result<_, _>>()?;
        rules.extend(number(name).map(|it| (it, alternatives)));
        Ok::<_, BackendError>(())
    };
    let families: Vec<u32> = FAMILIES.iter().map(|(number, _)| *number).collect();
    only("socket", SeccompCmpOp::Eq, &families)?;
    only("socketpair", SeccompCmpOp::Eq, &families)?;
    only("personality", SeccompCmpOp::Eq, PERSONALITIES)?;
    only("clone", SeccompCmpOp::MaskedEq(NAMESPACES.into()), &[0])?;
    Ok(rules)
}

/// The number of a system call on this architecture.
fn number(name: &str) -> Option<i64> {
    name.parse::<Sysno>().ok().map(|it| i64::from(it.id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_out_of_a_namespace_is_in_no_rule() {
        let rules = rules().unwrap();
        for name in ["unshare", "setns", "clone3", "io_uring_setup", "mount", "bpf", "keyctl", "pivot_root"] {
            assert!(!rules.contains_key(&number(name).unwrap()), "{name}");
        }
        // An empty list of rules would allow every argument.
        for (name, count) in [("socket", 4), ("socketpair", 4), ("personality", 5), ("clone", 1)] {
            assert_eq!(rules[&number(name).unwrap()].len(), count, "{name}");
        }
        assert!(rules.len() > 250, "{}", rules.len());
        programs().unwrap();
    }

    /// Newer calls than the table of numbers has would be refused here and allowed in a compose stack.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn every_name_of_the_list_has_a_number() {
        let names = GROUPS.iter().chain([&TRACING]).flat_map(|group| group.names.split_whitespace());
        let unknown: Vec<&str> = names.filter(|name| number(name).is_none()).collect();
        // Of other architectures.
        assert_eq!(unknown, ["sync_file_range2"; 0]);
    }
}
