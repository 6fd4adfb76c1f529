//! An agent that takes all it can of both proxies' memory.

use super::{
    harness,
    internet::{NETWORK, subnet},
    project::Project,
};

/// Opens tunnels through the gate, sends in each as much of a body as is taken, reads no answer, and holds all of that
/// until it is told to end.
const STALL: &str = r#"
import socket, ssl, sys, time
host, held = "api.quickstart.test", []
context = ssl.create_default_context()
for n in range(int(sys.argv[1])):
    it = socket.create_connection(("127.0.0.1", 9099))
    it.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = it.recv(1)
        assert byte, head
        head += byte
    it = context.wrap_socket(it, server_hostname=host)
    head = f"POST /v1/things/stalled HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000000\r\n\r\n"
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
        // No upload: what an origin does not read of one holds up the others on the same HTTP/2 connection.
        let ask = "curl -sS -m 30 -o /dev/null -w '%{http_code}' https://api.quickstart.test/v1/things/new";
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
