//! Where a feed may lead: to its own host, and otherwise only to the open internet.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

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
        Some(Host::Ipv4(address)) => !is_public(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => !is_public(IpAddr::V6(address)),
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

/// Whether an address is of the open internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(inner) => is_public_v4(inner),
            // The open internet is 2000::/3; documentation lies inside it.
            None => address.segments()[0] & 0xe000 == 0x2000 && address.segments()[..2] != [0x2001, 0xdb8],
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    let is_special = (first, second, third) == (192, 0, 0) || (first == 198 && (18..20).contains(&second));
    !(first == 0
        || first >= 224
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || is_shared
        || is_special)
}

/// The old address inside a new one: mapped, 6to4 and NAT64.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let words = address.segments();
    let inner = |high: u16, low: u16| {
        let ([one, two], [three, four]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(one, two, three, four)
    };
    address.to_ipv4_mapped().or_else(|| match words {
        [0x2002, high, low, ..] => Some(inner(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(inner(high, low)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_open_internet_is_public() {
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.1.1",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "64:ff9b::a00:1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "93.184.216.34",
            "172.32.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

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
