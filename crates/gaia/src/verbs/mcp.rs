//! `gaia mcp`: one of the tool servers that come with Gaia, for personas and for any other MCP client.

use std::net::SocketAddr;

use anyhow::Context;
use clap::{Args, Subcommand};
use gaia_mcp::{ToolServer, location, news, weather};
use gaia_names::Secret;
use gaia_service::run::told_to_stop;
use tokio::net::TcpListener;
use url::Url;

use crate::{
    environment,
    failure::{Failure, Outcome},
    log,
};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    server: Server,
}

#[derive(Debug, Subcommand)]
enum Server {
    /// The weather now, the forecast and derived warnings, from Open-Meteo
    ///
    /// Asks Open-Meteo, which is free of charge for what is not commercial. Customers name the variable that holds their
    /// key, and their own addresses.
    #[command(verbatim_doc_comment)]
    Weather(WeatherArguments),
    /// Places, distances and the sun, without network and key
    ///
    /// Knows 147,000 towns and cities, countries and their borders, and when the sun rises.
    #[command(verbatim_doc_comment)]
    Location(ListenArguments),
    /// RSS, Atom and JSON feeds, each story once
    ///
    /// Reads the feeds that are named here and no others.
    #[command(verbatim_doc_comment)]
    News(NewsArguments),
}

#[derive(Args, Debug)]
struct WeatherArguments {
    /// Where forecasts come from
    #[arg(long, value_name = "URL", default_value = weather::Settings::FORECAST)]
    forecast_url: Url,
    /// Where places come from that the program does not know
    #[arg(long, value_name = "URL", default_value = weather::Settings::GEOCODING)]
    geocoding_url: Url,
    /// The environment variable that holds the key of an Open-Meteo customer
    #[arg(long, value_name = "NAME")]
    key_variable: Option<String>,
    #[command(flatten)]
    listen: ListenArguments,
}

#[derive(Args, Debug)]
struct NewsArguments {
    /// A feed's address; may be given up to 64 times
    #[arg(long = "feed", value_name = "URL", required = true)]
    feeds: Vec<Url>,
    #[command(flatten)]
    listen: ListenArguments,
}

#[derive(Args, Debug)]
struct ListenArguments {
    /// Serve streamable HTTP at http://ADDRESS/mcp instead of standard input and output; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// A name under which HTTP clients may reach the server, besides localhost; needed to listen beyond this machine
    #[arg(long = "host", value_name = "NAME", requires = "listen")]
    hosts: Vec<String>,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    log::start()?;
    match &arguments.server {
        Server::Weather(arguments) => {
            let settings = weather::Settings {
                forecast: web(&arguments.forecast_url)?,
                geocoding: web(&arguments.geocoding_url)?,
                key: arguments.key_variable.as_deref().map(key).transpose()?,
            };
            let server = weather::server(&settings).context("TLS cannot be set up")?;
            serve(server, &arguments.listen).await
        }
        Server::Location(arguments) => serve(location::server(), arguments).await,
        Server::News(arguments) => {
            let settings = news::Settings {
                feeds: arguments.feeds.clone(),
            };
            let server = news::server(&settings).map_err(|fault| {
                Failure::new(fault.to_string())
                    .bad_input()
                    .help("name feeds with --feed https://...")
            })?;
            serve(server, &arguments.listen).await
        }
    }
}

async fn serve(server: ToolServer, arguments: &ListenArguments) -> anyhow::Result<Outcome> {
    let Some(address) = arguments.listen else {
        gaia_mcp::stdio(server, told_to_stop()).await?;
        return Ok(Outcome::Done);
    };
    if !address.ip().is_loopback() && arguments.hosts.is_empty() {
        return Err(Failure::new(format!(
            "{address} can be reached from other machines, and nobody is asked to sign in"
        ))
        .bad_input()
        .help("listen on 127.0.0.1, or name the hosts that clients use with --host")
        .into());
    }
    let listener = TcpListener::bind(address).await.map_err(|cause| {
        Failure::new(format!("{address} cannot be listened on"))
            .because(cause)
            .help("choose another port, or 0 for a free one")
    })?;
    let bound = listener.local_addr()?;
    let local = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let hosts: Vec<_> = local.into_iter().chain(arguments.hosts.iter().cloned()).collect();
    tracing::info!(address = %bound, "listening at http://{bound}/mcp");
    gaia_mcp::http(server, listener, &hosts, told_to_stop()).await?;
    Ok(Outcome::Done)
}

fn web(url: &Url) -> anyhow::Result<Url> {
    if matches!(url.scheme(), "http" | "https") {
        return Ok(url.clone());
    }
    Err(Failure::new(format!("`{url}` is no address on the web"))
        .bad_input()
        .help("it must begin with https:// or http://")
        .into())
}

fn key(variable: &str) -> anyhow::Result<Secret> {
    environment::secret(variable).ok_or_else(|| {
        Failure::new(format!("the variable `{variable}` holds no key"))
            .bad_input()
            .help("set it, or leave --key-variable out")
            .into()
    })
}
