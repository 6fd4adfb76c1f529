//! What is minted per host and never committed: CA keys, trust bundle, image context.
//!
//! Promises: minted once, kept, renewed when less than a third of a CA's validity is left, replaced when asked;
//! a crash or a full disk leaves a state that the next render completes; only the user who owns it can look into
//! it, and a service reads its own folder only; it never lies where the agent can read it; folders in it are never
//! replaced, since containers have them mounted.
//!
//! ```text
//! STATE/              0700
//! ├── out             the output folder that this state belongs to
//! ├── lock            held while a render writes
//! ├── .env            what Compose is told about this machine
//! ├── agreed/ …       what a person agreed to (see `consent`)
//! ├── audit/          what each proxy records: egress-proxy/, pipelock/
//! ├── image/          bottle, Dockerfile: the build context
//! ├── trust/          ca-bundle.pem, truststore.p12, browser-policy.json, agents.md: what the agent may see
//! ├── egress-proxy/   agent-ca.pem, agent-ca-key.pem, pipelock-ca.pem
//! └── pipelock/       pipelock-ca.pem, pipelock-ca-key.pem
//! ```

mod env_file;
mod image;
mod location;
mod lock;
mod machine;
mod mint;

pub use env_file::{ENV_FILE, ENV_VARIABLES, EnvFile};
pub use image::{DOCKERFILE, ImageBinary};
pub use location::Location;
pub(crate) use location::{require_hidden, resolved};
pub(crate) use lock::Lock;
pub use machine::{agent_memory, agent_user};
pub use mint::{Authority, Event, MintRequest, Minted};

use crate::pki::PkiError;
use crate::tree::{Folder, TreeError, is_staged};
use camino::{Utf8Path, Utf8PathBuf};

/// The uid that services run as where the state belongs to root: no service runs as root.
pub const SERVICE_USER: u32 = 65532;

/// Why the state could not be found, made or used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Reading or writing failed.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A certificate authority could not be made.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// No place to put it.
    #[error("neither XDG_STATE_HOME nor HOME says where bottle keeps what you agreed to; set one of them")]
    NoHome,
    /// It lies in what the agent sees.
    #[error(
        "the state {state} holds private keys and lies inside {exposed}, which the agent can read; name a folder \
         outside it with --state DIR"
    )]
    Exposed {
        /// Where the state would be.
        state: Utf8PathBuf,
        /// The folder that contains it.
        exposed: Utf8PathBuf,
    },
    /// What the agent sees lies in it.
    #[error(
        "{exposed}, which the agent could read, lies inside {state}, where bottle keeps private keys and what you \
         agreed to; take it out of the manifest"
    )]
    PartExposed {
        /// A state, or the home of all states.
        state: Utf8PathBuf,
        /// What lies in it.
        exposed: Utf8PathBuf,
    },
    /// The folder is in use for something else.
    #[error("{0} is not empty and is not a state of bottle; name a new or empty folder with --state DIR")]
    NotAState(Utf8PathBuf),
    /// The state is another bottle's.
    #[error("the state {state} belongs to {owner}, not to {out}; name another folder with --state DIR")]
    OfAnother {
        /// Where the state is.
        state: Utf8PathBuf,
        /// The output folder that it belongs to.
        owner: String,
        /// The output folder that asked.
        out: Utf8PathBuf,
    },
    /// The state is another user's.
    #[error(
        "the state {state} belongs to uid {owner}; run bottle as that user, or name a folder with --state DIR"
    )]
    OfAnotherUser {
        /// Where the state is.
        state: Utf8PathBuf,
        /// The uid of that user.
        owner: u32,
    },
    /// A path that the `.env` file can't carry.
    #[error(
        "the path {0:?} has a character that Compose's .env files can't carry; name a folder with --state DIR"
    )]
    Unquotable(String),
    /// `.env` has keys that are not bottle's.
    #[error(
        "{path} sets {}: Compose would read it, and the agent can read this folder; keep tokens in the environment \
         of the shell that starts the stack, and remove the line",
        keys.join(", ")
    )]
    ForeignKeys {
        /// The `.env` file.
        path: Utf8PathBuf,
        /// The names that are not bottle's.
        keys: Vec<String>,
    },
    /// The program can't run in an empty image.
    #[error(
        "{path} can't run in the image: {why}; give a static Linux build of bottle with --image-binary FILE"
    )]
    NotForTheImage {
        /// The program that was to be put into the image.
        path: Utf8PathBuf,
        /// Why not.
        why: &'static str,
    },
}

