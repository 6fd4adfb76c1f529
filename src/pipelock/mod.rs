//! Runtime two, the embedded engine: hostname allowlist, SSRF guard, DLP scan. Its way out is a vetted address.
//!
//! It reads the file that the upstream program reads, strictly, and answers as that program does: 403 with
//! `blocked: …` and `X-Pipelock-Block-Reason`. What it promises:
//!
//! * Only allowed hosts, on their ports; the name of the CONNECT, of TLS and of the request is the same.
//! * The address that is dialled is one that was vetted: a name is looked up once for each connection, and one
//!   forbidden address condemns the whole answer.
//! * A request with a credential in URL, fields or body never reaches an origin complete.
//! * Bodies of any length pass in flat memory, encoded ones too; nothing is buffered beyond the first MiB. All of
//!   them share one budget of memory, in which those that do not move give way to others.
//!
//! Where it differs from the upstream program: responses stream, so that findings in them are logged and never
//! block; requests are counted for each host, not for each registrable domain.

mod address;
mod block;
mod body;
mod budget;
mod connect;
mod decode;
mod engine;
mod events;
mod fields;
mod hosts;
mod injection;
mod lines;
mod metrics;
mod network;
mod pointer;
mod rate;
mod reading;
mod response;
mod rules;
mod runtime;
mod url;
mod window;

pub use block::{Block, Part};
pub use events::Events;
pub use network::{Network, Pending};
pub use rules::{Loaded, Paths, Rules, RulesError};
pub use runtime::{Pipelock, StartError};

impl Rules {
    /// What would become of a GET of this URL, as far as that can be said without a network.
    pub fn check_url(&self, target: &str) -> Result<(), Block> {
        let uri: http::Uri = target.parse().map_err(|_| Block::Target(format!("`{target}` is no URL")))?;
        let plain = match uri.scheme_str() {
            Some("http") => true,
            Some("https") => false,
            _ => return Err(Block::Target(format!("`{target}` is neither http:// nor https://"))),
        };
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let default = if plain { 80 } else { 443 };
        let authority = crate::policy::Authority::parse(authority, Some(default))
            .map_err(|error| Block::Target(error.to_string()))?;
        let host = authority.host.as_str();
        if !self.allowed.contains(host) {
            return Err(Block::Host { host: host.to_owned() });
        }
        if plain && !self.plain_http(host) {
            return Err(Block::PlainHttp { host: host.to_owned() });
        }
        if !self.ports(host).contains(&authority.port) {
            let allowed = self.ports(host).to_vec();
            return Err(Block::Port { host: host.to_owned(), port: authority.port, allowed });
        }
        url::scan_host(self, host)?;
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        url::scan_target(self, &format!("{}://{authority}", if plain { "http" } else { "https" }), path)
    }
}
