//! What an agent's terminal is told of the one that it is shown on. It stands in no committed file.

use super::agreed_stack::Stack;
use super::say;
use std::io::{BufRead as _, IsTerminal as _, Write as _};

/// Whether this command is on a terminal: what it is told, and what it says.
pub(super) fn is_one() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Puts a terminal right that an agent still draws on: its screen, its cursor, and what it asked to be told of.
pub(super) fn leave() {
    /// Saves the cursor (DECSC), since leaving the other screen restores it (1049), then shows it, and asks for no mouse, no
    /// focus and no marks around what is pasted (xterm's control sequences, DEC private modes), with no colours.
    const RIGHT: &[u8] = b"\x1b7\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1006l\x1b[?2004l\x1b[0m\r\n";
    if is_one() && std::io::stderr().is_terminal() {
        // A terminal that is gone needs nothing.
        let _ = std::io::stderr().write_all(RIGHT);
    }
}

/// Whether a person says yes to what was shown; nothing where nobody can be asked.
pub(super) fn agrees() -> std::io::Result<Option<bool>> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(None);
    }
    say("Agree? [y/N] ");
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed)?;
    Ok(Some(matches!(typed.trim(), "y" | "Y" | "yes")))
}

/// `NAME=value` for each variable that is as on this machine, unless the manifest sets it.
pub(super) fn variables(stack: &Stack) -> Vec<String> {
    let from_here = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut found: Vec<(&str, Option<String>)> =
        vec![("LANG", from_here("LANG")), ("TZ", from_here("TZ").or_else(zone))];
    if is_one() {
        found.extend(["TERM", "COLORTERM"].map(|name| (name, from_here(name))));
    }
    let own = &stack.plan.agent.environment;
    let new = found.into_iter().filter(|(name, _)| !own.contains_key(*name));
    new.filter_map(|(name, value)| Some(format!("{name}={}", value?))).collect()
}

/// `Europe/Berlin`, where the machine's zone has a name.
fn zone() -> Option<String> {
    jiff::tz::TimeZone::try_system().ok()?.iana_name().map(str::to_owned)
}
