//! `bottle explain METHOD URL`: what the proxies would do with a request, and why.
//!
//! The answer is the proxies' own ([`crate::explain`]), and nothing is normalised before it is asked for.

mod inside;
mod print;

use super::{Format, Globals, Outcome, rules};
use crate::clock::Clock;
use crate::explain::{Answer, Asked};
use crate::policy::WrittenRequest;
use crate::tree::read_plain;
use anyhow::Context as _;
use camino::Utf8PathBuf;
use jiff::civil::Date;

/// Say what the proxies would do with a request, and why
///
/// In an agent's container it asks the proxy that runs, and needs no manifest. The URL is taken as it is written: `..` and `%2e` are not resolved, as a client would do before it sends.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bottle explain GET https://api.github.com/repos/acme/app/issues
  bottle explain POST https://api.github.com/user --header 'Content-Type: application/json'
  bottle explain GET https://api.github.com/user --rendered .bottle/dev --format json")]
pub(crate) struct Args {
    /// The method, in the case in which it would be sent
    method: String,
    /// The whole URL
    url: String,
    /// The manifest, or the folder that holds it [default: bottle.yaml here or in the nearest parent]
    manifest: Option<Utf8PathBuf>,
    /// Take the rules from a rendered tree instead of a manifest
    #[arg(long, value_name = "DIR", conflicts_with = "manifest")]
    rendered: Option<Utf8PathBuf>,
    /// A field of the request; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The body of the request, as it would be sent; it is searched for secrets
    #[arg(long, value_name = "FILE")]
    body: Option<Utf8PathBuf>,
    /// The day to decide on (UTC) [default: today]
    #[arg(long, value_name = "DATE")]
    now: Option<Date>,
}

/// As of a test, in bytes.
const LARGEST_BODY: u64 = 256 << 20;

pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<Outcome> {
    if args.manifest.is_none() && args.rendered.is_none() && inside::is_here() {
        return inside::ask(args, globals);
    }
    let fields = args.headers.iter().map(|header| field_of(header)).collect::<anyhow::Result<_>>()?;
    let request = WrittenRequest::parse(&args.method, &args.url, fields)?;
    let body = args.body.as_ref().map(|file| read_plain(file, LARGEST_BODY)).transpose()?.map(Into::into);
    let asked = Asked { request, body };
    let rules = rules::read(args.manifest.as_deref(), args.rendered.as_deref())?;
    let today = args.now.unwrap_or_else(|| Clock::system().today());
    let answer = Answer::find(&asked, &rules, today);
    super::print_as(
        globals.format,
        &match globals.format {
            Format::Text => print::text(&asked, &answer),
            Format::Json => print::json(&asked, &answer, &rules.bottle),
        },
    )?;
    Ok(if answer.refusal.is_none() { Outcome::Done } else { Outcome::Differs })
}

fn field_of(header: &str) -> anyhow::Result<(String, String)> {
    let (name, value) = header.split_once(':').with_context(|| format!("`{header}` is not NAME: VALUE"))?;
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}
