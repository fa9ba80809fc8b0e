//! One game at the gateway: its connections, its keys and its limits.

use std::sync::Arc;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use gaia_names::{GameId, InstanceId, Service};
use gaia_protocol::{Request, settings::GatewayGame};
use gaia_service::{Bus, Redis, Tasks};
use serde_json::value::RawValue;

use crate::{
    GatewayFault, admission::Admission, api_keys::ApiKeys, asked::Asked, openai::Kept, problem::Refusal, tokens::Tokens,
};

/// What every handler of a game shares.
pub(crate) struct Game {
    pub(crate) id: GameId,
    pub(crate) bus: Bus,
    pub(crate) tokens: Tokens,
    pub(crate) api_keys: ApiKeys,
    pub(crate) admission: Admission,
    pub(crate) kept: Kept,
    pub(crate) tasks: Tasks,
}

pub(crate) type Shared = Arc<Game>;

impl Game {
    pub(crate) async fn connect(
        settings: &GatewayGame,
        instance: InstanceId,
        tasks: &Tasks,
    ) -> Result<Shared, GatewayFault> {
        let game = || settings.game.clone();
        let redis = Redis::new(&settings.redis, &settings.game)
            .map_err(|source| GatewayFault::Redis { game: game(), source })?;
        let bus = Bus::connect(&settings.nats, &settings.game, Service::Gateway, instance)
            .await
            .map_err(|source| GatewayFault::Nats { game: game(), source })?;
        Ok(Arc::new(Self {
            id: settings.game.clone(),
            tokens: Tokens::new(&settings.game, &bus),
            api_keys: ApiKeys::new(&settings.game, &bus),
            admission: Admission::new(settings, &bus, &redis),
            kept: Kept::new(&redis),
            bus,
            tasks: tasks.clone(),
        }))
    }

    /// Asks a service and hands its answer on as it is: the services' own types are the API's, so reading and writing
    /// them again would only cost time.
    pub(crate) async fn hand_on<R: Request>(&self, asked: &Asked, question: &R) -> Result<Raw, Refusal> {
        let answer: Box<RawValue> = self.bus.ask_at(R::subject(&self.id), &asked.call(), question).await?;
        Ok(Raw(answer))
    }
}

/// JSON that a service wrote.
pub(crate) struct Raw(Box<RawValue>);

impl IntoResponse for Raw {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        let text: Box<str> = self.0.into();
        (StatusCode::OK, [(header::CONTENT_TYPE, json)], String::from(text)).into_response()
    }
}
