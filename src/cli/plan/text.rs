//! The plan for people: one screen a bottle, tables where there are rows.

use crate::cli::project::Project;
use crate::diagnostic::Report;
use crate::dlp::{EVERY, Exception};
use crate::plan::{AgentImage, AgentPlan, Difference, Plan, Reach, Resources, Sidecar};
use crate::policy::{ContentRules, HostRule, OnSecret, Route};
use crate::printable::printable_name;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// All that a plan says, in sections, for a terminal.
pub(super) fn show(project: &Project, lints: &Report) -> String {
    let plan = &project.plan;
    let (file, to) = (printable_name(project.file.as_str()), printable_name(plan.layout.out().as_str()));
    let mut out = format!("bottle {}   {file} -> {to}\n", plan.name);
    section(&mut out, "services", &services(plan));
    section(&mut out, "networks", &networks(plan));
    section(&mut out, "hosts", &hosts(&plan.hosts));
    section(&mut out, "credentials", &credentials(plan));
    section(&mut out, "agent", &agent(plan));
    section(&mut out, "beside the agent", &sidecars(plan));
    section(&mut out, "mounts", &mounts(plan));
    section(&mut out, "environment of the agent", &environment(plan));
    section(&mut out, "pipelock", &pipelock(plan));
    section(&mut out, "what differs from the embedded engine", &differences(plan));
    if !lints.0.is_empty() {
        out.push_str("\nwarnings\n");
        for warning in &lints.0 {
            let _ = writeln!(out, "  {} [{}]", printable_name(&warning.message), warning.code);
            for hint in &warning.hints {
                let _ = writeln!(out, "    {}", printable_name(hint));
            }
        }
    }
    out
}

type Rows = Vec<Vec<String>>;

fn services(plan: &Plan) -> Rows {
    let reach = |network: Reach| match network {
        Reach::None => "loopback".to_owned(),
        Reach::Agent => "loopback (netns)".to_owned(),
        Reach::Relay => "egress (pipelock-relay)".to_owned(),
        Reach::Networks(list) => list.join(", "),
    };
    plan.services().iter().map(|it| vec![it.name.into(), reach(it.network), it.role.into()]).collect()
}

fn networks(plan: &Plan) -> Rows {
    let name = |network: &crate::plan::NetworkPlan| match &network.existing {
        Some(existing) => format!("{} = {existing}", network.name),
        None => network.name.to_owned(),
    };
    plan.networks().iter().map(|network| vec![name(network), network.what.to_owned()]).collect()
}

fn hosts(hosts: &[HostRule]) -> Rows {
    hosts.iter().flat_map(host).collect()
}

/// The columns of a rule, and a line with what it says beyond them.
fn host(rule: &HostRule) -> Rows {
    let HostRule { route, auth, client, inspect, on_secret, addresses } = rule;
    let Route {
        source,
        host,
        ports,
        methods,
        path_allowlist,
        deny_paths,
        query,
        content,
        websocket,
        push,
        encoded_slash,
        until,
        reason,
    } = route;
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let row = vec![
        if ports == ["443"] { host.to_string() } else { format!("{host}:{}", ports.join(",")) },
        format!(
            "methods: {}",
            methods.as_ref().map_or_else(|| "usual".to_owned(), |list| listed(Some(list)))
        ),
        format!("paths: {}", listed(path_allowlist.as_deref())),
        auth.as_ref().map_or("no credential", |auth| &auth.token_ref).to_owned(),
        source.clone(),
    ];
    let ranges: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let more = [
        (!deny_paths.is_empty()).then(|| format!("but not {}", listed(Some(deny_paths)))),
        (!query.is_empty()).then(|| format!("in the query {}", listed(Some(query)))),
        (*content != ContentRules::default()).then(|| content.allowed().join("; ")),
        websocket.then(|| "WebSocket".to_owned()),
        push.as_ref().map(|rules| format!("git push to {rules}")),
        encoded_slash.then(|| "encoded slashes".to_owned()),
        (auth.is_none() && rule.guards_fields()).then(|| "no credentials of the agent's".to_owned()),
        (!client.pass_headers.is_empty())
            .then(|| format!("the agent's own fields {}", listed(Some(&client.pass_headers)))),
        (!client.pass_query.is_empty())
            .then(|| format!("the agent's own query parameters {}", listed(Some(&client.pass_query)))),
        (!inspect).then(|| "NOT INSPECTED by pipelock".to_owned()),
        on_secret.map(|it| secrets(it).to_owned()),
        (!ranges.is_empty()).then(|| format!("private addresses {}", ranges.join(", "))),
        until.map(|until| format!("until {until}")),
        reason.as_ref().map(|reason| format!("\"{reason}\"")),
    ];
    let more: Vec<String> = more.into_iter().flatten().collect();
    let more = (!more.is_empty()).then(|| vec![format!("    {}", more.join("; "))]);
    std::iter::once(row).chain(more).collect()
}

