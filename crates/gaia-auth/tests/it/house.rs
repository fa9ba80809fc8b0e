//! One `auth` for one game, and a gateway's connection to ask it with.

use std::{net::SocketAddr, time::Duration};

use gaia_names::{GameId, PlayerId, Secret, Service, SessionId};
use gaia_protocol::{
    ErrorCode, Fault, Request,
    auth::{
        Caller, CheckSession, Claims, EnterAsGuest, ReadKeys, RefreshSession, SessionState, SignIn, SignUp, SignedIn,
    },
    keys,
    settings::{AuthGame, Settings},
};
use gaia_service::{Bus, Call, Redis, Tasks};
use gaia_testkit::{TestGame, eventually};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};

/// A game with `auth` running.
pub(crate) struct House {
    pub(crate) game: TestGame,
    pub(crate) tasks: Tasks,
    pub(crate) ops: SocketAddr,
    pub(crate) bus: Bus,
}

pub(crate) const PASSWORD: &str = "correct horse battery staple";

impl House {
    /// In stores that other tests use too.
    pub(crate) async fn open() -> Self {
        Self::around(TestGame::start().await).await
    }

    /// In stores that the test may kill.
    pub(crate) async fn open_alone() -> Self {
        Self::around(TestGame::start_alone().await).await
    }

    pub(crate) async fn around(game: TestGame) -> Self {
        let settings = game.auth_settings();
        Self::with(game, settings).await
    }

    pub(crate) async fn with(game: TestGame, settings: Settings<AuthGame>) -> Self {
        let tasks = Tasks::default();
        let ops = gaia_auth::start(settings, &tasks).await.expect("auth starts");
        let bus = game.bus(Service::Gateway).await;
        let house = Self { game, tasks, ops, bus };
        eventually("auth answers", async || house.ask(ReadKeys {}).await.ok()).await;
        house
    }

    /// Another game's house that the same `auth` serves.
    pub(crate) async fn next_door(&self, game: TestGame) -> Self {
        let bus = game.bus(Service::Gateway).await;
        let (tasks, ops) = (self.tasks.clone(), self.ops);
        let house = Self { game, tasks, ops, bus };
        eventually("auth answers", async || house.ask(ReadKeys {}).await.ok()).await;
        house
    }

    pub(crate) async fn ask<R: Request>(&self, question: R) -> Result<R::Reply, Fault> {
        let call = Call::new("test", Duration::from_secs(10));
        self.bus.ask(&call, &question).await
    }

    /// The code with which a question is refused.
    pub(crate) async fn refusal<R: Request>(&self, question: R) -> ErrorCode {
        match self.ask(question).await {
            Ok(_) => panic!("{} was not refused", R::VERB),
            Err(fault) => fault.code,
        }
    }

    pub(crate) async fn guest(&self) -> SignedIn {
        self.ask(as_guest(&device())).await.expect("a guest comes in")
    }

    /// A player with an email and [`PASSWORD`].
    pub(crate) async fn member(&self) -> (SignedIn, String) {
        let email = email();
        let signed_in = self.ask(sign_up(&email, PASSWORD)).await.expect("a player signs up");
        (signed_in, email)
    }

    /// What an access token says, checked as the gateway checks it.
    pub(crate) async fn claims(&self, signed_in: &SignedIn) -> Claims {
        let keys = self.ask(ReadKeys {}).await.expect("keys are read");
        verify(signed_in.access_token.expose(), &keys, &self.game.id).expect("the token is valid")
    }

    /// Who asks, for the gateway's questions.
    pub(crate) async fn caller(&self, signed_in: &SignedIn) -> Caller {
        let claims = self.claims(signed_in).await;
        Caller {
            player: claims.sub,
            session: claims.sid,
            role: claims.role,
        }
    }

    pub(crate) async fn is_open(&self, session: SessionId) -> bool {
        self.ask(CheckSession { session }).await.expect("a session is checked") == SessionState::Open
    }

    /// Whether Redis refuses a session's tokens; none where Redis cannot be asked.
    pub(crate) async fn is_revoked(&self, session: SessionId) -> Option<bool> {
        exists(&self.game.redis(), [keys::revoked(session)]).await
    }

    /// Whether Redis says that its revocations are complete; none where Redis cannot be asked.
    pub(crate) async fn is_complete(&self) -> Option<bool> {
        exists(&self.game.redis(), (0..keys::SHARDS).map(keys::revocations_complete)).await
    }

    /// What a statement counts, of this game's rows alone.
    pub(crate) async fn count(&self, statement: &str) -> i64 {
        let postgres = self.game.postgres(Service::Auth, &self.tasks);
        let client = postgres.client().await.expect("postgres is there");
        client.query_one(statement, &[]).await.expect("it counts").get(0)
    }

    /// Changes this game's rows in a way that no question does. `$1` is the game.
    pub(crate) async fn change(&self, statement: &str) {
        let owner = self.game.owner().await;
        let changed = owner.execute(statement, &[&self.game.id.as_str()]).await;
        assert!(changed.expect("it changes") > 0, "{statement} changed nothing");
    }
}

/// Whether all of these are there.
async fn exists(redis: &Redis, keys: impl IntoIterator<Item = String>) -> Option<bool> {
    let keys: Vec<_> = keys.into_iter().map(|key| redis.key(key)).collect();
    let count = keys.len();
    let found: usize = redis
        .ask(|mut connection| async move { redis::cmd("EXISTS").arg(keys).query_async(&mut connection).await })
        .await
        .ok()?;
    Some(found == count)
}

pub(crate) fn verify(token: &str, keys: &serde_json::Value, game: &GameId) -> jsonwebtoken::errors::Result<Claims> {
    let keys: JwkSet = serde_json::from_value(keys.clone()).expect("a key set");
    let header = jsonwebtoken::decode_header(token)?;
    let id = header.kid.expect("the header names the key");
    let key = keys
        .find(&id)
        .ok_or(jsonwebtoken::errors::ErrorKind::InvalidKeyFormat)?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[game]);
    validation.set_issuer(&["gaia"]);
    validation.leeway = 0;
    Ok(jsonwebtoken::decode(token, &DecodingKey::from_jwk(key)?, &validation)?.claims)
}

pub(crate) fn device() -> String {
    format!("device-{}", PlayerId::fresh())
}

pub(crate) fn email() -> String {
    format!("ada-{}@example.org", PlayerId::fresh())
}

pub(crate) fn as_guest(device: &str) -> EnterAsGuest {
    EnterAsGuest {
        device_id: Secret::new(device),
        display_name: None,
    }
}

pub(crate) fn sign_up(email: &str, password: &str) -> SignUp {
    SignUp {
        caller: None,
        email: email.to_owned(),
        password: Secret::new(password),
        display_name: None,
    }
}

pub(crate) fn sign_in(email: &str, password: &str) -> SignIn {
    SignIn {
        email: email.to_owned(),
        password: Secret::new(password),
    }
}

pub(crate) fn refresh(signed_in: &SignedIn) -> RefreshSession {
    RefreshSession {
        refresh_token: signed_in.refresh_token.clone(),
    }
}
