//! What the audit trail says that a manifest should become: [`learn`] adds what was refused and is needed, [`tighten`]
//! takes away what was never used.
//!
//! Both make a new text of the manifest, by edits that keep the rest of it ([`crate::yaml::edit`]), and try it before
//! they show it: the caller resolves the text as `render` does, and both proxies' verdict is asked about every request
//! that matters. What fails is left out, and said.

mod asked;
mod candidate;
mod change;
mod learn;
mod path_shape;
mod propose;
mod tighten;
mod usage;

pub use asked::Asked;
pub use candidate::{Candidate, Judge};
pub use change::{Change, changes, no_rule_refused};
pub use learn::{Addition, Learned, NotSuggested, PatternOffer, Wanted, learn};
pub use propose::{Proposed, RouteWanted, route_for, with_route};
pub use tighten::{Conditions, Kept, Reduction, TightenError, Tightened, shown, tighten};
pub use usage::{Request, Span, Unknown, Usage};
