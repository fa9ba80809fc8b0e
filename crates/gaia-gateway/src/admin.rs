//! The cluster's admin API, on the second port: bundles, costs, roles and keys.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{FromRequestParts, Request},
    http::{StatusCode, request::Parts},
    response::Response,
    routing::{delete, get, put},
};
use gaia_names::{GameId, KeyId, PlayerId, Secret};
use gaia_protocol::{
    ErrorCode,
    api_keys::{ApiKey, CreateKey, ListKeys, NewApiKey, RevokeKey},
    auth::{Player, SetRole},
    bundle::Bundle,
    chat::{BundleInUse, PublishBundle, ReadBundle},
    costs::Costs,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{
    asked::Asked,
    caller::bearer,
    edge,
    extract::{Body, CostsQuestion, Named, json},
    game::Shared,
    inputs::{NewKey, NewRole, hyphenated},
    problem::Refusal,
    routes::{Refusals, Route},
};

/// The largest bundle, in bytes. NATS must take it, and `gaia check` lets no game come near it.
const LARGEST_BUNDLE: usize = 8 * 1024 * 1024;
/// How admin requests are counted.
const ADMIN: Route = Route {
    pattern: "/admin",
    forms: &["application/json"],
    time: Duration::from_secs(60),
    refusals: Refusals::Problems,
};

/// The games of this gateway with the tokens of their admins.
#[derive(Clone)]
pub(crate) struct Administered {
    games: Arc<BTreeMap<GameId, (Shared, Secret)>>,
}

/// The routes for the second port.
pub(crate) fn router(games: BTreeMap<GameId, (Shared, Secret)>) -> Router {
    let inner = Router::new()
        .route("/admin/v1/bundles/{game}", get(read_bundle).put(publish_bundle))
        .route("/admin/v1/costs/{game}", get(read_costs))
        .route("/admin/v1/players/{game}/{player}/role", put(set_role))
        .route("/admin/v1/keys/{game}", get(list_keys).post(create_key))
        .route("/admin/v1/keys/{game}/{key}", delete(revoke_key))
        .fallback(|| async { Refusal::from(ErrorCode::NotFound) })
        .method_not_allowed_fallback(|| async { Refusal::from(ErrorCode::MethodNotAllowed) })
        .with_state(Administered { games: Arc::new(games) });
    // The second port has no edge of its own, so that of the players' port goes around these routes.
    let outer = move |request: Request| {
        let inner = inner.clone();
        async move { around(inner, request).await }
    };
    Router::new().route("/admin/{*rest}", axum::routing::any(outer))
}

async fn around(inner: Router, request: Request) -> Response {
    let asked = Asked::new(
        request.headers(),
        Ipv4Addr::UNSPECIFIED.into(),
        request.method(),
        ADMIN.pattern,
    );
    edge::answer(inner, None, const { &ADMIN }, asked, request).await
}

/// Whoever holds the admin token of the game that the path names.
struct Admin(Shared);

#[derive(Deserialize)]
struct OneGame {
    game: GameId,
}

impl FromRequestParts<Administered> for Admin {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, administered: &Administered) -> Result<Self, Refusal> {
        let Named(OneGame { game }) = Named::from_request_parts(parts, administered).await?;
        let given = bearer(&parts.headers)?.ok_or(ErrorCode::SignInFirst)?;
        let Some((game, token)) = administered.games.get(&game) else {
            return Err(Refusal::new(
                ErrorCode::NotFound,
                "This gateway does not serve that game.",
            ));
        };
        if !is_same(given, token.expose()) {
            return Err(Refusal::new(
                ErrorCode::TokenInvalid,
                "This is not the game's admin token.",
            ));
        }
        Ok(Self(Arc::clone(game)))
    }
}

/// Compares in a time that says nothing of where two secrets differ: only their digests are compared, all of them.
fn is_same(given: &str, secret: &str) -> bool {
    let (given, secret) = (Sha256::digest(given), Sha256::digest(secret));
    given
        .iter()
        .zip(secret)
        .fold(0, |differ, (one, other)| differ | (one ^ other))
        == 0
}

async fn read_bundle(admin: Admin, asked: Asked) -> Result<Json<BundleInUse>, Refusal> {
    let Admin(game) = admin;
    Ok(Json(game.bus.ask(&asked.call(), &ReadBundle {}).await?))
}

async fn publish_bundle(admin: Admin, asked: Asked, request: Request) -> Result<Json<BundleInUse>, Refusal> {
    let Admin(game) = admin;
    let bundle: Bundle = json(request, LARGEST_BUNDLE).await?;
    if bundle.game != game.id {
        let detail = format!("This bundle is for `{}`; the path says `{}`.", bundle.game, game.id);
        return Err(Refusal::new(ErrorCode::InvalidInput, detail));
    }
    let bundle = Box::new(bundle);
    Ok(Json(game.bus.ask(&asked.call(), &PublishBundle { bundle }).await?))
}

async fn read_costs(admin: Admin, asked: Asked, question: CostsQuestion) -> Result<Json<Costs>, Refusal> {
    let Admin(game) = admin;
    Ok(Json(game.bus.ask(&asked.call(), &question.0).await?))
}

#[derive(Deserialize)]
struct OnePlayer {
    #[serde(deserialize_with = "hyphenated")]
    player: PlayerId,
}

async fn set_role(
    admin: Admin,
    asked: Asked,
    Named(OnePlayer { player }): Named<OnePlayer>,
    Body(NewRole { role }): Body<NewRole>,
) -> Result<Json<Player>, Refusal> {
    let Admin(game) = admin;
    Ok(Json(game.bus.ask(&asked.call(), &SetRole { player, role }).await?))
}

async fn list_keys(admin: Admin, asked: Asked) -> Result<Json<Vec<ApiKey>>, Refusal> {
    let Admin(game) = admin;
    Ok(Json(game.bus.ask(&asked.call(), &ListKeys {}).await?))
}

async fn create_key(
    admin: Admin,
    asked: Asked,
    Body(key): Body<NewKey>,
) -> Result<(StatusCode, Json<NewApiKey>), Refusal> {
    let Admin(game) = admin;
    let question = CreateKey {
        name: key.name,
        scopes: key.scopes,
        requests_per_minute: key.requests_per_minute,
    };
    let key = game.bus.ask(&asked.call(), &question).await?;
    Ok((StatusCode::CREATED, Json(key)))
}

#[derive(Deserialize)]
struct OneKey {
    #[serde(deserialize_with = "hyphenated")]
    key: KeyId,
}

async fn revoke_key(admin: Admin, asked: Asked, Named(OneKey { key }): Named<OneKey>) -> Result<Json<ApiKey>, Refusal> {
    let Admin(game) = admin;
    let revoked = game.bus.ask(&asked.call(), &RevokeKey { key }).await;
    // Even a failure may have revoked it: what was known before it is not relied on.
    game.admission.forget(PlayerId(key.0));
    Ok(Json(revoked?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_admin_token_is_the_admin_token() {
        assert!(is_same("correct horse", "correct horse"));
        for wrong in ["", "correct hors", "correct horse ", "Correct horse"] {
            assert!(!is_same(wrong, "correct horse"), "{wrong:?}");
        }
    }
}
