//! An agent that takes all it can of both proxies' memory.

use super::{
    harness,
    internet::{Another, NETWORK, subnet},
    project::{Project, Stack},
};
use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

/// Opens tunnels through the gate, sends in each as much of a body as is taken, reads no answer, and holds all of that
/// until it is told to end.
const STALL: &str = r#"
import socket, ssl, sys, time
host, held = sys.argv[1], []
context = ssl.create_default_context()
for n in range(int(sys.argv[2])):
    it = socket.create_connection(("127.0.0.1", 9099))
    it.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = it.recv(1)
        assert byte, head
        head += byte
    it = context.wrap_socket(it, server_hostname=host)
    head = f"POST /v1/things/{sys.argv[3]} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000000\r\n\r\n"
    it.sendall(head.encode())
    it.setblocking(False)
    held.append(it)
quiet = 0
while quiet < 20:
    sent = 0
    for it in held:
        try:
            sent += it.send(bytes(65536))
        except OSError:  # full, or the proxy ended it
            pass
    quiet = 0 if sent else quiet + 1
    time.sleep(0.1)
print("holding", flush=True)
sys.stdin.read()
"#;
/// The gate lets an agent have 512.
const CONNECTIONS: &str = "500";
/// Both proxies speak HTTP/2 with its origin.
const HTTP2: &str = "api.quickstart.test";
/// pipelock speaks HTTP/1.1 with its origin.
const HTTP1: &str = "inspected.quickstart.test";
/// egress-proxy speaks HTTP/1.1 with its origin, through pipelock.
const TUNNEL: &str = "tunnel.quickstart.test";

/// Holds all that it could take.
fn stall(stack: &Stack, host: &str, thing: &str) -> Child {
    let agent = stack.container("agent");
    let mut flood = Command::new("docker")
        .args(["exec", "--interactive", &agent, "python3", "-c", STALL, host, CONNECTIONS, thing])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(flood.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "holding\n", "{host}");
    flood
}

/// One wave after the other: what was held comes back when its clients are gone.
#[test]
fn an_agent_that_reads_no_answer_is_refused_and_kills_neither_proxy() {
    if !harness::available() {
        return;
    }
    let subnet = subnet();
    let _old = Another::start(&["--http1"], &[HTTP1, TUNNEL]);
    let rest = format!(
        r"
agent:
  image: bottle-test-claude:1
  command: [sleep, infinity]
  user: agent
  workdir: /home/agent
egress_proxy:
  routes:
    - {{host: {HTTP2}, path_allowlist: [/v1/things], addresses: [{subnet}]}}
    - {{host: {HTTP1}, path_allowlist: [/v1/things], addresses: [{subnet}]}}
    - {{host: {TUNNEL}, path_allowlist: [/v1/things], addresses: [{subnet}], inspect: false}}
egress:
  network: {NETWORK}
pipelock:
  extra_ca: ./ca.pem
"
    );
    let stack = Project::new("flood", &rest).up();
    for (wave, host) in [HTTP2, HTTP1, TUNNEL, HTTP2].into_iter().enumerate() {
        let mut flood = stall(&stack, host, "stalled");
        for asked in [HTTP2, HTTP1, TUNNEL] {
            // No upload: what an origin does not read of one holds up the others on the same HTTP/2 connection.
            let ask =
                format!("curl -sS -m 30 -o /dev/null -w '%{{http_code}}' https://{asked}/v1/things/new");
            assert_eq!(stack.agent(&ask).ok().out, "200", "{asked} in wave {wave}, {host}");
        }
        drop(flood.stdin.take());
        flood.wait().unwrap();
        for service in ["egress-proxy", "pipelock"] {
            let container = stack.container(service);
            let state = "{{.State.OOMKilled}} {{.RestartCount}} {{.State.Running}}";
            let state = harness::docker(["inspect", &container, "--format", state]).ok().out;
            assert_eq!(state.trim(), "false 0 true", "{service} after wave {wave}, {host}");
        }
    }
    // These wait for an answer that never comes; their end comes behind what nobody reads.
    let mut silent = stall(&stack, HTTP2, "silent");
    drop(silent.stdin.take());
    silent.wait().unwrap();
    for host in [HTTP2, HTTP1, TUNNEL] {
        let upload =
            "head -c 1000000 /dev/zero | curl -sS -m 30 -o /dev/null -w '%{http_code}' --data-binary @-";
        let upload = format!("{upload} https://{host}/v1/things/new");
        assert_eq!(stack.agent(&upload).ok().out, "200", "an upload to {host}");
    }
}
