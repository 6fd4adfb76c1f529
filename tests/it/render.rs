//! What `render` writes: values survive, files are deterministic, and nothing of the machine gets in.

use bottle::config::embedded::EmbeddedFile;
use bottle::config::routes::RoutesFile;
use bottle::manifest::{Agent, Build, Egress, EgressProxy, Engine, Image, Manifest, Mount, Pipelock};
use bottle::plan::{Layout, MountPlan, Plan, Surroundings};
use bottle::policy::{Auth, Host, HostRule, Route};
use bottle::render::checksum::{Sealed, verify};
use bottle::render::{self, Tree};
use fs_err as fs;
use proptest::prelude::*;
use serde_yaml::Value;
use std::process::Command;

fn route(source: &str, host: &str) -> HostRule {
    Route::open(Host::parse(host).unwrap(), source).into()
}

fn manifest(routes: Vec<HostRule>) -> Manifest {
    Manifest {
        name: "dev".to_owned(),
        agent: Agent {
            home: Some("/home/agent".into()),
            image: Image::Named("agent:local".to_owned()),
            command: None,
            user: None,
            workdir: None,
            mounts: Vec::new(),
            env: Vec::new(),
            publish: Vec::new(),
            runtime: None,
            resources: bottle::manifest::Resources::default(),
            read_only: false,
        },
        services: Vec::new(),
        egress_proxy: EgressProxy { routes },
        egress: Egress::default(),
        pipelock: Pipelock {
            engine: Engine::Embedded,
            extra_ca: None,
            seed_phrases: false,
            dlp: bottle::manifest::Dlp::default(),
        },
        supervise: false,
        lints: bottle::manifest::Lints::default(),
        within: None,
        tests: Vec::new(),
    }
}

fn with_token(rule: HostRule, token_ref: &str) -> HostRule {
    let (header, prefix) = ("authorization".to_owned(), "Bearer ".to_owned());
    HostRule { auth: Some(Auth { header, prefix, username: None, token_ref: token_ref.to_owned() }), ..rule }
}

fn mount(source: &str, target: &str) -> Mount {
    Mount {
        source_pointer: "agent.mounts[0]".to_owned(),
        source: source.into(),
        target: target.into(),
        read_only: false,
    }
}

fn resolve(manifest: &Manifest) -> Plan {
    Plan::resolve(manifest, &Surroundings::beside(&manifest.name)).unwrap()
}

fn render(manifest: &Manifest) -> Tree {
    render::tree(&resolve(manifest), render::RenderTarget::Compose).unwrap()
}

fn text<'a>(tree: &'a Tree, path: &str) -> &'a str {
    std::str::from_utf8(&tree[camino::Utf8Path::new(path)]).unwrap()
}

/// The compose file through a YAML reader that is not ours.
fn compose(tree: &Tree) -> Value {
    serde_yaml::from_str(text(tree, "docker-compose.yml")).unwrap()
}

/// What Compose makes of a scalar in which nothing is to be interpolated: `$$` is `$`, and a single one an error.
fn literal(value: &Value) -> String {
    let text = value.as_str().unwrap_or_else(|| panic!("{value:?} is no text"));
    let halves = text.replace("$$", "\u{0}");
    assert!(!halves.contains('$'), "Compose would interpolate {text:?}");
    halves.replace('\u{0}', "$")
}

