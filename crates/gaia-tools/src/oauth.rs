//! Tokens for tool servers over HTTP, had by OAuth without anybody at a browser.
//!
//! What the server says of itself (RFC 9728) leads to its authorization server, whose own document must name itself
//! exactly as it was asked for (RFC 8414); the token is asked for this server alone (RFC 8707).

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use gaia_names::Secret;
use gaia_protocol::bundle::ToolOauth;
use rmcp::transport::auth::{
    AuthClient, AuthError, AuthorizationManager, AuthorizationMetadataSource, ClientCredentialsConfig, CredentialStore,
    InMemoryCredentialStore, OAuthClientConfig, StoredCredentials,
};
use serde_json::json;

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
    /// What was kept cannot be used.
    #[error("the refresh token cannot be used")]
    Garbled(#[from] serde_json::Error),
}

/// A client that adds a token to every request and renews it.
pub(crate) async fn client(
    http: reqwest::Client,
    url: &str,
    oauth: &ToolOauth,
    secrets: &BTreeMap<String, Secret>,
) -> Result<AuthClient<reqwest::Client>, OauthFault> {
    let secret = |name: &Option<String>| match name {
        None => Ok(None),
        Some(name) => secrets
            .get(name)
            .map(Some)
            .ok_or_else(|| OauthFault::NoSecret(name.clone())),
    };
    let (client_secret, refresh_token) = (secret(&oauth.client_secret)?, secret(&oauth.refresh_token)?);
    let mut manager = AuthorizationManager::new(url).await?;
    let resolution = manager.resolve_metadata().await?;
    if resolution.source != AuthorizationMetadataSource::ProtectedResourceMetadata {
        return Err(OauthFault::NoMetadata);
    }
    let issuer = resolution.metadata.issuer.clone();
    manager.set_metadata(resolution.metadata);
    match refresh_token {
        Some(refresh_token) => {
            let store = InMemoryCredentialStore::new();
            store.save(spent(oauth, refresh_token, issuer)?).await?;
            manager.set_credential_store(store);
            let mut client =
                OAuthClientConfig::new(&oauth.client_id, "http://localhost").with_scopes(oauth.scopes.clone());
            if let Some(client_secret) = client_secret {
                client = client.with_client_secret(client_secret.expose());
            }
            manager.configure_client(client)?;
            manager.refresh_token().await?;
        }
        None => {
            let config = ClientCredentialsConfig::ClientSecret {
                client_id: oauth.client_id.clone(),
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
    }
    Ok(AuthClient::new(http, manager))
}

/// Credentials whose access token is used up, so that the refresh token is what counts.
fn spent(oauth: &ToolOauth, refresh_token: &Secret, issuer: Option<String>) -> Result<StoredCredentials, OauthFault> {
    let response = json!({
        "access_token": "used-up", "token_type": "Bearer", "expires_in": 1, "refresh_token": refresh_token.expose(),
    });
    let response = Some(serde_json::from_value(response)?);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let credentials = StoredCredentials::new(
        oauth.client_id.clone(),
        response,
        oauth.scopes.clone(),
        Some(now.saturating_sub(60)),
    );
    Ok(credentials.with_issuer(issuer))
}
