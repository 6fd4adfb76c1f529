//! The agents: how each starts, what it asks, and what answers the questions of its first start.

use super::json;
use super::sources::Sources;
use crate::plan::placeholder;
use serde::Serialize;
use serde_json::{Value, json};

/// Which agent works in the bottle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// Claude Code.
    Claude,
    /// Codex.
    Codex,
    /// opencode.
    Opencode,
    /// No agent: a shell.
    Shell,
}

/// A credential by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AuthLine {
    /// `Bearer`, `Basic`, `header`.
    pub scheme: &'static str,
    /// Of `Basic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<&'static str>,
    /// Of `header`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'static str>,
    /// The variable that holds it.
    pub token_ref: &'static str,
}

/// A host that an agent asks.
pub(super) struct Asked {
    pub(super) host: &'static str,
    pub(super) paths: &'static [&'static str],
    pub(super) methods: &'static [&'static str],
    pub(super) auth: AuthLine,
}

const fn bearer(token_ref: &'static str) -> AuthLine {
    AuthLine { scheme: "Bearer", username: None, name: None, token_ref }
}

const ANTHROPIC_KEY: AuthLine =
    AuthLine { scheme: "header", username: None, name: Some("x-api-key"), token_ref: "ANTHROPIC_API_KEY" };

impl Agent {
    /// All, in the order in which they are offered.
    pub const ALL: [Self; 4] = [Self::Claude, Self::Codex, Self::Opencode, Self::Shell];

    /// As `--agent` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Opencode => "opencode",
            Self::Shell => "shell",
        }
    }

    /// What its container runs: the bottle is what holds it, so it asks for no permission of its own.
    pub(super) fn command(self) -> &'static [&'static str] {
        match self {
            Self::Claude => &["claude", "--dangerously-skip-permissions"],
            Self::Codex => &["codex", "--dangerously-bypass-approvals-and-sandbox"],
            Self::Opencode => &["opencode"],
            Self::Shell => &["bash"],
        }
    }

    /// The package that npm installs it from.
    pub(super) fn package(self) -> Option<&'static str> {
        match self {
            Self::Claude => Some("@anthropic-ai/claude-code"),
            Self::Codex => Some("@openai/codex"),
            Self::Opencode => Some("opencode-ai"),
            Self::Shell => None,
        }
    }

    /// The host that it asks, and as whom.
    pub(super) fn asks(self, sources: &Sources) -> Option<Asked> {
        let openai = Asked {
            host: "api.openai.com",
            paths: &["/v1/responses", "/v1/models"],
            methods: &["GET", "POST"],
            auth: bearer("OPENAI_API_KEY"),
        };
        let anthropic =
            |auth| Asked { host: "api.anthropic.com", paths: &["/v1/messages"], methods: &["POST"], auth };
        match self {
            Self::Claude => {
                let has_key =
                    sources.is_set("ANTHROPIC_API_KEY") && !sources.is_set("CLAUDE_CODE_OAUTH_TOKEN");
                Some(anthropic(if has_key { ANTHROPIC_KEY } else { bearer("CLAUDE_CODE_OAUTH_TOKEN") }))
            }
            Self::Codex => Some(openai),
            Self::Opencode => match provider(sources).as_deref() {
                Some("openai") => Some(openai),
                Some("anthropic") | None => Some(anthropic(ANTHROPIC_KEY)),
                Some(_) => None,
            },
            Self::Shell => None,
        }
    }

    /// Files of a fresh home, which answer what the first start asks.
    pub(super) fn home(self) -> Vec<(&'static str, String)> {
        match self {
            Self::Claude => vec![("home/.claude.json", format!("{:#}\n", claude()))],
            Self::Codex => vec![("home/.codex/config.toml", CODEX.to_owned())],
            Self::Opencode | Self::Shell => Vec::new(),
        }
    }

    /// Variables of its image: no updates and lists from hosts that no rule names.
    pub(super) fn variables(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Claude => &[("DISABLE_AUTOUPDATER", "1")],
            Self::Opencode => &[("OPENCODE_DISABLE_AUTOUPDATE", "1"), ("OPENCODE_DISABLE_MODELS_FETCH", "1")],
            Self::Codex | Self::Shell => &[],
        }
    }
}

/// Its key comes from a variable, which holds a stand-in; without this it asks for a login.
const CODEX: &str = "\
check_for_update_on_startup = false
model_provider = \"openai-key\"

