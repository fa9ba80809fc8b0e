//! A server of feeds on loopback that does what feeds' servers do, on good days and bad ones.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use tokio::net::TcpListener;

/// What is answered at one path.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The status; 0 is 200.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
    /// The page's version. Who has it already gets 304 and no body.
    pub etag: Option<&'static str>,
}

impl Page {
    /// A body and nothing else.
    #[must_use]
    pub fn of(body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }

    /// Leads elsewhere.
    #[must_use]
    pub fn redirect(to: &str) -> Self {
        Self {
            status: 302,
            headers: vec![("location", to.to_owned())],
            ..Self::default()
        }
    }
}

/// The server. It ends with the test's runtime.
#[derive(Clone)]
pub struct FeedServer {
    url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    pages: Mutex<HashMap<String, Page>>,
    asked: Mutex<Vec<(String, HeaderMap)>>,
}

impl FeedServer {
    /// Starts it on a free port.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound port"));
        crate::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { url, shared }
    }

    /// The address of a path that begins with `/`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Puts a page at a path.
    pub fn put(&self, path: &str, page: Page) {
        held(&self.shared.pages).insert(path.to_owned(), page);
    }

    /// The headers with which a path was asked, once for each time.
    #[must_use]
    pub fn asked(&self, path: &str) -> Vec<HeaderMap> {
        let asked = held(&self.shared.asked);
        let of_path = asked.iter().filter(|(known, _)| known == path);
        of_path.map(|(_, headers)| headers.clone()).collect()
    }
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().to_owned();
    let known = headers.get(header::IF_NONE_MATCH).cloned();
    held(&shared.asked).push((path.clone(), headers));
    let Some(page) = held(&shared.pages).get(&path).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let etag = page.etag.map(HeaderValue::from_static);
    if known.is_some() && known == etag {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let status = StatusCode::from_u16(page.status.max(200)).unwrap_or_default();
    let mut response = (status, page.body).into_response();
    response.headers_mut().remove(header::CONTENT_TYPE);
    for (name, value) in page.headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    if let Some(etag) = etag {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}
