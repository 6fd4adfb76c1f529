//! `bottle jail` on this kernel: as process 1 of a process namespace, as a user without privileges, as it is in a pod.

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};

/// Closes what the test runner left open, and becomes the command. `kubelet` leaves nothing open.
const CLOSED: &str = "import os, sys\nos.closerange(3, 65536)\nos.execvp(sys.argv[1], sys.argv[1:])";

/// Does what a container's engine does: a process namespace in which the next program is process 1, and no capability.
const CONTAINER: [&str; 6] =
    ["--user", "--map-current-user", "--pid", "--fork", "--kill-child", "--mount-proc"];

fn closed(words: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", CLOSED]).args(words).stdin(Stdio::null());
    command
}

fn unprivileged(mut command: Command) -> Command {
    if rustix::process::getuid().is_root() {
        command.uid(1000).gid(1000);
    }
    command
}

fn jail(words: &[&str]) -> Command {
    let before = ["unshare"].into_iter().chain(CONTAINER).chain(["--", env!("CARGO_BIN_EXE_bottle"), "jail"]);
    unprivileged(closed(&before.chain(words.iter().copied()).collect::<Vec<_>>()))
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn run(words: &[&str]) -> (Option<i32>, String, String) {
    said(&jail(words).output().unwrap())
}

#[test]
fn the_agent_has_loopback_no_privilege_and_its_own_user() {
    let script = "tail -n +3 /proc/net/dev | cut -d: -f1; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status | cut -f2; \
                  ulimit -Hc; id -u; cat /proc/self/uid_map /proc/self/setgroups; ls /proc/self/fd | wc -l; \
                  cat /proc/1/environ";
    let (code, out, err) = run(&["--", "sh", "-c", script]);
    let user = rustix::process::getuid().as_raw();
    let user = if user == 0 { 1000 } else { user };
    let words: Vec<&str> = out.split_whitespace().collect();
    let (none, user) = ("0000000000000000", user.to_string());
    let expected = ["lo", none, none, none, none, none, "1", "2", "0", &user, &user, &user, "1", "deny", "4"];
    assert_eq!(words, expected, "{err}");
    assert_eq!((code, err.as_str()), (Some(1), "cat: /proc/1/environ: Permission denied\n"));
}

/// What the shipped suite says of the kernel and the network, from inside.
#[test]
fn the_attack_suite_finds_no_way_to_a_network_or_a_namespace() {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = jail(&["--", env!("CARGO_BIN_EXE_bottle"), "attack", "--self", "--json"]);
    let output = command.env("HOME", home.path()).env_remove("HTTPS_PROXY").output().unwrap();
    let (_, out, err) = said(&output);
    let findings: Vec<serde_json::Value> =
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
    let outcome = |name: &str| {
        let found = findings.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("{name}"));
        found.to_string()
    };
    for name in [
        "network/interfaces",
        "network/tcp",
        "network/ipv6",
        "network/metadata",
        "network/raw",
        "network/dns",
        "cage/capabilities",
        "kernel/filter",
        "kernel/sockets",
        "kernel/io-uring",
        "kernel/namespaces",
        "kernel/mounts",
        "kernel/calls",
        "kernel/core",
    ] {
        assert!(outcome(name).contains("held"), "{}", outcome(name));
    }
}

#[test]
fn the_relay_is_the_way_out_and_threads_and_children_work() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let socket = folder.path().join("egress.sock");
    let far = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = far.accept().unwrap();
        let mut text = [0; 5];
        stream.read_exact(&mut text).unwrap();
        stream.write_all(&text.map(|byte| byte.to_ascii_uppercase())).unwrap();
    });
    // In a thread of a child.
    let script = "import socket, threading\n\
                  def ask():\n    s = socket.create_connection(('127.0.0.1', 9099))\n    s.sendall(b'hello')\n    print(s.recv(5))\n\
                  it = threading.Thread(target=ask)\nit.start()\nit.join()";
    let relay = format!("127.0.0.1:9099=unix:{}", socket.display());
    let ran = run(&["--relay", &relay, "--", "sh", "-c", "python3 -c \"$0\"; exit 7", script]);
    assert_eq!(ran, (Some(7), "b'HELLO'\n".into(), String::new()));
    served.join().unwrap();
}

#[test]
fn the_exit_code_is_the_agents_and_a_signal_is_128_and_more() {
    assert_eq!(run(&["--", "true"]).0, Some(0));
    assert_eq!(run(&["--", "sh", "-c", "exit 255"]).0, Some(255));
    assert_eq!(run(&["--", "sh", "-c", "kill -KILL $$"]).0, Some(128 + 9));
    let missing = "error: can't start /not/here: No such file or directory (os error 2). It is looked for in the agent's image\n";
    assert_eq!(run(&["--", "/not/here"]), (Some(2), String::new(), missing.into()));
}