[model_providers.openai-key]
name = \"OpenAI\"
base_url = \"https://api.openai.com/v1\"
env_key = \"OPENAI_API_KEY\"
wire_api = \"responses\"

[projects.\"/work\"]
trust_level = \"trusted\"
";

/// Claude Code asks about a theme, a login, the folder, the skipped permissions and a key in its environment, which it
/// knows by its last twenty characters.
fn claude() -> Value {
    let key = placeholder::known("ANTHROPIC_API_KEY").map(|known| known.value).unwrap_or_default();
    let tail = &key[key.len().saturating_sub(20)..];
    json!({
        "hasCompletedOnboarding": true,
        "bypassPermissionsModeAccepted": true,
        "customApiKeyResponses": {"approved": [tail], "rejected": []},
        "projects": {"/work": {"hasTrustDialogAccepted": true}},
    })
}

const OPENCODE: [&str; 2] = ["opencode.json", "opencode.jsonc"];

/// `model: PROVIDER/MODEL` of opencode's own configuration.
pub(super) fn provider(sources: &Sources) -> Option<String> {
    let text = OPENCODE.iter().find_map(|file| sources.text(file))?;
    let value: Value = serde_json::from_str(&json::without_comments(text)).ok()?;
    let (provider, _) = value.get("model")?.as_str()?.split_once('/')?;
    Some(provider.to_owned())
}

/// The agent in use: by what lies in the project, then by what the person has.
pub(super) fn detect(sources: &Sources) -> (Agent, String) {
    let in_project = [
        (Agent::Opencode, &["opencode.json", "opencode.jsonc", ".opencode"][..]),
        (Agent::Codex, &[".codex"]),
        (Agent::Claude, &["CLAUDE.md", ".claude"]),
    ];
    for (agent, marks) in in_project {
        if let Some(mark) = marks.iter().find(|mark| sources.has(mark)) {
            return (agent, (*mark).to_owned());
        }
    }
    let of_person = [
        (Agent::Claude, &["~/.claude.json", "~/.claude", "CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_API_KEY"][..]),
        (Agent::Codex, &["~/.codex", "OPENAI_API_KEY"]),
        (Agent::Opencode, &["~/.config/opencode"]),
    ];
    for (agent, marks) in of_person {
        if let Some(mark) =
            marks.iter().find(|mark| sources.person.contains_key(**mark) || sources.is_set(mark))
        {
            return (agent, (*mark).to_owned());
        }
    }
    (Agent::Claude, "default".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_the_projects_before_the_persons() {
        let mut sources = Sources::default();
        assert_eq!(detect(&sources).0, Agent::Claude);
        sources.environment.insert("OPENAI_API_KEY".into(), String::new());
        assert_eq!(detect(&sources), (Agent::Codex, "OPENAI_API_KEY".into()));
        sources.person.insert("~/.claude.json".into(), String::new());
        assert_eq!(detect(&sources), (Agent::Claude, "~/.claude.json".into()));
        sources.project.insert("opencode.json".into(), "{\"model\": \"openai/x\"}".into());
        assert_eq!(detect(&sources), (Agent::Opencode, "opencode.json".into()));
        assert_eq!(Agent::Opencode.asks(&sources).unwrap().host, "api.openai.com");
    }

    #[test]
    fn the_credential_of_claude_is_the_one_that_the_person_has() {
        let mut sources = Sources::default();
        let token = |sources: &Sources| Agent::Claude.asks(sources).unwrap().auth.token_ref;
        assert_eq!(token(&sources), "CLAUDE_CODE_OAUTH_TOKEN");
        sources.environment.insert("ANTHROPIC_API_KEY".into(), String::new());
        assert_eq!(token(&sources), "ANTHROPIC_API_KEY");
        sources.environment.insert("CLAUDE_CODE_OAUTH_TOKEN".into(), String::new());
        assert_eq!(token(&sources), "CLAUDE_CODE_OAUTH_TOKEN");
    }

    #[test]
    fn what_answers_the_first_start_can_be_read() {
        let known = placeholder::known("ANTHROPIC_API_KEY").unwrap().value;
        let tail = claude()["customApiKeyResponses"]["approved"][0].as_str().unwrap().to_owned();
        assert!(tail.len() == 20 && known.ends_with(&tail));
        assert!(CODEX.parse::<toml::Table>().is_ok());
    }
}
