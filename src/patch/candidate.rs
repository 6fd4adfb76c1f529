//! A text of the manifest that is tried before it is shown.

use super::Asked;
use crate::capability::{self, Capabilities};
use crate::policy::Policy;
use crate::verdict::Chain;
use crate::yaml::{self, Edit};
use jiff::civil::Date;
use std::cell::Cell;

/// What a text of the manifest comes to.
pub struct Candidate {
    /// What decides.
    pub chain: Chain,
    /// The rules of the first proxy.
    pub policy: Policy,
    /// What the agent can do.
    pub capabilities: Capabilities,
}

/// Resolves a text of the manifest as `render` does, or says what is wrong with it.
pub type Judge<'a> = &'a dyn Fn(&str) -> Result<Candidate, String>;

impl Candidate {
    /// Whether both proxies let the request through.
    #[must_use]
    pub fn allows(&self, asked: &Asked, today: Date) -> bool {
        match asked.on_the_wire() {
            Some(wire) => {
                let verdict = self.chain.verdict(&wire, today);
                verdict.refusal.is_none() && verdict.block.is_none()
            }
            // A CONNECT alone says host and port, and these the policy decides.
            None => asked.decide(&self.policy, today).is_ok(),
        }
    }

    /// What the agent could newly do, against `before`: the first of it.
    #[must_use]
    pub fn widens(&self, before: &Candidate) -> Option<String> {
        let changes = capability::changes(Some(&before.capabilities), &self.capabilities);
        changes.into_iter().find(|change| change.risk().is_some()).map(|change| change.to_string())
    }
}

/// Edits that belong together: all of them are made, or none.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) edits: Vec<Edit>,
}

/// Whether what these groups made is what they were made for, or why not.
pub(super) type Check<'a> = &'a dyn Fn(&Candidate, &[&Group]) -> Result<(), String>;

/// The text with every group of edits whose result passes `check`, and the groups that were left out, with why.
///
/// The groups are tried together first, and by halves only if that fails. Each has to hold whatever became of those
/// before it. `requests` is how many of them `check` decides on.
pub(super) fn apply<'g>(
    text: &str,
    groups: &'g [Group],
    judge: Judge<'_>,
    check: Check<'_>,
    requests: usize,
) -> (String, Vec<(&'g Group, String)>) {
    /// Bytes of all texts that are tried: thousands of a usual size, dozens of the largest.
    const MOST_TRIED: usize = 32 << 20;
    /// Bytes of a text that take as long as a request.
    const REQUEST: usize = 32;
    let mut left_out = Vec::new();
    let spent = Cell::new(0);
    let edited = halves(text, groups, &mut left_out, &|text, groups| {
        if spent.get() > MOST_TRIED {
            return Err("it was not tried, since too many others were refused; take those that are offered, then ask again".to_owned());
        }
        // What is not even an edited text has been read, too.
        spent.set(spent.get() + text.len() + requests * REQUEST);
        let edits: Vec<Edit> = groups.iter().flat_map(|group| group.edits.clone()).collect();
        let edited = yaml::edit(text, &edits, yaml::Limits::default()).map_err(|error| error.to_string())?;
        check(&judge(&edited)?, &groups.iter().collect::<Vec<_>>()).map(|()| edited)
    });
    (edited, left_out)
}

/// Tries these groups on a text, or says why they can't be made.
type Try<'a> = &'a dyn Fn(&str, &[Group]) -> Result<String, String>;

fn halves<'g>(
    text: &str,
    groups: &'g [Group],
    left_out: &mut Vec<(&'g Group, String)>,
    tried: Try<'_>,
) -> String {
    match (tried(text, groups), groups) {
        (Ok(edited), _) => edited,
        (Err(why), [group]) => {
            left_out.push((group, why));
            text.to_owned()
        }
        (Err(_), []) => text.to_owned(),
        (Err(_), groups) => {
            let (first, second) = groups.split_at(groups.len() / 2);
            let text = halves(text, first, left_out, tried);
            halves(&text, second, left_out, tried)
        }
    }
}

/// The JSON pointer of a place as rules name it: `egress_proxy.routes[1]`.
pub(super) fn pointer_of(source: &str) -> String {
    let steps =
        source.split(['.', '[']).map(|step| step.trim_end_matches(']')).filter(|step| !step.is_empty());
    steps.flat_map(|step| ["/", step]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A manifest that is full takes no group, and each of thousands would be tried alone.
    #[test]
    fn what_is_tried_in_vain_is_bounded() {
        let text = format!("# {}\nname: dev\n", "x".repeat(900_000));
        let group = |n: usize| Group { name: format!("host{n}"), edits: Vec::new() };
        let groups: Vec<Group> = (0..2000).map(group).collect();
        let tried = Cell::new(0);
        let judge = |_: &str| {
            tried.set(tried.get() + 1);
            Err("it is too large".to_owned())
        };
        let (edited, left_out) = apply(&text, &groups, &judge, &|_, _| Ok(()), 0);
        assert_eq!(edited, text);
        assert_eq!(left_out.len(), 2000);
        assert!(tried.get() < 80, "{}", tried.get());
        assert_eq!(left_out[0].1, "it is too large");
        assert!(left_out[1999].1.starts_with("it was not tried"), "{}", left_out[1999].1);
        // A text that can't be edited, and a small one with very many requests.
        let edits = vec![Edit::add("/nowhere/-", serde_json::json!("x"))];
        let groups: Vec<Group> = (0..2000).map(|n| Group { edits: edits.clone(), ..group(n) }).collect();
        let (_, left_out) = apply(&text, &groups, &judge, &|_, _| Ok(()), 0);
        assert!(left_out[1999].1.starts_with("it was not tried"), "{}", left_out[1999].1);
        let (_, left_out) = apply("name: dev\n", &groups, &judge, &|_, _| Ok(()), 100_000);
        assert!(left_out[1999].1.starts_with("it was not tried"), "{}", left_out[1999].1);
    }
}
