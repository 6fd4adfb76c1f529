//! `bottle healthcheck`: one question to an admin listener, for images without a shell.

use super::{Globals, Outcome, print, say};
use crate::stack::ADMIN;
use crate::telemetry::client;

/// Inside a stack: ask a running proxy how it is
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bottle healthcheck --print --url http://127.0.0.1:9100/metrics")]
pub(crate) struct Args {
    /// What to ask: an http URL, or tcp://HOST:PORT to only see that connections are served
    #[arg(long, default_value_t = format!("http://{ADMIN}/readyz"))]
    url: String,
    /// Print the answer
    #[arg(long)]
    print: bool,
}

pub(crate) fn run(args: &Args, _globals: &Globals) -> anyhow::Result<Outcome> {
    let answer = match client::get(&args.url) {
        Ok(answer) => answer,
        Err(error @ client::ClientError::NotAUrl(_)) => return Err(error.into()),
        Err(error) => {
            say(&format!("{error}\n"));
            return Ok(Outcome::Differs);
        }
    };
    if args.print {
        print(&answer.body)?;
    }
    if (200..300).contains(&answer.status) {
        return Ok(Outcome::Done);
    }
    say(&format!("{} answered {}: {}\n", args.url, answer.status, answer.body.trim_end()));
    Ok(Outcome::Differs)
}
