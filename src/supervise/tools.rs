//! The tools of the MCP server.

use super::rules::{Rules, RulesFile};
use super::{Ask, FailedAsk, ProposalId, RouteAsk, Status, Store, field};
use crate::clock::Clock;
use crate::policy::WrittenRequest;
use rmcp::ErrorData;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, JsonObject,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

/// How often a decision is looked for.
const LOOK: Duration = Duration::from_millis(250);
/// Calls that wait for a decision at once; one more is answered at once.
const WAITING: usize = 16;

/// Characters of what is wrong with the arguments of a call.
const LONGEST_ERROR: usize = 300;

/// What every call has.
#[derive(Clone)]
pub(super) struct Tools {
    store: Arc<Store>,
    rules: Arc<RulesFile>,
    clock: Clock,
    /// How long a call waits for a decision.
    patience: Duration,
    waiting: Arc<Semaphore>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ExplainArgs {
    /// The method: GET.
    method: String,
    /// The whole URL.
    url: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StatusArgs {
    /// The id that the proposal was given.
    id: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoArgs {}

const PROPOSE_ROUTE: &str = "egress-proxy-block";
const PROPOSE_URL: &str = "pipelock-block";
const LIST: &str = "list-egress-proxy-routes";
const EXPLAIN: &str = "explain";
const STATUS: &str = "request-status";

const INSTRUCTIONS: &str = "\
You work in a sealed network. What its rules refuse, a person can allow: propose the narrowest rule that will do, with one \
line that says why. Asking allows nothing. A call waits up to half a minute for the person; `pending` means that nobody has \
decided yet: go on with something else and ask request-status later. Do not ask for the same again after `rejected`.";

impl Tools {
    pub(super) fn new(store: Store, rules: RulesFile, clock: Clock, patience: Duration) -> Self {
        let (store, rules, waiting) = (Arc::new(store), Arc::new(rules), Arc::new(Semaphore::new(WAITING)));
        Self { store, rules, clock, patience, waiting }
    }

    async fn call(&self, name: &str, arguments: Value) -> Result<Value, Said> {
        match name {
            PROPOSE_ROUTE => self.propose(Ask::EgressProxyBlock(read::<RouteAsk>(arguments)?)).await,
            PROPOSE_URL => self.propose(Ask::PipelockBlock(read::<FailedAsk>(arguments)?)).await,
            LIST => {
                let NoArgs {} = read(arguments)?;
                Ok(self.rules()?.list()?)
            }
            EXPLAIN => {
                let ExplainArgs { method, url } = read(arguments)?;
                field::check("method", &method, field::WORD).map_err(Said::Theirs)?;
                field::check("url", &url, field::URL).map_err(Said::Theirs)?;
                let asked = WrittenRequest::parse(&method, &url, Vec::new());
                let asked = asked.map_err(|problem| Said::Theirs(problem.to_string()))?;
                Ok(self.rules()?.explain(&asked, self.clock.today())?)
            }
            STATUS => {
                let StatusArgs { id } = read(arguments)?;
                let id: ProposalId =
                    id.parse().map_err(|error: super::id::NotAnId| Said::Theirs(error.to_string()))?;
                Ok(answer(&id, &self.store.status(&id)?))
            }
            _ => Err(Said::Theirs("there is no such tool".to_owned())),
        }
    }

    /// Takes a proposal, and waits a while for what a person says.
    async fn propose(&self, ask: Ask) -> Result<Value, Said> {
        let config = self.rules()?.hash.clone();
        let id = self.store.take(ask, &config).map_err(|refused| match refused {
            super::Refused::Folder(error) => Said::from(error),
            other => Said::Theirs(other.to_string()),
        })?;
        tracing::info!(%id, "a proposal waits for a person");
        let until = Instant::now() + self.patience;
        let slot = self.waiting.try_acquire();
        loop {
            let status = self.store.status(&id)?;
            let now = Instant::now();
            if matches!(status, Status::Decided(_) | Status::Unknown) || now >= until || slot.is_err() {
                return Ok(answer(&id, &status));
            }
            sleep_until(until.min(now + LOOK)).await;
        }
    }

    fn rules(&self) -> Result<Arc<Rules>, Said> {
        Ok(self.rules.load()?)
    }
}

fn answer(id: &ProposalId, status: &Status) -> Value {
    match status {
        Status::Pending => json!({
            "status": "pending",
            "id": id,
            "notes": "nobody has decided yet; go on with something else, and ask request-status later",
        }),
        Status::Failed(decision) => json!({
            "status": "pending",
            "id": id,
            "notes": decision.notes,
        }),
        Status::Decided(decision) => json!({
            "status": decision.verdict,
            "id": id,
            "notes": decision.notes,
        }),
        Status::Unknown => json!({
            "status": "unknown",
            "id": id,
            "notes": "there is no such proposal, or its decision is long ago",
        }),
    }
}

/// Why a call fails.
enum Said {
    /// Something is wrong with what was asked.
    Theirs(String),
    /// Something is wrong here; a person reads the log.
    Ours(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Said {
    fn from(error: E) -> Self {
        Self::Ours(error.into())
    }
}

/// The arguments of a tool. What serde says names fields, which may be the agent's own words.
fn read<T: DeserializeOwned>(arguments: Value) -> Result<T, Said> {
    let read = serde_path_to_error::deserialize(arguments);
    read.map_err(|error| {
        let said: String = error.to_string().chars().take(LONGEST_ERROR).collect();
        Said::Theirs(crate::printable::printable_name(&said).into_owned())
    })
}

fn tool<T: JsonSchema>(name: &'static str, description: &'static str) -> Tool {
    let schema = schemars::SchemaGenerator::default().into_root_schema_for::<T>();
    let schema = match schema.to_value() {
        Value::Object(members) => members,
        _ => JsonObject::new(),
    };
    Tool::new(name, description, schema)
}

fn tools() -> Vec<Tool> {
    vec![
        tool::<RouteAsk>(
            PROPOSE_ROUTE,
            "Propose a rule for a host that egress-proxy refused (403, X-Bottle-Verdict: deny), or more paths or methods \
             for one that has a rule. A person decides.",
        ),
        tool::<FailedAsk>(
            PROPOSE_URL,
            "Tell a person about a URL that pipelock, the second proxy, blocked. The person sees which rule stopped it and \
             what would allow it, and decides.",
        ),
        tool::<NoArgs>(LIST, "What you may request: hosts, paths, methods, names of credentials."),
        tool::<ExplainArgs>(
            EXPLAIN,
            "What would become of a request, by which rule, and what is allowed on that host.",
        ),
        tool::<StatusArgs>(
            STATUS,
            "Where a proposal stands: pending, approved, modified or rejected, with notes.",
        ),
    ]
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("bottle", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        Ok(match self.call(&request.name, arguments).await {
            Ok(value) => CallToolResult::structured(value).into(),
            Err(Said::Theirs(why)) => CallToolResult::error(vec![ContentBlock::text(why)]).into(),
            Err(Said::Ours(error)) => {
                tracing::error!(error = format!("{error:#}"), "a call failed");
                return Err(ErrorData::internal_error("supervise can't answer; its log says why", None));
            }
        })
    }
}
