//! The tool servers of a checked game.

use std::{collections::BTreeMap, path::PathBuf};

use gaia_protocol::bundle::{self, ToolKind};
use serde::Serialize;

use crate::Reference;

/// Where a secret of a tool server is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToolSecretReference {
    /// The server.
    pub server: String,
    /// The secret's name in the bundle and in the settings: `bus_times.env.TOKEN`.
    pub name: String,
    /// Where to look.
    pub reference: Reference,
}

/// A server of tools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToolServer {
    /// Its name.
    pub name: String,
    /// Whether this version of Gaia can run it.
    pub is_available: bool,
    /// How it is reached.
    pub transport: Transport,
    /// The only tools of it that may be used; all of them where this is empty.
    pub tools: Vec<String>,
    /// How long a call may be silent, in milliseconds.
    pub timeout_ms: u32,
    /// What its tools do, where the author says so.
    pub kinds: BTreeMap<String, ToolKind>,
    /// Whether what it answers is as good as the game's own word.
    pub is_trusted: bool,
    /// What was accepted of its tools: `tools.lock`.
    pub pins: BTreeMap<String, String>,
}

impl ToolServer {
    /// Whether the config lets this tool of it be used.
    pub(crate) fn allows(&self, tool: &str) -> bool {
        self.tools.is_empty() || self.tools.iter().any(|name| name == tool)
    }

    pub(super) fn in_bundle(&self) -> bundle::ToolServer {
        bundle::ToolServer {
            name: self.name.clone(),
            is_available: self.is_available,
            transport: self.transport.in_bundle(&self.name),
            tools: self.tools.clone(),
            timeout_ms: self.timeout_ms,
            kinds: self.kinds.clone(),
            is_trusted: self.is_trusted,
            pins: self.pins.clone(),
        }
    }
}

/// How a server of tools is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Not in this version.
    Unbuilt,
    /// It is one of ours, with these arguments.
    Shipped(String, Vec<String>),
    /// A program, spoken to on its standard input and output.
    Command {
        /// The program and its arguments.
        words: Vec<String>,
        /// Its environment.
        environment: BTreeMap<String, Setting>,
        /// What it may read.
        files: Vec<PathBuf>,
        /// Whether it may use the network.
        has_network: bool,
    },
    /// Over HTTP.
    Url {
        /// At this address.
        url: String,
        /// Where its bearer key is found.
        key: Option<Reference>,
        /// How a token for it is had.
        oauth: Option<OAuth>,
    },
}

/// A value in a program's environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Setting {
    /// As it stands.
    Plain(String),
    /// A secret that is found there.
    Secret(Reference),
}

/// How a token is had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OAuth {
    /// The registered client. Without a sign-in there is one.
    pub client_id: Option<String>,
    /// Where its secret is found.
    pub client_secret: Option<Reference>,
    /// Where its private key is found.
    pub client_key: Option<Reference>,
    /// Where a sign-in is found that somebody made in a browser.
    pub sign_in: Option<Reference>,
    /// What the token is to allow.
    pub scopes: Vec<String>,
}

impl Transport {
    /// The secrets that it refers to, by the end of their names.
    pub(super) fn secrets(&self) -> Vec<(String, &Reference)> {
        match self {
            Self::Unbuilt | Self::Shipped(..) => Vec::new(),
            Self::Command { environment, .. } => {
                let settings = environment.iter();
                let secrets = settings.filter_map(|(name, setting)| match setting {
                    Setting::Secret(reference) => Some((format!("env.{name}"), reference)),
                    Setting::Plain(_) => None,
                });
                secrets.collect()
            }
            Self::Url { key, oauth, .. } => {
                let oauth = oauth.as_ref();
                let named = [
                    ("key", key.as_ref()),
                    ("client_secret", oauth.and_then(|oauth| oauth.client_secret.as_ref())),
                    ("client_key", oauth.and_then(|oauth| oauth.client_key.as_ref())),
                    ("sign_in", oauth.and_then(|oauth| oauth.sign_in.as_ref())),
                ];
                named
                    .into_iter()
                    .filter_map(|(name, reference)| Some((name.to_owned(), reference?)))
                    .collect()
            }
        }
    }

    fn in_bundle(&self, server: &str) -> bundle::ToolTransport {
        let named = |end: &str| format!("{server}.{end}");
        match self {
            Self::Unbuilt => bundle::ToolTransport::Unbuilt,
            Self::Shipped(name, arguments) => bundle::ToolTransport::Shipped {
                name: name.clone(),
                arguments: arguments.clone(),
            },
            Self::Command {
                words,
                environment,
                files,
                has_network,
            } => {
                let setting = |(name, setting): (&String, &Setting)| match setting {
                    Setting::Plain(value) => (name.clone(), bundle::ToolSetting::Plain(value.clone())),
                    Setting::Secret(_) => (name.clone(), bundle::ToolSetting::Secret(named(&format!("env.{name}")))),
                };
                bundle::ToolTransport::Command {
                    command: words.clone(),
                    environment: environment.iter().map(setting).collect(),
                    files: files.clone(),
                    has_network: *has_network,
                }
            }
            Self::Url { url, key, oauth } => bundle::ToolTransport::Http {
                url: url.clone(),
                key: key.as_ref().map(|_| named("key")),
                oauth: oauth.as_ref().map(|oauth| bundle::ToolOauth {
                    client_id: oauth.client_id.clone(),
                    client_secret: oauth.client_secret.as_ref().map(|_| named("client_secret")),
                    client_key: oauth.client_key.as_ref().map(|_| named("client_key")),
                    sign_in: oauth.sign_in.as_ref().map(|_| named("sign_in")),
                    scopes: oauth.scopes.clone(),
                }),
            },
        }
    }
}
