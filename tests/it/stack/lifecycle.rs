//! Parts die, start twice, start wrong: nothing fails open, and what is wrong is said.

use super::{
    harness::{self, Ran, docker, until},
    internet::{self, NETWORK, seen, subnet},
    project::{Project, Stack, digest, made_up},
};
use std::time::Duration;

/// A host that answers only while its origin lives.
const FRAGILE: &str = "fragile.quickstart.test";
const SOON: Duration = Duration::from_mins(2);

fn manifest() -> String {
    let subnet = subnet();
    format!(
        "agent: {{image: bottle-test-base:1, command: [sleep, infinity], user: agent}}
egress_proxy:
  routes:
    - host: api.quickstart.test
      path_allowlist: [/v1/things]
      addresses: [{subnet}]
      auth: {{scheme: Bearer, token_ref: THINGS_KEY}}
    - host: {FRAGILE}
      addresses: [{subnet}]
egress: {{network: {NETWORK}}}
pipelock: {{extra_ca: ./ca.pem}}
"
    )
}

fn project(claim: &str) -> Project {
    Project::new(claim, &manifest()).token("THINGS_KEY", "things-")
}

/// What `curl` in the agent ended with, and the status that it got; `000` is none.
fn get(stack: &Stack, url: &str) -> (Option<i32>, String) {
    let ran = stack
        .agent(&format!("curl --silent --max-time 20 --output /dev/null --write-out '%{{http_code}}' {url}"));
    (ran.code, ran.out)
}

fn thing() -> String {
    format!("https://api.quickstart.test/v1/things/{}", made_up(""))
}

#[track_caller]
fn works_again(stack: &Stack, what: &str) {
    until(what, SOON, || (get(stack, &thing()).1 == "200").then_some(()));
}

/// Ends a container's process from inside, as a crash does. (`docker kill` is an order to stop.)
pub(super) fn crash(container: &str) {
    let process = docker(["inspect", "--format", "{{.State.Pid}}", container]).ok().out;
    docker(["run", "--rm", "--network=none", "--pid=host", harness::IMAGES[0], "kill", "-9", process.trim()])
        .ok();
}

fn restarts(container: &str) -> u64 {
    docker(["inspect", "--format", "{{.RestartCount}}", container]).ok().out.trim().parse().unwrap()
}

#[test]
fn a_part_that_dies_comes_back_and_the_session_survives() {
    if !harness::available() {
        return;
    }
    let stack = project("crash").up();
    works_again(&stack, "the stack works");
    let agent =
        docker(["inspect", "--format", "{{.Id}} {{.State.StartedAt}}", &stack.container("agent")]).out;
    for service in ["gate", "egress-proxy", "pipelock"] {
        let container = stack.container(service);
        crash(&container);
        until(&format!("{service} is restarted"), SOON, || (restarts(&container) == 1).then_some(()));
        works_again(&stack, &format!("requests work after {service} died"));
        let seal = stack.agent("ip -oneline link | cut -d: -f2").ok().out;
        assert_eq!(seal.trim(), "lo", "after {service} died");
    }
    let after =
        docker(["inspect", "--format", "{{.Id}} {{.State.StartedAt}}", &stack.container("agent")]).out;
    assert_eq!(after, agent, "the agent's session ended");
}

#[test]
fn without_one_part_nothing_gets_out() {
    if !harness::available() {
        return;
    }
    let stack = project("absent").up();
    for service in ["pipelock", "egress-proxy", "gate"] {
        docker(["stop", "--time=5", &stack.container(service)]).ok();
        let url = thing();
        let (code, status) = get(&stack, &url);
        match service {
            "pipelock" => assert_eq!((code, status.as_str()), (Some(0), "502"), "without {service}"),
            _ => assert!(code != Some(0) && status == "000", "without {service}: {code:?} {status}"),
        }
        assert_eq!(
            seen(url.strip_prefix("https://api.quickstart.test").unwrap()).len(),
            0,
            "without {service}"
        );
        stack.project.compose(&["up", "--detach", "--wait"]).ok();
        works_again(&stack, &format!("requests work after {service} was started"));
    }
}

