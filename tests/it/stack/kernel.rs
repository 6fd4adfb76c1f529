//! The rendered seccomp profile on a real kernel: what is denied, what runs, and what the attack suite says of it.

use super::harness::{self, PROJECT, Ran, docker};
use fs_err as fs;
use serde_json::{Map, Value};
use std::{path::PathBuf, sync::OnceLock};

/// Tries calls, and prints how each ended: 0, or the number of the error.
const PROBE: &str = r#"
import ctypes, json, mmap, os, platform, socket
libc = ctypes.CDLL(None, use_errno=True)
x86 = platform.machine() == "x86_64"
def call(numbers, *arguments):
    ctypes.set_errno(0)
    number = numbers[0] if x86 else numbers[1]
    result = libc.syscall(*map(ctypes.c_long, (number, *arguments)))
    return ctypes.get_errno() if result == -1 else 0
def family(number):
    kind = socket.SOCK_DGRAM
    try:
        socket.socket(number, kind).close()
    except OSError as error:
        return error.errno
    return 0
def clone(flags):
    pid = os.fork()
    if pid == 0:
        os._exit(call((56, 220), flags | 17, 0, 0, 0, 0))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
def call_of_x32():
    pid = os.fork()
    if pid == 0:
        os._exit(call((0x40000000 | 39, 0)))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
def call_of_32_bits():
    pid = os.fork()
    if pid == 0:
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # getpid by int 0x80
        ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
ends = {f"family {it}": family(it) for it in range(64)}
ends.update({
    "socketpair of AF_TIPC": call((53, 199), 30, 1, 0, 0),
    "a family in the high half": call((41, 198), (1 << 32) | 2, 2, 0),
    "io_uring_setup": call((425, 425), 1, 0),
    "io_uring_enter": call((426, 426), -1, 0, 0, 0, 0, 0),
    "io_uring_register": call((427, 427), -1, 0, 0, 0),
    "unshare": call((272, 97), 0x10000000),
    "setns": call((308, 268), -1, 0),
    "mount": call((165, 40), 0, 0, 0, 0, 0),
    "umount2": call((166, 39), 0, 0),
    "pivot_root": call((155, 41), 0, 0),
    "chroot": call((161, 51), 0),
    "open_tree": call((428, 428), -1, 0, 0),
    "fsopen": call((430, 430), 0, 0),
    "bpf": call((321, 280), 0, 0, 0),
    "perf_event_open": call((298, 241), 0, 0, -1, -1, 0),
    "keyctl": call((250, 219), 0, -3, 0),
    "add_key": call((248, 217), 0, 0, 0, 0, -3),
    "request_key": call((249, 218), 0, 0, 0, 0),
    "userfaultfd": call((323, 282), 1),
    "open_by_handle_at": call((304, 265), -1, 0, 0),
    "quotactl": call((179, 60), 0, 0, 0, 0),
    "kexec_load": call((246, 104), 0, 0, 0, 0),
    "init_module": call((175, 105), 0, 0, 0),
    "swapon": call((167, 224), 0, 0),
    "settimeofday": call((164, 170), 1, 0),
    "personality ADDR_NO_RANDOMIZE": call((135, 92), 0x40000),
    "clone NEWUSER": clone(0x10000000),
    "clone NEWNET": clone(0x40000000),
    "clone3": call((435, 435), 0, 0),
    "clone": clone(0),
    "personality": call((135, 92), 0xffffffff),
    "x32": call_of_x32() if x86 else -31,
    "32 bits": call_of_32_bits() if x86 else -31,
})
print(json.dumps(ends))
"#;

/// What agents run, each as a command that fails when something is missing.
const TOOLS: &str = r#"
set -eux
cd /tmp
python3 - <<'X'
import asyncio, multiprocessing, socket, subprocess, threading
from multiprocessing.shared_memory import SharedMemory
threads = [threading.Thread(target=len, args=("",)) for _ in range(50)]
for it in threads: it.start()
for it in threads: it.join()
subprocess.run(["true"], check=True)
with multiprocessing.Pool(3) as pool: assert pool.map(abs, [-1, 2]) == [1, 2]
SharedMemory(create=True, size=10).unlink()
assert any(name == "lo" for _, name in socket.if_nameindex())
async def main():
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    await asyncio.open_connection(*server.sockets[0].getsockname())
    await (await asyncio.create_subprocess_exec("true")).wait()
asyncio.run(main())
X
python3 - <<'X'
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
pid = os.fork()
if pid == 0:
    assert libc.ptrace(0, 0, 0, 0) == 0  # PTRACE_TRACEME
    os.kill(os.getpid(), signal.SIGSTOP)
    os._exit(0)
