//! What the engine gave the containers that run, against the agreed compose file. The hash that Compose leaves on a
//! container is a label, and whoever makes a container can write any label; here the engine is asked for the settings
//! themselves.

use crate::cli::agreed_stack::Stack;
use crate::cli::container_checks::{Container, of_project};
use crate::cli::docker::{docker, output_of};
use crate::render::paths;
use crate::stack::service;
use anyhow::Context as _;
use camino::Utf8Path;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The oldest engine whose namespaces and networks are known to hold what the stack promises.
const OLDEST_ENGINE: (u32, u32) = (20, 10);

/// What is wrong, a sentence each.
pub(super) fn drift(stack: &Stack, running: &[Container]) -> anyhow::Result<Vec<String>> {
    if running.is_empty() {
        return Ok(Vec::new());
    }
    let mut problems = engine()?;
    let config = stack.command(&["--profile", "*", "config", "--format", "json"]);
    let config: Value =
        serde_json::from_str(&output_of(&mut { config })?).context("docker compose config")?;
    let seccomp = stack.agreed.tree.get(Utf8Path::new(paths::SECCOMP)).map(Vec::as_slice);
    let seccomp: Value = serde_json::from_slice(seccomp.unwrap_or_default()).unwrap_or_default();
    for container in running {
        let Some(agreed) = config["services"].get(&container.service) else { continue }; // said with the hashes
        let found = Found::inspect(container)?;
        let differs = found.differences(agreed, &seccomp);
        if !differs.is_empty() {
            problems.push(format!(
                "{} was given other settings than those that you agreed to: {}; end it: bottle down, and bottle up",
                container.name,
                differs.join(", ")
            ));
        }
        if stack.has_own_image(&container.service) {
            problems.extend(image(container, &found, agreed, &stack.bottle.project)?);
        }
    }
    problems.extend(strangers(stack)?);
    Ok(problems)
}

/// What the engine lacks, without which a promise of the stack does not hold.
fn engine() -> anyhow::Result<Vec<String>> {
    let info: Value = serde_json::from_str(&output_of(docker().args(["info", "--format", "{{json .}}"]))?)?;
    Ok(lacks(&info))
}

