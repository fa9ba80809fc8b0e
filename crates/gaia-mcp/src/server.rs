//! One server: its tools, what they take and answer, and how they refuse.

use std::{borrow::Cow, future::Future, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    handler::server::tool::{schema_for_input, schema_for_output},
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, JsonObject,
        ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
    },
    schemars::JsonSchema,
    service::RequestContext,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::sync::Semaphore;

/// How many calls are worked on at once; the others wait.
const CALLS_AT_ONCE: usize = 32;
/// How long a call may take, waiting included.
const LONGEST_CALL: Duration = Duration::from_secs(20);
/// The largest answer, in bytes of JSON.
const LARGEST_ANSWER: usize = 128 * 1024;
/// For how long a client may keep the list of tools: it changes only with the program.
const LIST_KEEPS: Duration = Duration::from_secs(3600);

/// One MCP server. Clones share everything.
#[derive(Clone)]
pub struct ToolServer(Arc<Inner>);

struct Inner {
    config: ServerConfig,
    offers: Vec<Offer>,
    room: Semaphore,
}

struct Offer {
    tool: Tool,
    run: Run,
}

type Run = Box<dyn Fn(JsonObject) -> BoxFuture<'static, Result<Written, Refusal>> + Send + Sync>;

/// What a model is told about a tool.
pub(crate) struct About {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) description: &'static str,
    /// Whether the answer comes from elsewhere.
    pub(crate) is_open_world: bool,
}

/// What a tool answers: a short text for models, and the same as data.
pub(crate) struct Answer<T> {
    pub(crate) text: String,
    pub(crate) content: T,
}

struct Written {
    text: String,
    content: Value,
}

/// Why a tool gives no answer, and what to do about it, in one or two sentences that a model can act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) Cow<'static, str>);

impl Refusal {
    pub(crate) fn new(why: impl Into<Cow<'static, str>>) -> Self {
        Self(why.into())
    }
}

/// A server that is being put together.
pub(crate) struct Builder {
    config: ServerConfig,
    offers: Vec<Offer>,
}

impl Builder {
    pub(crate) fn new(name: &str, title: &str, instructions: &str) -> Self {
        let mut this = Implementation::new(format!("gaia-{name}"), env!("CARGO_PKG_VERSION"));
        this.title = Some(title.to_owned());
        let config = ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(this)
            .with_instructions(instructions);
        let offers = Vec::new();
        Self { config, offers }
    }

    /// Adds a tool. They are listed in the order in which they are added.
    pub(crate) fn tool<I, O, F>(mut self, about: &About, run: impl Fn(I) -> F + Send + Sync + 'static) -> Self
    where
        I: DeserializeOwned + JsonSchema + 'static,
        O: Serialize + JsonSchema + 'static,
        F: Future<Output = Result<Answer<O>, Refusal>> + Send + 'static,
    {
        let input = schema_for_input::<I>().expect("what a tool takes is an object");
        let annotations = ToolAnnotations::with_title(about.title)
            .read_only(true)
            .destructive(false)
            .idempotent(true)
            .open_world(about.is_open_world);
        let tool = Tool::new(about.name, about.description, input)
            .with_title(about.title)
            .with_annotations(annotations)
            .with_raw_output_schema(schema_for_output::<O>());
        let run: Run = Box::new(move |arguments| {
            let begun = parsed(arguments).map(&run);
            Box::pin(async move {
                let Answer { text, content } = begun?.await?;
                let content = serde_json::to_value(content)
                    .map_err(|fault| Refusal::new(format!("the answer cannot be written: {fault}")))?;
                Ok(Written { text, content })
            })
        });
        self.offers.push(Offer { tool, run });
        self
    }

    pub(crate) fn build(self) -> ToolServer {
        ToolServer(Arc::new(Inner {
            config: self.config,
            offers: self.offers,
            room: Semaphore::new(CALLS_AT_ONCE),
        }))
    }
}

fn parsed<I: DeserializeOwned>(arguments: JsonObject) -> Result<I, Refusal> {
    serde_path_to_error::deserialize(Value::Object(arguments)).map_err(|fault| {
        let place = fault.path().to_string();
        let what = fault.into_inner();
        let text = if place == "." {
            format!("The arguments cannot be used: {what}.")
        } else {
            format!("The argument `{place}` cannot be used: {what}.")
        };
        Refusal::new(text)
    })
}

impl ToolServer {
    fn offer(&self, name: &str) -> Option<&Offer> {
        self.0.offers.iter().find(|offer| offer.tool.name == name)
    }

    async fn answer(&self, offer: &Offer, arguments: JsonObject) -> Result<Written, Refusal> {
        let work = async {
            let _room = self.0.room.acquire().await;
            (offer.run)(arguments).await
        };
        let answer = tokio::time::timeout(LONGEST_CALL, work).await.unwrap_or_else(|_| {
            let seconds = LONGEST_CALL.as_secs();
            Err(Refusal::new(format!("It took over {seconds} s. Try again later.")))
        })?;
        if answer.text.len() + answer.content.to_string().len() > LARGEST_ANSWER {
            return Err(Refusal::new("The answer is too large. Ask for less."));
        }
        Ok(answer)
    }
}

impl ServerHandler for ToolServer {
    fn get_info(&self) -> ServerConfig {
        self.0.config.clone()
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.offer(name).map(|offer| offer.tool.clone())
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.0.offers.iter().map(|offer| offer.tool.clone()).collect();
        let keeps = u64::try_from(LIST_KEEPS.as_millis()).unwrap_or_default();
        Ok(ListToolsResult::with_all_items(tools).with_ttl_ms(keeps))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(offer) = self.offer(&request.name) else {
            let names: Vec<_> = self.0.offers.iter().map(|offer| &*offer.tool.name).collect();
            let text = format!("there is no tool `{}` here, only {}", request.name, names.join(", "));
            return Err(ErrorData::invalid_params(text, None));
        };
        let arguments = request.arguments.unwrap_or_default();
        let answer = tokio::select! {
            answer = self.answer(offer, arguments) => answer,
            () = context.ct.cancelled() => Err(Refusal::new("The call was cancelled.")),
        };
        let result = match answer {
            Ok(answer) => {
                let mut result = CallToolResult::structured(answer.content);
                result.content = vec![ContentBlock::text(answer.text)];
                result
            }
            Err(Refusal(why)) => {
                tracing::info!(tool = %request.name, "`{}` refused: {why}", request.name);
                CallToolResult::error(vec![ContentBlock::text(why)])
            }
        };
        Ok(result.into())
    }
}