/// Texts that mean something to YAML, to Compose or to a shell, and any other text.
fn hostile() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        Just("\n".to_owned()),
        Just("# x".to_owned()),
        Just("${HOME}".to_owned()),
        Just("$$".to_owned()),
        Just("$".to_owned()),
        Just("\"'".to_owned()),
        Just(": ".to_owned()),
        Just("{{ x }}".to_owned()),
        Just("\\".to_owned()),
        Just("\u{85}\u{2028}\u{feff}\u{7f}".to_owned()),
        any::<String>(),
    ];
    let whole = prop_oneof![
        Just("no".to_owned()),
        Just("on".to_owned()),
        Just("22:22".to_owned()),
        Just("1e3".to_owned()),
        Just("0x10".to_owned()),
        Just("~".to_owned()),
        Just("null".to_owned()),
        Just(String::new()),
        Just("-".to_owned()),
        Just("- x".to_owned()),
        Just("--flag".to_owned()),
        Just("!!str x".to_owned()),
        Just("&a *a".to_owned()),
        Just("<<".to_owned()),
    ];
    let text = prop_oneof![whole, prop::collection::vec(fragment, 1..4).prop_map(|parts| parts.concat())];
    text.prop_map(|text| text.replace('\0', "")) // no process can be given one
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_text_of_a_manifest_comes_out_of_the_compose_file_as_it_went_in(
        words in prop::collection::vec(hostile(), 1..4),
        value in hostile(),
        argument in hostile(),
        user in hostile(),
        workdir in hostile(),
        network in hostile(),
        source in hostile(),
        target in hostile(),
    ) {
        let mut manifest = manifest(vec![route("egress_proxy.routes[0]", "a.example")]);
        manifest.agent.command = Some(words.clone());
        manifest.agent.user = Some(user.clone() + "u");
        manifest.agent.workdir = Some(format!("/{workdir}"));
        manifest.agent.env = vec![("VALUE".to_owned(), value.clone())];
        manifest.agent.image = Image::Build(Build {
            context: "./agent".into(),
            dockerfile: None,
            args: vec![("ARG".to_owned(), argument.clone())],
            target: None,
        });
        let source = format!("/x{}", source.replace(['/', '.'], "_"));
        manifest.agent.mounts = vec![mount(&source, &format!("/t{target}"))];
        manifest.egress.network = Some(network.clone() + "n");
        manifest.services = vec![bottle::manifest::Service {
            name: "db".to_owned(),
            image: "db:local".to_owned(),
            command: Some(words.clone()),
            user: Some(user.clone() + "u"),
            env: vec![("VALUE".to_owned(), value.clone())],
            volumes: vec!["/data".into()],
            resources: bottle::manifest::Resources::default(),
        }];

        let tree = render(&manifest);
        prop_assert!(render::exactly(&tree, &Layout::beside("dev")).is_ok(), "a tree of ours is read back to its plan");
        let compose = compose(&tree);
        let beside = &compose["services"]["db"];
        prop_assert_eq!(beside["command"].as_sequence().unwrap().iter().map(literal).collect::<Vec<_>>(), words.clone());
        prop_assert_eq!(literal(&beside["user"]), user.clone() + "u");
        prop_assert_eq!(literal(&beside["environment"]["VALUE"]), value.clone());
        let agent = &compose["services"]["agent"];
        let command: Vec<String> = agent["command"].as_sequence().unwrap().iter().map(literal).collect();
        prop_assert_eq!(command, words);
        prop_assert_eq!(literal(&agent["user"]), user + "u");
        prop_assert_eq!(literal(&agent["working_dir"]), format!("/{workdir}"));
        prop_assert_eq!(literal(&agent["environment"]["VALUE"]), value);
        prop_assert_eq!(literal(&agent["build"]["args"]["ARG"]), argument);
        let mut volumes = agent["volumes"].as_sequence().unwrap().iter();
        let mounted = volumes.rfind(|volume| volume["type"] == "bind").unwrap();
        prop_assert_eq!(literal(&mounted["source"]), source);
        prop_assert_eq!(literal(&mounted["target"]), format!("/t{target}"));
        prop_assert_eq!(literal(&compose["networks"]["egress"]["name"]), network + "n");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_text_of_a_rule_comes_out_of_the_config_as_it_went_in(reason in hostile(), username in hostile()) {
        let mut rule = with_token(route("egress_proxy.routes[0]", "a.example"), "T");
        rule.route.reason = Some(reason.clone());
        // What RFC 7617 can't carry the manifest refuses.
        let username: String = username.chars().filter(|c| *c != ':' && !c.is_control()).collect();
        rule.auth.as_mut().unwrap().username = Some(username.clone());
        let tree = render(&manifest(vec![rule]));
        let text = text(&tree, "egress-proxy/routes.yaml");

        let ours = RoutesFile::read(text).unwrap();
        prop_assert_eq!(ours.routes[0].reason.as_ref(), Some(&reason));
        prop_assert_eq!(ours.routes[0].auth.as_ref().unwrap().username.as_ref(), Some(&username));
        let theirs: Value = serde_yaml::from_str(text).unwrap();
        prop_assert_eq!(theirs["routes"][0]["reason"].as_str(), Some(reason.as_str()));
        prop_assert_eq!(theirs["routes"][0]["auth"]["username"].as_str(), Some(username.as_str()));
    }
}

/// Whoever changes a file can also compute its checksum: what counts is that this version would not write it.
#[test]
fn what_bottle_does_not_render_is_refused_in_every_service_and_file() {
    let manifest = manifest(vec![with_token(route("egress_proxy.routes[0]", "a.example"), "MY_TOKEN")]);
    let (tree, layout) = (render(&manifest), Layout::beside("dev"));
    assert_eq!(render::exactly(&tree, &layout).unwrap().name, "dev");
    let refused = |path: &str, body: String| {
        let mut changed = tree.clone();
        changed.insert(path.into(), render::checksum::seal(&body).into_bytes());
        match render::exactly(&changed, &layout) {
            Err(render::Unreadable::NotRendered { file, difference }) => {
                assert_eq!(file, path);
                difference
            }
            other => panic!("{path}: {other:?}\n{body}"),
        }
    };
    let body = |path: &str| text(&tree, path).split_once('\n').unwrap().1.to_owned();
    let compose = body("docker-compose.yml");
    for service in ["netns", "gate", "egress-proxy", "pipelock", "agent", "attack"] {
        let heading = format!("\n  {service}:\n");
        assert_eq!(compose.matches(&heading).count(), 1, "{service}");
        for line in [
            "    privileged: true\n",
            "    devices: [/dev/kvm]\n",
            "    cap_add: [SYS_ADMIN]\n",
            "    pid: host\n",
            "    x-y: 1\n",
        ] {
            let said = refused("docker-compose.yml", compose.replace(&heading, &format!("{heading}{line}")));
            assert_eq!(said, format!("+{}", line.trim_end()), "{service}");
        }
    }
    refused("docker-compose.yml", compose.replace("network_mode: none", "network_mode: bridge"));
    refused("docker-compose.yml", compose.clone() + "  evil: {image: x}\n");
    refused("docker-compose.yml", compose.replace("cap_drop: [ALL]", "cap_drop: [CHOWN]"));
    refused(
        "docker-compose.yml",
        compose.replace("seccomp=${BOTTLE_STATE", "seccomp=unconfined${BOTTLE_STATE"),
    );
    let pipelock = body("pipelock/pipelock.yaml");
    refused("pipelock/pipelock.yaml", pipelock.replacen("timeout_seconds: 600", "timeout_seconds: 601", 1));
    let routes = body("egress-proxy/routes.yaml");
    refused(
        "egress-proxy/routes.yaml",
        routes.replace("proxy: unix:/run/bottle-upstream/pipelock.sock", "proxy: elsewhere:8888"),
    );
    let mut more = tree.clone();
    more.insert("compose.override.yaml".into(), b"services: {}\n".to_vec());
    assert!(render::exactly(&more, &layout).is_err());
    let mut less = tree.clone();
    less.remove(camino::Utf8Path::new("seccomp.json"));
    let error = render::exactly(&less, &layout).unwrap_err().to_string();
    assert_eq!(error, "seccomp.json: the file is missing");
}

