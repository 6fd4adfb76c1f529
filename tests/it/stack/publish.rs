//! Ports of an agent that the host shows: what reaches them, what does not, and that they are a way in and no way out.

use super::{
    harness::{self, IMAGES, docker, run, until},
    lifecycle::crash,
    project::{Project, Stack, made_up},
};
use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::Command,
    time::Duration,
};

const SOON: Duration = Duration::from_mins(2);

/// A port of this machine that nothing listens on.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// The agent's server listens on the agent's 127.0.0.1 alone, and serves what lies in its folder.
fn manifest(publish: &str) -> String {
    format!(
        "agent:
  image: bottle-test-base:1
  user: agent
  workdir: /work
  command: [python3, -m, http.server, \"3000\", --bind, 127.0.0.1, --directory, /work/www]
  mounts: [{{source: ., target: /work}}]
{publish}egress: {{allowlist: [api.example]}}
"
    )
}

/// With a page of the agent, and what is in it.
fn project(claim: &str, port: u16) -> (Project, String) {
    let project = Project::new(claim, &manifest(&format!("  publish: [\"{port}:3000\"]\n")));
    let page = made_up("page-");
    let www = project.folder().join("www");
    fs_err::create_dir(&www).unwrap();
    let html = format!(
        "<title>{page}</title><p id=p>no script ran</p><script>p.textContent = 'ran on ' + location.host</script>"
    );
    fs_err::write(www.join("index.html"), html).unwrap();
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(project.folder())).ok();
    (project, page)
}

fn get(at: SocketAddr) -> io::Result<String> {
    ask(TcpStream::connect_timeout(&at, Duration::from_secs(3))?)
}

fn ask(mut stream: TcpStream) -> io::Result<String> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[track_caller]
fn is_shown(port: u16, page: &str, when: &str) {
    until(when, SOON, || get(loopback(port)).ok().filter(|answer| answer.contains(page)));
}

/// A field of publish's end of its network.
fn end(stack: &Stack, field: &str) -> String {
    let template = format!("{{{{(index .NetworkSettings.Networks \"{}_publish\").{field}}}}}", stack.name);
    docker(["inspect", "--format", &template, &stack.container("publish")]).ok().out.trim().to_owned()
}

/// This machine's address on whatever its default route leads to; on one without a route, that of Docker's own bridge.
fn other_address() -> Ipv4Addr {
    let asked =
        UdpSocket::bind("0.0.0.0:0").and_then(|it| it.connect("192.0.2.1:9").and_then(|()| it.local_addr()));
    if let Ok(SocketAddr::V4(address)) = asked {
        *address.ip()
    } else {
        let template = "{{(index .IPAM.Config 0).Gateway}}";
        docker(["network", "inspect", "--format", template, "bridge"]).ok().out.trim().parse().unwrap()
    }
}