#[test]
fn an_origin_that_is_down_is_said_to_be_down() {
    if !harness::available() {
        return;
    }
    let stack = project("origin").up();
    let url = format!("https://{FRAGILE}/x");
    let origin = internet::Another::start(&[], &[FRAGILE]);
    assert_eq!(get(&stack, &url).1, "200");
    drop(origin);
    let ran = stack.agent(&format!("curl --silent --write-out '\\n%{{http_code}}' {url}")).ok();
    assert!(ran.out.ends_with("\n502"), "{}", ran.out);
    assert!(ran.out.contains("upstream_unreachable") && ran.out.contains(FRAGILE), "{}", ran.out);
    let origin = internet::Another::start(&[], &[FRAGILE]);
    until("the origin is reached again", SOON, || (get(&stack, &url).1 == "200").then_some(()));
    drop(origin);
}

#[test]
fn an_origin_whose_certificate_nobody_vouches_for_is_refused() {
    if !harness::available() {
        return;
    }
    let rest = manifest().replace("pipelock: {extra_ca: ./ca.pem}\n", "");
    let stack = Project::new("no-extra-ca", &rest).token("THINGS_KEY", "things-").up();
    let url = thing();
    let ran = stack.agent(&format!("curl --silent --write-out '\n%{{http_code}}' {url}")).ok();
    assert!(ran.out.ends_with("\n502") && ran.out.contains("certificate"), "{}", ran.out);
    assert_eq!(seen(url.strip_prefix("https://api.quickstart.test").unwrap()).len(), 0);
}

#[test]
fn a_token_that_is_missing_or_empty_stops_the_start_with_its_name() {
    if !harness::available() {
        return;
    }
    let mut stack = project("token").render();
    stack.project.tokens.clear();
    let missing = stack.project.compose(&["up", "--detach", "--wait"]);
    assert_ne!(missing.code, Some(0), "{}", missing.text());
    assert!(missing.err.contains("THINGS_KEY"), "{}", missing.text());

    let named = stack.project.bottle(&["up"]);
    assert_eq!(named.code, Some(2), "{}", named.text());
    assert!(named.err.contains("error[missing-token]: THINGS_KEY is not set"), "{}", named.text());

    // Compose says nothing of an empty one.
    stack.project.tokens.insert("THINGS_KEY", String::new());
    stack.project.compose(&["down"]).ok();
    let empty = stack.project.compose(&["up", "--detach", "--wait"]);
    assert_ne!(empty.code, Some(0), "{}", empty.text());
    let said = stack.logs("egress-proxy");
    assert!(said.contains("is $THINGS_KEY set where the stack is started?"), "{said}");
    let agent = docker(["inspect", "--format", "{{.State.Status}}", &stack.container("agent")]).out;
    assert_eq!(agent.trim(), "created", "the agent was started");
    let named = stack.project.bottle(&["up"]);
    assert_eq!(named.code, Some(2), "{}", named.text());
    assert!(
        named.err.contains("error[missing-token]: THINGS_KEY, from the environment, is empty"),
        "{}",
        named.text()
    );

    // What was made without it does not stay so.
    stack.project.tokens.insert("THINGS_KEY", made_up("things-"));
    stack.project.bottle(&["up"]).ok();
    works_again(&stack, "the token arrived");
}

#[test]
fn a_bad_routes_file_never_replaces_a_good_one() {
    if !harness::available() {
        return;
    }
    let stack = project("routes").up();
    let file = stack.project.host_state().join("agreed/egress-proxy/routes.yaml");
    let good = fs_err::read_to_string(&file).unwrap();
    fs_err::write(&file, good.replace("path_not", "x").replacen("host:", "hosst:", 1)).unwrap();

    let inside = stack.project.compose(&["exec", "-T", "egress-proxy", "/bottle", "reload"]);
    assert_ne!(inside.code, Some(0), "{}", inside.text());
    assert!(inside.text().contains("hosst"), "{}", inside.text());
    let outside = stack.project.bottle(&["reload"]);
    assert_ne!(outside.code, Some(0), "{}", outside.text());
    assert_eq!(get(&stack, &thing()).1, "200", "the good rules are gone");

    // A restart has no good one to keep.
    docker(["restart", "--time=5", &stack.container("egress-proxy")]).ok();
    until("egress-proxy says why", SOON, || stack.logs("egress-proxy").contains("hosst").then_some(()));
    assert_ne!(get(&stack, &thing()).1, "200");
    stack.project.bottle(&["render"]).ok();
    stack.project.compose(&["up", "--detach", "--wait"]).ok();
    works_again(&stack, "the repaired rules work");
}