/// Compose is the reader that counts.
#[test]
fn compose_itself_reads_hostile_texts_as_they_were_written() {
    if !crate::examples::compose_is_here("no hostile text is held against Compose itself") {
        return;
    }
    let texts = [
        "${HOME}",
        "$HOME",
        "$$",
        "$",
        "a$${b}",
        "no",
        "on",
        "22:22",
        "1e3",
        "0x10",
        "~",
        "null",
        "",
        "- x",
        "--flag",
        "a: b",
        "# x",
        "a #b",
        "\"q\" 'q'",
        "\\n",
        "line\nline\n",
        "tab\t",
        "\u{85}\u{2028}\u{feff}",
        "é🦀",
        "{{ x }}",
        "!!str x",
        "&a",
        "*a",
        "<<",
        "@x",
        "`x`",
        "%x",
        "? x",
        "|",
        ">",
        "trailing ",
    ];
    let mut manifest = manifest(vec![route("egress_proxy.routes[0]", "a.example")]);
    manifest.agent.env =
        texts.iter().enumerate().map(|(at, text)| (format!("V{at}"), (*text).to_owned())).collect();
    manifest.agent.command = Some(texts.iter().map(|text| (*text).to_owned()).collect());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("docker-compose.yml"), text(&render(&manifest), "docker-compose.yml"))
        .unwrap();

    let output = Command::new("docker")
        .args(["compose", "config", "--format", "json"])
        .current_dir(folder.path())
        .envs(bottle::state::ENV_VARIABLES.map(|name| (name, "1")))
        .env("COMPOSE_PROJECT_NAME", "render-texts")
        .env("BOTTLE_STATE", "/nonexistent")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    // What `config` prints is a compose file again: each `$` is doubled once more.
    let printed = |text: &str| serde_json::Value::from(text.replace('$', "$$"));
    let agent = &read["services"]["agent"];
    for (at, text) in texts.iter().enumerate() {
        assert_eq!(agent["environment"][format!("V{at}")], printed(text));
        assert_eq!(agent["command"][at], printed(text));
    }
}

/// Where the agent may be: in the holder's namespace, and nowhere else.
#[test]
fn the_agent_has_no_network_of_its_own() {
    for manifest in [manifest(vec![route("egress_proxy.routes[0]", "a.example")]), manifest(Vec::new())] {
        let compose = compose(&render(&manifest));
        assert_eq!(compose["services"]["netns"]["network_mode"], "none");
        assert_eq!(literal_list(&compose["services"]["netns"]["dns"]), ["127.0.0.1"]);
        for service in ["agent", "gate", "attack"] {
            let service = &compose["services"][service];
            assert_eq!(service["network_mode"], "service:netns");
            for key in
                ["networks", "ports", "dns", "extra_hosts", "links", "privileged", "cap_add", "secrets"]
            {
                assert!(service.get(key).is_none(), "{key}");
            }
        }
    }
}

#[test]
fn only_pipelock_has_a_way_out() {
    let compose = compose(&render(&manifest(vec![route("egress_proxy.routes[0]", "a.example")])));
    let on_egress: Vec<&str> = services(&compose)
        .filter(|(_, service)| literal_list(&service["networks"]).contains(&"egress".to_owned()))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(on_egress, ["pipelock"]);
    let egress_proxy = &compose["services"]["egress-proxy"];
    assert_eq!(egress_proxy["network_mode"], "none");
    assert_eq!(literal_list(&egress_proxy["dns"]), ["127.0.0.1"]);
    assert!(egress_proxy.get("networks").is_none());
    assert_eq!(compose["networks"].as_mapping().unwrap().len(), 1);
}

/// Others may be on the network that pipelock leaves by, and the host is: nothing in a stack listens on a network, and
/// only who mounts a socket's volume gets at the socket.
#[test]
fn the_proxies_listen_on_sockets_that_only_their_clients_mount() {
    let tree = render(&manifest(vec![route("egress_proxy.routes[0]", "a.example")]));
    let compose = compose(&tree);
    let embedded = EmbeddedFile::read(text(&tree, "pipelock/embedded.yaml")).unwrap();
    let routes = RoutesFile::read(text(&tree, "egress-proxy/routes.yaml")).unwrap();
    assert_eq!(embedded.listen.to_string(), "unix:/run/bottle-upstream/pipelock.sock");
    assert_eq!(routes.upstream.proxy.to_string(), embedded.listen.to_string());
    assert!(embedded.admin.ip().is_loopback() && routes.admin.ip().is_loopback());
    // The upstream program reads this one, and knows no unix sockets.
    assert!(text(&tree, "pipelock/pipelock.yaml").contains("listen: \"127.0.0.1:8888\""));
    assert!(services(&compose).all(|(_, service)| service.get("ports").is_none()));

    // Service, volume, where, read-only.
    let mounted: Vec<(&str, String, String, bool)> = services(&compose)
        .flat_map(|(name, service)| {
            let volumes = service["volumes"].as_sequence().into_iter().flatten();
            volumes.filter(|volume| literal(&volume["type"]) == "volume").map(move |volume| {
                let text = |key: &str| literal(&volume[key]);
                (name, text("source"), text("target"), volume["read_only"] == true)
            })
        })
        .collect();
    let mounted: Vec<_> = mounted.iter().map(|(a, b, c, d)| (*a, b.as_str(), c.as_str(), *d)).collect();
    assert_eq!(
        mounted,
        [
            ("netns", "listener", "/run/bottle-gate", false),
            ("gate", "listener", "/run/bottle-gate", true),
            ("gate", "socket", "/run/bottle", true),
            ("egress-proxy", "socket", "/run/bottle", false),
            ("egress-proxy", "upstream", "/run/bottle-upstream", true),
            ("pipelock", "upstream", "/run/bottle-upstream", false),
            ("home", "home", "/home/agent", false),
            ("agent", "home", "/home/agent", false),
        ]
    );
}

