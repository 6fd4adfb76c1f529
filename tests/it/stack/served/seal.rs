//! Contract 1: the agent has no network.

use super::stack;
use crate::stack::{harness::docker, internet::subnet};

/// Tries to leave, and prints how each try ended.
const WAYS_OUT: &str = r#"
import errno, json, socket, sys, time
def how(work):
    try:
        work()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    return "OUT"
def tcp(host, port):
    def work():
        with socket.socket() as it:
            it.settimeout(3)
            it.connect((host, port))
    return work
def udp(host, port, broadcast=False):
    def work():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as it:
            it.settimeout(3)
            it.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, int(broadcast))
            it.connect((host, port))
            it.send(b"\0" * 17)
            it.recv(1)
    return work
def raw(family, protocol):
    return lambda: socket.socket(family, socket.SOCK_RAW, protocol).close()
def bind(device):
    def work():
        with socket.socket() as it:
            it.setsockopt(socket.SOL_SOCKET, 25, device)
    return work
ways = {f"tcp {host}": tcp(host, 443) for host in sys.argv[1:]}
ways.update({f"udp {host}": udp(host, 53) for host in sys.argv[1:]})
ways.update({
    "broadcast": udp("255.255.255.255", 67, True),
    "multicast": udp("224.0.0.251", 5353),
    "docker's DNS": udp("127.0.0.11", 53),
    "local DNS": udp("127.0.0.1", 53),
    "raw": raw(socket.AF_INET, socket.IPPROTO_ICMP),
    "packet": raw(socket.AF_PACKET, 0),
    "bind to eth0": bind(b"eth0"),
})
began = time.monotonic()
ends = {name: how(work) for name, work in ways.items()}
def resolve():
    try:
        socket.getaddrinfo("api.quickstart.test", 443)
    except socket.gaierror:
        return "no name"
    return "RESOLVED"
ends["lookup"] = resolve()
ends["at once"] = time.monotonic() - began < 1
json.dump(ends, sys.stdout)
"#;

#[test]
fn the_agent_has_loopback_and_nothing_else_even_as_root() {
    let Some(stack) = stack() else { return };
    // All that Docker knows an address of: the stack's own services, the origin, the bridges.
    let mut addresses = vec!["169.254.169.254".to_owned()];
    let template = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}} {{end}}";
    for (_, found) in stack.inspect(template) {
        addresses.extend(found.split_whitespace().map(str::to_owned));
    }
    let bridge =
        docker(["network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"]).out;
    addresses.push(bridge.trim().to_owned());
    // The host, on the network that pipelock leaves by.
    addresses.push(subnet().replace("0/24", "1"));
    addresses.retain(|it| !it.is_empty());
    assert!(addresses.len() >= 4, "{addresses:?}");

    let agent = stack.container("agent");
    for user in ["agent", "0"] {
        let interfaces =
            stack.agent_as(user, "ip -oneline link | cut -d: -f2; ip route; ip -6 route").ok().out;
        assert_eq!(interfaces.trim(), "lo", "as {user}");
        let probe = ["exec", "--user", user, &agent, "python3", "-c", WAYS_OUT];
        let ended = docker(probe.into_iter().chain(addresses.iter().map(String::as_str))).ok().out;
        let ended: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&ended).unwrap();
        for (way, end) in &ended {
            let expected = match way.as_str() {
                "docker's DNS" | "local DNS" => "ECONNREFUSED",
                "raw" | "packet" => "EPERM",
                "bind to eth0" => "ENODEV",
                "lookup" => "no name",
                "at once" => {
                    assert_eq!(end, true, "a refusal took its time: {ended:?}");
                    continue;
                }
                _ => "ENETUNREACH",
            };
            assert_eq!(end, expected, "{way} as {user}");
        }
    }
}

#[test]
fn root_in_the_agent_can_make_no_network() {
    let Some(stack) = stack() else { return };
    for attempt in [
        "ip link add type dummy",
        "ip link add link lo name leak type macvlan",
        "ip addr add 10.213.8.77/24 dev lo",
        "ip route add default dev lo",
        "ip link set lo down",
        "unshare --net true",
        "unshare --user --map-root-user --net ip link",
        "nsenter --net=/proc/1/ns/net ip link add type dummy",
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
        "mount -t tmpfs none /mnt",
        "umount /etc/bottle/trust",
    ] {
        for user in ["agent", "0"] {
            let ran = stack.agent_as(user, attempt);
            assert_ne!(ran.code, Some(0), "{attempt} as {user}: {}", ran.text());
            assert_ne!(ran.code, Some(127), "{attempt}: {}", ran.text());
        }
    }
}

#[test]
fn the_attack_suite_gets_nothing_through_as_the_agent_and_as_root() {
    let Some(stack) = stack() else { return };
    for user in ["agent", "0"] {
        let ran = stack.agent_as(user, "/run/bottle/bottle attack --self --format json");
        assert_eq!(ran.code, Some(0), "as {user}: {}", ran.text());
        let findings: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        let findings = findings.as_array().unwrap();
        let count = |outcome: &str| findings.iter().filter(|it| it["outcome"] == outcome).count();
        assert!(count("held") >= 250, "as {user}: {}", ran.out);
        assert_eq!(count("broken") + count("not_tried"), 0, "as {user}: {}", ran.out);
    }
    let service = stack.project.compose(&["run", "--rm", "attack"]);
    assert_eq!(service.code, Some(0), "{}", service.text());
}
