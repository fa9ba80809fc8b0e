//! The admin API of a game: its keys.

use gaia_names::{ClusterName, GameId, KeyId, Secret};
use gaia_protocol::api_keys::{ApiKey, KeyScope, NewApiKey};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{DeployError, Home, admin_api::Gateway, observe};

/// One game's admin API.
#[derive(Debug)]
pub struct Admin {
    game: GameId,
    gateway: Gateway,
    tokens: Vec<Secret>,
}

impl Admin {
    /// Finds a gateway of the game that runs, and its admin's token.
    ///
    /// # Errors
    ///
    /// Where the cluster cannot be read or no gateway of it runs.
    pub async fn of(home: &Home, cluster: &ClusterName, game: &GameId) -> Result<Self, DeployError> {
        let observed = observe(home, cluster).await?;
        let refused = |why: &str| DeployError::Admin {
            game: game.clone(),
            why: why.to_owned(),
        };
        let tokens = observed.secrets.as_ref().map(|secrets| secrets.admin_tokens(game));
        let tokens = tokens.filter(|tokens| !tokens.is_empty());
        let tokens = tokens.ok_or_else(|| refused("the cluster does not host it"))?;
        Ok(Self {
            game: game.clone(),
            gateway: observed.gateway.ok_or_else(|| refused("no gateway of it runs"))?,
            tokens,
        })
    }

    /// Makes a key. Nobody can show it again.
    ///
    /// # Errors
    ///
    /// Where the gateway refuses, or does not answer.
    pub async fn create_key(
        &self,
        name: &str,
        scopes: &[KeyScope],
        requests_per_minute: u32,
    ) -> Result<NewApiKey, DeployError> {
        let key = json!({ "name": name, "scopes": scopes, "requests_per_minute": requests_per_minute });
        self.ask(Method::POST, "", Some(&key)).await
    }

    /// All keys, those that hold first.
    ///
    /// # Errors
    ///
    /// As above.
    pub async fn list_keys(&self) -> Result<Vec<ApiKey>, DeployError> {
        self.ask(Method::GET, "", None).await
    }

    /// Revokes a key.
    ///
    /// # Errors
    ///
    /// As above; also where there is no such key.
    pub async fn revoke_key(&self, key: KeyId) -> Result<ApiKey, DeployError> {
        self.ask(Method::DELETE, &format!("/{key}"), None).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        rest: &str,
        body: Option<&Value>,
    ) -> Result<T, DeployError> {
        let path = format!("keys/{}{rest}", self.game);
        let answer = self.gateway.ask(&self.tokens, method, &path, body).await;
        answer.map_err(|why| DeployError::Admin {
            game: self.game.clone(),
            why,
        })
    }
}