/// Without routes pipelock serves the socket itself; there is no proxy in front and no socket between.
#[test]
fn without_routes_there_is_no_egress_proxy() {
    let mut manifest = manifest(Vec::new());
    manifest.egress.allowlist = vec![route("egress.allowlist[0]", "a.example")];
    let tree = render(&manifest);
    assert!(!tree.contains_key(camino::Utf8Path::new("egress-proxy/routes.yaml")));
    let compose = compose(&tree);
    assert!(compose["services"].get("egress-proxy").is_none());
    assert!(compose["volumes"].get("upstream").is_none());
    assert!(compose["services"]["agent"]["depends_on"].get("egress-proxy").is_none());
    let socket = compose["services"]["pipelock"]["volumes"].as_sequence().unwrap().last().unwrap();
    assert_eq!(
        (literal(&socket["target"]).as_str(), &socket["read_only"]),
        ("/run/bottle", &Value::Bool(false))
    );
    let embedded = EmbeddedFile::read(text(&tree, "pipelock/embedded.yaml")).unwrap();
    assert_eq!(embedded.listen.to_string(), "unix:/run/bottle/egress.sock");
}

/// A token's name stands where egress-proxy gets it, and its value nowhere: render never has one.
#[test]
fn a_token_reaches_egress_proxy_alone() {
    let tree = render(&manifest(vec![with_token(route("egress_proxy.routes[0]", "a.example"), "MY_TOKEN")]));
    let compose = compose(&tree);
    let holders: Vec<&str> = services(&compose)
        .filter(|(_, service)| service.get("secrets").is_some())
        .map(|(name, _)| name)
        .collect();
    assert_eq!(holders, ["egress-proxy"]);
    assert_eq!(literal(&compose["secrets"]["MY_TOKEN"]["environment"]), "MY_TOKEN");
    for (name, service) in services(&compose).filter(|(name, _)| *name != "egress-proxy") {
        assert!(!serde_yaml::to_string(service).unwrap().contains("MY_TOKEN"), "{name}");
    }
    let routes = RoutesFile::read(text(&tree, "egress-proxy/routes.yaml")).unwrap();
    assert_eq!(routes.routes[0].auth.as_ref().unwrap().secret_file, "/run/secrets/MY_TOKEN");
}

#[test]
fn every_service_is_confined_and_checked() {
    let compose = compose(&render(&manifest(vec![route("egress_proxy.routes[0]", "a.example")])));
    for (name, service) in services(&compose) {
        assert_eq!(literal_list(&service["cap_drop"]), ["ALL"], "{name}");
        let security: Vec<&str> =
            service["security_opt"].as_sequence().unwrap().iter().filter_map(Value::as_str).collect();
        let profile = "seccomp=${BOTTLE_STATE:?run bottle render}/agreed/seccomp.json";
        assert_eq!(security, ["no-new-privileges:true", profile], "{name}");
        assert_eq!(service["ulimits"]["core"], 0, "{name}");
        for variable in bottle::plan::PROXY_VARIABLES {
            assert!(service["environment"].get(variable).is_some(), "{name}: Compose would set {variable}");
        }
        assert_eq!(service["mem_limit"], service["memswap_limit"], "{name}");
        assert!(service.get("pids_limit").is_some() && service.get("logging").is_some(), "{name}");
        assert!(service.get("healthcheck").is_some() || name == "attack", "{name}");
        assert!(service.get("container_name").is_none() && service.get("privileged").is_none(), "{name}");
        if name != "agent" {
            assert_eq!(service["read_only"], true, "{name}");
        }
        if name == "home" {
            // Root of a container that has no network and can write nowhere but in the volume.
            assert_eq!(literal_list(&service["cap_add"]), ["CHOWN", "DAC_READ_SEARCH", "FOWNER"]);
            assert_eq!((&service["user"], &service["network_mode"]), (&"0:0".into(), &"none".into()));
            assert_eq!(literal(&service["entrypoint"][0]), "/run/bottle/bottle", "nothing of the image runs");
        } else if name != "agent" {
            assert!(service.get("cap_add").is_none(), "{name}");
            assert!(service["user"].as_str().unwrap().starts_with("${BOTTLE_USER:?"), "{name}");
        }
        let builds = service.get("build").is_some();
        assert_eq!(builds, name == "netns", "one builder: {name}");
    }
}

/// The project is writable for the agent, the rendered files and the build context inside it are not.
#[test]
fn what_decides_about_the_agent_is_read_only_for_it() {
    let mut manifest = manifest(Vec::new());
    manifest.agent.image =
        Image::Build(Build { context: "./agent".into(), dockerfile: None, args: vec![], target: None });
    manifest.agent.mounts = vec![mount(".", "/work")];
    let compose = compose(&render(&manifest));
    let binds: Vec<(String, String, bool)> = compose["services"]["agent"]["volumes"]
        .as_sequence()
        .unwrap()
        .iter()
        .filter(|bind| {
            bind["type"] == "bind" && !bind["source"].as_str().unwrap().starts_with("${BOTTLE_STATE")
        })
        .map(|bind| {
            (literal(&bind["source"]), literal(&bind["target"]), bind["read_only"].as_bool().unwrap())
        })
        .collect();
    let expected = [
        ("../..", "/work", false),
        ("../../.bottle", "/work/.bottle", true),
        ("../../agent", "/work/agent", true),
    ];
    assert_eq!(binds, expected.map(|(source, target, ro)| (source.to_owned(), target.to_owned(), ro)));
}

