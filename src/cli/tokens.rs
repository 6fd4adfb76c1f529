//! Token values at the start of a stack.
//!
//! Compose hands an empty value on without a word. Of a missing one it complains only after it has made the
//! proxy's container, which then never gets the file, whatever is set later. So both are looked at before.

use super::agreed_stack::Stack;
use super::container_checks;
use super::docker::output_of;
use anyhow::{Context as _, bail};

/// Makes sure that the proxy has its tokens or can be given them. A stack that has a proxy, running or stopped,
/// needs none of them again.
pub(super) fn require_for_start(stack: &Stack) -> anyhow::Result<()> {
    if stack.plan.tokens().is_empty() {
        return Ok(());
    }
    let states = stack.states()?;
    let proxy = states.iter().find(|(service, _)| service == "egress-proxy");
    match proxy.map(|(_, state)| state.as_str()) {
        // One that starts over and over is seen as `running` in between.
        Some(state) if !["exited", "paused", "running healthy"].contains(&state) => {
            require(stack)?;
            stack.compose(&["rm", "--force", "--stop", "egress-proxy"])
        }
        Some(_) if set_again(stack)? => require(stack).context(
            "egress-proxy would be made again, since its settings changed; `bottle reload` applies new rules \
             without that",
        ),
        Some(_) => Ok(()),
        None => require(stack),
    }
}

/// Whether Compose would make the proxy's container again, with the tokens of this environment.
fn set_again(stack: &Stack) -> anyhow::Result<bool> {
    let hash = output_of(&mut stack.command(&["config", "--hash", "egress-proxy"]))?;
    let all = container_checks::of_project(&stack.bottle.project)?;
    let proxy = all.iter().find(|it| it.service == "egress-proxy");
    Ok(proxy.is_some_and(|proxy| hash.split_whitespace().nth(1) != Some(&proxy.config_hash)))
}

/// Refuses to go on with a token that this process's environment lacks.
pub(super) fn require(stack: &Stack) -> anyhow::Result<()> {
    let lacking: Vec<String> = stack
        .plan
        .tokens()
        .into_keys()
        .filter_map(|name| match std::env::var_os(name) {
            None => Some(format!("{name} is not set")),
            Some(value) if value.is_empty() => Some(format!("{name} is empty")),
            Some(_) => None,
        })
        .collect();
    if !lacking.is_empty() {
        bail!("{}; egress-proxy takes tokens from the environment that starts the stack", lacking.join(", "));
    }
    Ok(())
}
