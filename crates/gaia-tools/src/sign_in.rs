//! Somebody's yes in a browser: OAuth's authorization code with PKCE (OAuth 2.1, section 4.1), for this server alone.
//!
//! The client is the one that the config names, or the authorization server registers one (RFC 7591). The browser comes
//! back to a port of this machine that is open for as long as it takes (RFC 8252, section 7.3).

use std::{io, time::Duration};

use axum::{
    Router,
    extract::{RawQuery, State},
    http::StatusCode,
    response::Html,
    routing::get,
};
use gaia_names::Secret;
use rmcp::transport::auth::{
    AuthError, AuthorizationRequest, AuthorizationSession, CredentialStore, InMemoryCredentialStore,
};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{http, oauth, sign_ins::SignIn};

/// How long somebody may take in the browser.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long the authorization server may take for each of its answers.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a browser may take to fetch the page that says that all is well.
const LAST_PAGE: Duration = Duration::from_secs(1);

/// To what somebody signs in.
#[derive(Clone, Copy, Debug)]
pub struct SignInTo<'a> {
    /// The tool server's address.
    pub url: &'a str,
    /// The client that was registered beforehand, if one was.
    pub client_id: Option<&'a str>,
    /// Its secret, if it has one.
    pub client_secret: Option<&'a Secret>,
    /// What the token is to allow; nothing asks for what the server names.
    pub scopes: &'a [String],
    /// What the authorization server calls a client that it registers.
    pub client_name: &'a str,
}

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInFault {
    /// The authorization server, or what is said of it.
    #[error("the server's authorization server does not sign anybody in: {0}")]
    Refused(String),
    /// Whoever was asked said no, or the authorization server did.
    #[error("the sign-in was refused in the browser: {0}")]
    Denied(String),
    /// This machine.
    #[error("this machine cannot be come back to")]
    Here(#[from] io::Error),
    /// Nobody came back.
    #[error("nobody came back from the browser within {} minutes", PATIENCE.as_secs() / 60)]
    Nobody,
    /// The authorization server took too long.
    #[error("the authorization server did not answer within {} seconds", ANSWER.as_secs())]
    Slow,
}

impl From<AuthError> for SignInFault {
    fn from(fault: AuthError) -> Self {
        Self::Refused(fault.to_string())
    }
}

/// Signs somebody in, who is to open the address that `visit` is told. Gives the sign-in, as it is to be kept.
///
/// # Errors
///
/// Where nobody is signed in.
pub async fn sign_in(to: SignInTo<'_>, visit: impl AsyncFnOnce(&str)) -> Result<Secret, SignInFault> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let back = format!("http://127.0.0.1:{}/callback", listener.local_addr()?.port());
    let store = InMemoryCredentialStore::new();
    let begun = timeout(ANSWER, begin(to, &back, store.clone())).await;
    let (session, client_secret) = begun.map_err(|_| SignInFault::Slow)??;
    let address = session.get_authorization_url();
    // The page that is visited may be this very port's in the end.
    let came_back = timeout(PATIENCE, come_back(listener, state_of(address)));
    let ((), query) = tokio::join!(visit(address), came_back);
    let query = query.map_err(|_| SignInFault::Nobody)??;
    if let Some(error) = parameter(&query, "error") {
        let about = parameter(&query, "error_description").unwrap_or_default();
        return Err(SignInFault::Denied(format!("{error} {about}").trim_end().to_owned()));
    }
    let exchanged = timeout(ANSWER, session.handle_callback_url(&format!("{back}?{query}"))).await;
    exchanged.map_err(|_| SignInFault::Slow)??;
    let credentials = store.load().await?.ok_or(AuthError::AuthorizationRequired)?;
    let sign_in = SignIn {
        client_secret,
        credentials,
    };
    let text = serde_json::to_string(&sign_in).map_err(|fault| SignInFault::Refused(fault.to_string()))?;
    Ok(Secret::new(text))
}

async fn begin(
    to: SignInTo<'_>,
    back: &str,
    store: InMemoryCredentialStore,
) -> Result<(AuthorizationSession, Option<String>), SignInFault> {
    let refused = |fault: &dyn std::fmt::Display| SignInFault::Refused(fault.to_string());
    let address = to.url.parse().map_err(|fault: url::ParseError| refused(&fault))?;
    let http = http::client(&address).map_err(|fault| refused(&fault))?;
    let (mut manager, _) = oauth::authority(&http, to.url).await.map_err(|fault| refused(&fault))?;
    manager.set_credential_store(store);
    let scopes = match to.scopes {
        [] => manager.select_initial_scopes(&[]).await,
        scopes => scopes.to_vec(),
    };
    let (client_id, client_secret) = match to.client_id {
        Some(client_id) => (
            client_id.to_owned(),
            to.client_secret.map(|secret| secret.expose().to_owned()),
        ),
        None => {
            let scopes: Vec<_> = scopes.iter().map(String::as_str).collect();
            let client = manager.register_client(to.client_name, back, &scopes).await?;
            (client.client_id, client.client_secret)
        }
    };
    let mut request = AuthorizationRequest::new(back)
        .with_scopes(scopes)
        .with_preregistered_client(client_id);
    if let Some(client_secret) = &client_secret {
        request = request.with_client_secret(client_secret);
    }
    let session = AuthorizationSession::new(manager, request).await;
    Ok((session.map_err(|(_, fault)| fault)?, client_secret))
}

/// With what the browser comes back. Whoever does not know the state is somebody else.
async fn come_back(listener: TcpListener, state: Option<String>) -> io::Result<String> {
    let (came, mut coming) = mpsc::channel(1);
    let is_over = CancellationToken::new();
    let router = Router::new()
        .route("/callback", get(callback))
        .with_state((came, state, is_over.clone()));
    let serving = axum::serve(listener, router).with_graceful_shutdown(is_over.clone().cancelled_owned());
    let last = async {
        is_over.cancelled().await;
        tokio::time::sleep(LAST_PAGE).await;
    };
    tokio::select! {
        served = serving => served?,
        () = last => {}
    }
    coming.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into())
}

async fn callback(
    State((came, state, is_over)): State<(mpsc::Sender<String>, Option<String>, CancellationToken)>,
    RawQuery(query): RawQuery,
) -> (StatusCode, Html<&'static str>) {
    let query = query.unwrap_or_default();
    if parameter(&query, "state") != state || came.try_send(query).is_err() {
        return (StatusCode::BAD_REQUEST, Html("This page belongs to another sign-in."));
    }
    is_over.cancel();
    (StatusCode::OK, Html("Gaia has what it needs. You can close this page."))
}

fn state_of(address: &str) -> Option<String> {
    let address: Url = address.parse().ok()?;
    parameter(address.query()?, "state")
}

fn parameter(query: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}
