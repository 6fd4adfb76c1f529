//! `OUT/.env`: what `docker compose` needs to know about this host, and nothing that is secret.
//!
//! People put tokens into files of this name, and Compose reads every key of it, so a key that is not bottle's is
//! refused. The file may have come with a copied folder or out of a repository, so it is believed only where it
//! fits the folder that it lies in.

use super::StateError;
use camino::{Utf8Path, Utf8PathBuf};

/// The file's name in the output folder.
pub const ENV_FILE: &str = ".env";

const HEADER: &str =
    "# Written by `bottle render` for this folder on this machine. Holds no secret; not for git.\n";
const KEYS: [&str; 4] = ["COMPOSE_PROJECT_NAME", "BOTTLE_STATE", "BOTTLE_USER", "BOTTLE_CA"];

/// The four values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvFile {
    project: String,
    state: Utf8PathBuf,
    user: u32,
    ca: String,
}

impl EnvFile {
    /// The values for a bottle on this host. `ca` names the certificate authorities, so that replacing one
    /// replaces what has it loaded.
    pub fn new(project: String, state: &Utf8Path, user: u32, ca: String) -> Result<Self, StateError> {
        quoted(state.as_str())?;
        Ok(Self { project, state: state.to_owned(), user, ca })
    }

    /// Reads the text of the file at `path`.
    pub fn read(text: &str, path: &Utf8Path) -> Result<Self, StateError> {
        let mut values: [Option<String>; 4] = Default::default();
        let mut foreign = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let malformed = || StateError::Malformed { path: path.to_owned(), line: number + 1 };
            let key = line.split(['=', ':', ' ']).next().unwrap_or_default();
            let Some(at) = KEYS.iter().position(|known| *known == key) else {
                let key = line.strip_prefix("export ").and_then(|l| l.split('=').next()).unwrap_or(key);
                foreign.push(key.trim().to_owned());
                continue;
            };
            let value = line[key.len()..].strip_prefix('=').and_then(unquoted).ok_or_else(malformed)?;
            if values[at].replace(value).is_some() {
                return Err(malformed());
            }
        }
        if !foreign.is_empty() {
            return Err(StateError::ForeignKeys { path: path.to_owned(), keys: foreign });
        }
        let malformed = || StateError::Malformed { path: path.to_owned(), line: text.lines().count() };
        let [Some(project), Some(state), Some(user), Some(ca)] = values else { return Err(malformed()) };
        let user = user.parse().map_err(|_| malformed())?;
        Ok(Self { project, state: state.into(), user, ca })
    }

    /// The text of the file.
    pub fn render(&self) -> Result<String, StateError> {
        let values = [&self.project, &quoted(self.state.as_str())?, &self.user.to_string(), &self.ca];
        let lines = KEYS.iter().zip(values).map(|(key, value)| format!("{key}={value}\n"));
        Ok(std::iter::once(HEADER.to_owned()).chain(lines).collect())
    }

    /// The state folder that it names.
    #[must_use]
    pub fn state(&self) -> &Utf8Path {
        &self.state
    }

    /// The Compose project.
    #[must_use]
    pub fn project(&self) -> &str {
        &self.project
    }

    /// The certificate authorities.
    #[must_use]
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// Refuses a file whose project was made for another path.
    pub(crate) fn require_fit(&self, out: &Utf8Path, suffix: &str) -> Result<(), StateError> {
        if self
            .project
            .strip_suffix(suffix)
            .is_some_and(|rest| rest.starts_with("bottle-") && rest.ends_with('-'))
        {
            return Ok(());
        }
        let why = format!("its project is {}, and this folder's ends in {suffix}", self.project);
        Err(StateError::Copied { path: out.join(ENV_FILE), why })
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

fn unquoted(value: &str) -> Option<String> {
    let inner = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(value);
    (quoted(inner).ok()? == value).then(|| inner.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "/p/.bottle/dev/.env";

    fn read(text: &str) -> Result<EnvFile, String> {
        EnvFile::read(text, Utf8Path::new(AT)).map_err(|e| e.to_string())
    }

    #[test]
    fn what_was_written_is_read_back() {
        for state in ["/s/plain", "/s/with space", "/s/#dollar $HOME \"quotes\"", "/s/bücher"] {
            let env = EnvFile::new("bottle-dev-abc123".into(), state.into(), 1000, "a1-b2".into()).unwrap();
            assert_eq!(read(&env.render().unwrap()).unwrap(), env);
        }
    }

    #[test]
    fn a_path_that_no_env_file_can_carry_is_refused() {
        let error = EnvFile::new("p".into(), "/it's".into(), 1, String::new()).unwrap_err().to_string();
        assert!(
            error.starts_with("the path \"/it's\" has a character that Compose's .env files can't carry"),
            "{error}"
        );
    }

    #[test]
    fn a_token_in_it_is_refused_by_name_and_never_by_value() {
        let env = EnvFile::new("bottle-dev-abc123".into(), "/s".into(), 1000, "a1".into())
            .unwrap()
            .render()
            .unwrap();
        for line in ["GITHUB_TOKEN=ghp_secret", "export GITHUB_TOKEN=ghp_secret", "GITHUB_TOKEN: ghp_secret"]
        {
            let error = read(&format!("{env}{line}\n")).unwrap_err();
            assert!(
                error.starts_with("/p/.bottle/dev/.env sets GITHUB_TOKEN: Compose would read it"),
                "{error}"
            );
            assert!(!error.contains("ghp_secret"), "{error}");
        }
    }

    #[test]
    fn what_is_not_as_bottle_writes_it_is_refused_with_its_line() {
        for (text, line) in [
            ("COMPOSE_PROJECT_NAME=bottle-dev-abc123\n", 1),
            ("BOTTLE_STATE=/s\nBOTTLE_STATE=/t\n", 2),
            ("\nBOTTLE_STATE=\"/s\"\n", 2),
            ("", 0),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(&format!("{AT}:{line}: not KEY=value")), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_file_of_another_folder_is_refused() {
        let env = EnvFile::new("bottle-dev-abc123".into(), "/s".into(), 1000, "a1".into()).unwrap();
        env.require_fit(Utf8Path::new("/p"), "abc123").unwrap();
        let error = env.require_fit(Utf8Path::new("/q"), "def456").unwrap_err().to_string();
        assert_eq!(
            error,
            "/q/.env was made for another folder (its project is bottle-dev-abc123, and this folder's ends in \
             def456); remove it and run `bottle render` here"
        );
    }
}
