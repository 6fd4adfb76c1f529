//! `bottle explain` in an agent's container: the proxy that runs is asked, whatever a manifest there says.

use super::Args;
use crate::cli::{Format, Globals, Outcome, print_as};
use crate::policy::INTERNAL_HOST;
use crate::stack::{AGENT_BINARY, GATE, GATE_URL};
use crate::telemetry::client;
use anyhow::{Context as _, bail, ensure};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::path::Path;

/// Whether this program is the one that a bottle gives its agent.
pub(super) fn is_here() -> bool {
    let through_gate = std::env::var("HTTPS_PROXY").is_ok_and(|proxy| proxy == GATE_URL);
    through_gate && std::env::current_exe().is_ok_and(|own| own == Path::new(AGENT_BINARY))
}

pub(super) fn ask(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    ensure!(
        args.headers.is_empty() && args.body.is_none() && args.now.is_none(),
        "in a bottle, explain takes a method and a URL only: send the request itself to see what becomes of its fields \
         and its body"
    );
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let path = format!("/explain?method={}&url={}", encoded(&args.method), encoded(&args.url));
    let accepted = match globals.format {
        Format::Text => "text/plain",
        Format::Json => "application/json",
    };
    let answer = client::get_through(&GATE.to_string(), INTERNAL_HOST, &path, accepted)
        .context("the proxy of this bottle does not answer")?;
    match answer.status {
        200 => print_as(globals.format, &answer.body)?,
        400 => bail!("{}", answer.body.lines().next().unwrap_or_default()),
        _ => bail!(
            "this bottle has no routes, so no proxy in it can explain: hosts are allowed or not, and the refusal itself \
             says which"
        ),
    }
    let allowed = match globals.format {
        Format::Text => answer.body.starts_with("allowed: "),
        Format::Json => serde_json::from_str::<Value>(&answer.body)?["verdict"] == "allow",
    };
    Ok(if allowed { Outcome::Done } else { Outcome::Differs })
}