/// A state folder, open, known to belong to the output folder that asked for it, and locked: one render at a time
/// for a bottle, until this is dropped.
#[derive(Debug)]
pub struct State {
    folder: Folder,
    user: u32,
    _lock: Lock,
}

/// The file that says which output folder a state belongs to.
const OWNER: &str = "out";

impl State {
    /// Opens the state at `location`, or makes it, and waits for another render that has it; `waiting` is called
    /// once if there is one. `exposed` are the folders that the agent can read.
    pub fn open(
        location: &Location,
        exposed: &[Utf8PathBuf],
        waiting: impl FnOnce(),
    ) -> Result<Self, StateError> {
        location.require_hidden(exposed)?;
        make_private(location.state())?;
        let folder = Folder::open(location.state())?;
        let user = usable_by(&folder)?;
        if folder.read(OWNER)?.is_none() && !is_unclaimed(&folder)? {
            return Err(StateError::NotAState(location.state().to_owned()));
        }
        let lock = Lock::take(&folder, waiting)?;
        folder.sweep()?;
        match folder.read(OWNER)? {
            Some(owner) => require_owner(location, &String::from_utf8_lossy(&owner))?,
            None => folder.stage(OWNER, format!("{}\n", location.out()).as_bytes(), 0o600)?.commit()?,
        }
        folder.set_mode(0o700)?;
        Ok(Self { folder, user, _lock: lock })
    }

    /// Removes the state at `path`, if there is one; refused where it belongs to another output folder than `out`.
    pub fn remove(path: &Utf8Path, out: &Utf8Path) -> Result<(), StateError> {
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(StateError::NotAState(path.to_owned()));
        };
        if !path.exists() {
            return Ok(());
        }
        if !Self::is_of(path, out) {
            return Err(StateError::NotAState(path.to_owned()));
        }
        Ok(Folder::open(above)?.remove_all(name)?)
    }

    /// Whether there is a state at `path` that belongs to `out`.
    #[must_use]
    pub fn is_of(path: &Utf8Path, out: &Utf8Path) -> bool {
        let owner = Folder::open(path).and_then(|folder| folder.read(OWNER));
        matches!(owner, Ok(Some(owner)) if String::from_utf8_lossy(&owner).trim_end() == out)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Utf8Path {
        self.folder.path()
    }

    /// The uid that the services run as.
    #[must_use]
    pub fn user(&self) -> u32 {
        self.user
    }
}

/// Makes a folder, and those above it, that nobody else can look into.
pub fn make_private(path: &Utf8Path) -> Result<(), TreeError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| TreeError::Io { doing: "make", path: path.to_owned(), source })
}

/// The uid for services, where this process may write the state at all.
fn usable_by(folder: &Folder) -> Result<u32, StateError> {
    let looked = rustix::fs::fstat(folder.handle());
    let stat = looked.map_err(|error| TreeError::Io {
        doing: "look at",
        path: folder.path().to_owned(),
        source: error.into(),
    })?;
    let me = rustix::process::geteuid();
    match stat.st_uid {
        0 if me.is_root() => Ok(SERVICE_USER),
        owner if me.is_root() || owner == me.as_raw() => Ok(owner),
        owner => Err(StateError::OfAnotherUser { state: folder.path().to_owned(), owner }),
    }
}

fn require_owner(location: &Location, owner: &str) -> Result<(), StateError> {
    let owner = owner.trim_end();
    if owner == location.out() {
        return Ok(());
    }
    Err(StateError::OfAnother {
        state: location.state().to_owned(),
        owner: owner.to_owned(),
        out: location.out().to_owned(),
    })
}

/// Empty, but for what another first render has made a moment ago, or one that was killed left behind.
fn is_unclaimed(folder: &Folder) -> Result<bool, TreeError> {
    Ok(folder.entries()?.iter().all(|(name, _)| name == lock::NAME || is_staged(name)))
}