/// The agent's binds of the project as `target < source`, with `(ro)`.
fn binds(manifest: &Manifest, layout: Layout) -> Vec<String> {
    let plan = Plan::resolve(manifest, &Surroundings { layout, ..Surroundings::beside("dev") }).unwrap();
    let line = |mount: &MountPlan| {
        let access = if mount.read_only { " (ro)" } else { "" };
        format!("{} < {}{access}", mount.target, mount.source)
    };
    plan.agent.mounts.iter().map(line).collect()
}

/// A folder that can be renamed takes with it whatever is guarded or mounted inside it.
#[test]
fn what_is_guarded_or_mounted_is_pinned_with_the_folders_around_it() {
    let mut manifest = manifest(Vec::new());
    manifest.agent.image = Image::Build(Build {
        context: "./docker/agent".into(),
        dockerfile: None,
        args: vec![],
        target: None,
    });
    manifest.agent.mounts = vec![mount(".", "/work"), mount("./data", "/data"), mount("src", "/work/src")];
    let layout = Layout::between("/p".into(), "/p/ci/tree".into());
    assert_eq!(
        binds(&manifest, layout),
        [
            "/work < .",
            "/work/ci < ci",
            "/work/ci/tree < ci/tree (ro)",
            "/work/data < data",
            "/work/docker < docker",
            "/work/docker/agent < docker/agent (ro)",
            "/data < ./data",
            "/work/src < src",
        ],
        "/work/src is a mount of the manifest's: no second one"
    );
    manifest.agent.mounts = vec![mount(".", "/work"), mount("docker", "/work/docker")];
    assert_eq!(
        binds(&manifest, Layout::beside("dev")),
        [
            "/work < .",
            "/work/.bottle < .bottle (ro)",
            "/work/docker < docker",
            "/work/docker/agent < docker/agent (ro)",
        ],
        "each target once"
    );
}

#[test]
fn a_mount_that_can_not_be_guarded_is_refused() {
    let mut manifest = manifest(Vec::new());
    manifest.agent.mounts = vec![mount(".bottle/dev", "/x")];
    let report = Plan::resolve(&manifest, &Surroundings::beside("dev")).unwrap_err().to_string();
    assert!(report.contains("agent.mounts[0] mounts `.bottle/dev`, which is the rendered files"), "{report}");

    manifest.agent.mounts = vec![mount(".", "/work")];
    manifest.agent.image =
        Image::Build(Build { context: ".".into(), dockerfile: None, args: vec![], target: None });
    let report = Plan::resolve(&manifest, &Surroundings::beside("dev")).unwrap_err().to_string();
    assert!(report.contains("which is the build context") && report.contains("./agent"), "{report}");

    manifest.agent.mounts[0].read_only = true;
    Plan::resolve(&manifest, &Surroundings::beside("dev")).unwrap();
}

/// Links and absolute paths lead to the same places; only the machine knows.
#[test]
fn a_mount_that_reaches_the_cage_by_another_way_is_refused_on_the_machine() {
    let home = camino::Utf8Path::new("/home/me/app");
    let real = |path: &camino::Utf8Path| match path.as_str() {
        "/home/me/app/link" => "/home/me".into(),
        "/var/run/docker.sock" => "/run/docker.sock".into(),
        other => other.into(),
    };
    let is_link = |path: &camino::Utf8Path| path == "/home/me/app/link";
    let problems = |source: &str, read_only: bool| {
        let mut manifest = manifest(Vec::new());
        manifest.agent.mounts = vec![Mount { read_only, ..mount(source, "/work") }];
        resolve(&manifest)
            .check_places(home, real, is_link)
            .into_iter()
            .map(|(_, it)| it.message)
            .collect::<Vec<_>>()
    };
    let writes =
        |source: &str| vec![format!("the mount of `{source}` lets the agent write to /home/me/app/.bottle")];
    assert_eq!(problems(".", false), Vec::<String>::new());
    assert_eq!(problems("src", false), Vec::<String>::new());
    assert_eq!(problems("../sibling", false), Vec::<String>::new());
    for source in ["..", "../app", "/home/me", "/home/me/app", "/home/me/app/.bottle/dev"] {
        assert_eq!(problems(source, false), writes(source));
        assert_eq!(problems(source, true), Vec::<String>::new());
    }
    let link = "`link` goes through the link /home/me/app/link, and bottle follows none".to_owned();
    assert_eq!(problems("link", false), [vec![link.clone()], writes("link")].concat());
    assert_eq!(problems("link", true), [link], "a branch can hold it");
    for source in ["/run", "/run/docker.sock", "/"] {
        assert!(problems(source, true)[0].contains("docker.sock"), "{source}");
    }
}

#[test]
fn a_source_that_another_mount_lets_the_agent_replace_is_refused_on_the_machine() {
    let home = camino::Utf8Path::new("/home/me/app");
    let problems = |mounts: &[(&str, &str)]| {
        let mut manifest = manifest(Vec::new());
        manifest.agent.mounts = mounts.iter().map(|(source, target)| mount(source, target)).collect();
        let report = resolve(&manifest).check_places(home, camino::Utf8Path::to_owned, |_| false);
        report.into_iter().map(|(_, it)| it.message).collect::<Vec<_>>()
    };
    assert_eq!(problems(&[("src", "/src"), ("src/data", "/data")]), [""; 0], "it is pinned");
    assert_eq!(
        problems(&[("/home/me/app/src", "/src"), ("src/data", "/data")]),
        ["the mount of `/home/me/app/src` lets the agent replace `src/data`, which is mounted too"]
    );
    let hidden = [("/home/me/app/src", "/src"), ("src/data", "/src/data")];
    assert_eq!(problems(&hidden), [""; 0], "a mount over the very place pins it");
    assert_eq!(problems(&[(".", "/work"), ("other", "/work/.bottle")]), [""; 0], "another mount hides it");
}

