//! What an agent may request: names, paths, rules, and one decision function.
//!
//! No I/O, no clock, no other module of the crate. A request becomes an [`Intent`] by [`Intent::read`], which gives
//! host and target the one canonical form that is matched *and* sent or refuses them, and [`Policy::decide`] answers
//! with a [`MatchedRule`] or a [`Refusal`]. The proxy, `explain`, `test` and `diff` call these same two functions.
//!
//! What the types promise:
//!
//! * a [`Host`] is a lower-case A-label name, never an address; hosts are compared whole, and a [`HostPattern`] names one,
//!   or all that are exactly one label below another;
//! * a [`CanonicalPath`] has one reading on every server, under the [`PathRules`] of its route;
//! * a [`PathPattern`] matches whole segments;
//! * a [`GitOperation`] is a push if any plausible reading of the request is one;
//! * an empty list allows nothing.

mod content;
mod decide;
mod decoding;
mod deny_path;
mod fields;
mod git;
mod graphql;
mod host;
mod host_pattern;
mod intent;
mod json;
mod listed;
mod method;
mod model_apis;
mod near_names;
mod nearest;
mod path;
mod pattern;
mod push;
mod query;
mod read_content;
mod refusal;
mod route;
mod rpc;
mod rule;
mod rules;
mod secret_rules;
mod smart_push;
mod target;
#[cfg(test)]
pub(crate) mod testing;
mod upgrade;
mod written;

pub use content::{Below, ContentRules};
pub use decide::MatchedRule;
pub use deny_path::DenyPath;
pub use fields::{
    CREDENTIAL_FIELDS, ClientCredentials, ClientFields, HOST_OVERRIDES, METHOD_OVERRIDES, PATH_OVERRIDES,
    UNREAD_BY_PIPELOCK, is_credential_parameter, passes_beside_a_credential, passing_classes, same_variable,
};
pub use git::{GitOperation, LfsError};
pub use graphql::{GraphqlFault, GraphqlOperation, GraphqlRule};
pub use host::{Authority, Host, HostError, INTERNAL_HOST};
pub use host_pattern::{HostPattern, HostPatternError};
pub use intent::{Intent, Scheme};
pub use method::{LONGEST_METHOD, Method, MethodError};
pub use model_apis::{is_model_api, model_apis};
pub use nearest::{Difference, Nearest};
pub use path::{CanonicalPath, PathError, PathRules};
pub use pattern::{PathPattern, PathPatternError, PathPatternProblem, covers_all};
pub use push::{
    DEFAULT_MAX_PACK, LARGEST_MAX_PACK, PushRules, RefChange, RefName, RefNameError, RefPattern,
    RefPatternError, size,
};
pub use query::{QueryFault, QueryRule};
pub use read_content::Content;
pub use refusal::{Basis, Reason, Refusal, USUAL_METHODS};
pub use route::Route;
pub use rpc::{RpcFault, RpcRule};
pub use rule::{Auth, HostRule, OnSecret};
pub use rules::{Policy, PolicyError};
pub use secret_rules::{
    LARGEST_SECRET_RULES, SecretAllow, SecretRule, SecretRules, SecretRulesError, SecretTarget,
    expression as secret_expression,
};
pub use smart_push::SmartPush;
pub use target::Target;
pub use upgrade::{Asked, upgrade};
pub use written::{WrittenRequest, WrittenRequestError};
