//! `bottle man`: manual pages out of the same definitions as the command line.

use super::{Outcome, print};
use anyhow::Context as _;

mod reference;

/// Print a manual page
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle man diff | man -l -")]
pub(crate) struct Args {
    /// Of this command; without one, of bottle itself
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
    /// Print the reference of every command as Markdown instead
    #[arg(long, conflicts_with = "command")]
    reference: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let mut all = super::command();
    all.build(); // which calls its commands `bottle-render` and so on
    if args.reference {
        print(&reference::markdown(&all))?;
        return Ok(Outcome::Done);
    }
    let command = match &args.command {
        None => all,
        Some(name) => {
            let found = all.find_subcommand(name);
            let found =
                found.with_context(|| format!("there is no command {name}; bottle --help lists them"))?;
            found.clone()
        }
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    print(&String::from_utf8(page)?)?;
    Ok(Outcome::Done)
}