fn lacks(info: &Value) -> Vec<String> {
    let version = info["ServerVersion"].as_str().unwrap_or_default();
    let mut numbers = version.split(['.', '-', '+']).map_while(|part| part.parse::<u32>().ok());
    let number = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let mut problems = Vec::new();
    if number < OLDEST_ENGINE {
        let (major, minor) = OLDEST_ENGINE;
        problems.push(format!(
            "the engine is {version}, and bottle is tried on {major}.{minor} and newer: what an older one keeps closed \
             is not known"
        ));
    }
    let options = info["SecurityOptions"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if !options.into_iter().any(|option| option.contains("seccomp")) {
        problems.push("the engine has no seccomp: system calls of the agent are not filtered".to_owned());
    }
    for (key, what) in [("MemoryLimit", "memory"), ("PidsLimit", "number of processes")] {
        if info[key] == Value::Bool(false) {
            problems.push(format!("the engine can't limit the {what} of a container"));
        }
    }
    problems
}

/// Variables that the engine sets itself where nothing else does, or `bottle run` as they are on its terminal.
const OWN: [&str; 7] = ["PATH", "HOSTNAME", "TERM", "HOME", "COLORTERM", "LANG", "TZ"];

/// What the engine says of one container.
struct Found {
    config: Value,
    host: Value,
    image: String,
    image_environment: Vec<String>,
}

impl Found {
    fn inspect(container: &Container) -> anyhow::Result<Self> {
        let template = "{{json .Config}} {{json .HostConfig}} {{json .Image}}";
        let said = output_of(docker().args(["inspect", "--format", template, &container.id]))?;
        let mut values = serde_json::Deserializer::from_str(&said).into_iter::<Value>();
        let mut next = || values.next().context("docker inspect says too little")?.context("docker inspect");
        let (config, host, image) = (next()?, next()?, next()?);
        let image = image.as_str().unwrap_or_default().to_owned();
        let environment =
            output_of(docker().args(["image", "inspect", "--format", "{{json .Config.Env}}", &image]));
        // An image that was removed meanwhile: then each of its variables is said to be one more.
        let image_environment = environment.ok().and_then(|said| serde_json::from_str(&said).ok());
        Ok(Self { config, host, image, image_environment: image_environment.unwrap_or_default() })
    }

    /// How it differs, a few words each.
    fn differences(&self, agreed: &Value, seccomp: &Value) -> Vec<String> {
        let mut differs = Vec::new();
        let host = &self.host;
        let list = |value: &Value| -> BTreeSet<String> {
            value.as_array().into_iter().flatten().filter_map(|it| it.as_str().map(str::to_owned)).collect()
        };
        if host["Privileged"] == Value::Bool(true) {
            differs.push("privileged".to_owned());
        }
        // Engines differ in how they write one down.
        let capabilities = |value: &Value| -> BTreeSet<String> {
            list(value).iter().map(|name| name.trim_start_matches("CAP_").to_owned()).collect()
        };
        let more: Vec<String> =
            capabilities(&host["CapAdd"]).difference(&capabilities(&agreed["cap_add"])).cloned().collect();
        if !more.is_empty() {
            differs.push(format!("the capabilities {}", more.join(", ")));
        }
        if !list(&agreed["cap_drop"]).is_subset(&list(&host["CapDrop"])) {
            differs.push("capabilities are not dropped".to_owned());
        }
        let options = list(&host["SecurityOpt"]);
        if !options.iter().any(|option| option.starts_with("no-new-privileges") && !option.ends_with("false"))
        {
            differs.push("new privileges are possible".to_owned());
        }
        let profile = options.iter().find_map(|option| option.strip_prefix("seccomp="));
        let profile = profile.and_then(|text| serde_json::from_str::<Value>(text).ok());
        if profile.as_ref() != Some(seccomp) {
            differs.push("another seccomp profile".to_owned());
        }
        if agreed["read_only"] == Value::Bool(true) && host["ReadonlyRootfs"] != Value::Bool(true) {
            differs.push("its own files can be written to".to_owned());
        }
        if self.config["User"].as_str() != agreed["user"].as_str().or(Some("")) && !agreed["user"].is_null() {
            differs.push(format!("it runs as {}", self.config["User"]));
        }
        for (key, what) in [
            ("Devices", "devices"),
            ("DeviceRequests", "devices"),
            ("VolumesFrom", "volumes of another container"),
            ("ExtraHosts", "hosts of its own"),
            ("GroupAdd", "more groups"),
        ] {
            let is_there = match &host[key] {
                Value::Array(items) => !items.is_empty(),
                Value::Object(items) => !items.is_empty(),
                _ => false,
            };
            if is_there {
                differs.push(what.to_owned());
            }
        }
        if ports(&host["PortBindings"]) != agreed_ports(&agreed["ports"])
            || host["PublishAllPorts"] == Value::Bool(true)
        {
            differs.push("published ports".to_owned());
        }
        for (key, own) in [
            ("PidMode", &[""][..]),
            ("IpcMode", &["", "private", "none"]),
            ("UTSMode", &[""]),
            ("UsernsMode", &[""]),
        ] {
            let namespace = host[key].as_str().unwrap_or_default();
            if !own.contains(&namespace) {
                differs.push(format!("{key} is {namespace}"));
            }
        }
        differs.extend(self.environment(agreed));
        differs
    }

    /// Names of variables; their values are nobody's to print.
    fn environment(&self, agreed: &Value) -> Vec<String> {
        let pair = |text: &str| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            (name.to_owned(), value.to_owned())
        };
        let found: BTreeMap<String, String> =
            self.config["Env"].as_array().into_iter().flatten().filter_map(Value::as_str).map(pair).collect();
        let mut wanted: BTreeMap<String, String> =
            self.image_environment.iter().map(String::as_str).map(pair).collect();
        for (name, value) in agreed["environment"].as_object().into_iter().flatten() {
            // Without a value it is not set, whatever the image says. Compose writes a `$` as it reads one: doubled.
            match value.as_str() {
                Some(value) => wanted.insert(name.clone(), value.replace("$$", "$")),
                None => wanted.remove(name),
            };
        }
        let own = |name: &&String| !OWN.contains(&name.as_str());
        let mut differs: Vec<String> = Vec::new();
        let names = |these: Vec<&String>| these.into_iter().cloned().collect::<Vec<_>>().join(", ");
        let more: Vec<&String> =
            found.keys().filter(|name| !wanted.contains_key(*name)).filter(own).collect();
        let fewer: Vec<&String> =
            wanted.keys().filter(|name| !found.contains_key(*name)).filter(own).collect();
        let other: Vec<&String> = wanted
            .iter()
            .filter(|(name, value)| found.get(*name).is_some_and(|it| it != *value))
            .map(|(name, _)| name)
            .collect();
        for (what, these) in
            [("one more variable", more), ("a variable that is missing", fewer), ("another value of", other)]
        {
            if !these.is_empty() {
                differs.push(format!("{what}: {}", names(these)));
            }
        }
        differs
    }
}

