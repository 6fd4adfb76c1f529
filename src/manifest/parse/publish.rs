//! Ports of the agent that the host shows.

use super::super::findings::Findings;
use super::super::item::Item;
use super::super::raw;
use crate::manifest::Published;

/// One relay each, and they share the connections that one process carries.
const MOST: usize = 16;

const POINTER: &str = "agent.publish";

pub(super) fn publish(items: Vec<Item<raw::Publish>>, findings: &mut Findings<'_>) -> Vec<Published> {
    if items.len() > MOST {
        let message = format!("{} ports are published, and {MOST} are the most", items.len());
        let problem = findings.value("too-many", POINTER, message);
        findings.push(problem.hint("name those that you open on this machine"));
        return Vec::new();
    }
    let mut out: Vec<(usize, Published)> = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let at = format!("{POINTER}[{index}]");
        let text = match item.0 {
            Some(raw::Publish::Both(port)) => port.to_string(),
            Some(raw::Publish::Text(text)) => text,
            None => continue,
        };
        let published: Published = match text.parse() {
            Ok(published) => published,
            Err(error) => {
                findings.push(findings.value("publish", &at, error.to_string()).hint(error.hint()));
                continue;
            }
        };
        match out.iter().find(|(_, other)| other.host() == published.host()) {
            Some((earlier, _)) => {
                let earlier = findings.span(&format!("{POINTER}[{earlier}]"));
                let message = format!("port {} of this machine is published twice", published.host());
                let problem = findings.value("publish", &at, message).label(earlier, "first here");
                findings.push(problem.hint("remove one of the two, or give it another port of this machine"));
            }
            None => out.push((index, published)),
        }
    }
    out.into_iter().map(|(_, published)| published).collect()
}