#[test]
fn an_expired_ca_is_refused_and_render_renews_it() {
    if !harness::available() {
        return;
    }
    let project = project("expired");
    project.bottle(&["render", "--accept-widening", "--now", "2020-01-01"]).ok();
    let stack = project.adopt();
    let ran = stack.project.compose(&["up", "--detach", "--wait"]);
    assert_ne!(ran.code, Some(0), "{}", ran.text());
    let said = stack.logs("pipelock") + &stack.logs("egress-proxy");
    assert!(said.contains("expired") && said.contains("bottle render"), "{said}");

    let render: Ran = stack.project.bottle(&["render"]).ok();
    assert!(render.text().contains("renewed"), "{}", render.text());
    stack.project.compose(&["up", "--detach", "--wait"]).ok();
    works_again(&stack, "the renewed certificates work");
}

#[test]
fn two_clones_on_one_machine_use_their_own_tokens() {
    if !harness::available() {
        return;
    }
    let stacks = [project("clone").up(), project("clone").up()];
    assert_ne!(stacks[0].name, stacks[1].name);
    for stack in &stacks {
        let path = format!("/v1/things/{}", made_up(""));
        assert_eq!(get(stack, &format!("https://api.quickstart.test{path}")).1, "200");
        let shown: Vec<String> =
            seen(&path).iter().map(|it| it["credentials"]["authorization"].to_string()).collect();
        assert_eq!(shown, [format!("\"Bearer {}\"", digest(&stack.project.tokens["THINGS_KEY"]))]);
    }
    // One goes, and the other stays.
    let [one, two] = stacks;
    one.project.bottle(&["down"]).ok();
    assert_eq!(get(&two, &thing()).1, "200");
}

#[test]
fn a_second_up_recreates_nothing_and_needs_no_token() {
    if !harness::available() {
        return;
    }
    let mut stack = project("again").up();
    let all = "{{.Id}} {{.State.StartedAt}} {{.Image}}";
    // What prepares the home runs each time, and ends.
    let inspect = |stack: &Stack| {
        let mut found = stack.inspect(all);
        found.remove("home");
        found
    };
    let before = inspect(&stack);
    stack.project.compose(&["up", "--detach", "--wait"]).ok();
    assert_eq!(inspect(&stack), before);
    stack.project.bottle(&["render"]).ok();
    stack.project.bottle(&["up"]).ok();
    assert_eq!(inspect(&stack), before);
    stack.project.tokens.clear();
    stack.project.compose(&["up", "--detach", "--wait"]).ok();
    stack.project.bottle(&["up"]).ok();
    assert_eq!(inspect(&stack), before);
    docker(["restart", "--time=5", &stack.container("egress-proxy")]).ok();
    works_again(&stack, "a restarted proxy still has its token");
}

