//! A text of the manifest that is tried before it is shown.

use super::Asked;
use crate::capability::{self, Capabilities};
use crate::policy::Policy;
use crate::verdict::Chain;
use crate::yaml::{self, Edit};
use jiff::civil::Date;

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
/// before it.
pub(super) fn apply<'g>(
    text: &str,
    groups: &'g [Group],
    judge: Judge<'_>,
    check: Check<'_>,
) -> (String, Vec<(&'g Group, String)>) {
    let mut left_out = Vec::new();
    let edited = halves(text, groups, &mut left_out, &|text, groups| {
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