#[test]
fn a_mount_through_a_link_that_the_agent_can_make_is_refused() {
    let home = camino::Utf8Path::new("/home/me/app");
    let real = |path: &camino::Utf8Path| match path.as_str() {
        "/home/me/app/data" => "/etc".into(),
        "/home/me/app/data/deep" => "/etc/deep".into(),
        other => other.into(),
    };
    let is_link = |path: &camino::Utf8Path| path == "/home/me/app/data";
    let problems = |first: Mount, second: Mount| {
        let mut manifest = manifest(Vec::new());
        manifest.agent.mounts = vec![first, second];
        resolve(&manifest)
            .check_places(home, real, is_link)
            .into_iter()
            .map(|(_, it)| it.message)
            .collect::<Vec<_>>()
    };
    for source in ["data", "data/deep"] {
        assert_eq!(
            problems(mount(".", "/work"), mount(source, "/data")),
            [format!("`{source}` goes through the link /home/me/app/data, and bottle follows none")]
        );
        // A branch can hold the link, whatever the agent sees around it.
        assert_eq!(problems(mount("src", "/work"), mount(source, "/data")).len(), 1);
    }
}

#[test]
fn a_variable_that_bottle_sets_is_refused_in_the_manifest() {
    let text = |env: &str| {
        format!(
            "version: 1\nname: dev\nagent: {{image: x, env: {{{env}}}}}\negress_proxy: {{routes: [{{host: a.example, auth: \
             {{scheme: Bearer, token_ref: OPENAI_API_KEY}}}}, {{host: api.anthropic.com, auth: {{scheme: Bearer, \
             token_ref: CLAUDE_CODE_OAUTH_TOKEN}}}}]}}\n"
        )
    };
    let load = |env: &str| Manifest::load("bottle.yaml", text(env).as_bytes());
    let plan = resolve(&load("").unwrap().manifest);
    assert!(plan.agent.environment.len() > 20);
    for name in plan.agent.environment.keys() {
        let report = load(&format!("{name}: x")).expect_err(name);
        assert_eq!(report.0[0].code, "env", "{name}: {report}");
    }
}

/// Tools that do not start without a credential get one that is none, and the plan says so.
#[test]
fn a_placeholder_stands_in_for_a_token_that_tools_look_for() {
    let plan = resolve(&manifest(vec![
        with_token(route("egress_proxy.routes[0]", "api.anthropic.com"), "CLAUDE_CODE_OAUTH_TOKEN"),
        with_token(route("egress_proxy.routes[1]", "b.example"), "OTHER_TOKEN"),
    ]));
    let environment = &plan.agent.environment;
    assert!(environment["CLAUDE_CODE_OAUTH_TOKEN"].placeholder);
    for switch in [
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
        "DISABLE_TELEMETRY",
        "DISABLE_ERROR_REPORTING",
        "DISABLE_AUTOUPDATER",
    ] {
        assert_eq!(environment[switch].value, "1");
    }
    assert!(!environment.contains_key("OTHER_TOKEN"));
    assert!(environment.values().all(|variable| variable.why.is_some()));
    let tree = render::tree(&plan, render::RenderTarget::Compose).unwrap();
    let embedded = EmbeddedFile::read(text(&tree, "pipelock/embedded.yaml")).unwrap();
    assert_eq!(embedded.placeholders, [environment["CLAUDE_CODE_OAUTH_TOKEN"].value.clone()]);
    assert!(!plan.seed_phrases.enabled);
}

/// An agent that prints its environment must not lock its own conversation.
#[test]
fn the_dlp_finds_nothing_in_a_placeholder() {
    let scanner = bottle::dlp::Scanner::new(bottle::dlp::Settings::default()).unwrap();
    for name in ["ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", "GH_TOKEN", "GITHUB_TOKEN", "OPENAI_API_KEY"]
    {
        let value = bottle::plan::placeholder::known(name).unwrap().value;
        for text in
            [value.to_owned(), format!("{{\"key\": \"{value}\"}}"), format!("Authorization: Bearer {value}")]
        {
            assert!(scanner.text(&text).is_none(), "{text}");
        }
    }
}

/// What the plan sets the manifest refuses: the two lists can't drift.
#[test]
fn every_variable_that_bottle_sets_is_refused_with_its_place() {
    let text = |env: &str| {
        format!(
            "version: 1\nname: dev\nagent: {{image: agent:local, env: {{{env}}}}}\negress_proxy:\n  routes:\n    \
             - {{host: a.example, auth: {{scheme: Bearer, token_ref: CLAUDE_CODE_OAUTH_TOKEN}}}}\n"
        )
    };
    let plan = resolve(&Manifest::load("bottle.yaml", text("").as_bytes()).unwrap().manifest);
    assert!(plan.agent.environment.len() > 25);
    for name in plan.agent.environment.keys() {
        let report = Manifest::load("bottle.yaml", text(&format!("{name}: x")).as_bytes()).unwrap_err();
        assert!(report.to_string().contains(name), "{name}: {report}");
    }
}

#[test]
fn an_absolute_path_of_the_machine_gets_into_no_file() {
    let mut manifest = manifest(vec![with_token(route("egress_proxy.routes[0]", "a.example"), "T")]);
    manifest.agent.mounts = vec![mount(".", "/work")];
    let trees: Vec<Tree> = ["/home/one/app", "/srv/two/elsewhere/checkout"]
        .map(|folder| {
            let folder = camino::Utf8Path::new(folder);
            let layout = Layout::between(folder, &folder.join(".bottle/dev"));
            let plan =
                Plan::resolve(&manifest, &Surroundings { layout, ..Surroundings::beside("dev") }).unwrap();
            render::tree(&plan, render::RenderTarget::Compose).unwrap()
        })
        .into();
    assert_eq!(trees[0], trees[1]);
}

