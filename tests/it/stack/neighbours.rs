//! Who is beside a stack gets nothing of it: containers on the network that pipelock leaves by, and whoever is on the
//! host, which has an address on every bridge.

use super::{
    harness::{self, docker},
    internet::{NETWORK, seen, subnet},
    project::{Project, Stack, files, made_up},
};
use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const HOST: &str = "api.quickstart.test";

fn project(claim: &str, egress: &str) -> Project {
    let subnet = subnet();
    let rest = format!(
        "agent: {{image: bottle-test-base:1, command: [sleep, infinity], user: agent}}
egress_proxy:
  routes:
    - {{host: {HOST}, path_allowlist: [/v1/things], addresses: [{subnet}]}}
{egress}pipelock: {{extra_ca: ./ca.pem}}
"
    );
    Project::new(claim, &rest)
}

/// pipelock's address on a network.
fn address(stack: &Stack, network: &str) -> String {
    let template = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
    let address = docker(["inspect", "--format", &template, &stack.container("pipelock")]).ok().out;
    address.trim().to_owned()
}

/// The ports that a person would try: those of the upstream program, of the gate, and of health and metrics.
const PORTS: [u16; 3] = [8888, 9099, 9100];

/// That neither the host nor a container on the network gets a byte of pipelock, whatever it asks for.
#[track_caller]
fn nobody_is_served(stack: &Stack, network: &str) {
    let pipelock = address(stack, network);
    for port in PORTS {
        let target: SocketAddr = format!("{pipelock}:{port}").parse().unwrap();
        let error = TcpStream::connect_timeout(&target, Duration::from_secs(5)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "from the host: {target}: {error}");
    }

    let path = format!("/v1/things/{}", made_up(""));
    let neighbour =
        |script: &str| docker(["run", "--rm", "--network", network, harness::IMAGES[0], "sh", "-c", script]);
    for port in PORTS {
        for ask in [
            format!("--proxy http://{pipelock}:{port} https://{HOST}{path}"),
            format!("--proxy http://{pipelock}:{port} http://{HOST}{path}"),
            format!("http://{pipelock}:{port}/health"),
            format!("http://{pipelock}:{port}/metrics"),
        ] {
            // curl(1): 7 is a connection that was refused, 28 one that nobody answered.
            let ran = neighbour(&format!("curl --silent --max-time 10 {ask}; echo ended with $?"));
            assert_eq!(ran.ok().out, "ended with 7\n", "{ask}");
        }
    }
    assert_eq!(seen(&path).len(), 0, "the origin was asked");
    let audit = stack.project.host_state().join("audit");
    let told = files(&audit).into_iter().find(|file| fs_err::read_to_string(file).unwrap().contains(&path));
    assert_eq!(told, None, "the audit trail speaks of a neighbour");
}

/// That nothing listens in a container's namespace but on its loopback, by the kernel's word (`/proc/net`, proc(5)).
#[track_caller]
fn listens_on_loopback_only(stack: &Stack, service: &str) {
    let joined = format!("container:{}", stack.container(service));
    let tables = "cat /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6";
    let tables =
        docker(["run", "--rm", "--network", &joined, harness::IMAGES[0], "sh", "-c", tables]).ok().out;
    // Slot, local address, remote address, state: 0A listens, 07 is a datagram socket without a peer.
    let mut listening = 0;
    for line in tables.lines() {
        let [_, local, _, state, ..] = line.split_whitespace().collect::<Vec<_>>()[..] else { continue };
        if !["0A", "07"].contains(&state) {
            continue;
        }
        let (address, _) = local.split_once(':').unwrap();
        let is_loopback = match address.len() {
            8 => address.ends_with("7F"),
            _ => address == "00000000000000000000000001000000",
        };
        assert!(is_loopback, "{service} listens: {line}");
        listening += 1;
    }
    assert!(listening > 0, "health and metrics are missing, so the table was misread:\n{tables}");
}

#[test]
fn pipelock_serves_nobody_on_the_network_that_it_leaves_by() {
    if !harness::available() {
        return;
    }
    let stack = project("neighbour", &format!("egress: {{network: {NETWORK}}}\n")).up();
    let works = || {
        let url = format!("https://{HOST}/v1/things/{}", made_up(""));
        let ran =
            stack.agent(&format!("curl --silent --output /dev/null --write-out '%{{http_code}}' {url}"));
        assert_eq!(ran.ok().out, "200");
    };
    works();
    nobody_is_served(&stack, NETWORK);
    for service in ["egress-proxy", "pipelock"] {
        listens_on_loopback_only(&stack, service);
    }
    let modes = stack.inspect("{{.HostConfig.NetworkMode}}");
    assert_eq!(modes["egress-proxy"], "none");
    works();
}

#[test]
fn pipelock_serves_nobody_on_a_bridge_of_the_stacks_own() {
    if !harness::available() {
        return;
    }
    let stack = project("bridge", "").up();
    nobody_is_served(&stack, &format!("{}_egress", stack.name));
    stack.project.bottle(&["verify"]).ok();
}
