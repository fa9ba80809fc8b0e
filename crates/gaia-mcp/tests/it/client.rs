//! A client in this process, and servers that listen.

use gaia_mcp::ToolServer;
use rmcp::{
    RoleClient, ServiceExt,
    model::{CallToolRequestParams, CallToolResult, Tool},
    service::RunningService,
};
use serde_json::Value;
use tokio::net::TcpListener;

/// A client that is connected to a server.
pub(crate) struct TestClient {
    running: RunningService<RoleClient, ()>,
}

impl TestClient {
    pub(crate) async fn of(server: ToolServer) -> Self {
        let (near, far) = tokio::io::duplex(64 * 1024);
        beside(async move {
            let _ = server.serve(far).await.unwrap().waiting().await;
        });
        let running = ().serve(near).await.unwrap();
        Self { running }
    }

    pub(crate) async fn tools(&self) -> Vec<Tool> {
        self.running.list_all_tools().await.unwrap()
    }

    pub(crate) async fn raw(&self, tool: &str, arguments: Value) -> CallToolResult {
        let mut call = CallToolRequestParams::new(tool.to_owned());
        call.arguments = arguments.as_object().cloned();
        self.running.call_tool(call).await.unwrap()
    }

    /// What a tool answers, as data, after a look at whether it is what the tool said it would be.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Value {
        let result = self.raw(tool, arguments).await;
        assert_ne!(result.is_error, Some(true), "{result:?}");
        let content = result.structured_content.clone().unwrap();
        let tools = self.tools().await;
        let listed = tools.iter().find(|listed| listed.name == tool).unwrap();
        let schema = Value::Object((**listed.output_schema.as_ref().unwrap()).clone());
        let faults: Vec<_> = jsonschema::validator_for(&schema)
            .unwrap()
            .iter_errors(&content)
            .map(|fault| format!("{fault} at {}", fault.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{faults:?} in {content}");
        content
    }

    /// The text beside the data.
    pub(crate) async fn text(&self, tool: &str, arguments: Value) -> String {
        text(&self.raw(tool, arguments).await)
    }

    /// Why a tool gives no answer.
    pub(crate) async fn refusal(&self, tool: &str, arguments: Value) -> String {
        let result = self.raw(tool, arguments).await;
        assert_eq!(result.is_error, Some(true), "{result:?}");
        text(&result)
    }

    /// Why a call is no call at all.
    pub(crate) async fn fault(&self, tool: &str) -> String {
        let call = CallToolRequestParams::new(tool.to_owned());
        self.running.call_tool(call).await.unwrap_err().to_string()
    }
}

fn text(result: &CallToolResult) -> String {
    result.content[0].as_text().unwrap().text.clone()
}

/// A server that listens on a free port of loopback until the test ends.
pub(crate) async fn listening(server: ToolServer) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let hosts = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    beside(async move {
        gaia_mcp::http(server, listener, &hosts, std::future::pending())
            .await
            .unwrap();
    });
    format!("http://{address}/mcp")
}

/// Runs something beside a test; it ends with the test's runtime.
pub(crate) fn beside(task: impl Future<Output = ()> + Send + 'static) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's runtime ends with the test, and everything on it"
    )]
    drop(tokio::spawn(task));
}