#[test]
fn a_published_port_is_a_way_in_for_this_machine_alone_and_no_way_out() {
    if !harness::available() {
        return;
    }
    let port = free_port();
    let (project, page) = project("publish", port);
    let stack = project.up();
    let bottle = |arguments: &[&str]| stack.project.bottle(arguments);
    is_shown(port, &page, "the page is shown");
    let quiet = TcpStream::connect(loopback(port)).unwrap();

    // Not at another address of this machine, and to nobody else on a network.
    let gateway = end(&stack, "Gateway");
    for address in [other_address(), gateway.parse().unwrap(), Ipv4Addr::new(127, 0, 0, 2)] {
        let error = get((address, port).into()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{address}: {error}");
    }
    let direct = format!("http://{}:3000/", end(&stack, "IPAddress"));
    for network in ["bridge", &format!("{}_publish", stack.name)] {
        let script = format!("curl --silent --max-time 5 {direct}; echo ended with $?");
        let ran = docker(["run", "--rm", "--network", network, IMAGES[0], "sh", "-c", &script]).ok();
        // curl(1): 7 is a connection that was refused, 28 one that nobody answered, 56 one that was reset.
        let ended = ["ended with 7\n", "ended with 28\n", "ended with 56\n"];
        assert!(ended.contains(&ran.out.as_str()), "{network}: {}", ran.out);
    }

    // The agent, as any user, gets nowhere by it: the sockets and the network are not in its namespaces.
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let host = listener.local_addr().unwrap().port();
    let connect = |address: &str, port: u16| {
        format!("python3 -c 'import socket; socket.create_connection((\"{address}\", {port}), 3)'")
    };
    let unix =
        |path: &str| format!("python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"{path}\")'");
    let attempts = [
        connect(&gateway, host),
        connect(&other_address().to_string(), host),
        connect(&end(&stack, "IPAddress"), 3000),
        connect("198.51.100.1", 443),
        // This machine's loopback is not the agent's.
        connect("127.0.0.1", host),
        connect("127.0.0.1", port),
        unix("/run/bottle-publish/3000.sock"),
        unix("\\0/run/bottle-publish/3000.sock"),
        "ls /run/bottle-publish".to_owned(),
        "ls /run/bottle-gate".to_owned(),
        "python3 -c 'import socket; socket.socket().bind((\"127.0.0.1\", 9099))'".to_owned(),
        "ip route get 192.0.2.1".to_owned(),
    ];
    for attempt in &attempts {
        for user in ["agent", "0"] {
            let ran = stack.agent_as(user, attempt);
            assert!(![Some(0), Some(127)].contains(&ran.code), "{user}: {attempt}: {}", ran.text());
        }
    }
    assert_eq!(
        listener.accept().unwrap_err().kind(),
        io::ErrorKind::WouldBlock,
        "somebody came from the agent"
    );
    assert_eq!(stack.agent("ip -oneline link | cut -d: -f2").ok().out.trim(), "lo");
    // Nor does what stands between: nothing answers it from beyond this machine, and it has no name to ask.
    let joined = format!("container:{}", stack.container("publish"));
    for attempt in ["curl --silent --max-time 5 http://198.51.100.1/", "getent hosts api.example"] {
        let ran = docker(["run", "--rm", "--network", &joined, IMAGES[0], "sh", "-c", attempt]);
        assert!(![Some(0), Some(127)].contains(&ran.code), "{attempt}: {}", ran.text());
    }

    // Every room says the same.
    let verified = bottle(&["verify"]).ok();
    assert!(verified.out.contains("6 containers are what you agreed to"), "{}", verified.text());
    let url = format!("http://127.0.0.1:{port} (port 3000 of the agent)");
    for verb in ["status", "ps"] {
        let said = bottle(&[verb]).out;
        assert!(said.contains(&url), "{verb}: {said}");
    }
    stack.project.compose(&["run", "--rm", "attack"]).ok();

    // A second agent shares the namespace, and sees the first one's server.
    let second = bottle(&["run", "--", "curl", "--silent", "http://127.0.0.1:3000/"]).ok();
    assert!(second.out.contains(&page), "{}", second.text());

    // A connection on which nothing moves stays: its client is not looked for in the container.
    assert!(ask(quiet).unwrap().contains(&page));
    // What dies comes back, and the agent's session survives it.
    let started = || {
        docker(["inspect", "--format", "{{.Id}} {{.State.StartedAt}}", &stack.container("agent")]).ok().out
    };
    let session = started();
    for service in ["inbound", "publish"] {
        crash(&stack.container(service));
        is_shown(port, &page, &format!("the page is shown after {service} died"));
    }
    assert_eq!(started(), session);
    docker(["kill", &stack.container("agent")]).ok();
    assert_eq!(get(loopback(port)).unwrap_or_default(), "", "no agent, no answer");
    docker(["start", &stack.container("agent")]).ok();
    is_shown(port, &page, "the page is shown by the next agent");
    bottle(&["verify"]).ok();

    // Another bottle can't take the port, and is told whose it is before anything starts.
    let (other, _) = self::project("publish2", port);
    other.bottle(&["render", "--accept-widening"]).ok();
    let refused = other.bottle(&["up"]);
    let holder = format!("is taken by the container {}-publish-1", stack.name);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("[port-in-use]") && refused.err.contains(&holder), "{}", refused.text());
    let project_label = format!("label={}={}", harness::PROJECT, other.compose_project());
    assert_eq!(docker(["ps", "--all", "--quiet", "--filter", &project_label]).ok().out, "");

    // What is not agreed to any more is not shown any more.
    stack.project.write_manifest(&manifest(""));
    bottle(&["render"]).ok();
    bottle(&["up"]).ok();
    let error = get(loopback(port)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    bottle(&["verify"]).ok();
}

/// As a person looks at it.
#[test]
fn a_browser_shows_the_page_of_a_server_in_the_agent() {
    if !harness::available() {
        return;
    }
    let port = free_port();
    let (project, page) = project("browser", port);
    let _stack = project.up();
    is_shown(port, &page, "the page is shown");
    let profile = tempfile::tempdir().unwrap();
    let mut browser = Command::new("chromium");
    // Root has no sandbox of its own there, and a browser asks its maker for news.
    browser.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
    ]);
    browser.arg(format!("--user-data-dir={}", profile.path().display()));
    browser.args(["--dump-dom", &format!("http://127.0.0.1:{port}/")]);
    let ran = run(&browser);
    let dom = ran.out;
    assert!(dom.contains(&page), "chromium (scripts/setup --tests): {dom}{}", ran.err);
    assert!(dom.contains(&format!("ran on 127.0.0.1:{port}")), "{dom}");
}
