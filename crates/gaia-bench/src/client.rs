//! A client that costs little, because it shares the machine with what it measures.

use std::{net::SocketAddr, time::Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, client::conn::http1::SendRequest, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// One connection, kept open, of one signed-in player.
pub(crate) struct Player {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
    authorization: String,
}

impl Player {
    /// Connects and comes in as a new guest.
    pub(crate) async fn enter(gateway: SocketAddr) -> Result<Self> {
        let mut player = Self::connect(gateway).await?;
        let device = json!({ "device_id": format!("bench-{}", uuid::Uuid::now_v7()) });
        let signed_in = player.post("/v1/players/guest", &device).await?;
        let token = signed_in["access_token"].as_str().context("no token came")?;
        player.authorization = format!("Bearer {token}");
        Ok(player)
    }

    /// Connects without signing in.
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        spawn(async move {
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            authority: address.to_string(),
            authorization: String::new(),
        })
    }

    /// The access token.
    pub(crate) fn token(&self) -> &str {
        self.authorization.trim_start_matches("Bearer ")
    }

    /// `GET`, read whole. Fails on a refusal.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Bytes> {
        let request = self.request("GET", path).body(Full::default())?;
        whole(self.send(request).await?).await
    }

    /// `POST` with JSON, read whole. Fails on a refusal.
    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        let request = self
            .request("POST", path)
            .header(header::CONTENT_TYPE, "application/json");
        let request = request.body(Full::from(body.to_string()))?;
        Ok(serde_json::from_slice(&whole(self.send(request).await?).await?)?)
    }

    /// `POST` with JSON, the answer read as events to its end. Says when each mark was first seen.
    pub(crate) async fn post_streamed(
        &mut self,
        path: &str,
        body: &Value,
        marks: &[&[u8]],
    ) -> Result<Vec<Option<Instant>>> {
        let request = self
            .request("POST", path)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "text/event-stream");
        let answer = self.send(request.body(Full::from(body.to_string()))?).await?;
        if !answer.status().is_success() {
            let refusal = whole(answer).await;
            bail!("not a stream: {refusal:?}");
        }
        let mut body = answer.into_body();
        let mut seen = Vec::new();
        let mut first = vec![None; marks.len()];
        while let Some(frame) = body.frame().await {
            if let Some(data) = frame?.data_ref() {
                seen.extend_from_slice(data);
                for (mark, first) in marks.iter().zip(&mut first) {
                    if first.is_none() && contains(&seen, mark) {
                        *first = Some(Instant::now());
                    }
                }
            }
        }
        let is_whole = contains(&seen, b"event: final") || contains(&seen, b"[DONE]");
        let last = String::from_utf8_lossy(&seen[seen.len().saturating_sub(300)..]);
        if !is_whole {
            bail!("the stream has no end: {last}");
        }
        Ok(first)
    }

    fn request(&self, method: &str, path: &str) -> hyper::http::request::Builder {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.authority);
        if self.authorization.is_empty() {
            request
        } else {
            request.header(header::AUTHORIZATION, &self.authorization)
        }
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }
}

async fn whole(answer: Response<Incoming>) -> Result<Bytes> {
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    if !status.is_success() {
        bail!("{status}: {}", String::from_utf8_lossy(&body));
    }
    Ok(body)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Runs something beside the measurement; it ends with the program.
pub(crate) fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
    #[expect(clippy::disallowed_methods, reason = "a benchmark has no shutdown to wait for")]
    tokio::spawn(task)
}
