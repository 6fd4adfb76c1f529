//! `bottle completions`: what a shell completes.

use super::{Outcome, print};

/// Print what a shell completes: bash, zsh, fish and others
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle completions bash > /etc/bash_completion.d/bottle")]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "bottle", &mut script);
    print(&String::from_utf8(script)?)?;
    Ok(Outcome::Done)
}
