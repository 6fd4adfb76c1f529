//! Where the state of an output folder is, and the names that derive from that folder's path.

use super::StateError;
use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest as _, Sha256};

/// An output folder (as a canonical path) and the state that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    out: Utf8PathBuf,
    state: Utf8PathBuf,
}

impl Location {
    /// The state of `out`, which is the canonical path of an output folder: the one that was `chosen`, else the one
    /// that the registry has for it, else the default below `home`, the folder of all states.
    pub fn find(
        out: &Utf8Path,
        chosen: Option<&Utf8Path>,
        registered: Option<&Utf8Path>,
        home: &Utf8Path,
    ) -> Result<Self, StateError> {
        let state = match (chosen, registered) {
            (Some(chosen), _) => absolute(chosen)?,
            (None, Some(known)) => known.to_owned(),
            (None, None) => home.join(&digest(out)[..16]),
        };
        Ok(Self { out: out.to_owned(), state })
    }

    /// The folder of all states of this user: `bottle` in `$XDG_STATE_HOME`, which the specification wants absolute,
    /// else in `~/.local/state`. `variable` reads the environment.
    pub fn home(variable: impl Fn(&str) -> Option<String>) -> Result<Utf8PathBuf, StateError> {
        let absolute = |name| variable(name).map(Utf8PathBuf::from).filter(|path| path.is_absolute());
        let state =
            absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
        state.map(|state| state.join("bottle")).ok_or(StateError::NoHome)
    }

    /// Where the tree is rendered to.
    #[must_use]
    pub fn out(&self) -> &Utf8Path {
        &self.out
    }

    /// Where the CAs, the agreed copy and the audit files are.
    #[must_use]
    pub fn state(&self) -> &Utf8Path {
        &self.state
    }

    /// The Compose project: two clones on one machine get two.
    #[must_use]
    pub fn project(&self, bottle: &str) -> String {
        format!("bottle-{bottle}-{}", suffix(&self.out))
    }

    /// Refuses a state that the agent could read.
    pub(crate) fn require_hidden(&self, exposed: &[Utf8PathBuf]) -> Result<(), StateError> {
        require_hidden(&self.state, exposed)
    }
}

/// Refuses to show an agent a state, or the home of all states: a folder that holds it, or something that lies in it.
pub(crate) fn require_hidden(state: &Utf8Path, exposed: &[Utf8PathBuf]) -> Result<(), StateError> {
    let place = resolved(state);
    for folder in exposed {
        let seen = resolved(folder);
        let (state, exposed) = (state.to_owned(), folder.clone());
        if place.starts_with(&seen) {
            return Err(StateError::Exposed { state, exposed });
        } else if seen.starts_with(&place) {
            return Err(StateError::PartExposed { state, exposed });
        }
    }
    Ok(())
}

/// Six hexadecimal digits of the path.
fn suffix(out: &Utf8Path) -> String {
    digest(out)[..6].to_owned()
}

fn digest(out: &Utf8Path) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(out.as_str()))
}

fn absolute(path: &Utf8Path) -> Result<Utf8PathBuf, StateError> {
    let full = camino::absolute_utf8(path);
    full.map_err(|_| StateError::Unquotable(path.to_string()))
}

/// The path with the links of its existing part resolved.
pub(crate) fn resolved(path: &Utf8Path) -> Utf8PathBuf {
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
        let home = Utf8Path::new("/home/ada/.local/state/bottle");
        let of = |out: &str| Location::find(Utf8Path::new(out), None, None, home).unwrap();
        let (one, two) = (of("/src/one/.bottle/dev"), of("/src/two/.bottle/dev"));
        assert!(one.state().starts_with(home));
        assert_ne!(one.state(), two.state());
        assert_ne!(one.project("dev"), two.project("dev"));
        let project = one.project("dev");
        let hash = project.strip_prefix("bottle-dev-").unwrap();
        assert!(hash.len() == 6 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{project}");
    }

    #[test]
    fn what_was_chosen_counts_and_then_what_is_registered() {
        let path = Utf8Path::new;
        let find = |chosen, known| Location::find(path("/o"), chosen, known, path("/h")).unwrap();
        assert_eq!(find(Some(path("/c")), Some(path("/r"))).state(), "/c");
        assert_eq!(find(None, Some(path("/r"))).state(), "/r");
    }

    #[test]
    fn the_users_state_follows_the_xdg_rule() {
        let environment = |xdg: Option<&str>, home: Option<&str>| {
            let (xdg, home) = (xdg.map(str::to_owned), home.map(str::to_owned));
            Location::home(move |name| if name == "HOME" { home.clone() } else { xdg.clone() })
        };
        assert_eq!(environment(Some("/x"), Some("/h")).unwrap(), "/x/bottle");
        assert_eq!(environment(Some("relative"), Some("/h")).unwrap(), "/h/.local/state/bottle");
        assert_eq!(
            environment(None, None).unwrap_err().to_string(),
            "neither XDG_STATE_HOME nor HOME says where bottle keeps what you agreed to; set one of them"
        );
    }

    #[test]
    fn a_state_that_the_agent_could_read_is_refused() {
        let path = Utf8Path::new;
        let at = Location::find(path("/p/.bottle/dev"), Some(path("/p/keys")), None, path("/h"));
        let error = at.unwrap().require_hidden(&["/p".into()]).unwrap_err().to_string();
        assert_eq!(
            error,
            "the state /p/keys holds private keys and lies inside /p, which the agent can read; name a folder \
             outside it with --state DIR"
        );
        for part in ["/h/bottles.json", "/h/0f/image", "/h"] {
            assert!(require_hidden(path("/h"), &["/p".into(), part.into()]).is_err(), "{part}");
        }
        let error = require_hidden(path("/h"), &["/h/0f/image".into()]).unwrap_err().to_string();
        assert_eq!(
            error,
            "/h/0f/image, which the agent could read, lies inside /h, where bottle keeps private keys and what you \
             agreed to; take it out of the manifest"
        );
        require_hidden(path("/h/0f"), &["/h/0e".into(), "/h2".into()]).unwrap();
    }
}
