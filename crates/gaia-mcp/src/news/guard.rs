//! Where a feed may lead: to its own host, and otherwise only to the open internet.

use std::{net::SocketAddr, sync::Arc};

use gaia_names::is_public;
use reqwest::{
    Client, Response,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{HeaderMap, LOCATION},
};
use url::{Host, Url};

use crate::fetch::{self, said};

const MOST_REDIRECTS: usize = 5;
/// What feeds call themselves.
const ACCEPTED: &str =
    "application/rss+xml, application/atom+xml, application/feed+json, application/xml;q=0.9, */*;q=0.5";

/// A client for the configured addresses and one for where those lead.
#[derive(Clone)]
pub(super) struct Clients {
    configured: Client,
    public: Client,
}

/// An answer, and where it came from in the end.
pub(super) struct Reached {
    pub(super) response: Response,
    pub(super) url: Url,
}

impl Clients {
    pub(super) fn new() -> reqwest::Result<Self> {
        Ok(Self {
            configured: fetch::client().build()?,
            public: fetch::client().dns_resolver(Arc::new(PublicOnly)).build()?,
        })
    }

    /// Asks a configured address and follows where it leads.
    pub(super) async fn get(&self, configured: &Url, headers: &HeaderMap) -> Result<Reached, String> {
        let mut url = configured.clone();
        for _ in 0..=MOST_REDIRECTS {
            let is_configured = url.origin() == configured.origin();
            let client = if is_configured { &self.configured } else { &self.public };
            let asked = client
                .get(url.clone())
                .header("accept", ACCEPTED)
                .header("accept-encoding", "gzip")
                .headers(headers.clone());
            let response = asked.send().await.map_err(said)?;
            if !response.status().is_redirection() || response.headers().get(LOCATION).is_none() {
                return Ok(Reached { response, url });
            }
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| url.join(location).ok());
            let next = next.ok_or("it leads to an address that cannot be read")?;
            url = allowed(&url, next, configured)?;
        }
        Err(format!("it leads on over {MOST_REDIRECTS} times"))
    }
}

/// The next address, if a feed may lead there.
fn allowed(from: &Url, next: Url, configured: &Url) -> Result<Url, String> {
    if !is_web(&next) {
        return Err(format!("it leads to `{}:`, which is not the web", next.scheme()));
    }
    if from.scheme() == "https" && next.scheme() == "http" {
        return Err("it leads from https to plain http".to_owned());
    }
    let is_private = match next.host() {
        // Names are checked when they are resolved, so that they cannot change in between.
        Some(Host::Domain(_)) => false,
        Some(Host::Ipv4(address)) => !is_public(address.into()),
        Some(Host::Ipv6(address)) => !is_public(address.into()),
        None => true,
    };
    if is_private && next.origin() != configured.origin() {
        return Err("it leads into a private network".to_owned());
    }
    Ok(next)
}

pub(super) fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

/// Resolves names and leaves out the addresses that are not of the open internet.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err("it leads into a private network".into());
            }
            let addresses: Addrs = Box::new(public.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_points_into_our_network_is_not_resolved() {
        let refused = PublicOnly.resolve("localhost".parse().unwrap()).await.err().unwrap();
        assert_eq!(refused.to_string(), "it leads into a private network");
    }

    #[test]
    fn a_feed_may_lead_back_to_itself_but_not_to_its_neighbours() {
        let leads =
            |from: &str, to: &str| allowed(&from.parse().unwrap(), to.parse().unwrap(), &from.parse().unwrap()).is_ok();
        assert!(leads("http://10.0.0.5:8080/feed", "http://10.0.0.5:8080/feed.xml"));
        assert!(!leads("http://10.0.0.5:8080/feed", "http://10.0.0.5:9090/admin"));
        assert!(!leads("http://news.example/feed", "http://169.254.169.254/latest"));
        assert!(!leads("http://news.example/feed", "http://[::1]/"));
        assert!(!leads("http://news.example/feed", "file:///etc/passwd"));
        assert!(!leads("https://news.example/feed", "http://news.example/feed"));
        assert!(leads("http://news.example/feed", "https://www.news.example/feed"));
    }
}
