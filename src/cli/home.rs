//! `bottle home`: gives the agent's home to the agent's user.

use super::{Globals, Outcome};
use crate::agent_home::{Account, give, open_to_all};
use crate::tree::read_plain;
use anyhow::Context as _;
use camino::Utf8PathBuf;

/// Inside a stack: give the agent's home to the agent's user
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle home --user 1000:1000 /home/agent")]
pub(crate) struct Args {
    /// The agent's user: NAME, UID, NAME:GROUP or UID:GID; without one, a new home is writable for everybody
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// The home: a volume that nothing else in this container is a part of
    #[arg(value_name = "PATH")]
    home: Utf8PathBuf,
}

/// Of a list of users, in bytes: as much as `bottle up` lets an image have.
const LARGEST: u64 = 1 << 20;

pub(crate) fn run(args: &Args, _globals: &Globals) -> anyhow::Result<Outcome> {
    let home = args.home.as_std_path();
    match &args.user {
        Some(user) => {
            // An image may have neither; a number needs none.
            let read = |file: &str| -> anyhow::Result<String> {
                let Ok(real) = fs_err::canonicalize(file) else { return Ok(String::new()) };
                let text = read_plain(&Utf8PathBuf::try_from(real)?, LARGEST)?;
                Ok(String::from_utf8_lossy(&text).into_owned())
            };
            let account = Account::find(user, &read("/etc/passwd")?, &read("/etc/group")?)?;
            give(home, account).context("the agent's home can't be given to its user")?;
        }
        None => open_to_all(home).context("the agent's home can't be made writable")?,
    }
    Ok(Outcome::Done)
}
