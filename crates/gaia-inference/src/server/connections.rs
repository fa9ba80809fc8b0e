//! Accepting connections, a bounded number at once, and letting them end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::{DRAIN, ServeError};

/// How long a client may take over a request's head, the wait for the next request on the same connection included.
const HEAD_LIMIT: Duration = Duration::from_secs(60);

/// Serves until `ended` resolves, then lets what runs end.
pub(super) async fn accept(
    listener: TcpListener,
    router: Router,
    connections: usize,
    ended: impl Future<Output = Result<(), ServeError>>,
) -> Result<(), ServeError> {
    let places = Arc::new(Semaphore::new(connections.max(1)));
    let graceful = GracefulShutdown::new();
    let mut tasks = JoinSet::new();
    let mut ended = std::pin::pin!(ended);
    let outcome = loop {
        let accepted = tokio::select! {
            outcome = &mut ended => break outcome,
            accepted = next(&listener, &places) => accepted,
        };
        while tasks.try_join_next().is_some() {}
        let Some((stream, place)) = accepted else { continue };
        // Small answers should not wait for more to send; a failure here only makes them slower.
        let _ = stream.set_nodelay(true);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_LIMIT)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let watched = graceful.watch(connection);
        tasks.spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!("a connection ended early: {error}");
            }
            drop(place);
        });
    };
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were cut off after {} s", DRAIN.as_secs());
    }
    tasks.shutdown().await;
    outcome
}

/// The next connection, once there is a place for it.
async fn next(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            // Out of file descriptors, mostly: trying again at once would only burn the processor.
            tracing::warn!("a connection was not accepted: {error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}