/// The jail, whose only parent is `unshare`.
fn process_1(of: &Child) -> Pid {
    let children = format!("/proc/{0}/task/{0}/children", of.id());
    let text = fs::read_to_string(children).unwrap();
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

#[test]
fn a_signal_reaches_the_agent_which_decides_how_it_ends() {
    for (signal, name) in [(Signal::TERM, "TERM"), (Signal::INT, "INT"), (Signal::USR1, "USR1")] {
        let script = format!("trap 'echo got {name}; exit 3' {name}; echo up; while :; do sleep 0.1; done");
        let mut child = jail(&["--", "sh", "-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
        kill_process(process_1(&child), signal).unwrap();
        line.clear();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, format!("got {name}\n"));
        assert_eq!(child.wait().unwrap().code(), Some(3));
    }
    // One that does not catch it.
    let mut child =
        jail(&["--", "sh", "-c", "echo up; exec sleep 100"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    kill_process(process_1(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
}

/// A process whose parent has ended becomes the jail's child, and is no zombie when it ends.
#[test]
fn orphans_are_reaped() {
    let script = "(sleep 0.2; :) & \n sh -c '(exec sleep 0.1) & (exec sleep 0.1) & exit' \n wait; \
                  for n in 1 2 3 4 5 6 7 8 9 10; do grep -l 'PPid:.1$' /proc/[0-9]*/status | wc -l; sleep 0.1; done | tail -n 1; \
                  grep -l 'State:.Z' /proc/[0-9]*/status | wc -l";
    let (code, out, err) = run(&["--", "sh", "-c", script]);
    // The agent is the only child of process 1.
    assert_eq!((code, out.as_str()), (Some(0), "1\n0\n"), "{err}");
}

/// In a terminal, as with `kubectl attach`: reads, Ctrl-C and Ctrl-Z reach the agent, and nothing stays stopped.
#[test]
fn the_agent_has_the_terminal() {
    let drive = "import os, pty, sys\n\
                 pid, fd = pty.fork()\n\
                 if pid == 0:\n    os.closerange(3, 65536)\n    os.execvp(sys.argv[1], sys.argv[1:])\n\
                 def until(text):\n    seen = b''\n    while text not in seen:\n        seen += os.read(fd, 4096)\n\
                 until(b'ready'); os.write(fd, b'one\\n'); until(b'<one>')\n\
                 os.write(fd, b'\\x1a'); os.write(fd, b'two\\n'); until(b'<two>')\n\
                 os.write(fd, b'\\x03')\n\
                 print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))";
    let agent = "echo ready; while read -r line; do echo \"<$line>\"; done";
    let mut command = Command::new("python3");
    command.args(["-c", drive, "unshare"]).args(CONTAINER).arg("--");
    command.args([env!("CARGO_BIN_EXE_bottle"), "jail", "--", "bash", "-c", agent]);
    let (code, out, err) = said(&unprivileged(command).output().unwrap());
    assert_eq!((code, out.as_str()), (Some(0), "130\n"), "{err}");
}

fn refused(command: &mut Command) -> String {
    let (code, out, err) = said(&command.output().unwrap());
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    err
}

#[test]
fn what_is_in_the_way_is_named_and_nothing_is_started() {
    let bottle = env!("CARGO_BIN_EXE_bottle");
    let text = refused(&mut unprivileged(closed(&[bottle, "jail", "--", "echo", "started"])));
    assert!(text.starts_with("error: `bottle jail` is process "), "{text}");
    assert!(text.ends_with("behind no other init, and leave `shareProcessNamespace` out\n"), "{text}");

    let root = [
        "unshare",
        "--user",
        "--map-root-user",
        "--pid",
        "--fork",
        "--",
        bottle,
        "jail",
        "--",
        "echo",
        "started",
    ];
    assert_eq!(
        refused(&mut unprivileged(closed(&root))),
        "error: the agent would be user 0, which no user namespace takes from a process without the capability SETFCAP. \
         Set `runAsUser: 1000` and `runAsNonRoot: true` in the `securityContext` of the agent's container\n"
    );

    // A limit of the namespace that stands for the node.
    let inner = "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$0\" jail -- echo started";
    let keeps = CONTAINER.into_iter().chain(["--keep-caps", "--", "sh", "-c", inner, bottle]);
    let words: Vec<&str> = ["unshare"].into_iter().chain(keeps).collect();
    assert_eq!(
        refused(&mut unprivileged(closed(&words))),
        "error: this node allows no more user namespaces: user.max_user_namespaces is 0. Raise it on the node, for example \
         with `sysctl -w user.max_user_namespaces=15000`\n"
    );

    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let text = refused(jail(&["--", "echo", "started"]).stdin(std::os::fd::OwnedFd::from(theirs)));
    drop(ours);
    assert!(text.starts_with("error: descriptor 0 is open (socket:["), "{text}");
    let opened = "exec 5</dev/null; exec \"$@\"";
    let before = ["sh", "-c", opened, "sh", "unshare"].into_iter().chain(CONTAINER);
    let words: Vec<&str> = before.chain(["--", bottle, "jail", "--", "echo", "started"]).collect();
    assert_eq!(
        refused(&mut unprivileged(closed(&words))),
        "error: descriptor 5 is open (/dev/null) and would be the agent's too: start `bottle jail` with nothing open but 0, 1 \
         and 2, and these as pipes, files or a terminal\n"
    );
    let (code, out, err) = run(&["--relay", "127.0.0.1:9099", "--", "echo", "started"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("`127.0.0.1:9099` is not LISTEN=CONNECT"), "{err}");
    // A port that can't be had: the agent is not started either.
    let (code, out, err) = run(&["--relay", "192.0.2.1:9099=unix:/nowhere", "--", "echo", "started"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.starts_with("error: can't listen on 192.0.2.1:9099: "), "{err}");
}
