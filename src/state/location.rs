//! Where the state of an output folder is, and the names that derive from that folder's path.

use super::{EnvFile, State, StateError};
use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// An output folder (as a canonical path) and the state that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    out: Utf8PathBuf,
    state: Utf8PathBuf,
}

impl Location {
    /// The state of `out`: the one that was `chosen`, else the one that `env` (the folder's `.env`) names, else
    /// the default below `home`. `out` is the canonical path of the output folder.
    pub fn find(
        out: &Utf8Path,
        chosen: Option<&Utf8Path>,
        env: Option<&EnvFile>,
        home: Option<&Utf8Path>,
    ) -> Result<Self, StateError> {
        if let Some(env) = env {
            env.require_fit(out, &suffix(out))?;
        }
        let at = |state: &Utf8Path| Self { out: out.to_owned(), state: state.to_owned() };
        if let Some(chosen) = chosen {
            return Ok(at(&absolute(chosen)?));
        }
        let default = home.map(|home| home.join("bottle").join(&digest(out)[..16]));
        if let Some(named) = env.map(EnvFile::state).filter(|named| Some(*named) != default.as_deref()) {
            // Only a state that knows this folder counts: a `.env` can come from anywhere.
            if State::is_of(named, out) {
                return Ok(at(named));
            }
            let why = format!("it names the state {named}, which is not this folder's");
            return Err(StateError::Copied { path: out.join(super::ENV_FILE), why });
        }
        default.map(|state| at(&state)).ok_or(StateError::NoHome)
    }

    /// The folder for state of this user: `$XDG_STATE_HOME`, which the specification wants absolute, else
    /// `~/.local/state`. `variable` reads the environment.
    pub fn home(variable: impl Fn(&str) -> Option<String>) -> Option<Utf8PathBuf> {
        let absolute = |name| variable(name).map(Utf8PathBuf::from).filter(|path| path.is_absolute());
        absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
    }

    /// The output folder.
    #[must_use]
    pub fn out(&self) -> &Utf8Path {
        &self.out
    }

    /// The state folder.
    #[must_use]
    pub fn state(&self) -> &Utf8Path {
        &self.state
    }

    /// The Compose project: two clones on one machine get two.
    #[must_use]
    pub fn project(&self, bottle: &str) -> String {
        format!("bottle-{bottle}-{}", suffix(&self.out))
    }

    /// Refuses a state inside a folder that the agent can read.
    pub(crate) fn require_hidden(&self, exposed: &[Utf8PathBuf]) -> Result<(), StateError> {
        let state = resolved(&self.state);
        let seen = exposed.iter().find(|folder| state.starts_with(resolved(folder)));
        match seen {
            Some(exposed) => Err(StateError::Exposed { state: self.state.clone(), exposed: exposed.clone() }),
            None => Ok(()),
        }
    }
}

/// Six hexadecimal digits of the path.
fn suffix(out: &Utf8Path) -> String {
    digest(out)[..6].to_owned()
}

fn digest(out: &Utf8Path) -> String {
    Sha256::digest(out.as_str()).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}"); // writing to a String can't fail
        hex
    })
}

fn absolute(path: &Utf8Path) -> Result<Utf8PathBuf, StateError> {
    let full = camino::absolute_utf8(path);
    full.map_err(|_| StateError::Unquotable(path.to_string()))
}

/// The path with the links of its existing part resolved.
fn resolved(path: &Utf8Path) -> Utf8PathBuf {
    for ancestor in path.ancestors() {
        if let Ok(real) = ancestor.canonicalize_utf8() {
            return path.strip_prefix(ancestor).map_or(real.clone(), |rest| {
                if rest.as_str().is_empty() { real.clone() } else { real.join(rest) }
            });
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_below_the_users_state_and_differs_by_folder() {
        let home = Utf8Path::new("/home/ada/.local/state");
        let of = |out: &str| Location::find(Utf8Path::new(out), None, None, Some(home)).unwrap();
        let (one, two) = (of("/src/one/.bottle/dev"), of("/src/two/.bottle/dev"));
        assert!(one.state().starts_with("/home/ada/.local/state/bottle"));
        assert_ne!(one.state(), two.state());
        assert_ne!(one.project("dev"), two.project("dev"));
        let project = one.project("dev");
        let hash = project.strip_prefix("bottle-dev-").unwrap();
        assert!(hash.len() == 6 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{project}");
    }

    #[test]
    fn the_users_state_follows_the_xdg_rule() {
        let environment = |xdg: Option<&str>, home: Option<&str>| {
            let (xdg, home) = (xdg.map(str::to_owned), home.map(str::to_owned));
            Location::home(move |name| if name == "HOME" { home.clone() } else { xdg.clone() })
        };
        assert_eq!(environment(Some("/x"), Some("/h")).unwrap(), "/x");
        assert_eq!(environment(Some("relative"), Some("/h")).unwrap(), "/h/.local/state");
        assert_eq!(environment(None, None), None);
    }

    #[test]
    fn without_a_home_the_flag_is_named() {
        let error = Location::find(Utf8Path::new("/o"), None, None, None).unwrap_err().to_string();
        assert_eq!(
            error,
            "neither XDG_STATE_HOME nor HOME says where state goes; name a folder with --state DIR"
        );
    }

    #[test]
    fn a_state_that_the_agent_could_read_is_refused() {
        let at = Location::find(Utf8Path::new("/p/.bottle/dev"), Some(Utf8Path::new("/p/keys")), None, None);
        let error = at.unwrap().require_hidden(&["/p".into()]).unwrap_err().to_string();
        assert_eq!(
            error,
            "the state /p/keys holds private keys and lies inside /p, which the agent can read; name a folder \
             outside it with --state DIR"
        );
    }
}