#[test]
fn every_file_carries_its_checksum() {
    let tree = render(&manifest(vec![route("egress_proxy.routes[0]", "a.example")]));
    assert_eq!(tree.len(), 8);
    for (path, bytes) in &tree {
        assert_eq!(verify(bytes), Sealed::Intact, "{path}");
    }
}

fn services(compose: &Value) -> impl Iterator<Item = (&str, &Value)> {
    compose["services"].as_mapping().unwrap().iter().map(|(name, service)| (name.as_str().unwrap(), service))
}

fn literal_list(value: &Value) -> Vec<String> {
    value.as_sequence().map(|items| items.iter().map(literal).collect()).unwrap_or_default()
}

/// A service of the manifest has the agent's loopback and nothing else: no mount of the machine or of a socket, no port, no
/// privilege but five of its own image's; and a tree that gives it more is none of ours.
#[test]
fn what_runs_beside_the_agent_is_caged_like_it() {
    let service = |name: &str, user: Option<&str>| bottle::manifest::Service {
        name: name.to_owned(),
        image: "db:local".to_owned(),
        command: None,
        user: user.map(str::to_owned),
        env: vec![("PASSWORD".to_owned(), "$x".to_owned())],
        volumes: vec!["/var/lib/db".into(), "/var/lib/db.d".into()],
        resources: bottle::manifest::Resources { memory: None, millicpus: Some(1500), pids: None },
    };
    let mut manifest = manifest(vec![route("egress_proxy.routes[0]", "a.example")]);
    manifest.services = vec![service("cache", Some("999:999")), service("db", None)];
    let tree = render(&manifest);
    let compose = compose(&tree);
    for (name, added) in
        [("cache", &[][..]), ("db", &["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"])]
    {
        let service = &compose["services"][name];
        assert_eq!(service["network_mode"], "service:netns");
        assert_eq!(literal_list(&service["cap_drop"]), ["ALL"]);
        let more = service["cap_add"].as_sequence().map(|it| it.iter().map(literal).collect::<Vec<_>>());
        assert_eq!(more.unwrap_or_default(), added, "{name}");
        assert_eq!(service["security_opt"], compose["services"]["agent"]["security_opt"]);
        let limits = ["mem_limit", "memswap_limit", "cpus", "pids_limit"].map(|key| service[key].clone());
        assert_eq!(
            limits,
            ["1073741824b".into(), "1073741824b".into(), Value::from("1.5"), Value::from(1024)]
        );
        for key in
            ["ports", "networks", "secrets", "privileged", "devices", "extra_hosts", "volumes_from", "pid"]
        {
            assert!(service.get(key).is_none(), "{name}: {key}");
        }
        assert_eq!(service["environment"]["HTTPS_PROXY"], "");
        assert_eq!(service["environment"]["PASSWORD"], "$$x");
        let volumes = service["volumes"].as_sequence().unwrap();
        let places: Vec<(Value, Value, Value)> = volumes
            .iter()
            .map(|it| (it["type"].clone(), it["source"].clone(), it["target"].clone()))
            .collect();
        let volume =
            |at: &str| ("volume".into(), format!("{name}{}", at.replace('/', ".")).into(), at.into());
        assert_eq!(places, ["/var/lib/db", "/var/lib/db.d"].map(volume));
        assert!(compose["volumes"].get(format!("{name}.var.lib.db")).is_some());
        assert_eq!(compose["services"]["agent"]["depends_on"][name]["condition"], "service_started");
        assert!(compose["services"]["attack"]["depends_on"].get(name).is_none());
    }
    let layout = Layout::beside("dev");
    let plan = render::exactly(&tree, &layout).unwrap();
    assert_eq!(plan.sidecars, resolve(&manifest).sidecars);
    let text = text(&tree, "docker-compose.yml");
    let (_, body) = text.split_once('\n').unwrap();
    for (from, to) in [
        (
            "network_mode: service:netns\n    depends_on:\n      netns: {condition: service_started, restart: true}\n    init",
            "network_mode: host\n    init",
        ),
        ("cap_add: [CHOWN,", "cap_add: [NET_ADMIN, CHOWN,"),
        ("source: db.var.lib.db,", "source: listener,"),
        ("source: db.var.lib.db,", "source: cache.var.lib.db,"),
        ("      PASSWORD: \"$$x\"\n", "      PASSWORD: \"$$x\"\n      HTTPS_PROXY: http://127.0.0.1:9099\n"),
    ] {
        assert!(body.contains(from), "{from}:\n{body}");
        let mut changed = tree.clone();
        changed.insert(
            "docker-compose.yml".into(),
            render::checksum::seal(&body.replace(from, to)).into_bytes(),
        );
        assert!(render::exactly(&changed, &layout).is_err(), "{to}");
    }
}