fn secrets(action: OnSecret) -> &'static str {
    match action {
        OnSecret::Block => "secrets refuse the request",
        OnSecret::Redact => "secrets are removed from JSON and text",
    }
}

fn listed<T: ToString>(list: Option<&[T]>) -> String {
    match list {
        None => "any".to_owned(),
        Some(list) => list.iter().map(T::to_string).collect::<Vec<_>>().join(" "),
    }
}

fn credentials(plan: &Plan) -> Rows {
    let row = |(name, hosts): (&str, Vec<&str>)| {
        let when = "read from the environment when egress-proxy is created; a running stack needs it no more";
        vec![name.to_owned(), format!("to {}", hosts.join(", ")), when.to_owned()]
    };
    plan.tokens().into_iter().map(row).collect()
}

fn agent(plan: &Plan) -> Rows {
    let agent = &plan.agent;
    let image = match &agent.image {
        AgentImage::Named(name) => format!("image {name}"),
        AgentImage::Built(build) => format!("built from {}", build.context),
    };
    let or_image = |value: Option<&String>| value.cloned().unwrap_or_else(|| "the image's".to_owned());
    let command = (!agent.command.is_empty()).then(|| agent.command.join(" "));
    let mut rows = vec![
        vec!["runs".into(), format!("{image}, command: {}", or_image(command.as_ref()))],
        vec![
            "as".into(),
            format!("user: {}, folder: {}", agent.user.describe(), or_image(agent.workdir.as_ref())),
        ],
        vec!["home".into(), home(agent)],
        vec![
            "may use".into(),
            resources(&agent.resources)
                + &agent.runtime.as_ref().map(|name| format!(", in the runtime {name}")).unwrap_or_default(),
        ],
        vec!["root".into(), if agent.read_only { "read-only".into() } else { "writable".into() }],
    ];
    rows.extend(agent.publish.iter().map(|it| {
        vec!["shows".into(), format!("port {} at 127.0.0.1:{} of this machine", it.agent(), it.host())]
    }));
    rows
}

fn home(agent: &AgentPlan) -> String {
    match &agent.home {
        Some(path) => format!("{path}, a volume that outlives the container"),
        None => "the image's, which ends with the container".to_owned(),
    }
}

/// A line for each service of the manifest, and one for each of its variables and volumes.
fn sidecars(plan: &Plan) -> Rows {
    let rows = |sidecar: &Sidecar| {
        let Sidecar { name, image, command, user, environment, volumes, resources } = sidecar;
        let command = if command.is_empty() { "the image's".to_owned() } else { command.join(" ") };
        let user = match user {
            Some(user) => format!("{user}, with no capability"),
            None => format!("the image's, with {}", Sidecar::CAPABILITIES.join(", ")),
        };
        let row = |what: &str, text: String| vec![name.clone(), what.to_owned(), text];
        let mut rows = vec![
            row("runs", format!("image {image}, command: {command}")),
            row("as", format!("user: {user}")),
            row("may use", self::resources(resources)),
        ];
        rows.extend(environment.iter().map(|(name, value)| row("variable", format!("{name} = {value}"))));
        rows.extend(
            volumes.iter().map(|place| row("volume", format!("{place}, which outlives the container"))),
        );
        rows
    };
    plan.sidecars.iter().flat_map(rows).collect()
}

fn resources(resources: &Resources) -> String {
    let memory = match resources.memory {
        Some(bytes) => format!("{} MiB of memory", bytes >> 20),
        None => "three quarters of the memory".to_owned(),
    };
    let cpus = match resources.cpus() {
        Some(number) => format!("{number} processors"),
        None => "all processors at half weight".to_owned(),
    };
    format!("{memory}, {cpus}, {} processes", resources.pids)
}

