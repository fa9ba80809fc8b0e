//! Tokens for tool servers over HTTP: by the client's own secret or key (RFC 7523), or by the sign-in that somebody made
//! in a browser.
//!
//! What the server says of itself (RFC 9728) leads to its authorization server, whose own document must name itself
//! exactly as it was asked for (RFC 8414); the token is asked for this server alone (RFC 8707).

use std::{error::Error, sync::Arc};

use gaia_names::Secret;
use gaia_protocol::bundle::ToolOauth;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{StatusCode, header};
use rmcp::transport::{
    auth::{
        AuthClient, AuthError, AuthorizationManager, AuthorizationMetadataSource, ClientCredentialsConfig,
        JwtSigningAlgorithm, OAuthClientConfig,
    },
    streamable_http_client::InsufficientScopeError,
};
use serde_json::json;
use tokio::runtime::Handle;

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
    /// What is there is no key.
    #[error("the secret `{0}` is no private key that can sign: give PEM in PKCS #8, of RSA, P-256 or P-384")]
    NoKey(String),
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
pub(crate) struct Authorized {
    pub(crate) client: AuthClient<reqwest::Client>,
    /// What its token allows, as far as that was said.
    pub(crate) scopes: Vec<String>,
}

/// Has a token, by what the config says of it.
pub(crate) async fn authorized(
    http: reqwest::Client,
    url: &str,
    oauth: &ToolOauth,
    (server, house): (&str, &House),
) -> Result<Authorized, OauthFault> {
    let secret = |name: &String| {
        let secret = house.secrets.get(name);
        secret.ok_or_else(|| OauthFault::NoSecret(name.clone()))
    };
    let client_secret = oauth.client_secret.as_ref().map(secret).transpose()?;
    let (mut manager, issuer) = authority(&http, url).await?;
    let mut scopes = oauth.scopes.clone();
    if let Some(name) = &oauth.sign_in {
        let given = secret(name)?;
        let sign_in: SignIn = serde_json::from_str(given.expose()).map_err(|_| OauthFault::Garbled(name.clone()))?;
        if sign_in.credentials.issuer != issuer {
            return Err(OauthFault::Elsewhere);
        }
        scopes.extend(sign_in.credentials.granted_scopes.iter().cloned());
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
        let client_id = oauth.client_id.clone().unwrap_or_default();
        let resource = Some(url.to_owned());
        let config = match &oauth.client_key {
            Some(name) => {
                let key = secret(name)?.expose().as_bytes();
                ClientCredentialsConfig::PrivateKeyJwt {
                    client_id,
                    signing_key: key.to_vec(),
                    signing_algorithm: algorithm_of(key).ok_or_else(|| OauthFault::NoKey(name.clone()))?,
                    token_endpoint_audience: None,
                    scopes: oauth.scopes.clone(),
                    resource,
                }
            }
            None => ClientCredentialsConfig::ClientSecret {
                client_id,
                client_secret: client_secret.map_or_else(String::new, |secret| secret.expose().to_owned()),
                scopes: oauth.scopes.clone(),
                resource,
            },
        };
        manager.validate_client_credentials_metadata(&config)?;
        manager.configure_client_credentials(&config)?;
        manager = exchange(manager, config).await?;
        scopes.extend(manager.get_current_scopes().await);
    }
    Ok(Authorized {
        client: AuthClient::new(http, manager),
        scopes: each_once(scopes),
    })
}

/// Asks for a token by the client's own credentials. The library's future cannot go from thread to thread, so it stays on
/// one of those for work that blocks; each of its requests has a limit of its own.
async fn exchange(
    manager: AuthorizationManager,
    config: ClientCredentialsConfig,
) -> Result<AuthorizationManager, OauthFault> {
    let runtime = Handle::current();
    let exchanged = tokio::task::spawn_blocking(move || {
        runtime.block_on(manager.exchange_client_credentials(&config))?;
        Ok(manager)
    });
    exchanged
        .await
        .unwrap_or_else(|fault| Err(AuthError::InternalError(fault.to_string()).into()))
}

/// What a private key in PEM can sign with (RFC 7518, section 3.1): whether a key fits is known when it signs.
fn algorithm_of(pem: &[u8]) -> Option<JwtSigningAlgorithm> {
    let known = [
        (
            JwtSigningAlgorithm::ES256,
            Algorithm::ES256,
            EncodingKey::from_ec_pem(pem),
        ),
        (
            JwtSigningAlgorithm::ES384,
            Algorithm::ES384,
            EncodingKey::from_ec_pem(pem),
        ),
        (
            JwtSigningAlgorithm::RS256,
            Algorithm::RS256,
            EncodingKey::from_rsa_pem(pem),
        ),
    ];
    known.into_iter().find_map(|(signing, algorithm, key)| {
        let signed = jsonwebtoken::encode(&Header::new(algorithm), &json!({}), &key.ok()?);
        signed.is_ok().then_some(signing)
    })
}

/// What a token would have to allow besides, where that is why a request was refused (RFC 6750, section 3.1).
pub(crate) fn missing_scope<'f>(refusal: &'f (dyn Error + 'static)) -> Option<&'f str> {
    let mut cause = Some(refusal);
    while let Some(fault) = cause {
        if let Some(refused) = fault.downcast_ref::<InsufficientScopeError>() {
            return refused.get_required_scope();
        }
        cause = fault.source();
    }
    None
}

/// In the order in which they come first.
pub(crate) fn each_once(scopes: Vec<String>) -> Vec<String> {
    let mut distinct = Vec::new();
    for scope in scopes {
        if !distinct.contains(&scope) {
            distinct.push(scope);
        }
    }
    distinct
}
