//! Tool servers over HTTP: bounded, without redirects, and never to a private address that the config does not name.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use gaia_names::is_public;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use url::{Host, Url};

/// The largest answer, in bytes, and the largest event of a stream of them.
pub(crate) const LARGEST_ANSWER: usize = 2 * 1024 * 1024;
const CONNECT: Duration = Duration::from_secs(5);

/// How the transport to an address behaves.
pub(crate) fn config(url: &str) -> StreamableHttpClientTransportConfig {
    StreamableHttpClientTransportConfig::with_uri(url)
        .max_json_response_size(LARGEST_ANSWER)
        .max_sse_event_size(LARGEST_ANSWER)
        .max_error_response_size(4096)
        .reinit_on_expired_session(true)
}

/// The client for one server. Redirects could carry its key to somebody else, and a proxy from the environment could
/// read it.
pub(crate) fn client(url: &Url) -> reqwest::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("gaia/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT)
        .tcp_nodelay(true);
    if !is_private(url) {
        builder = builder.dns_resolver(Arc::new(PublicOnly));
    }
    builder.build()
}

/// Whether the config itself names this machine or a private network, so that it means it.
fn is_private(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost") || !name.contains('.'),
        Some(Host::Ipv4(address)) => !is_public(address.into()),
        Some(Host::Ipv6(address)) => !is_public(address.into()),
        None => false,
    }
}

/// Finds names, and hides the addresses that are not of the open internet: a public name that points into our network
/// is an attempt to get in.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(format!("`{}` has no address on the open internet", name.as_str()).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_public_name_may_not_lead_into_our_network() {
        let resolved = PublicOnly.resolve("localhost".parse().unwrap()).await;
        let fault = resolved.err().map(|fault| fault.to_string());
        assert_eq!(
            fault.as_deref(),
            Some("`localhost` has no address on the open internet")
        );
        assert!(is_private(&"http://127.0.0.1:1/mcp".parse().unwrap()));
        assert!(!is_private(&"https://tools.example.com/mcp".parse().unwrap()));
    }
}
