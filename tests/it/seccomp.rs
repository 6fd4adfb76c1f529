//! `seccomp.json`: what the profile says. What it does is tried in `stack::kernel`.

use bottle::manifest::Manifest;
use bottle::plan::{Plan, Surroundings};
use bottle::render::checksum::{Sealed, verify};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The file as it is rendered with every stack.
pub(crate) fn rendered() -> Vec<u8> {
    let manifest = b"version: 1\nname: dev\nagent: {image: 'agent:local'}\n";
    let manifest = Manifest::load("bottle.yaml", manifest).unwrap().manifest;
    let plan = Plan::resolve(&manifest, &Surroundings::beside("dev")).unwrap();
    bottle::render::tree(&plan, bottle::render::RenderTarget::Compose)
        .unwrap()
        .remove(camino::Utf8Path::new("seccomp.json"))
        .unwrap()
}

/// Entries by the names that they list.
fn entries() -> BTreeMap<String, Vec<Value>> {
    let profile: Value = serde_json::from_slice(&rendered()).unwrap();
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for entry in profile["syscalls"].as_array().unwrap() {
        for name in entry["names"].as_array().unwrap() {
            found.entry(name.as_str().unwrap().to_owned()).or_default().push(entry.clone());
        }
    }
    found
}

#[test]
fn the_file_is_json_that_carries_its_checksum() {
    let text = rendered();
    assert_eq!(verify(&text), Sealed::Intact);
    let profile: Value = serde_json::from_slice(&text).unwrap();
    let profile = profile.as_object().unwrap();
    let keys: Vec<_> = profile.keys().map(String::as_str).collect();
    assert_eq!(keys, ["//", "defaultAction", "defaultErrnoRet", "archMap", "syscalls"]);
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    let wide: Vec<_> = text.split(|byte| *byte == b'\n').filter(|line| line.len() > 120).collect();
    assert!(wide.len() <= 1, "people review it, so only the checksum's line is long: {wide:?}");

    let edited = String::from_utf8(text).unwrap().replace("\"accept\"", "\"bpf\"");
    assert_eq!(verify(edited.as_bytes()), Sealed::Edited);
}

/// 32-bit calls go through `socketcall`, whose arguments no filter can read, and libseccomp opens it with `socket`.
#[test]
fn no_second_set_of_system_calls_is_open() {
    let profile: Value = serde_json::from_slice(&rendered()).unwrap();
    let expected = json!([
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []},
    ]);
    assert_eq!(profile["archMap"], expected);
    assert!(!entries().contains_key("socketcall"));
}

#[test]
fn nothing_that_needs_a_reason_is_allowed_without_one() {
    let entries = entries();
    for name in "acct add_key bpf chroot clock_settime create_module delete_module fanotify_init finit_module \
                 fsconfig fsmount fsopen fspick get_mempolicy init_module io_uring_enter io_uring_register \
                 io_uring_setup ioperm iopl ipc kcmp kexec_file_load kexec_load keyctl listmount lookup_dcookie \
                 mbind migrate_pages modify_ldt mount mount_setattr move_mount move_pages nfsservctl \
                 open_by_handle_at open_tree open_tree_attr perf_event_open pidfd_getfd pivot_root \
                 process_madvise quotactl quotactl_fd reboot request_key set_mempolicy setdomainname sethostname \
                 setns settimeofday socketcall statmount stime swapoff swapon sysfs syslog umount umount2 unshare \
                 uselib userfaultfd ustat vhangup vm86 vm86old"
        .split_whitespace()
    {
        assert!(!entries.contains_key(name), "{name}");
    }
}

#[test]
fn what_depends_on_arguments_is_allowed_for_no_others() {
    let entries = entries();
    let arguments = |name: &str| -> Vec<Value> {
        let of_name = &entries[name];
        assert!(of_name.iter().all(|entry| entry["action"] == "SCMP_ACT_ALLOW"), "{name}");
        of_name.iter().map(|entry| entry["args"].clone()).collect()
    };
    let equal = |value: u32| json!([{"index": 0, "value": value, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]);
    for name in ["socket", "socketpair"] {
        assert_eq!(arguments(name), [1, 2, 10, 16].map(equal), "{name}");
    }
    assert_eq!(arguments("personality"), [0, 8, 0x20000, 0x20008, 0xffff_ffff].map(equal));
    let flags = json!([{"index": 0, "value": 0x7e02_0000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]);
    assert_eq!(arguments("clone"), [flags]);
    let [clone3] = &entries["clone3"][..] else { panic!("one entry") };
    assert_eq!((&clone3["action"], &clone3["errnoRet"]), (&json!("SCMP_ACT_ERRNO"), &json!(38)));

    let conditional: BTreeSet<_> = entries
        .iter()
        .filter(|(_, of_name)| of_name.iter().any(|entry| entry["args"] != Value::Null))
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(conditional, ["clone", "personality", "socket", "socketpair"].into());
    for (name, of_name) in &entries {
        assert!(of_name.len() == 1 || conditional.contains(name.as_str()), "{name} is listed twice");
    }
}
