//! Token values at the start of a stack.
//!
//! Compose hands an empty value on without a word. Of a missing one it complains only after it has made the
//! proxy's container, which then never gets the file, whatever is set later. So both are looked at before.

use super::stack::Stack;
use anyhow::bail;

/// Makes sure that the proxy has its tokens or can be given them. A stack that has a proxy, running or stopped,
/// needs none of them again.
pub(super) fn require_for_start(stack: &Stack) -> anyhow::Result<()> {
    if stack.project.plan.tokens().is_empty() {
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
        Some(_) => Ok(()),
        None => require(stack),
    }
}

/// Refuses to go on with a token that this process's environment lacks.
pub(super) fn require(stack: &Stack) -> anyhow::Result<()> {
    let lacking: Vec<String> = stack
        .project
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
