//! Requests to the API server and how it refuses.

use std::{collections::BTreeSet, path::Path, time::Duration};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::Kind;

/// Who Gaia is to server-side apply: the fields that it sets are its own, and nobody else's.
pub const MANAGER: &str = "gaia";
/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most of an answer that is read, in bytes.
const LARGEST: usize = 64 << 20;

/// A cluster of Kubernetes, as one context of a kubeconfig reaches it.
#[derive(Clone)]
pub struct Kubernetes {
    pub(crate) client: Client,
    /// The context's name, as it stands in the kubeconfig.
    pub context: String,
    /// Where the API server is.
    pub server: String,
}

impl std::fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubernetes")
            .field("context", &self.context)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// An object as the server has it after an apply, and what it warned of.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The object.
    pub object: Value,
    /// Its warnings, each one line.
    pub warnings: Vec<String>,
}

/// Why the API server did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// There is no kubeconfig, or not the context asked for.
    #[error("no cluster of Kubernetes is configured: {0}")]
    Config(String),
    /// The server does not answer.
    #[error("the API server {server} (context `{context}`) does not answer: {why}")]
    Unreachable {
        /// The context.
        context: String,
        /// The server.
        server: String,
        /// What the system said.
        why: String,
    },
    /// The user lacks a right.
    #[error("{message}")]
    Forbidden {
        /// What the server said: it names user, verb and kind.
        message: String,
    },
    /// The server does not know who this is.
    #[error("the API server {server} (context `{context}`) does not accept the credentials: {message}")]
    Unauthorized {
        /// The context.
        context: String,
        /// The server.
        server: String,
        /// What the server said.
        message: String,
    },
    /// Anything else that it answered.
    #[error("{doing}: {message}")]
    Refused {
        /// What it was asked to do.
        doing: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
}

impl Fault {
    /// The HTTP status of a refusal, if it is one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Forbidden { .. } => Some(403),
            Self::Unauthorized { .. } => Some(401),
            Self::Config(_) | Self::Unreachable { .. } => None,
        }
    }
}

impl Kubernetes {
    /// Reads the kubeconfig (`$KUBECONFIG`, else `~/.kube/config`, or the file given) and takes a context of it, or the
    /// current one. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// If there is none, or it cannot be used.
    pub async fn connect(file: Option<&Path>, context: Option<&str>) -> Result<Self, Fault> {
        let failed = |fault: &dyn std::error::Error| Fault::Config(chain(fault));
        let read = match file {
            Some(file) => Kubeconfig::read_from(file),
            None => Kubeconfig::read(),
        };
        let kubeconfig = read.map_err(|fault| failed(&fault))?;
        let name = context
            .map(str::to_owned)
            .or_else(|| kubeconfig.current_context.clone());
        let options = KubeConfigOptions {
            context: name.clone(),
            ..KubeConfigOptions::default()
        };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let config = config.map_err(|fault| failed(&fault))?;
        Self::from_config(config, &name.unwrap_or_default())
    }

    /// The API server of the cluster that this pod is in, as the pod's service account, and the pod's namespace.
    ///
    /// # Errors
    ///
    /// If this is no pod, or it has no account.
    pub fn within() -> Result<(Self, String), Fault> {
        let failed = |fault: &dyn std::error::Error| Fault::Config(chain(fault));
        let config = Config::incluster().map_err(|fault| failed(&fault))?;
        let namespace = config.default_namespace.clone();
        Ok((Self::from_config(config, "within")?, namespace))
    }

    fn from_config(mut config: Config, context: &str) -> Result<Self, Fault> {
        config.connect_timeout = Some(Duration::from_secs(5));
        let server = config.cluster_url.to_string();
        // The program has two providers of cryptography linked in; this one was chosen.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::try_from(config).map_err(|fault| Fault::Config(chain(&fault)))?;
        Ok(Self {
            client,
            context: context.to_owned(),
            server: server.trim_end_matches('/').to_owned(),
        })
    }

