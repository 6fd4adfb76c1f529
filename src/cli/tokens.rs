//! Token values at the start of a stack.
//!
//! Compose hands an empty value on without a word. Of a missing one it complains only after it has made the proxy's
//! container, which then never gets the file, whatever is set later; and a proxy with a value that is no token does not
//! start. So all of them are looked at before anything is touched.

use super::agreed_stack::Stack;
use super::failure::fail;
use super::token_sources::{CONFIG, TokenSources};
use crate::egress_proxy::require_token;
use crate::plan::placeholder;
use crate::stack::service;
use anyhow::Context as _;

/// Makes sure that the proxy has its tokens or can be given them. A stack that has a proxy, running or stopped,
/// needs none of them again, unless it is among those that are made `again`.
pub(super) fn require_for_start(stack: &mut Stack, again: &[&str]) -> anyhow::Result<()> {
    if stack.plan.tokens().is_empty() {
        return Ok(());
    }
    let states = stack.states()?;
    let proxy = states.iter().find(|(service, _)| service == service::EGRESS_PROXY);
    match proxy.map(|(_, state)| state.as_str()) {
        // One that starts over and over is seen as `running` in between.
        Some(state) if !["exited", "paused", "running healthy"].contains(&state) => {
            require(stack)?;
            stack.compose(&["rm", "--force", "--stop", service::EGRESS_PROXY])
        }
        Some(_) if again.contains(&service::EGRESS_PROXY) => require(stack).context(
            "egress-proxy would be made again, since what you agreed to by now differs from what it was made of",
        ),
        Some(_) => Ok(()),
        None => require(stack),
    }
}

/// Finds the value of every token, and refuses to go on with one that is missing or no token.
pub(super) fn require(stack: &mut Stack) -> anyhow::Result<()> {
    let sources = TokenSources::open(&stack.token_args)?;
    let names: Vec<String> = stack.plan.tokens().into_keys().map(str::to_owned).collect();
    let mut values = Vec::new();
    let mut problems = Vec::new();
    for name in &names {
        let Some((value, place)) = sources.value(name)? else {
            let how = placeholder::known(name).and_then(|known| known.obtained_by);
            problems
                .push(format!("{name} is not set{}", how.map(|how| format!(" ({how})")).unwrap_or_default()));
            continue;
        };
        match require_token(value.as_str().as_bytes()) {
            Ok(token) => values.push((name.clone(), String::from_utf8_lossy(token).into_owned().into())),
            Err("is empty") => problems.push(format!("{name}, from {place}, is empty")),
            Err(what) => {
                problems
                    .push(format!("{name}, from {place}, {what}; a token is one line of visible characters"));
            }
        }
    }
    if let Some(first) = names.first().filter(|_| !problems.is_empty()) {
        fail!(
            "missing-token",
            "{}\negress-proxy takes tokens from the environment that starts the stack (export {first}=…), from \
             --env-file FILE, or from what {CONFIG} names",
            problems.join("\n")
        );
    }
    stack.tokens = values;
    Ok(())
}