os.waitpid(pid, 0)
assert libc.ptrace(7, pid, 0, 0) == 0  # PTRACE_CONT
assert os.waitpid(pid, 0)[1] == 0
X
node -e '
const { Worker } = require("worker_threads"), fs = require("fs");
require("child_process").execFileSync("true");
fs.writeFileSync("/tmp/watched", "");
const watch = fs.watch("/tmp/watched", () => { watch.close(); work(); });
fs.writeFileSync("/tmp/watched", "x");
function work() {
  new Worker("require(\"fs\").promises.readFile(\"/etc/passwd\")", { eval: true }).on("exit", code => code ? process.exit(code) : serve());
}
function serve() {
  const server = require("http").createServer((_, answer) => answer.end("x"));
  server.listen(0, "127.0.0.1", () => fetch(`http://127.0.0.1:${server.address().port}`).then(() => process.exit(0)));
}'
java -version
git init --quiet here
git -C here -c user.name=x -c user.email=x@x.test commit --quiet --allow-empty --message x
git clone --quiet file:///tmp/here there
curl --silent --fail --output /dev/null file:///etc/passwd
tar cf - /etc/passwd | tar tf -
mkfifo fifo && touch -d yesterday file && chmod 600 file && flock file true && nice timeout 5 true
echo all of it
"#;

fn profile() -> &'static str {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let file = harness::folder().join("seccomp.json");
        fs::write(&file, crate::seccomp::rendered()).unwrap();
        file
    });
    file.to_str().unwrap()
}

/// Runs a command as a service of the stack would, with this profile.
fn confined(profile: &str, user: &str, options: &[&str], command: &[&str]) -> Ran {
    let label = format!("{PROJECT}=bottle-test-kernel");
    let profile = format!("seccomp={profile}");
    let common = [
        "run",
        "--rm",
        "--label",
        &label,
        "--user",
        user,
        "--network",
        "none",
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges:true",
        "--security-opt",
        &profile,
        "--pids-limit",
        "1024",
        "--memory",
        "1g",
        "--ulimit",
        "core=0",
        "--env",
        "HOME=/tmp",
    ];
    let all = [&common[..], options, &[harness::IMAGES[0]], command].concat();
    docker(all)
}

#[test]
fn the_profile_denies_what_it_does_not_name() {
    if !harness::available() {
        return;
    }
    for user in ["0", "1000"] {
        let ran = confined(profile(), user, &[], &["python3", "-c", PROBE]).ok();
        let ends: Map<String, Value> = serde_json::from_str(&ran.out).unwrap();
        for (what, end) in &ends {
            let expected = match what.as_str() {
                "family 1" | "family 2" | "family 10" | "family 16" | "clone" | "personality" => 0,
                "clone3" => 38,           // ENOSYS
                "x32" | "32 bits" => -31, // SIGSYS
                _ => 1,                   // EPERM
            };
            assert_eq!(end, expected, "{what} as {user}");
        }
        assert!(ends.len() > 90, "{}", ends.len());
    }
}

#[test]
fn what_agents_run_runs_under_the_profile() {
    if !harness::available() {
        return;
    }
    for user in ["0", "1000"] {
        let ran = confined(profile(), user, &[], &["sh", "-c", TOOLS]).ok();
        assert!(ran.out.contains("all of it"), "as {user}: {}", ran.text());
    }
}

/// The findings of the areas that are about the kernel and the engine, `NAME` to how it ended.
fn attack(profile: &str, user: &str, more: &[&str]) -> Map<String, Value> {
    let binary = format!("{}:/run/bottle/bottle:ro", env!("CARGO_BIN_EXE_bottle"));
    let options = [&["--volume", &binary], more].concat();
    let ran =
        confined(profile, user, &options, &["/run/bottle/bottle", "attack", "--self", "--format", "json"]);
    let findings: Vec<Map<String, Value>> =
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.text()));
    let ours = findings.into_iter().filter(|it| {
        let name = it["name"].as_str().unwrap();
        name.starts_with("kernel/") || name.starts_with("environment/")
    });
    ours.map(|it| (it["name"].as_str().unwrap().to_owned(), Value::Object(it))).collect()
}

