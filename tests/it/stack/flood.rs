//! An agent that takes all it can of both proxies' memory.

use super::{
    harness,
    internet::{NETWORK, subnet},
    project::Project,
};

/// Opens tunnels through the gate, half of them with answers that it does not read and half with uploads that the origin
/// does not read, and holds them until it is told to end.
const STALL: &str = r#"
import socket, ssl, sys
count, host = int(sys.argv[1]), "api.quickstart.test"
context = ssl.create_default_context()
context.set_alpn_protocols(["http/1.1"])
held = []
for n in range(count):
    it = socket.create_connection(("127.0.0.1", 9099))
    it.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = it.recv(1)
        assert byte, head
        head += byte
    it = context.wrap_socket(it, server_hostname=host)
    if n % 2:
        it.sendall(f"GET /v1/things/endless HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    else:
        head = f"POST /v1/things/unread HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000000\r\n\r\n"
        it.sendall(head.encode())
        it.setblocking(False)
    held.append(it)
chunk, uploads, silent = bytes(65536), held[::2], 0
import time
while silent < 20:
    sent = 0
    for it in uploads:
        try:
            sent += it.send(chunk)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
    silent = 0 if sent else silent + 1
    time.sleep(0.1)
print("holding", flush=True)
sys.stdin.read()
"#;
/// The gate lets an agent have 512.
const CONNECTIONS: &str = "500";

#[test]
fn an_agent_that_reads_no_answer_is_refused_and_kills_neither_proxy() {
    if !harness::available() {
        return;
    }
    let subnet = subnet();
    let rest = format!(
        r"
agent:
  image: bottle-test-claude:1
  command: [sleep, infinity]
  user: agent
  workdir: /home/agent
egress_proxy:
  routes:
    - {{host: api.quickstart.test, path_allowlist: [/v1/things], addresses: [{subnet}]}}
egress:
  network: {NETWORK}
pipelock:
  extra_ca: ./ca.pem
"
    );
    let stack = Project::new("flood", &rest).up();
    let agent = stack.container("agent");
    let stall = ["exec", "--interactive", &agent, "python3", "-c", STALL, CONNECTIONS];
    let mut flood = std::process::Command::new("docker")
        .args(stall)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(flood.stdout.take().unwrap()), &mut said)
        .unwrap();
    assert_eq!(said, "holding\n");
    for n in 0..5 {
        let ask =
            "curl -sS -o /dev/null -w '%{http_code}' -d hello https://api.quickstart.test/v1/things/new";
        assert_eq!(stack.agent(ask).ok().out, "200", "request {n}");
    }
    for service in ["egress-proxy", "pipelock"] {
        let container = stack.container(service);
        let state = "{{.State.OOMKilled}} {{.RestartCount}} {{.State.Running}}";
        let state = harness::docker(["inspect", &container, "--format", state]).ok().out;
        assert_eq!(state.trim(), "false 0 true", "{service}");
    }
    drop(flood.stdin.take());
    flood.wait().unwrap();
}
