//! How clients reach a server: over this process's standard streams, or over streamable HTTP.

use std::{future::Future, io, net::IpAddr, sync::Arc, time::Duration};

use axum::Router;
use rmcp::{
    ServiceExt,
    service::ServerInitializeError,
    transport::{
        async_rw::AsyncRwTransport,
        io::stdio_pipes,
        streamable_http_server::{
            StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
        },
    },
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::limit::ConcurrencyLimitLayer;

use crate::ToolServer;

/// The longest message that a client may send, in bytes.
const LONGEST_MESSAGE: usize = 256 * 1024;
/// How many HTTP requests are worked on at once; the others wait.
const REQUESTS_AT_ONCE: usize = 256;
/// How long calls in hand may take when the server is told to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// Why a server cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeFault {
    /// The client did not begin as the protocol says.
    #[error("the client on standard input did not begin as MCP says")]
    Begin(#[source] Box<ServerInitializeError>),
    /// The task that served the client broke.
    #[error("serving the client on standard input broke off")]
    Broke(#[source] tokio::task::JoinError),
    /// The listener failed.
    #[error("serving HTTP broke off")]
    Http(#[source] io::Error),
}

/// Serves one client over standard input and output until it closes them, or until `stop` resolves.
///
/// # Errors
///
/// If the client does not speak MCP.
pub async fn stdio(server: ToolServer, stop: impl Future<Output = ()>) -> Result<(), ServeFault> {
    let (reader, writer) = stdio_pipes();
    let transport = AsyncRwTransport::new_server(reader, writer).with_max_line_length(LONGEST_MESSAGE);
    tokio::pin!(stop);
    let running = tokio::select! {
        begun = server.serve(transport) => match begun {
            Ok(running) => running,
            // A client that goes before it has said anything has nothing to complain about.
            Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
            Err(fault) => return Err(ServeFault::Begin(Box::new(fault))),
        },
        () = &mut stop => return Ok(()),
    };
    let stopping = running.cancellation_token();
    let waiting = running.waiting();
    tokio::pin!(waiting);
    let ended = tokio::select! {
        ended = &mut waiting => ended,
        () = &mut stop => {
            stopping.cancel();
            waiting.await
        }
    };
    ended.map(|_| ()).map_err(ServeFault::Broke)
}

/// The web pages of a host. A host without a port has any.
fn origins(host: &str) -> [String; 2] {
    let authority = match host.parse() {
        Ok(IpAddr::V6(address)) => format!("[{address}]:*"),
        _ if host.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok()) => host.to_owned(),
        _ => format!("{host}:*"),
    };
    ["http", "https"].map(|scheme| format!("{scheme}://{authority}"))
}

/// Serves any number of clients over streamable HTTP at `/mcp` until `stop` resolves. Every request stands alone, in
/// both revisions, so nothing is kept for clients that went away. Only requests that name one of `hosts` (such as
/// `localhost` or `weather.internal:8080`) are answered, and of web pages only theirs, so that none can reach it by a
/// name of its own.
///
/// # Errors
///
/// If the listener fails.
pub async fn http(
    server: ToolServer,
    listener: TcpListener,
    hosts: &[String],
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeFault> {
    let stopping = CancellationToken::new();
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(LONGEST_MESSAGE)
        .with_allowed_hosts(hosts)
        .with_allowed_origins(hosts.iter().flat_map(|host| origins(host)))
        .enforce_origin_validation()
        .with_cancellation_token(stopping.clone());
    let sessions = Arc::new(NeverSessionManager::default());
    let service = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
    let router = Router::new()
        .route_service("/mcp", service)
        .layer(ConcurrencyLimitLayer::new(REQUESTS_AT_ONCE));
    let told = CancellationToken::new();
    let draining = told.clone();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
        stop.await;
        draining.cancel();
    });
    let late = async {
        told.cancelled().await;
        tokio::time::sleep(DRAIN).await;
        stopping.cancel();
    };
    tokio::select! {
        ended = serving => ended.map_err(ServeFault::Http),
        () = late => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_of_a_host_are_those_of_its_port_where_it_names_one() {
        for (host, page) in [
            ("localhost", "http://localhost:*"),
            ("::1", "http://[::1]:*"),
            ("127.0.0.1", "http://127.0.0.1:*"),
            ("weather.internal:8080", "http://weather.internal:8080"),
        ] {
            assert_eq!(origins(host)[0], page);
        }
    }
}
