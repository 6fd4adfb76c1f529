//! The stand-ins that an agent holds for credentials it never sees.
//!
//! Some tools refuse to start without a credential in their environment. For the names below the agent gets a
//! value of the right shape under the same name. No DLP pattern matches one: each breaks its pattern with a dot
//! before it is long enough, so that an agent that prints its environment does not lock its own conversation.

/// A name that tools look for, and what stands in for its value.
#[derive(Debug, PartialEq, Eq)]
pub struct Known {
    /// The environment variable.
    pub name: &'static str,
    /// The stand-in.
    pub value: &'static str,
    /// Why a tool needs it.
    pub why: &'static str,
    /// How a person gets the real value; nothing where the provider's pages say it.
    pub obtained_by: Option<&'static str>,
    /// Variables that are set beside it.
    pub switches: &'static [(&'static str, &'static str)],
}

/// What keeps Claude Code from asking other hosts: each switch by itself, since releases differ in what the
/// first one covers.
const CLAUDE_SWITCHES: &[(&str, &str)] = &[
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("DISABLE_AUTOUPDATER", "1"),
    ("DISABLE_ERROR_REPORTING", "1"),
    ("DISABLE_TELEMETRY", "1"),
];

const KNOWN: [Known; 5] = [
    Known {
        name: "ANTHROPIC_API_KEY",
        value: "sk-ant-api03-.placeholder.set.by.bottle",
        why: "clients of the Anthropic API do not start without a key",
        obtained_by: None,
        switches: &[],
    },
    Known {
        name: "CLAUDE_CODE_OAUTH_TOKEN",
        value: "sk-ant-oat01-.placeholder.set.by.bottle",
        why: "Claude Code does not start without a credential; its telemetry is switched off beside it",
        obtained_by: Some("`claude setup-token` makes one"),
        switches: CLAUDE_SWITCHES,
    },
    Known {
        name: "GH_TOKEN",
        value: "ghp_.placeholder.set.by.bottle",
        why: "gh asks for a login without a token",
        obtained_by: Some("`gh auth token` prints one"),
        switches: &[],
    },
    Known {
        name: "GITHUB_TOKEN",
        value: "ghp_.placeholder.set.by.bottle",
        why: "clients of the GitHub API fall back to anonymous requests without a token",
        obtained_by: Some("`gh auth token` prints one"),
        switches: &[],
    },
    Known {
        name: "OPENAI_API_KEY",
        value: "sk-proj-.placeholder.set.by.bottle",
        why: "clients of the OpenAI API do not start without a key",
        obtained_by: None,
        switches: &[],
    },
];

/// Whether a variable of this name is a stand-in, or is set beside one.
pub(crate) fn is_set_beside_a_credential(name: &str) -> bool {
    KNOWN.iter().any(|known| known.name == name || known.switches.iter().any(|(switch, _)| *switch == name))
}

/// Whether it has the value that bottle gives it.
pub(crate) fn is_as_set(name: &str, value: &str) -> bool {
    let pairs = KNOWN
        .iter()
        .flat_map(|known| [(known.name, known.value)].into_iter().chain(known.switches.iter().copied()));
    pairs.into_iter().any(|pair| pair == (name, value))
}

/// The stand-in for a `token_ref`, if tools look for that name.
#[must_use]
pub fn known(token_ref: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == token_ref)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shapes of `pipelock.md` 1.5 in their widest form, and what else looks at these values.
    #[test]
    fn no_pattern_of_old_or_new_releases_matches_a_placeholder() {
        let patterns = [
            r"(?i)sk-ant-[a-z0-9_-]{10,}",
            r"(?i)sk-proj-[a-z0-9_-]{10,}",
            r"(?i)sk-svcacct-",
            r"(?i)gh[pousr]_[a-z0-9]{36,}",
            r"(?i)ghs_[a-z0-9._-]{36,}",
            r"(?i)github_pat_",
        ];
        for known in &KNOWN {
            for pattern in patterns {
                assert!(
                    !regex::Regex::new(pattern).unwrap().is_match(known.value),
                    "{} ~ {pattern}",
                    known.value
                );
            }
        }
    }

    #[test]
    fn a_placeholder_can_stand_in_a_header_field() {
        assert!(KNOWN.iter().all(|known| known.value.bytes().all(|byte| byte.is_ascii_graphic())));
    }
}
