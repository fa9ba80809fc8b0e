//! What somebody's yes in a browser came to, and where it is kept while its tokens change.
//!
//! A refresh token may be good for one use. So whoever renews a sign-in keeps what came of it for all others, and nobody
//! else renews it meanwhile.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use futures::{FutureExt, future::BoxFuture};
use gaia_names::Secret;
use rmcp::transport::auth::{AuthError, CredentialRefreshGuard, CredentialStore, StoredCredentials};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A sign-in as it is written into a file.
#[derive(Serialize, Deserialize)]
pub(crate) struct SignIn {
    /// What the authorization server gave the client that it registered, if it did.
    pub(crate) client_secret: Option<String>,
    pub(crate) credentials: StoredCredentials,
}

/// Why a sign-in cannot be read, kept or renewed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SignInStoreFault(Box<dyn std::error::Error + Send + Sync>);

impl SignInStoreFault {
    /// Wraps what went wrong.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// Nobody else renews a server's sign-in until this is dropped.
pub type Alone = Box<dyn Send>;

/// Where sign-ins are kept while their tokens change: chat has them in Postgres. A sign-in's mark says which it is: one
/// that somebody made anew has another.
pub trait SignInStore: Send + Sync + 'static {
    /// What has become of a sign-in; nothing where it was never renewed.
    fn kept<'a>(&'a self, server: &'a str, mark: &'a str) -> BoxFuture<'a, Result<Option<Secret>, SignInStoreFault>>;

    /// Keeps what has become of it.
    fn keep<'a>(
        &'a self,
        server: &'a str,
        mark: &'a str,
        tokens: Secret,
    ) -> BoxFuture<'a, Result<(), SignInStoreFault>>;

    /// Waits until nobody else renews it.
    fn alone<'a>(&'a self, server: &'a str) -> BoxFuture<'a, Result<Alone, SignInStoreFault>>;
}

/// Sign-ins that are used as they are and never renewed, for a look from elsewhere: renewing one here would take it from
/// the game.
#[derive(Clone, Copy, Debug)]
pub struct SignInsAsTheyAre;

impl SignInStore for SignInsAsTheyAre {
    fn kept<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<Option<Secret>, SignInStoreFault>> {
        std::future::ready(Ok(None)).boxed()
    }

    fn keep<'a>(&'a self, _: &'a str, _: &'a str, _: Secret) -> BoxFuture<'a, Result<(), SignInStoreFault>> {
        std::future::ready(Ok(())).boxed()
    }

    fn alone<'a>(&'a self, server: &'a str) -> BoxFuture<'a, Result<Alone, SignInStoreFault>> {
        let why = format!(
            "the token of its sign-in has run out, and only the game renews it; to try it from here, run `gaia tools \
             <folder> sign-in {server}` once more"
        );
        std::future::ready(Err(SignInStoreFault::new(why))).boxed()
    }
}

/// Sign-ins that last as long as the process.
#[derive(Clone, Default)]
pub struct SignInsInMemory {
    kept: Arc<Mutex<BTreeMap<(String, String), Secret>>>,
    renewing: Arc<tokio::sync::Mutex<()>>,
}

impl SignInsInMemory {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Secret>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SignInStore for SignInsInMemory {
    fn kept<'a>(&'a self, server: &'a str, mark: &'a str) -> BoxFuture<'a, Result<Option<Secret>, SignInStoreFault>> {
        let kept = self.lock().get(&(server.to_owned(), mark.to_owned())).cloned();
        std::future::ready(Ok(kept)).boxed()
    }

    fn keep<'a>(
        &'a self,
        server: &'a str,
        mark: &'a str,
        tokens: Secret,
    ) -> BoxFuture<'a, Result<(), SignInStoreFault>> {
        self.lock().insert((server.to_owned(), mark.to_owned()), tokens);
        std::future::ready(Ok(())).boxed()
    }

    fn alone<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Alone, SignInStoreFault>> {
        let renewing = Arc::clone(&self.renewing);
        async move { Ok(Box::new(renewing.lock_owned().await) as Alone) }.boxed()
    }
}

/// One server's sign-in, as the client that adds its token sees it.
pub(crate) struct Kept {
    store: Arc<dyn SignInStore>,
    server: String,
    mark: String,
    given: StoredCredentials,
    /// What was read last. Whoever is about to renew it reads it again.
    known: Mutex<Option<StoredCredentials>>,
}

impl Kept {
    pub(crate) fn new(store: Arc<dyn SignInStore>, server: &str, given: &Secret, sign_in: &SignIn) -> Self {
        let digest = Sha256::digest(given.expose());
        Self {
            store,
            server: server.to_owned(),
            mark: digest[..16].iter().map(|byte| format!("{byte:02x}")).collect(),
            given: sign_in.credentials.clone(),
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Option<StoredCredentials>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl CredentialStore for Kept {
    async fn load(&self) -> Result<Option<StoredCredentials>, AuthError> {
        if let Some(known) = self.known().clone() {
            return Ok(Some(known));
        }
        let kept = self.store.kept(&self.server, &self.mark).await.map_err(fault)?;
        let credentials = match kept {
            Some(kept) => serde_json::from_str(kept.expose()).map_err(fault)?,
            None => self.given.clone(),
        };
        *self.known() = Some(credentials.clone());
        Ok(Some(credentials))
    }

    async fn save(&self, credentials: StoredCredentials) -> Result<(), AuthError> {
        let tokens = Secret::new(serde_json::to_string(&credentials).map_err(fault)?);
        *self.known() = Some(credentials);
        self.store.keep(&self.server, &self.mark, tokens).await.map_err(fault)
    }

    async fn clear(&self) -> Result<(), AuthError> {
        Ok(())
    }

    async fn acquire_refresh_guard(&self) -> Result<Option<CredentialRefreshGuard>, AuthError> {
        let alone = self.store.alone(&self.server).await.map_err(fault)?;
        *self.known() = None;
        Ok(Some(CredentialRefreshGuard::new(alone)))
    }
}

fn fault(fault: impl std::fmt::Display) -> AuthError {
    AuthError::CredentialStoreError(fault.to_string())
}
