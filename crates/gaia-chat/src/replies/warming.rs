//! Warm beginnings: vendors that keep the beginning of a prompt on request are sent each persona's when a process starts
//! and when its text changes, so that the first player of the day does not wait for it to be read.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use gaia_names::{ConversationId, PlayerId, TurnId};
use gaia_protocol::bundle::{Persona, Provider, Route};
use tokio::{sync::mpsc, time::Instant};
use uuid::Uuid;

use super::{
    Draft, key_of,
    models::{self, Events, RouteFault},
    prompt::Prompt,
    sse,
    tools::ToolUse,
};
use crate::{budget, bundles::Loaded, game::Game, store::claims::Wanted, turns::metering};

/// A shorter beginning is kept by no vendor: 1,024 tokens is the least.
const SHORTEST: usize = 3_500;
/// For how long vendors keep one: whoever else starts meanwhile need not ask again.
const KEPT_SECONDS: u64 = 5 * 60;
/// How long tools may take to be there, because they stand before everything else.
const TOOLS: Duration = Duration::from_secs(20);
/// How long one answer may take.
const LONGEST: Duration = Duration::from_secs(30);

/// Begins, in the background.
pub(super) fn begin(game: &Arc<Game>) {
    let (game, loaded) = (Arc::clone(game), game.bundle.now());
    let tasks = game.tasks.clone();
    tasks.spawn(async move {
        let draining = game.tasks.clone();
        tokio::select! {
            () = all(&game, &loaded) => {}
            () = draining.draining() => {}
        }
    });
}

/// One after the other: players come first.
async fn all(game: &Arc<Game>, loaded: &Loaded) {
    let routes = &loaded.bundle.routes;
    let Some(route) = routes.iter().find(|route| key_of(game, route).is_ok()) else {
        return;
    };
    // The other format has no such request; its vendors keep what they will.
    if route.provider != Provider::Anthropic {
        return;
    }
    game.tools.settle(TOOLS).await;
    for (persona, stable) in loaded.bundle.personas.iter().zip(&loaded.prompts) {
        if stable.len() < SHORTEST || !is_first(game, stable, route).await {
            continue;
        }
        let draft = Arc::new(Draft::default());
        let turn = TurnId::fresh();
        let warmed = warm(game, loaded, (persona, stable), route, turn, &draft).await;
        let usage = draft.take().usage;
        metering::count(game, persona.id.as_str(), &usage);
        metering::keep(game, &nobodys(turn), persona.id.to_string(), usage);
        if let Err(fault) = warmed {
            let chain = gaia_service::telemetry::chain(&fault);
            tracing::debug!(game.name = %game.id, persona = %persona.id, "a prompt's beginning could not be warmed: {chain}");
        }
    }
}

/// Whether no other process has done it, or is about to. Without Redis nobody does.
async fn is_first(game: &Game, stable: &str, route: &Route) -> bool {
    let mut text = DefaultHasher::new();
    stable.hash(&mut text);
    let (text, route) = (text.finish(), &route.name);
    let key = game.redis.key(format_args!("warm:{route}:{text:x}"));
    let set = async move |mut connection| {
        redis::cmd("SET")
            .arg(key)
            .arg(1)
            .arg("NX")
            .arg("EX")
            .arg(KEPT_SECONDS)
            .query_async::<Option<String>>(&mut connection)
            .await
    };
    matches!(game.redis.ask(set).await, Ok(Some(_)))
}

/// No player's turn, in no conversation.
fn nobodys(turn: TurnId) -> Arc<Wanted> {
    Arc::new(Wanted {
        conversation: ConversationId::fresh(),
        player: PlayerId(Uuid::nil()),
        turn,
        text: String::new(),
        lease: Uuid::nil(),
    })
}

async fn warm(
    game: &Arc<Game>,
    loaded: &Loaded,
    (persona, stable): (&Persona, &str),
    route: &Route,
    turn: TurnId,
    draft: &Arc<Draft>,
) -> Result<(), RouteFault> {
    let tools = ToolUse::of(&game.tools, persona, mpsc::channel(1).0);
    let Ok(key) = key_of(game, route) else { return Ok(()) };
    let (request, prompt_bytes) = models::request(game, route, key, Prompt::warming(stable, &tools));
    let call = budget::Call {
        bundle: &loaded.bundle,
        persona,
        route,
        // Nobody's.
        player: PlayerId(Uuid::nil()),
        turn,
        prompt_bytes,
        most_input: models::most_tokens(stable, prompt_bytes),
    };
    let held = game.budget.reserve(&call).await?;
    let began = Instant::now();
    let call = draft.begin_call(route, turn, prompt_bytes, began.into_std(), held);
    let answered = async {
        let response = request
            .send()
            .await
            .map_err(|fault| RouteFault::Unreachable(fault.without_url()))?;
        models::check_head(&response)?;
        let mut events: Events = sse::events(response.bytes_stream()).boxed();
        while let Some(heard) = models::more(route.provider, &mut events, &call).await {
            if let Some(fault) = heard.fault {
                return Err(fault);
            }
            if heard.part.is_last {
                break;
            }
        }
        Ok(())
    };
    let slow = RouteFault::Slow(LONGEST);
    let answered = tokio::time::timeout(LONGEST, answered).await.unwrap_or(Err(slow));
    if let Err(RouteFault::Refused(_) | RouteFault::Unreachable(_)) = &answered {
        call.was_not_taken().await;
    }
    answered
}
