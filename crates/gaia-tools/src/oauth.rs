//! Tokens for tool servers over HTTP: by the client's own credentials, or by the sign-in that somebody made in a browser.
//!
//! What the server says of itself (RFC 9728) leads to its authorization server, whose own document must name itself
//! exactly as it was asked for (RFC 8414); the token is asked for this server alone (RFC 8707).

use std::sync::Arc;

use gaia_names::Secret;
use gaia_protocol::bundle::ToolOauth;
use reqwest::{StatusCode, header};
use rmcp::transport::auth::{
    AuthClient, AuthError, AuthorizationManager, AuthorizationMetadataSource, ClientCredentialsConfig,
    OAuthClientConfig,
};
use serde_json::json;

use crate::{
    connection::House,
    sign_ins::{Kept, SignIn},
};

/// Why no token can be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OauthFault {
    /// The settings do not hold what the bundle names.
    #[error("the secret `{0}` is not set")]
    NoSecret(String),
    /// The authorization server, or what is said of it.
    #[error("no token can be had: {0}")]
    Refused(#[from] AuthError),
    /// The server does not say who gives tokens for it.
    #[error("the server does not say for itself which authorization server gives tokens for it (RFC 9728)")]
    NoMetadata,
    /// What was kept is no sign-in.
    #[error("the secret `{0}` is no sign-in: let `gaia tools <folder> sign-in` write it")]
    Garbled(String),
    /// Its tokens are for somebody else.
    #[error("the sign-in was made at another authorization server than the server names now: sign in once more")]
    Elsewhere,
    /// Nobody renews it any more.
    #[error("the sign-in has ended: run `gaia tools <folder> sign-in {0}` and bring the game up again")]
    Ended(String),
}

/// Who gives tokens for a server, and what that calls itself: by the refusal that somebody without one gets, or by what
/// the server says of itself at the usual place.
pub(crate) async fn authority(
    http: &reqwest::Client,
    url: &str,
) -> Result<(AuthorizationManager, Option<String>), OauthFault> {
    let ping = json!({"jsonrpc": "2.0", "id": 0, "method": "ping"});
    let asked = http
        .post(url)
        .header(header::ACCEPT, "application/json, text/event-stream")
        .json(&ping);
    let refused = asked
        .send()
        .await
        .ok()
        .filter(|answer| answer.status() == StatusCode::UNAUTHORIZED);
    let challenge = refused.as_ref().and_then(|answer| {
        let challenge = answer.headers().get(header::WWW_AUTHENTICATE)?;
        challenge.to_str().ok()
    });
    let mut manager = AuthorizationManager::new(url).await?;
    let resolution = manager.resolve_metadata_from_challenge(challenge).await?;
    if resolution.source != AuthorizationMetadataSource::ProtectedResourceMetadata {
        return Err(OauthFault::NoMetadata);
    }
    let issuer = resolution.metadata.issuer.clone();
    manager.set_metadata(resolution.metadata);
    Ok((manager, issuer))
}

/// A client that adds a token to every request and renews it.
pub(crate) async fn client(
    http: reqwest::Client,
    url: &str,
    oauth: &ToolOauth,
    (server, house): (&str, &House),
) -> Result<AuthClient<reqwest::Client>, OauthFault> {
    let secret = |name: &String| {
        let secret = house.secrets.get(name);
        secret.ok_or_else(|| OauthFault::NoSecret(name.clone()))
    };
    let client_secret = oauth.client_secret.as_ref().map(secret).transpose()?;
    let (mut manager, issuer) = authority(&http, url).await?;
    if let Some(name) = &oauth.sign_in {
        let given = secret(name)?;
        let sign_in: SignIn = serde_json::from_str(given.expose()).map_err(|_| OauthFault::Garbled(name.clone()))?;
        if sign_in.credentials.issuer != issuer {
            return Err(OauthFault::Elsewhere);
        }
        let mut client = OAuthClientConfig::new(&sign_in.credentials.client_id, "http://127.0.0.1/callback")
            .with_scopes(oauth.scopes.clone());
        if let Some(secret) = sign_in.client_secret.as_deref().or(client_secret.map(Secret::expose)) {
            client = client.with_client_secret(secret);
        }
        manager.set_credential_store(Kept::new(Arc::clone(&house.sign_ins), server, given, &sign_in));
        manager.configure_client(client)?;
        manager.get_access_token().await.map_err(|fault| match fault {
            AuthError::AuthorizationRequired => OauthFault::Ended(server.to_owned()),
            fault => fault.into(),
        })?;
    } else {
        let config = ClientCredentialsConfig::ClientSecret {
            client_id: oauth.client_id.clone().unwrap_or_default(),
            client_secret: client_secret
                .map(|secret| secret.expose().to_owned())
                .unwrap_or_default(),
            scopes: oauth.scopes.clone(),
            resource: Some(url.to_owned()),
        };
        manager.validate_client_credentials_metadata(&config)?;
        manager.configure_client_credentials(&config)?;
        manager.exchange_client_credentials(&config).await?;
    }
    Ok(AuthClient::new(http, manager))
}