/// Who renders owns the state, and the proxies run as that user.
#[test]
fn the_stack_of_an_ordinary_user_starts_too() {
    const USER: &str = "23456";
    // A home of its own with what root's may hold: Compose, and the binary, which may lie where only root can look.
    const HOME: &str = "plugin=$(docker info --format '{{range .ClientInfo.Plugins}}{{if eq .Name \"compose\"}}{{.Path}}{{end}}{{end}}') \
        && mkdir -p ../home/.docker/cli-plugins && cp \"$plugin\" ../home/.docker/cli-plugins/ && cp \"$BOTTLE\" ../home/bottle \
        && chown -R 23456:23456 ..";
    if !harness::available() {
        return;
    }
    let project = project("ordinary");
    harness::run(project.command("sh").env("BOTTLE", env!("CARGO_BIN_EXE_bottle")).args(["-c", HOME])).ok();
    let home = project.folder().parent().unwrap().join("home");
    let docker_group =
        harness::run(std::process::Command::new("stat").args(["-c", "--groups=%g", "/var/run/docker.sock"]));
    let docker_group = docker_group.ok().out.trim().to_owned();
    let as_user = |project: &Project, arguments: &[&str]| {
        let mut command = project.command("setpriv");
        command.env("HOME", &home).env_remove("DOCKER_CONFIG");
        command.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), &docker_group]);
        harness::run(command.arg(home.join("bottle")).args(arguments))
    };
    as_user(&project, &["render", "--accept-widening"]).ok();
    let stack = project.adopt();
    as_user(&stack.project, &["up"]).ok();
    works_again(&stack, "an allowed request");
    let users = stack.inspect("{{.Config.User}}");
    assert!(users.values().filter(|user| **user == format!("{USER}:{USER}")).count() >= 4, "{users:?}");
    as_user(&stack.project, &["render", "--check"]).ok();
}

/// Compose leaves a hash of the settings on each container, and anybody can leave the same one.
#[test]
fn verify_sees_settings_strangers_and_another_image_whatever_the_labels_say() {
    if !harness::available() {
        return;
    }
    let stack = project("verify").render();
    let project = &stack.project;
    project.bottle(&["up"]).ok();
    project.bottle(&["verify"]).ok();
    let problems = || {
        let said = project.bottle(&["verify", "--format", "json"]);
        assert_eq!(said.code, Some(1), "{}", said.text());
        let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        json["problems"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join("\n")
    };

    let netns = format!("container:{}", stack.container("netns"));
    let volume = format!("{}_socket:/s", stack.name);
    let strangers = [["--network", netns.as_str()], ["--volume", volume.as_str()]];
    for (at, shared) in strangers.iter().enumerate() {
        let name = format!("{}-stranger-{at}", stack.name);
        let label = format!("{}={}", harness::PROJECT, stack.name);
        let mut arguments = vec!["run", "--detach", "--rm", "--name", &name];
        arguments.extend(shared);
        docker(arguments.into_iter().chain(["bottle-test-base:1", "sleep", "600"])).ok();
        let said = problems();
        assert!(said.contains(&format!("{name} is not of this stack and ")), "{said}");
        docker(["rm", "--force", &name]).ok();
        // With the project's label it is one of its own, of no service.
        let labelled = [
            "run",
            "--detach",
            "--rm",
            "--name",
            &name,
            "--label",
            &label,
            "bottle-test-base:1",
            "sleep",
            "600",
        ];
        docker(labelled).ok();
        assert!(problems().contains(&format!("{name} is not a service of this stack")));
        docker(["rm", "--force", &name]).ok();
    }

    // The agent's place is taken by a container with the same labels, and more than they say.
    let agent = stack.container("agent");
    let labels = docker([
        "inspect",
        "--format",
        "{{range $k, $v := .Config.Labels}}--label={{$k}}={{$v}}\n{{end}}",
        &agent,
    ])
    .ok()
    .out;
    docker(["rm", "--force", &agent]).ok();
    let forged = format!("{}-forged", stack.name);
    let mut arguments = vec![
        "run",
        "--detach",
        "--name",
        &forged,
        "--cap-add",
        "NET_ADMIN",
        "--env",
        "EXTRA=1",
        "--network",
        &netns,
    ];
    arguments.extend(labels.lines().filter(|line| !line.is_empty()));
    docker(arguments.into_iter().chain(["bottle-test-base:1", "sleep", "600"])).ok();
    let said = problems();
    assert!(
        said.contains("the capabilities CAP_NET_ADMIN") || said.contains("the capabilities NET_ADMIN"),
        "{said}"
    );
    for part in [
        "capabilities are not dropped",
        "new privileges are possible",
        "another seccomp profile",
        "one more variable: EXTRA",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    docker(["rm", "--force", &forged]).ok();
    project.bottle(&["up"]).ok();
    project.bottle(&["verify"]).ok();
}
