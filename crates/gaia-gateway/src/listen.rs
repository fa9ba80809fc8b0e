//! A game's port: accepting, bounding and draining connections.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderName, HeaderValue, Method, Request, header},
};
use gaia_protocol::{ErrorCode, Fault};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tower::{Layer, util::option_layer};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::{
    asked::Asked,
    edge,
    game::Shared,
    openai,
    patient::Patient,
    problem::{PROBLEM_JSON, Problem},
    routes,
    seats::{MOST, MOST_FROM_ONE_ADDRESS, Seat, Seats},
};

/// How long a request's head may take to arrive, and how long a connection may be idle between two.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How many headers a request may have.
const MOST_HEADERS: usize = 64;
/// How much of a head is read at most, and how much of an answer is held.
const BUFFER: usize = 16 * 1024;
/// How many connections may wait to be accepted.
const BACKLOG: u32 = 4_096;
/// One game's port, as all its connections share it.
struct Port {
    game: Shared,
    router: Router,
    cors: Option<CorsLayer>,
    seats: Seats,
    http: http1::Builder,
}

/// Listens for one game's players until the tasks drain. Returns where.
pub(crate) fn serve(
    game: &Shared,
    router: Router,
    address: SocketAddr,
    shares_port: bool,
    cors_origins: &[String],
) -> io::Result<SocketAddr> {
    let listener = bind(address, shares_port)?;
    let bound = listener.local_addr()?;
    let open = metrics::gauge!("gaia_open_connections", "game" => game.id.to_string());
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(MOST_HEADERS)
        .max_buf_size(BUFFER);
    let port = Arc::new(Port {
        game: game.clone(),
        router,
        cors: cors(cors_origins),
        seats: Seats::new(MOST, MOST_FROM_ONE_ADDRESS, open),
        http,
    });
    game.tasks.spawn(accept(port, listener));
    Ok(bound)
}

fn bind(address: SocketAddr, shares_port: bool) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    if shares_port {
        socket.set_reuseport(true)?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept(port: Arc<Port>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = port.game.tasks.draining() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Mostly "too many open files": the connection stays in the backlog until there is room.
                tracing::warn!(game.name = %port.game.id, error = %error, "a connection was not accepted: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(seat) = port.seats.take(peer.ip()) else {
            refuse(&port, &stream);
            continue;
        };
        let port = Arc::clone(&port);
        let tasks = port.game.tasks.clone();
        tasks.spawn(async move { connection(&port, stream, peer, seat).await });
    }
}

fn refuse(port: &Port, stream: &TcpStream) {
    metrics::counter!("gaia_connections_refused_total", "game" => port.game.id.to_string()).increment(1);
    // Whether it arrives is the client's luck; waiting for it would need the seat that is not there.
    let _ = stream.try_write(full().as_bytes());
}

/// What a client gets where all seats are taken. There is no request yet, so there is no id.
fn full() -> String {
    let fault = Fault::from(ErrorCode::Overloaded);
    let body = Problem::of(&fault, "").to_json();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {PROBLEM_JSON}\r\nretry-after: 1\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn connection(port: &Arc<Port>, stream: TcpStream, peer: SocketAddr, seat: Arc<Seat>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let shared = Arc::clone(port);
    let answer = tower::service_fn(move |request: Request<Incoming>| {
        let (port, seat) = (Arc::clone(&shared), Arc::clone(&seat));
        async move { Ok::<_, Infallible>(one(&port, peer, seat, request).await) }
    });
    let answer = option_layer(port.cors.clone()).layer(answer);
    let io = TokioIo::new(Patient::new(stream));
    let connection = port
        .http
        .serve_connection(io, TowerToHyperService::new(answer))
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let mut is_draining = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error = %error, "a connection ended: {error}");
                }
                return;
            }
            () = port.game.tasks.draining(), if !is_draining => {
                is_draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = port.game.tasks.stopping() => return,
        }
    }
}

async fn one(port: &Port, peer: SocketAddr, seat: Arc<Seat>, request: Request<Incoming>) -> axum::response::Response {
    let route = routes::of(request.uri().path());
    let asked = Asked::new(request.headers(), peer.ip(), request.method(), route.pattern);
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(seat);
    edge::answer(port.router.clone(), Some(&port.game.id), route, asked, request).await
}

/// Which pages in browsers may call. Tokens travel in a header of their own, so no credentials are allowed.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    let name = HeaderName::from_static;
    Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
            .allow_headers(
                [
                    header::AUTHORIZATION,
                    header::CONTENT_TYPE,
                    header::ACCEPT,
                    name("last-event-id"),
                    name("x-request-id"),
                    name("traceparent"),
                ]
                .into_iter()
                .chain(openai::CLIENT_HEADERS.map(name))
                .collect::<Vec<_>>(),
            )
            .expose_headers([
                header::LOCATION,
                header::RETRY_AFTER,
                header::WWW_AUTHENTICATE,
                name("x-request-id"),
                name("x-ratelimit-limit-requests"),
                name("x-ratelimit-remaining-requests"),
                name("x-ratelimit-reset-requests"),
            ])
            .max_age(Duration::from_secs(3_600)),
    )
}