#[test]
fn the_attack_suite_sees_the_profile_and_the_lack_of_it() {
    if !harness::available() {
        return;
    }
    for user in ["0", "1000"] {
        let findings = attack(profile(), user, &["--env", "HTTPS_PROXY=http://127.0.0.1:9099"]);
        assert_eq!(findings.len(), 10, "{findings:?}");
        for (name, finding) in &findings {
            assert_eq!(finding["outcome"], "held", "{name} as {user}: {finding}");
        }
    }
    // Each of these must be able to fail, whatever the engine's own profile holds.
    let loose = ["--ulimit", "core=-1", "--memory", "0", "--pids-limit", "-1", "--device", "/dev/kmsg"];
    let proxy = ["--env", "all_proxy=http://me:hunter2@proxy.test:1080"];
    let findings = attack("unconfined", "0", &[&loose[..], &proxy].concat());
    let mut broken: Vec<_> =
        findings.iter().filter(|(_, it)| it["outcome"] == "broken").map(|(name, _)| name.as_str()).collect();
    broken.sort_unstable();
    broken.retain(|name| *name != "kernel/io-uring"); // a host may have switched it off by itself
    let expected = [
        "environment/proxies",
        "kernel/calls",
        "kernel/core",
        "kernel/devices",
        "kernel/filter",
        "kernel/mounts",
        "kernel/namespaces",
        "kernel/resources",
        "kernel/sockets",
    ];
    assert_eq!(broken, expected, "{findings:?}");
    assert!(!format!("{findings:?}").contains("hunter2"));
}

/// A container that has no profile, as a pod of the level `baseline` has, and `bottle jail` in it.
fn jailed(command: &[&str]) -> Ran {
    let binary = format!("{}:/run/bottle/bottle:ro", env!("CARGO_BIN_EXE_bottle"));
    let words = [&["/run/bottle/bottle", "jail", "--"][..], command].concat();
    confined("unconfined", "1000", &["--volume", &binary], &words)
}

/// The same as the profile, but for how the kernel's own filters see two calls.
#[test]
fn the_jail_filters_what_the_profile_does() {
    if !harness::available() {
        return;
    }
    let ran = jailed(&["python3", "-c", PROBE]).ok();
    let ends: Map<String, Value> = serde_json::from_str(&ran.out).unwrap();
    for (what, end) in &ends {
        let expected = match what.as_str() {
            // The kernel does not look at the high half of a family: that one is AF_INET.
            "family 1"
            | "family 2"
            | "family 10"
            | "family 16"
            | "a family in the high half"
            | "clone"
            | "personality" => 0,
            "clone3" => 38,   // ENOSYS
            "32 bits" => -31, // SIGSYS
            _ => 1,           // EPERM
        };
        assert_eq!(end, expected, "{what}");
    }
    assert!(ends.len() > 90, "{}", ends.len());
}

#[test]
fn what_agents_run_runs_in_the_jail() {
    if !harness::available() {
        return;
    }
    let ran = jailed(&["sh", "-c", TOOLS]).ok();
    assert!(ran.out.contains("all of it"), "{}", ran.text());
}

#[test]
fn the_jail_says_that_the_profile_is_in_the_way() {
    if !harness::available() {
        return;
    }
    // The stack's own profile allows no `unshare`, as those of the engines.
    let binary = format!("{}:/run/bottle/bottle:ro", env!("CARGO_BIN_EXE_bottle"));
    let command = ["/run/bottle/bottle", "jail", "--", "echo", "started"];
    let ran = confined(profile(), "1000", &["--volume", &binary], &command);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{}", ran.err);
    let begins = "error: the seccomp profile of this container forbids `unshare`, as `RuntimeDefault` does";
    assert!(ran.err.starts_with(begins), "{}", ran.err);
}

/// What `kubectl exec` does on a node with runc: it joins the network that process 1 is in now, not the container's.
#[test]
fn what_is_executed_in_the_container_is_in_the_jails_network() {
    if !harness::available() {
        return;
    }
    let binary = format!("{}:/run/bottle/bottle:ro", env!("CARGO_BIN_EXE_bottle"));
    let label = format!("{PROJECT}=bottle-test-kernel");
    let options = ["run", "--detach", "--rm", "--label", &label, "--user", "1000", "--cap-drop", "ALL"];
    let more = ["--security-opt", "seccomp=unconfined", "--volume", &binary, harness::IMAGES[0]];
    let command = ["/run/bottle/bottle", "jail", "--", "sh", "-c", "echo up; exec sleep 300"];
    let id = docker([&options[..], &more, &command].concat()).ok().out;
    let id = id.trim();
    harness::until("the agent runs", std::time::Duration::from_secs(20), || {
        docker(["logs", id]).out.contains("up").then_some(())
    });
    let inside = docker(["exec", id, "tail", "-n", "+3", "/proc/net/dev"]);
    let stopped = docker(["rm", "--force", id]);
    let inside = inside.ok();
    let names: Vec<&str> =
        inside.out.lines().filter_map(|line| line.split(':').next()).map(str::trim).collect();
    assert_eq!(names, ["lo"]);
    stopped.ok();
}
