//! Why a request is allowed or denied: what both proxies say of it, the rule behind that with its line in the
//! manifest, and what would have to change.
//!
//! The answer is the proxies' own: the request goes through [`Chain::verdict`](crate::verdict::Chain::verdict), byte
//! for byte as it was written. `bottle explain` and `bottle test` ask the same [`Answer::find`].

mod advice;
mod answer;
mod asked;
mod found;
mod proxy;
mod rules;

pub use advice::{Advice, Wanted, scalar, why_nothing_allows};
pub use answer::{Answer, Credential, Entry, Near, Pipelock, Rule};
pub use asked::Asked;
pub use found::Found;
pub use proxy::Proxy;
pub use rules::{BottleRules, FileLine};
