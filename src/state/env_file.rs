//! What `docker compose` needs to know about this machine, and nothing that is secret: `.env` in the output folder,
//! for those who run Compose by hand, and the same in the state, which `bottle up` uses.
//!
//! People put tokens into files of this name, and Compose reads every key of it, so a key that is not bottle's is
//! refused. No value of the one in the output folder is ever read back: it lies where an agent may have written.

use super::StateError;
use camino::Utf8Path;

/// The file's name.
pub const ENV_FILE: &str = ".env";

const HEADER: &str =
    "# Written by `bottle render` for this folder on this machine. Holds no secret; not for git.\n";

/// The variables that the compose file takes from here; a caller's own would win over them.
pub const ENV_VARIABLES: [&str; 7] = [
    "COMPOSE_PROJECT_NAME",
    "BOTTLE_STATE",
    "BOTTLE_USER",
    "BOTTLE_CA",
    "BOTTLE_AGENT_USER",
    "BOTTLE_AGENT_MEMORY",
    "BOTTLE_CONTEXT",
];

/// The values, in the order of [`ENV_VARIABLES`]; what is empty is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvFile {
    /// The Compose project.
    pub project: String,
    /// The state folder.
    pub state: String,
    /// The uid that bottle's own services run as.
    pub user: String,
    /// The certificate authorities and the program: replacing one replaces the containers that have it.
    pub ca: String,
    /// `UID:GID` for an agent that runs as its mount's owner.
    pub agent_user: String,
    /// Bytes of memory for an agent whose manifest sets no limit.
    pub agent_memory: String,
    /// The folder's name of the agreed build context.
    pub context: String,
}

impl EnvFile {
    /// The text of the file.
    pub fn render(&self) -> Result<String, StateError> {
        let Self { project, state, user, ca, agent_user, agent_memory, context } = self;
        let values = [project, state, user, ca, agent_user, agent_memory, context];
        let mut text = HEADER.to_owned();
        for (key, value) in ENV_VARIABLES.iter().zip(values).filter(|(_, value)| !value.is_empty()) {
            text.extend([*key, "=", &quoted(value)?, "\n"]);
        }
        Ok(text)
    }

    /// Refuses a text with keys that are not bottle's. `path` is for the message.
    pub fn require_own(text: &str, path: &Utf8Path) -> Result<(), StateError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let key = |line: &str| {
            let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
            line.split(['=', ':', ' ']).next().unwrap_or_default().to_owned()
        };
        let keys: Vec<String> = lines.map(key).filter(|key| !ENV_VARIABLES.contains(&key.as_str())).collect();
        if keys.is_empty() {
            return Ok(());
        }
        Err(StateError::ForeignKeys { path: path.to_owned(), keys })
    }
}

/// A value as Compose reads it back: bare, or between single quotes, inside which nothing is special.
fn quoted(value: &str) -> Result<String, StateError> {
    let bare = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c);
    if value.chars().all(bare) {
        Ok(value.to_owned())
    } else if value.chars().any(|c| c == '\'' || c == '\\' || c.is_control()) {
        Err(StateError::Unquotable(value.to_owned()))
    } else {
        Ok(format!("'{value}'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(state: &str) -> EnvFile {
        EnvFile {
            project: "bottle-dev-abc123".into(),
            state: state.into(),
            user: "1000".into(),
            ca: "a1-b2".into(),
            ..EnvFile::default()
        }
    }

    #[test]
    fn what_is_empty_is_left_out_and_what_is_special_is_quoted() {
        let text = env("/s/#dollar $HOME \"quotes\"").render().unwrap();
        assert_eq!(
            text.lines().skip(1).collect::<Vec<_>>(),
            [
                "COMPOSE_PROJECT_NAME=bottle-dev-abc123",
                "BOTTLE_STATE='/s/#dollar $HOME \"quotes\"'",
                "BOTTLE_USER=1000",
                "BOTTLE_CA=a1-b2"
            ]
        );
        EnvFile::require_own(&text, Utf8Path::new("/p/.env")).unwrap();
    }

    #[test]
    fn a_path_that_no_env_file_can_carry_is_refused() {
        let error = env("/it's").render().unwrap_err().to_string();
        assert!(
            error.starts_with("the path \"/it's\" has a character that Compose's .env files can't carry"),
            "{error}"
        );
    }

    #[test]
    fn a_token_in_it_is_refused_by_name_and_never_by_value() {
        let own = env("/s").render().unwrap();
        for line in ["GITHUB_TOKEN=ghp_secret", "export GITHUB_TOKEN=ghp_secret", "GITHUB_TOKEN: ghp_secret"]
        {
            let text = format!("{own}{line}\n");
            let error = EnvFile::require_own(&text, Utf8Path::new("/p/.env")).unwrap_err().to_string();
            assert!(error.starts_with("/p/.env sets GITHUB_TOKEN: Compose would read it"), "{error}");
            assert!(!error.contains("ghp_secret"), "{error}");
        }
    }
}