/// What the engine was asked to publish: `127.0.0.1:3000:3000/tcp`.
fn ports(bindings: &Value) -> BTreeSet<String> {
    let bindings = bindings.as_object().into_iter().flatten();
    let each = bindings.flat_map(|(port, list)| {
        let text = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
        let list = list.as_array().into_iter().flatten();
        list.map(move |it| format!("{}:{}:{port}", text(it, "HostIp"), text(it, "HostPort")))
    });
    each.collect()
}

/// The same as `docker compose config` has it.
fn agreed_ports(ports: &Value) -> BTreeSet<String> {
    let each = ports.as_array().into_iter().flatten();
    each.map(|it| {
        let text = |key: &str| it[key].as_str().unwrap_or_default();
        format!("{}:{}:{}/{}", text("host_ip"), text("published"), it["target"], text("protocol"))
    })
    .collect()
}

/// Whether a container that has an image of its own runs what that image's name stands for by now.
fn image(
    container: &Container,
    found: &Found,
    agreed: &Value,
    project: &str,
) -> anyhow::Result<Option<String>> {
    let name =
        agreed["image"].as_str().map_or_else(|| format!("{project}-{}", service::AGENT), str::to_owned);
    let now = docker().args(["image", "inspect", "--format", "{{.Id}}", &name]).output()?;
    let now = String::from_utf8_lossy(&now.stdout).trim().to_owned();
    Ok(match now.as_str() {
        "" => Some(format!(
            "the image {name} is not on this machine any more, and {} runs what it was",
            container.name
        )),
        now if now != found.image => Some(format!(
            "{} runs another image than {name} stands for now; `bottle up` makes it again",
            container.name
        )),
        _ => None,
    })
}

/// Containers of others that share a network, a network namespace or a volume with the stack.
fn strangers(stack: &Stack) -> anyhow::Result<Vec<String>> {
    let project = &stack.bottle.project;
    // An agent that waits for the start of another one is paused.
    let of_project = of_project(project)?;
    let own: BTreeSet<&str> = of_project.iter().filter(|it| it.is_alive()).map(|it| it.id.as_str()).collect();
    let template = "{{json .Id}} {{json .Name}} {{json .HostConfig}} {{json .NetworkSettings.Networks}} {{json .Mounts}}";
    let ids = output_of(docker().args(["ps", "--quiet", "--no-trunc"]))?;
    let others: Vec<&str> = ids.split_whitespace().filter(|id| !own.contains(id)).collect();
    if others.is_empty() {
        return Ok(Vec::new());
    }
    // One that ended meanwhile has no line, and is no danger.
    let said = docker().args(["inspect", "--format", template]).args(&others).output()?;
    let mut problems = Vec::new();
    for line in String::from_utf8_lossy(&said.stdout).lines() {
        let mut values = serde_json::Deserializer::from_str(line).into_iter::<Value>().map_while(Result::ok);
        let (_, name) = (values.next(), values.next().unwrap_or_default());
        let name = name.as_str().unwrap_or_default().trim_start_matches('/').to_owned();
        let (host, networks) = (values.next().unwrap_or_default(), values.next().unwrap_or_default());
        let mounts = values.next().unwrap_or_else(|| json!([]));
        let shares = shared_with(&own, project, &host, &networks, &mounts);
        problems.extend(shares.map(|shares| {
            format!("{name} is not of this stack and {shares}; end it, or say who started it: docker rm --force {name}")
        }));
    }
    Ok(problems)
}