    /// The server's version: `v1.36.3`.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub async fn version(&self) -> Result<String, Fault> {
        let (_, answer, _) = self
            .send("ask for the version", Method::GET, "/version", None, "")
            .await?;
        Ok(answer["gitVersion"].as_str().unwrap_or_default().to_owned())
    }

    /// Those of the given kinds whose API the server has: some come with what is installed in it.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub async fn knows(&self, kinds: &[Kind]) -> Result<BTreeSet<Kind>, Fault> {
        let (_, list, _) = self
            .send("ask what the server knows", Method::GET, "/apis", None, "")
            .await?;
        let groups = list["groups"].as_array().into_iter().flatten();
        let versions = groups.flat_map(|group| group["versions"].as_array().into_iter().flatten());
        let known: BTreeSet<&str> = versions.filter_map(|one| one["groupVersion"].as_str()).collect();
        let is_known = |kind: &&Kind| kind.group().is_empty() || known.contains(kind.api_version);
        Ok(kinds.iter().filter(is_known).copied().collect())
    }

    /// Whether this user may do something in a namespace, or everywhere.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub async fn may(&self, verb: &str, kind: Kind, namespace: &str) -> Result<bool, Fault> {
        let attributes =
            json!({ "verb": verb, "group": kind.group(), "resource": kind.plural, "namespace": namespace });
        let review = json!({
            "apiVersion": Kind::ACCESS_REVIEW.api_version, "kind": Kind::ACCESS_REVIEW.name,
            "spec": { "resourceAttributes": attributes },
        });
        let answer = self.create(&review).await?;
        Ok(answer["status"]["allowed"] == true)
    }

    /// One object; none if it is not there.
    ///
    /// # Errors
    ///
    /// If the server refuses or does not answer.
    pub async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Option<Value>, Fault> {
        let doing = format!("look at {} `{name}`", kind.name);
        let path = kind.path(namespace, Some(name));
        match self.send(&doing, Method::GET, &path, None, "").await {
            Ok((_, object, _)) => Ok(Some(object)),
            Err(fault) if fault.status() == Some(404) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// All objects of a kind that have a label, in a namespace or in all.
    ///
    /// # Errors
    ///
    /// If the server refuses or does not answer.
    pub async fn list(&self, kind: Kind, namespace: &str, selector: &str) -> Result<Vec<Value>, Fault> {
        let doing = format!("list {}", kind.plural);
        let selector = selector.replace('=', "%3D").replace(',', "%2C").replace('/', "%2F");
        let path = format!("{}?labelSelector={selector}", kind.path(namespace, None));
        let (_, mut list, _) = self.send(&doing, Method::GET, &path, None, "").await?;
        let items = list["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
        // A list leaves out what each of its objects is.
        Ok(items
            .into_iter()
            .map(|mut item| {
                item["apiVersion"] = json!(kind.api_version);
                item["kind"] = json!(kind.name);
                item
            })
            .collect())
    }

    /// Makes an object what it says, by server-side apply: only these fields, strictly checked, taken over from whoever
    /// had set them. With `dry_run` the server only says what it would do.
    ///
    /// # Errors
    ///
    /// If the server refuses or does not answer.
    pub async fn apply(&self, object: &Value, dry_run: bool) -> Result<Applied, Fault> {
        let (kind, namespace, name) = identity(object)?;
        let doing = format!("apply {} `{name}`", kind.name);
        let dry_run = if dry_run { "&dryRun=All" } else { "" };
        let path = format!(
            "{}?fieldManager={MANAGER}&force=true&fieldValidation=Strict{dry_run}",
            kind.path(namespace, Some(name))
        );
        let content = "application/apply-patch+yaml";
        let (_, object, warnings) = self.send(&doing, Method::PATCH, &path, Some(object), content).await?;
        Ok(Applied { object, warnings })
    }

    /// Makes an object that must not be there yet; a refusal of status 409 says that it is.
    ///
    /// # Errors
    ///
    /// If the server refuses or does not answer.
    pub async fn create(&self, object: &Value) -> Result<Value, Fault> {
        let (kind, namespace, name) = identity(object)?;
        let doing = format!("create {} `{name}`", kind.name);
        let path = format!("{}?fieldManager={MANAGER}", kind.path(namespace, None));
        let answered = self
            .send(&doing, Method::POST, &path, Some(object), "application/json")
            .await?;
        Ok(answered.1)
    }

    /// Replaces an object as it was read: a refusal of status 409 says that somebody was quicker.
    ///
    /// # Errors
    ///
    /// If the server refuses or does not answer.
    pub async fn replace(&self, object: &Value) -> Result<Value, Fault> {
        let (kind, namespace, name) = identity(object)?;
        let doing = format!("replace {} `{name}`", kind.name);
        let path = format!("{}?fieldManager={MANAGER}", kind.path(namespace, Some(name)));
        let answered = self
            .send(&doing, Method::PUT, &path, Some(object), "application/json")
            .await?;
        Ok(answered.1)
    }

    /// Changes some fields of an object, or of one of its parts (`scale`), by a merge patch.
    ///
    /// # Errors
    ///
    /// If the server refuses or does not answer.
    pub async fn patch(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        part: &str,
        change: &Value,
    ) -> Result<(), Fault> {
        let doing = format!("change {} `{name}`", kind.name);
        let part = if part.is_empty() {
            String::new()
        } else {
            format!("/{part}")
        };
        let path = format!("{}{part}?fieldManager={MANAGER}", kind.path(namespace, Some(name)));
        let content = "application/merge-patch+json";
        self.send(&doing, Method::PATCH, &path, Some(change), content)
            .await
            .map(|_| ())
    }

    /// Removes an object with all that it owns. It is well if it is not there.
    ///
    /// # Errors
    ///
    /// If the server refuses or does not answer.
    pub async fn delete(&self, kind: Kind, namespace: &str, name: &str) -> Result<(), Fault> {
        let doing = format!("delete {} `{name}`", kind.name);
        let path = kind.path(namespace, Some(name));
        let options = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground" });
        match self
            .send(&doing, Method::DELETE, &path, Some(&options), "application/json")
            .await
        {
            Err(fault) if fault.status() != Some(404) => Err(fault),
            _ => Ok(()),
        }
    }

    pub(crate) async fn send(
        &self,
        doing: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
        content: &str,
    ) -> Result<(StatusCode, Value, Vec<String>), Fault> {
        let refused = |status: u16, message: String| Fault::Refused {
            doing: doing.to_owned(),
            status,
            message,
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("accept", "application/json");
        if !content.is_empty() {
            request = request.header("content-type", content);
        }
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = request
            .body(Body::from(body))
            .map_err(|fault| refused(0, fault.to_string()))?;
        let unreachable = |why: String| Fault::Unreachable {
            context: self.context.clone(),
            server: self.server.clone(),
            why,
        };
        let asked = async {
            let answer = self
                .client
                .send(request)
                .await
                .map_err(|fault| unreachable(chain(&fault)))?;
            let (status, warnings) = (answer.status(), warnings(&answer));
            let limited = http_body_util::Limited::new(answer.into_body(), LARGEST);
            let bytes = limited
                .collect()
                .await
                .map_err(|fault| unreachable(fault.to_string()))?;
            Ok((status, warnings, bytes.to_bytes()))
        };
        let late = || unreachable(format!("no answer within {} s", PATIENCE.as_secs()));
        let (status, warnings, bytes) = timeout(PATIENCE, asked).await.map_err(|_| late())??;
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() {
            return Ok((status, answer, warnings));
        }
        let message = answer["message"]
            .as_str()
            .map_or_else(|| status.to_string(), str::to_owned);
        Err(match status {
            StatusCode::FORBIDDEN if is_about_rights(&message) => Fault::Forbidden { message },
            StatusCode::UNAUTHORIZED => Fault::Unauthorized {
                context: self.context.clone(),
                server: self.server.clone(),
                message,
            },
            status => refused(status.as_u16(), message),
        })
    }
}

/// A quota or an admission rule refuses with the same status as a missing right.
fn is_about_rights(message: &str) -> bool {
    message.contains(" cannot ")
}

fn identity(object: &Value) -> Result<(Kind, &str, &str), Fault> {
    let kind =
        Kind::of(object).ok_or_else(|| Fault::Config("an object of a kind that Gaia does not know".to_owned()))?;
    let metadata = &object["metadata"];
    Ok((
        kind,
        metadata["namespace"].as_str().unwrap_or_default(),
        metadata["name"].as_str().unwrap_or_default(),
    ))
}

/// The texts of `Warning: 299 - "..."`.
fn warnings(answer: &Response<Body>) -> Vec<String> {
    let headers = answer.headers().get_all("warning").iter();
    headers
        .filter_map(|header| {
            let (_, text) = header.to_str().ok()?.split_once('"')?;
            Some(text.trim_end_matches('"').replace("\\\"", "\""))
        })
        .collect()
}

/// An error with its causes, in one line.
pub(crate) fn chain(fault: &dyn std::error::Error) -> String {
    let mut text = fault.to_string();
    let mut cause = fault.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    text
}
