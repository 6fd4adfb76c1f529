//! Stage 10: through pipelock, always. Nothing is sent twice unless surely nothing of it was processed (the pool
//! knows), and what goes out is the target that was decided on.

use super::{
    block,
    connect::{ConnectError, ThroughPipelock, Way},
    failure::Failure,
    rules::Rules,
};
use crate::intercept::{Body, Pool, PoolLimits, SendError};
use crate::policy::{Grant, Intent, Reason, Refusal, Route};
use http::{Request, Response, Uri};
use std::sync::Arc;

/// The way out.
pub(super) struct Forward(Pool<ThroughPipelock>);

impl Forward {
    pub(super) fn new() -> Self {
        Self(Pool::new(ThroughPipelock, PoolLimits::default()))
    }

    /// Connections of older generations are not used again.
    pub(super) fn forget(&self) {
        self.0.clear();
    }

    /// Sends the request; its fields are those that leave.
    pub(super) async fn send(
        &self,
        rules: &Rules,
        grant: &Grant<'_>,
        intent: &Intent,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, Failure> {
        let inspected = rules.inspects(grant.route);
        *request.uri_mut() = uri(intent)?;
        let way = Way {
            scheme: intent.scheme,
            authority: intent.authority.clone(),
            inspected,
            trust: Arc::clone(&rules.trust),
        };
        let response = self.0.send(&way, request).await.map_err(|error| failure(error, grant.route))?;
        block::of_response(response, grant.route, inspected).await
    }
}

/// The bytes that were matched are the bytes that are sent, or nothing is.
fn uri(intent: &Intent) -> Result<Uri, Refusal> {
    let authority = if intent.authority.port == intent.scheme.default_port() {
        intent.authority.host.to_string()
    } else {
        intent.authority.to_string()
    };
    let target = intent.target.to_string();
    Uri::builder()
        .scheme(intent.scheme.as_str())
        .authority(authority)
        .path_and_query(target.as_str())
        .build()
        .ok()
        .filter(|uri| uri.path_and_query().is_some_and(|sent| sent.as_str() == target))
        .ok_or_else(|| {
            Refusal::new(
                Reason::MalformedTarget,
                "the target holds characters that must be percent-encoded; retrying does not help",
            )
        })
}

fn failure(error: SendError<ConnectError>, route: &Route) -> Failure {
    let (reason, message) = match error {
        SendError::Connect(error) => return block::of_connect(&error, route),
        SendError::RequestBody(error) => return Failure::of_body(&error),
        SendError::Handshake(_) | SendError::Send(_) => (Reason::UpstreamUnreachable, error.to_string()),
        SendError::Response(_) | SendError::Upgrade | SendError::NotAbsolute => {
            (Reason::UpstreamInvalid, error.to_string())
        }
    };
    let refusal = Refusal {
        rule: Some(route.id.clone()),
        source: Some(route.source.clone()),
        ..Refusal::new(reason, format!("{}: {message}; try again later", route.host)).retryable()
    };
    refusal.into()
}
