//! `WS /v1/realtime`: the way onto the socket. What is said on it is in [`talk`].

mod talk;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use gaia_protocol::ErrorCode;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

use self::talk::Talk;
use crate::{
    asked::Asked,
    caller::{admitted, bearer},
    game::Shared,
    patient::Patient,
    problem::Refusal,
    seats::Seat,
};

/// The largest message that a client may send, in bytes.
pub(crate) const LARGEST_MESSAGE: usize = 32 * 1024;
/// What an idle socket keeps for reading. It grows with a larger message.
const READ_BUFFER: usize = 512;
/// What may wait to be written before the socket is given up.
const LARGEST_BACKLOG: usize = 1024 * 1024;
/// How long the connection may take to become a socket.
const UPGRADE_TIME: Duration = Duration::from_secs(10);

/// Opens a socket. Who has a token may send it as a header, where the client can.
pub(crate) async fn open(
    State(game): State<Shared>,
    asked: Asked,
    seat: Option<Extension<Arc<Seat>>>,
    mut request: Request,
) -> Result<Response, Refusal> {
    let Some(key) = accept_key(request.method(), request.headers()) else {
        return Err(Refusal::new(
            ErrorCode::BadRequest,
            "This path is a WebSocket (RFC 6455, version 13); see /asyncapi.json.",
        ));
    };
    let who = match bearer(request.headers())? {
        Some(token) => Some(admitted(&game, &asked, token).await?),
        None => None,
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let talk = {
        let game = Arc::clone(&game);
        async move {
            // The seat stays taken for as long as the socket is open.
            let _seat = seat;
            let Ok(Ok(upgraded)) = tokio::time::timeout(UPGRADE_TIME, upgraded).await else {
                return;
            };
            // The connection's own type comes back, so that a socket costs no more than its stream.
            let Ok(parts) = upgraded.downcast::<TokioIo<Patient>>() else {
                return;
            };
            let socket = WebSocketStream::from_partially_read(
                parts.io.into_inner(),
                parts.read_buf.to_vec(),
                Role::Server,
                Some(config()),
            )
            .await;
            Talk::new(socket, game, asked).run(who).await;
        }
    };
    game.tasks.spawn(talk);
    Ok(switching(&key))
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(LARGEST_BACKLOG)
        .max_message_size(Some(LARGEST_MESSAGE))
        .max_frame_size(Some(LARGEST_MESSAGE))
}

fn switching(key: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(key) = HeaderValue::from_str(key) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    }
    response
}

/// What proves to the client that we took its request for a socket as one; none if it is not one.
fn accept_key(method: &Method, headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name)?.to_str().ok();
    let names = |list: &str, word: &str| list.split(',').any(|item| item.trim().eq_ignore_ascii_case(word));
    let is_socket = method == Method::GET
        && names(text(header::CONNECTION)?, "upgrade")
        && names(text(header::UPGRADE)?, "websocket")
        && text(header::SEC_WEBSOCKET_VERSION)? == "13";
    is_socket.then(|| Some(derive_accept_key(text(header::SEC_WEBSOCKET_KEY)?.as_bytes())))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_a_socket_is_answered_as_the_standard_says() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::CONNECTION, "keep-alive, Upgrade"),
            (header::UPGRADE, "WebSocket"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
            (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        // The example of RFC 6455, section 1.3.
        let key = accept_key(&Method::GET, &headers);
        assert_eq!(key.as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(accept_key(&Method::POST, &headers), None);
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("8"));
        assert_eq!(accept_key(&Method::GET, &headers), None);
    }
}
