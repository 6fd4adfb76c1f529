//! What `render` prints at its end: the stack in one screen, and the next command.

use super::RenderResult;
use crate::cli::{Format, Globals, change_lines, source};
use crate::config::routes::AnyOr;
use crate::plan::{NetworkPlan, Plan, Topology};
use crate::policy::{DenyPath, HostRule, OnSecret, Route, USUAL_METHODS};
use crate::printable::printable_name;
use crate::stack::service;
use crate::state::{Authority, Event};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Prints the table, or the same as JSON.
pub(super) fn print(result: &RenderResult<'_>, globals: &Globals) -> anyhow::Result<()> {
    let text = match globals.format {
        Format::Json => serde_json::to_string_pretty(&as_json(result)?)? + "\n",
        Format::Text if globals.quiet => String::new(),
        Format::Text => as_text(result)?,
    };
    Ok(super::print_as(globals.format, &text)?)
}

fn services(plan: &Plan) -> Vec<&str> {
    let own = match plan.topology {
        Topology::Chain => {
            vec![service::AGENT, service::GATE, service::NETNS, service::EGRESS_PROXY, service::PIPELOCK]
        }
        Topology::Direct => vec![service::AGENT, service::GATE, service::NETNS, service::PIPELOCK],
    };
    let carriers =
        if plan.agent.publish.is_empty() { &[][..] } else { &[service::INBOUND, service::PUBLISH] };
    own.into_iter()
        .chain(plan.supervise.then_some(service::SUPERVISE))
        .chain(plan.runs_upstream().then_some(service::RELAY))
        .chain(carriers.iter().copied())
        .chain(plan.sidecars.iter().map(|it| it.name.as_str()))
        .collect()
}

fn networks(plan: &Plan) -> Vec<String> {
    let shown = |network: &NetworkPlan| match &network.existing {
        Some(existing) => format!("{} ({existing})", network.name),
        None => network.name.to_owned(),
    };
    plan.networks().iter().map(shown).collect()
}

fn tokens(plan: &Plan) -> BTreeSet<&str> {
    let auths = plan.hosts.iter().filter_map(|rule| rule.auth.as_ref());
    auths.map(|auth| auth.token_ref.as_str()).collect()
}

fn as_text(result: &RenderResult<'_>) -> Result<String, std::fmt::Error> {
    let (rendered, plan) = (result.rendered, &result.rendered.project.plan);
    let out = rendered.shown();
    let out = printable_name(out.as_str());
    let mut text = String::new();
    writeln!(text, "{out}  {}\n", files(result))?;
    writeln!(text, "  services    {}", services(plan).join("  "))?;
    writeln!(text, "  networks    {}; the agent has none", networks(plan).join(", "))?;
    hosts(&mut text, &plan.hosts)?;
    for (at, mount) in plan.agent.mounts.iter().filter(|mount| mount.why.is_none()).enumerate() {
        let label = if at == 0 { "mounts" } else { "" };
        let access = if mount.read_only { "read-only" } else { "writable" };
        writeln!(
            text,
            "  {label:<11} {}, {access}",
            printable_name(&format!("{} at {}", mount.source, mount.target))
        )?;
    }
    for (name, ca) in authorities(result) {
        writeln!(text, "  {name:<11} sha256 {}  until {}  {}", &ca.fingerprint, date(ca), event(&ca.event))?;
    }
    writeln!(text, "  state       {}", result.state.path())?;
    if !tokens(plan).is_empty() {
        let names = tokens(plan).into_iter().map(|name| match std::env::var_os(name) {
            Some(value) if !value.is_empty() => name.to_owned(),
            _ => format!("{name} (not set in this shell)"),
        });
        writeln!(text, "  tokens      {}", names.collect::<Vec<_>>().join(", "))?;
    }
    let question = &result.question;
    for (heading, lines) in [
        ("Newly allowed", change_lines::listed(question.newly_allowed())),
        ("No longer allowed", change_lines::listed(question.no_longer_allowed())),
    ] {
        if !question.first && !lines.is_empty() {
            write!(text, "\n{heading}:\n{lines}")?;
        }
    }
    writeln!(text, "\nAgreed: {}", result.digest)?;
    let next = |verb| source::command(verb, &rendered.project.file);
    writeln!(text, "Next: {}      an agent in this terminal", next("run"))?;
    writeln!(
        text,
        "      {}      in the background; or: docker compose -f {out}/docker-compose.yml up -d",
        next("up")
    )?;
    if result.again && !result.written.replaced.is_empty() {
        writeln!(text, "      {}      when it is up and only rules changed", next("reload"))?;
    }
    Ok(text)
}

fn files(result: &RenderResult<'_>) -> String {
    let (written, removed) = (result.written.replaced.len(), result.written.removed.len());
    match (written, removed) {
        (0, 0) => "unchanged".to_owned(),
        (written, 0) => format!("{written} {} written", plural(written)),
        (written, removed) => format!("{written} {} written, {removed} removed", plural(written)),
    }
}

fn plural(number: usize) -> &'static str {
    if number == 1 { "file" } else { "files" }
}