fn shared_with(
    own: &BTreeSet<&str>,
    project: &str,
    host: &Value,
    networks: &Value,
    mounts: &Value,
) -> Option<String> {
    for key in ["NetworkMode", "PidMode", "IpcMode"] {
        let joined = host[key].as_str().and_then(|mode| mode.strip_prefix("container:"));
        if joined.is_some_and(|id| own.contains(id)) {
            return Some(format!("shares a namespace with it ({key})"));
        }
    }
    let of_stack = |name: &str| name.strip_prefix(project).is_some_and(|rest| rest.starts_with('_'));
    if let Some(name) =
        networks.as_object().into_iter().flatten().map(|(name, _)| name).find(|name| of_stack(name))
    {
        return Some(format!("is on its network {name}"));
    }
    let volumes = mounts.as_array().into_iter().flatten().filter_map(|mount| mount["Name"].as_str());
    volumes.into_iter().find(|name| of_stack(name)).map(|name| format!("mounts its volume {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(host: &Value, environment: &Value) -> Found {
        let mut plain = json!({
            "Privileged": false, "CapAdd": null, "CapDrop": ["ALL"], "ReadonlyRootfs": true,
            "SecurityOpt": ["no-new-privileges:true", "seccomp={\"a\":1}"], "PidMode": "", "IpcMode": "private",
        });
        for (key, value) in host.as_object().unwrap() {
            plain[key] = value.clone();
        }
        Found {
            config: json!({"User": "1:1", "Env": environment}),
            host: plain,
            image: String::new(),
            image_environment: vec!["PATH=/bin".to_owned(), "LANG=C".to_owned()],
        }
    }

    fn differences(host: &Value, environment: &Value) -> Vec<String> {
        let agreed = json!({"cap_drop": ["ALL"], "read_only": true, "user": "1:1", "environment": {"A": "1", "LANG": null}});
        found(host, environment).differences(&agreed, &json!({"a": 1}))
    }

    #[test]
    fn what_was_agreed_to_is_no_difference() {
        assert_eq!(differences(&json!({}), &json!(["PATH=/bin", "A=1"])), [""; 0]);
    }

    #[test]
    fn every_setting_that_opens_the_cage_is_said() {
        for (host, said) in [
            (json!({"Privileged": true}), "privileged"),
            (json!({"CapAdd": ["NET_ADMIN"]}), "the capabilities NET_ADMIN"),
            (json!({"CapDrop": null}), "capabilities are not dropped"),
            (json!({"SecurityOpt": ["seccomp={\"a\":1}"]}), "new privileges are possible"),
            (json!({"SecurityOpt": ["no-new-privileges:true"]}), "another seccomp profile"),
            (
                json!({"SecurityOpt": ["no-new-privileges:true", "seccomp=unconfined"]}),
                "another seccomp profile",
            ),
            (json!({"ReadonlyRootfs": false}), "its own files can be written to"),
            (json!({"Devices": [{"PathOnHost": "/dev/kvm"}]}), "devices"),
            (json!({"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": ""}]}}), "published ports"),
            (json!({"PublishAllPorts": true}), "published ports"),
            (json!({"PidMode": "host"}), "PidMode is host"),
            (json!({"IpcMode": "host"}), "IpcMode is host"),
        ] {
            assert_eq!(differences(&host, &json!(["A=1"])), [said]);
        }
    }

    #[test]
    fn variables_are_compared_by_name_and_value_and_said_by_name() {
        assert_eq!(
            differences(&json!({}), &json!(["A=2", "TOKEN=secret"])),
            ["one more variable: TOKEN", "another value of: A"]
        );
        assert_eq!(differences(&json!({}), &json!([])), ["a variable that is missing: A"]);
        assert_eq!(differences(&json!({}), &json!(["A=1", "LC_TIME=C"])), ["one more variable: LC_TIME"]);
    }

    /// `docker compose config` doubles what `docker inspect` does not.
    #[test]
    fn a_dollar_in_a_value_is_one_dollar() {
        let agreed = json!({"cap_drop": ["ALL"], "environment": {"A": "$$x"}});
        let with = |value: &str| {
            found(&json!({}), &json!([format!("A={value}"), "LANG=C"])).differences(&agreed, &json!({"a": 1}))
        };
        assert_eq!(with("$x"), [""; 0]);
        assert_eq!(with("$$x"), ["another value of: A"]);
    }

    /// Exactly those that were agreed to, at 127.0.0.1.
    #[test]
    fn a_published_port_is_one_that_was_agreed_to() {
        let agreed = json!({"cap_drop": ["ALL"], "ports": [
            {"mode": "ingress", "host_ip": "127.0.0.1", "target": 3000, "published": "8080", "protocol": "tcp"},
        ]});
        let with = |bindings: Value| {
            found(&json!({"PortBindings": bindings}), &json!(["LANG=C"]))
                .differences(&agreed, &json!({"a": 1}))
        };
        let at = |ip: &str, port: &str| json!({"HostIp": ip, "HostPort": port});
        assert_eq!(with(json!({"3000/tcp": [at("127.0.0.1", "8080")]})), [""; 0]);
        for other in [
            json!({}),
            json!({"3000/tcp": [at("", "8080")]}),
            json!({"3000/tcp": [at("0.0.0.0", "8080")]}),
            json!({"3000/tcp": [at("127.0.0.1", "8081")]}),
            json!({"3000/udp": [at("127.0.0.1", "8080")]}),
            json!({"3001/tcp": [at("127.0.0.1", "8080")]}),
            json!({"3000/tcp": [at("127.0.0.1", "8080"), at("192.0.2.1", "8080")]}),
        ] {
            assert_eq!(with(other.clone()), ["published ports"], "{other}");
        }
    }

    /// An engine may write `CAP_CHOWN` for what the compose file calls `CHOWN`.
    #[test]
    fn capabilities_that_were_agreed_to_are_no_difference_and_one_more_is() {
        let agreed = json!({"cap_drop": ["ALL"], "cap_add": ["CHOWN", "SETUID"]});
        let with = |added: Value| {
            found(&json!({"CapAdd": added}), &json!(["LANG=C"])).differences(&agreed, &json!({"a": 1}))
        };
        assert_eq!(with(json!(["CAP_CHOWN", "CAP_SETUID"])), [""; 0]);
        assert_eq!(with(json!(["CHOWN", "CAP_NET_ADMIN"])), ["the capabilities NET_ADMIN"]);
    }

    #[test]
    fn an_engine_that_lacks_something_is_said() {
        let info = |version: &str| json!({"ServerVersion": version, "SecurityOptions": ["name=seccomp,profile=default"], "MemoryLimit": true, "PidsLimit": true});
        for version in ["20.10.24+dfsg1", "28.2.2", "29.0.0-rc.1"] {
            assert_eq!(lacks(&info(version)), [""; 0], "{version}");
        }
        assert!(
            lacks(&info("19.03.15"))[0]
                .starts_with("the engine is 19.03.15, and bottle is tried on 20.10 and newer")
        );
        let bare = lacks(&json!({"ServerVersion": "28.0.0", "SecurityOptions": [], "PidsLimit": false}));
        assert_eq!(bare.len(), 2, "{bare:?}");
    }

    #[test]
    fn what_shares_something_with_the_stack_is_found() {
        let own: BTreeSet<&str> = ["abc"].into();
        let shared =
            |host: Value, networks: Value, mounts: Value| shared_with(&own, "p", &host, &networks, &mounts);
        let none = || json!({});
        assert_eq!(
            shared(
                json!({"NetworkMode": "bridge"}),
                json!({"pq_egress": {}}),
                json!([{"Name": "pq_socket"}])
            ),
            None
        );
        assert!(
            shared(json!({"NetworkMode": "container:abc"}), none(), json!([]))
                .unwrap()
                .contains("NetworkMode")
        );
        assert_eq!(shared(none(), json!({"p_egress": {}}), json!([])).unwrap(), "is on its network p_egress");
        assert_eq!(
            shared(none(), none(), json!([{"Name": "p_socket"}])).unwrap(),
            "mounts its volume p_socket"
        );
    }
}
