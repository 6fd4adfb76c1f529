//! Rules, certificates and token values change while the agent works.

use super::{
    harness,
    internet::{NETWORK, seen, subnet},
    project::{Project, Stack, digest, made_up},
};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// A shell that stays open in the agent's container, as a person's or an agent's would.
struct Session {
    shell: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    fn open(stack: &Stack) -> Self {
        let mut shell = Command::new("docker")
            .args(["exec", "--interactive", &stack.container("agent"), "sh"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (shell.stdin.take().unwrap(), BufReader::new(shell.stdout.take().unwrap()));
        Self { shell, input, output }
    }

    /// The last line that a command prints.
    fn ask(&mut self, command: &str) -> String {
        writeln!(self.input, "{{ {command}; }} >/tmp/said 2>&1; tail -n 1 /tmp/said").unwrap();
        let mut line = String::new();
        assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the session is gone");
        line.trim_end().to_owned()
    }

    fn status(&mut self, url: &str) -> String {
        self.ask(&format!("curl --silent --output /dev/null --write-out '%{{http_code}}\\n' {url}"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

fn manifest(more: &str) -> String {
    let subnet = subnet();
    format!(
        "agent: {{image: bottle-test-base:1, command: [sleep, infinity], user: agent}}
egress_proxy:
  routes:
    - host: api.quickstart.test
      path_allowlist: [/v1/things]
      addresses: [{subnet}]
      auth: {{scheme: Bearer, token_ref: THINGS_KEY}}
{more}
egress: {{network: {NETWORK}}}
pipelock: {{extra_ca: ./ca.pem}}
"
    )
}

fn added() -> String {
    let subnet = subnet();
    manifest(&format!(
        "    - host: files.quickstart.test\n      path_allowlist: [/new]\n      addresses: [{subnet}]"
    ))
}

#[test]
fn a_host_is_added_in_mid_session_and_its_next_request_works() {
    if !harness::available() {
        return;
    }
    let stack = Project::new("change", &manifest("")).token("THINGS_KEY", "things-").up();
    let project = &stack.project;
    let path = format!("/new/{}", made_up(""));
    let url = format!("https://files.quickstart.test{path}");
    let mut session = Session::open(&stack);
    session.ask("mine=kept; echo");
    assert_eq!(session.status(&url), "403");
    let before = stack.inspect("{{.Id}} {{.State.StartedAt}} {{.RestartCount}}");

    project.write_manifest(&added());
    let unasked = project.bottle(&["render"]);
    assert_eq!(unasked.code, Some(1), "{}", unasked.text());
    assert!(
        unasked.text().contains("files.quickstart.test"),
        "it does not say what is new: {}",
        unasked.text()
    );
    assert_eq!(session.status(&url), "403", "refused output went live");
    let rendered = project.bottle(&["render", "--accept-widening"]).ok();
    assert!(rendered.text().contains("files.quickstart.test"), "{}", rendered.text());
    assert_eq!(session.status(&url), "403", "rules went live without a reload");

    let reloaded = project.bottle(&["reload"]).ok();
    assert!(reloaded.text().contains(" are live\n"), "{}", reloaded.text());
    assert_eq!(session.status(&url), "200");
    assert_eq!(session.ask("echo $mine"), "kept");
    assert_eq!(seen(&path).len(), 1);
    assert_eq!(
        stack.inspect("{{.Id}} {{.State.StartedAt}} {{.RestartCount}}"),
        before,
        "something was restarted"
    );

    // And taken away again.
    project.write_manifest(&manifest(""));
    project.bottle(&["render"]).ok();
    project.bottle(&["reload"]).ok();
    assert_eq!(session.status(&url), "403");

    // What only a new container takes is said, and is not said to be live.
    project.write_manifest(&manifest("").replacen("agent: {", "agent: {env: {MORE: \"1\"}, ", 1));
    project.bottle(&["render", "--accept-widening"]).ok();
    let reloaded = project.bottle(&["reload"]).ok();
    let note =
        "agent-1 was made from other settings than those that you agreed to; `bottle up` makes it again";
    assert!(reloaded.text().contains(note), "{}", reloaded.text());
}

#[test]
fn new_token_values_and_new_certificates_take_one_command_each() {
    if !harness::available() {
        return;
    }
    let mut stack = Project::new("rotate", &manifest("")).token("THINGS_KEY", "things-").up();
    let path = format!("/v1/things/{}", made_up(""));
    let url = format!("https://api.quickstart.test{path}");
    let mut session = Session::open(&stack);
    assert_eq!(session.status(&url), "200");
    let old = stack.project.tokens["THINGS_KEY"].clone();
    stack.project.tokens.insert("THINGS_KEY", made_up("things-"));
    let agent = stack.container("agent");

    stack.project.bottle(&["up", "--rotate"]).ok();
    assert_eq!(session.status(&url), "200");
    let shown: Vec<String> =
        seen(&path).iter().map(|it| it["credentials"]["authorization"].to_string()).collect();
    let expected =
        [old, stack.project.tokens["THINGS_KEY"].clone()].map(|it| format!("\"Bearer {}\"", digest(&it)));
    assert_eq!(shown, expected);
    assert_eq!(stack.container("agent"), agent, "a new token value ended the agent's session");

    let bundle = || stack.agent("sha256sum < /etc/bottle/trust/ca-bundle.pem").ok().out;
    let certificates = bundle();
    stack.project.bottle(&["render", "--rotate-ca"]).ok();
    stack.project.bottle(&["up"]).ok();
    assert_ne!(bundle(), certificates);
    assert_eq!(Session::open(&stack).status(&url), "200");
    assert_ne!(stack.container("agent"), agent, "the agent kept the old certificates");
}