fn hosts(text: &mut String, hosts: &[HostRule]) -> std::fmt::Result {
    if hosts.is_empty() {
        return writeln!(text, "  hosts       none: everything is denied");
    }
    let rows: Vec<[String; 4]> = hosts.iter().map(row).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (name, methods, paths) = (width(0), width(1), width(2).min(48));
    for (at, row) in rows.iter().enumerate() {
        let label = if at == 0 { "hosts" } else { "" };
        let line =
            format!("  {label:<11} {:<name$}  {:<methods$}  {:<paths$}  {}", row[0], row[1], row[2], row[3]);
        writeln!(text, "{}", printable_name(line.trim_end()))?;
    }
    Ok(())
}

fn row(rule: &HostRule) -> [String; 4] {
    let HostRule { route, auth, client, inspect, on_secret, addresses } = rule;
    let Route {
        source: _,
        host,
        ports,
        methods,
        path_allowlist,
        deny_paths,
        query,
        content,
        websocket,
        push,
        encoded_slash: _,
        until,
        reason: _,
    } = route;
    let name = if *ports == [443] { host.to_string() } else { format!("{host}:{}", joined(ports, ",")) };
    let methods = methods.as_ref().map_or_else(|| USUAL_METHODS.to_owned(), |list| joined(list, ","));
    let paths = path_allowlist.as_ref().map_or_else(|| "every path".to_owned(), |list| joined(list, " "));
    let mut notes: Vec<String> = auth.iter().map(|auth| format!("with {}", auth.token_ref)).collect();
    notes.extend((!deny_paths.is_empty()).then(|| format!("but not {}", joined(deny_paths, " "))));
    notes.extend((!query.is_empty()).then(|| format!("query {}", joined(query, " "))));
    notes.extend(content.allowed());
    notes.extend(websocket.then(|| "WebSocket".to_owned()));
    notes.extend(push.as_ref().map(|rules| format!("git push to {rules}")));
    notes.extend(until.map(|date| format!("until {date}")));
    let own = client.pass_headers.iter().chain(&client.pass_query);
    let own = own.map(String::as_str).collect::<Vec<_>>().join(" ");
    notes.extend((!own.is_empty()).then(|| format!("with the agent's own {own}")));
    notes.extend((!inspect).then(|| "not inspected by pipelock".to_owned()));
    notes.extend((*on_secret == Some(OnSecret::Redact)).then(|| "secrets are removed".to_owned()));
    notes.extend((!addresses.is_empty()).then(|| format!("at {}", joined(addresses, ", "))));
    [name, methods, paths, notes.join(", ")]
}

fn joined<T: ToString>(list: &[T], between: &str) -> String {
    list.iter().map(T::to_string).collect::<Vec<_>>().join(between)
}

fn authorities<'a>(result: &'a RenderResult<'_>) -> impl Iterator<Item = (&'static str, &'a Authority)> {
    let agent = result.minted.agent.as_ref().map(|ca| ("agent CA", ca));
    agent.into_iter().chain([("pipelock CA", &result.minted.pipelock)])
}

fn date(ca: &Authority) -> jiff::civil::Date {
    jiff::tz::TimeZone::UTC.to_datetime(ca.not_after).date()
}

fn event(event: &Event) -> String {
    match event {
        Event::Kept => "kept".to_owned(),
        Event::Minted => "minted".to_owned(),
        Event::Renewed => "renewed; `bottle up` restarts what has the old one".to_owned(),
        Event::Rotated => "replaced; `bottle up` restarts what has the old one".to_owned(),
        Event::Repaired(why) => format!("minted anew ({why})"),
    }
}

fn as_json(result: &RenderResult<'_>) -> serde_json::Result<Value> {
    let (rendered, plan) = (result.rendered, &result.rendered.project.plan);
    let authority = |ca: &Authority| json!({"sha256": ca.fingerprint, "not_after": ca.not_after.to_string(), "event": event(&ca.event)});
    let hosts: Vec<Value> = plan
        .hosts
        .iter()
        .map(|rule| {
            let HostRule { route, auth, client, inspect, on_secret, addresses } = rule;
            json!({
                "host": route.host.as_str(), "ports": route.ports, "methods": route.methods(),
                "path_allowlist": AnyOr::from(route.path_allowlist.as_deref()),
                "deny_paths": route.deny_paths.iter().map(DenyPath::as_str).collect::<Vec<_>>(),
                "query": route.query_values(), "graphql": route.content.graphql, "rpc": route.content.rpc, "websocket": route.websocket, "git_push": route.push,
                "credential": auth.as_ref().map(|auth| &auth.token_ref), "client_credentials": client.credentials,
                "pass_headers": client.pass_headers, "pass_query": client.pass_query, "inspect": inspect, "dlp_action": on_secret,
                "addresses": addresses, "until": route.until, "source": route.source,
            })
        })
        .collect();
    Ok(json!({
        "bottle": plan.name,
        "out": rendered.path(),
        "state": result.state.path(),
        "written": result.written.replaced,
        "removed": result.written.removed,
        "services": services(plan),
        "networks": networks(plan),
        "hosts": hosts,
        "tokens": tokens(plan),
        "authorities": {
            "agent": result.minted.agent.as_ref().map(authority),
            "pipelock": authority(&result.minted.pipelock),
        },
        "image_changed": result.minted.image_changed,
        "first": result.question.first,
        "changes": change_lines::as_json(&result.question.changes)?,
        "digest": result.digest,
        "warnings": result.lints.json(),
    }))
}