fn mounts(plan: &Plan) -> Rows {
    let row = |mount: &crate::plan::MountPlan| {
        let access = if mount.read_only { "read-only" } else { "writable" };
        let why = mount.why.map(|why| format!("by bottle: {why}")).unwrap_or_default();
        vec![mount.source.to_string(), mount.target.to_string(), access.to_owned(), why]
    };
    let by_bottle = |source: &str, targets: Vec<&str>, why: &str| -> Vec<Vec<String>> {
        let row =
            |target: &str| vec![source.to_owned(), target.to_owned(), "read-only".into(), why.to_owned()];
        targets.into_iter().map(row).collect()
    };
    let mut rows: Rows = plan.agent.mounts.iter().map(row).collect();
    rows.extend(by_bottle("the trust bundle", plan.agent.system_bundles(), TRUSTED));
    rows.extend(by_bottle("browser-policy.json", plan.agent.browser_policies(), BROWSERS));
    rows.extend(by_bottle("agents.md", plan.guides(), TOLD));
    rows
}

const TRUSTED: &str = "by bottle: what heeds no variable trusts the CA too (wget, apt)";
const BROWSERS: &str = "by bottle: Chromium and Chrome trust the CA too";
const TOLD: &str = "by bottle: what Claude Code reads at its start about the bottle";

/// Variables with the same reason and value share a line: twenty of them would hide the few that matter.
fn environment(plan: &Plan) -> Rows {
    let mut groups = BTreeMap::<(bool, &str, &str), Vec<&str>>::new();
    for (name, variable) in &plan.agent.environment {
        let value = if name.starts_with("GIT_CONFIG_") { "a setting of git" } else { &variable.value };
        let key = (variable.why.is_none(), variable.why.unwrap_or("by the manifest"), value);
        groups.entry(key).or_default().push(name);
    }
    let row = |((_, why, value), names): ((bool, &str, &str), Vec<&str>)| {
        let names = match names.as_slice() {
            [first, _, .., last] if first.starts_with("GIT_CONFIG_") => format!("{first} … {last}"),
            names => names.join(" "),
        };
        vec![format!("{names} = {value}"), why.to_owned()]
    };
    let lines: Rows = groups.into_iter().map(row).collect();
    lines.into_iter().flat_map(|line| [vec![line[0].clone()], vec![format!("    {}", line[1])]]).collect()
}

fn pipelock(plan: &Plan) -> Rows {
    let finding = if plan.dlp_warns() { "logged, the request passes" } else { "the request is refused" };
    let seeds = if plan.seed_phrases.enabled { "searched for" } else { "not searched for" };
    let engine = match plan.engine.image() {
        None => "embedded: sizes in pipelock.yaml bound buffers, bodies of any size are scanned as streams"
            .to_owned(),
        Some(name) => format!("the upstream project's program, in the image {name}"),
    };
    let mut rows = vec![
        vec!["engine".into(), engine],
        vec!["a secret in a request".into(), finding.into()],
        vec!["seed phrases".into(), format!("{seeds}: {}", plan.seed_phrases.why)],
    ];
    rows.extend(
        plan.dlp
            .patterns
            .iter()
            .map(|pattern| vec!["looks also for".into(), format!("{}: `{}`", pattern.name, pattern.regex)]),
    );
    rows.extend(plan.dlp.exceptions.iter().map(|Exception { source, pattern, host, reason }| {
        let host = if host == EVERY { "every host" } else { host };
        let what = if pattern == EVERY { "whatever no core pattern finds" } else { pattern };
        vec!["LETS PASS".into(), format!("{what} to {host}: \"{reason}\" ({source})")]
    }));
    if let Some(ca) = &plan.extra_ca {
        rows.push(vec!["trusts besides public roots".into(), ca.file.to_string()]);
    }
    rows
}

fn differences(plan: &Plan) -> Rows {
    plan.differences().into_iter().map(|Difference { about, what }| vec![about.to_owned(), what]).collect()
}

/// A heading and its rows, columns aligned. No rows, no heading.
fn section(out: &mut String, title: &str, rows: &Rows) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{title}");
    let rows: Rows =
        rows.iter().map(|row| row.iter().map(|cell| printable_name(cell).into_owned()).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        // The last cell of a row is as long as it likes.
        let cells = rows.iter().filter(|row| column + 1 < row.len()).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        let _ = writeln!(out, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}