/// What is published is shown by two relays that have nothing but each other's sockets, at 127.0.0.1 alone; a tree that shows
/// more is none of ours. Without it there is none of this.
#[test]
fn what_is_published_is_shown_on_loopback_and_by_nothing_else() {
    let mut manifest = manifest(vec![route("egress_proxy.routes[0]", "a.example")]);
    let without = text(&render(&manifest), "docker-compose.yml").to_owned();
    for word in ["publish", "inbound", "ports:"] {
        assert!(!without.contains(word), "{word}");
    }
    manifest.agent.publish =
        ["8080:3000", "5432", "3000:3000", "80:80"].map(|it| it.parse().unwrap()).to_vec();
    let tree = render(&manifest);
    let compose = compose(&tree);
    let services = &compose["services"];
    let list = |value: &Value| value.as_sequence().unwrap().iter().map(literal).collect::<Vec<_>>();
    let publish = &services["publish"];
    assert_eq!(
        list(&publish["ports"]),
        ["127.0.0.1:80:80", "127.0.0.1:3000:3000", "127.0.0.1:5432:5432", "127.0.0.1:8080:3000"]
    );
    assert_eq!(
        list(&publish["command"]).join(" "),
        "gate --from-gateway --relay 0.0.0.0:80=unix:/run/bottle-publish/80.sock \
         --relay 0.0.0.0:3000=unix:/run/bottle-publish/3000.sock --relay 0.0.0.0:5432=unix:/run/bottle-publish/5432.sock"
    );
    assert_eq!(list(&publish["networks"]), ["publish"]);
    let inbound = &services["inbound"];
    assert_eq!(
        list(&inbound["command"]).join(" "),
        "gate --relay unix:/run/bottle-publish/80.sock=127.0.0.1:80 \
         --relay unix:/run/bottle-publish/3000.sock=127.0.0.1:3000 \
         --relay unix:/run/bottle-publish/5432.sock=127.0.0.1:5432"
    );
    assert_eq!(inbound["network_mode"], "service:netns");
    for (service, read_only) in [(inbound, false), (publish, true)] {
        assert_eq!(list(&service["cap_drop"]), ["ALL"]);
        assert!(service.get("cap_add").is_none());
        assert_eq!(service["read_only"], true);
        for key in
            ["security_opt", "user", "ulimits", "environment", "pids_limit", "mem_limit", "memswap_limit"]
        {
            assert_eq!(service[key], services["gate"][key], "{key}");
        }
        let volumes = service["volumes"].as_sequence().unwrap();
        let [volume] = volumes.as_slice() else { panic!("{volumes:?}") };
        assert_eq!(
            (literal(&volume["source"]), &volume["read_only"]),
            ("published".into(), &read_only.into())
        );
    }
    // No other service has the sockets, a port or that network.
    for (name, service) in services.as_mapping().unwrap() {
        if name == "publish" || name == "inbound" {
            continue;
        }
        assert!(service.get("ports").is_none(), "{name:?}");
        assert!(!serde_yaml::to_string(&service["volumes"]).unwrap().contains("publish"), "{name:?}");
        assert!(service.get("networks").is_none_or(|it| list(it) == ["egress"]), "{name:?}");
    }
    let options = &compose["networks"]["publish"]["driver_opts"];
    assert_eq!(options["com.docker.network.bridge.enable_ip_masquerade"], "false");
    assert_eq!(compose["networks"]["publish"]["enable_ipv6"], false);

    let layout = Layout::beside("dev");
    let plan = render::exactly(&tree, &layout).unwrap();
    assert_eq!(plan.agent.publish, resolve(&manifest).agent.publish);
    let text = text(&tree, "docker-compose.yml");
    let (_, body) = text.split_once('\n').unwrap();
    for (from, to) in [
        ("\"127.0.0.1:3000:3000\"", "\"0.0.0.0:3000:3000\""),
        ("\"127.0.0.1:3000:3000\"", "\"3000:3000\""),
        ("\"127.0.0.1:3000:3000\"", "\"127.0.0.1:3000:9099\""),
        ("\"127.0.0.1:3000:3000\"", "\"127.0.0.1:3000:3000\"\n      - \"127.0.0.1:3001:3001/udp\""),
        ("=127.0.0.1:3000\n", "=127.0.0.1:9099\n"),
        ("      - --from-gateway\n", ""),
        ("networks: [publish]", "networks: [publish, egress]"),
        ("enable_ip_masquerade: \"false\"", "enable_ip_masquerade: \"true\""),
        (
            "source: published, target: /run/bottle-publish, read_only: true",
            "source: socket, target: /run/bottle, read_only: true",
        ),
    ] {
        assert!(body.contains(from), "{from}:\n{body}");
        let mut changed = tree.clone();
        let sealed = render::checksum::seal(&body.replace(from, to)).into_bytes();
        changed.insert("docker-compose.yml".into(), sealed);
        assert!(render::exactly(&changed, &layout).is_err(), "{to}");
    }
}

/// What `supervise: true` adds, whole; nothing else of the tree differs but what hashes it.
#[test]
fn supervise_adds_a_service_and_changes_nothing_else() {
    let with = |supervise| {
        let manifest = Manifest { supervise, ..manifest(vec![route("egress_proxy.routes[0]", "a.example")]) };
        let plan = resolve(&manifest);
        let tree = render::tree(&plan, render::RenderTarget::Compose).unwrap();
        let again = render::exactly(&tree, &plan.layout).unwrap();
        assert_eq!(again.supervise, supervise);
        tree
    };
    let (off, on) = (with(false), with(true));
    assert!(!off.values().any(|bytes| String::from_utf8_lossy(bytes).contains("supervise")));
    assert_eq!(off.keys().collect::<Vec<_>>(), on.keys().collect::<Vec<_>>());
    let mut differences = String::new();
    for (file, bytes) in &off {
        let [old, new] = [bytes, &on[file]].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        for change in similar::TextDiff::from_lines(&old, &new).iter_all_changes() {
            let hash = ["bottle:sha256:", "bottle.config:"].iter().any(|it| change.value().contains(it));
            if change.tag() != similar::ChangeTag::Equal && !hash {
                assert_eq!(change.tag(), similar::ChangeTag::Insert, "{file}: {change}");
                differences.extend([file.as_str(), ": ", change.value()]);
            }
        }
    }
    insta::assert_snapshot!("supervise", differences);
}
