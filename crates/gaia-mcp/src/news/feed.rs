//! One feed: asked only when it is time, only for what is new, and never for more than fits.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::{
    StatusCode,
    header::{ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED},
};
use tokio::sync::Mutex;
use url::Url;

use super::{
    article::Article,
    guard::{Clients, Reached},
    html,
};
use crate::fetch;

/// The largest feed, unpacked, in bytes.
const LARGEST: usize = 4 * 1024 * 1024;
const MOST_ARTICLES: usize = 200;
const LONGEST_NAME: usize = 80;
/// How long a feed is not asked again.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// How long a feed that failed is not asked again.
const REST: Duration = Duration::from_secs(60);

/// A feed and what it said last.
pub(super) struct Feed {
    url: Url,
    clients: Clients,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    articles: Arc<[Article]>,
    name: Option<String>,
    /// What the feed wants to be asked with, to say only that nothing is new.
    conditions: HeaderMap,
    read: Option<Instant>,
    failed: Option<(Instant, String)>,
}

/// What a feed holds now.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) name: String,
    pub(super) articles: Arc<[Article]>,
    /// Why there is nothing, or nothing newer.
    pub(super) fault: Option<String>,
}

impl Feed {
    pub(super) fn new(url: Url, clients: Clients) -> Self {
        let state = Mutex::default();
        Self { url, clients, state }
    }

    /// What the feed holds, read again if it is time. Who asks meanwhile waits for the same reading.
    pub(super) async fn read(&self) -> Held {
        let mut state = self.state.lock().await;
        let is_fresh = state.read.is_some_and(|at| at.elapsed() < FRESH);
        let rests = state.failed.as_ref().is_some_and(|(at, _)| at.elapsed() < REST);
        if !is_fresh && !rests {
            let read = self.read_again(&mut state).await;
            state.failed = read.err().map(|why| (Instant::now(), why));
        }
        let host = self.url.host_str().unwrap_or_default();
        Held {
            name: state.name.clone().unwrap_or_else(|| host.to_owned()),
            articles: Arc::clone(&state.articles),
            fault: state.failed.as_ref().map(|(_, why)| why.clone()),
        }
    }

    async fn read_again(&self, state: &mut State) -> Result<(), String> {
        let Reached { response, url } = self.clients.get(&self.url, &state.conditions).await?;
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED && state.read.is_some() {
            state.read = Some(Instant::now());
            return Ok(());
        }
        if !status.is_success() {
            return Err(format!("it answers with status {}", status.as_u16()));
        }
        let conditions = conditions(response.headers());
        let body = fetch::body(response, LARGEST)
            .await
            .map_err(|fault| fault.to_string())?;
        let host = self.url.host_str().unwrap_or_default().to_owned();
        // A hostile feed may keep the parser busy; other calls go on meanwhile.
        let parsed = tokio::task::spawn_blocking(move || parsed(&body, &url, &host)).await;
        let (name, articles) = parsed.map_err(|_| "it broke the parser".to_owned())??;
        *state = State {
            articles: articles.into(),
            name: Some(name),
            conditions,
            read: Some(Instant::now()),
            failed: None,
        };
        Ok(())
    }
}

fn conditions(answered: &HeaderMap) -> HeaderMap {
    let pairs = [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)];
    let is_short = |value: &&HeaderValue| value.len() <= 500;
    let kept = pairs.into_iter().filter_map(|(given, asked)| {
        let value = answered.get(given).filter(is_short)?;
        Some((asked, value.clone()))
    });
    kept.collect()
}

/// The feed's name and articles.
fn parsed(body: &[u8], url: &Url, host: &str) -> Result<(String, Vec<Article>), String> {
    if declares_entities(body) {
        return Err("it declares entities of its own, which no feed needs and bombs are made of".to_owned());
    }
    let feed = feed_rs::parser::Builder::new()
        .base_uri(Some(url.as_str()))
        .build()
        .parse(body)
        .map_err(|fault| {
            let why: String = fault.to_string().chars().take(120).collect();
            format!("it is no feed that can be read ({why})")
        })?;
    let title = feed
        .title
        .map_or(String::new(), |title| html::text(&title.content, LONGEST_NAME));
    let name = if title.is_empty() { host.to_owned() } else { title };
    let entries = feed.entries.into_iter().take(MOST_ARTICLES);
    let articles = entries.filter_map(|entry| Article::of(entry, &name, url)).collect();
    Ok((name, articles))
}

fn declares_entities(body: &[u8]) -> bool {
    // In UTF-16 every other byte is zero.
    let letters: Vec<u8> = body.iter().take(LARGEST).copied().filter(|byte| *byte != 0).collect();
    letters
        .windows(8)
        .any(|window| window.eq_ignore_ascii_case(b"<!ENTITY"))
}
