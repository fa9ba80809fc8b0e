//! Which generation of the checked game is in use: the highest of the mounted one and those kept in Postgres.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures::StreamExt;
use gaia_names::{GameId, PersonaId};
use gaia_protocol::{
    ErrorCode, Fault,
    bundle::Bundle,
    chat::{BundleInUse, PublishBundle, ReadBundle},
    subjects,
};
use gaia_service::{bus::BusFault, postgres::PostgresFault};

use crate::{authored::Lines, game::Game, replies, store};

/// How often Postgres is asked for a newer generation, for announcements that got lost.
const LOOK: Duration = Duration::from_secs(30);
/// The same while Postgres did not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long Postgres may take where somebody waits to be told the generation.
const LOOK_FIRST: Duration = Duration::from_millis(500);

/// Why a mounted bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BundleFault {
    /// The file is not there or not ours to read.
    #[error("the file cannot be read")]
    Read(#[from] io::Error),
    /// The file is not a bundle of this version.
    #[error("the file does not fit this version of gaia; draw the cluster up again")]
    Parse(#[from] serde_json::Error),
    /// The file is for another game.
    #[error("the file is for the game `{0}`")]
    OtherGame(GameId),
}

/// A generation with what is worked out from it once.
pub(crate) struct Loaded {
    pub(crate) bundle: Bundle,
    /// What each persona may say without a model, in the order of the personas.
    pub(crate) lines: Vec<Arc<Lines>>,
    /// The stable beginning of each persona's prompt.
    pub(crate) prompts: Vec<Arc<str>>,
    /// The names of the personas, as Postgres takes them.
    pub(crate) persona_names: Vec<String>,
}

impl Loaded {
    fn new(bundle: Bundle) -> Arc<Self> {
        Arc::new(Self {
            lines: bundle
                .personas
                .iter()
                .map(|persona| Arc::new(Lines::of(persona)))
                .collect(),
            prompts: bundle
                .personas
                .iter()
                .map(|persona| replies::stable_prompt(&bundle, persona).into())
                .collect(),
            persona_names: bundle.personas.iter().map(|persona| persona.id.to_string()).collect(),
            bundle,
        })
    }

    /// The place of a persona.
    pub(crate) fn persona(&self, id: &PersonaId) -> Option<usize> {
        self.bundle.personas.iter().position(|persona| persona.id == *id)
    }
}

/// The generation in use.
pub(crate) struct Current(RwLock<Arc<Loaded>>);

impl Current {
    /// The mounted one.
    pub(crate) fn boot(path: &Path, game: &GameId) -> Result<Self, BundleFault> {
        let bundle: Bundle = serde_json::from_slice(&fs::read(path)?)?;
        if bundle.game != *game {
            return Err(BundleFault::OtherGame(bundle.game));
        }
        Ok(Self(RwLock::new(Loaded::new(bundle))))
    }

    /// What is in use just now. A turn uses one generation from its beginning to its end.
    pub(crate) fn now(&self) -> Arc<Loaded> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Uses another generation if it is newer; true if it was.
    fn advance(&self, bundle: Bundle) -> bool {
        if bundle.generation <= self.now().bundle.generation {
            return false;
        }
        let loaded = Loaded::new(bundle);
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_newer = loaded.bundle.generation > current.bundle.generation;
        if is_newer {
            *current = loaded;
        }
        is_newer
    }
}

pub(crate) async fn publish(game: Arc<Game>, ask: PublishBundle) -> Result<BundleInUse, Fault> {
    let bundle = *ask.bundle;
    if bundle.game != game.id {
        return Err(Fault::new(
            ErrorCode::InvalidInput,
            format!(
                "The bundle is for the game `{}`, and this is `{}`.",
                bundle.game, game.id
            ),
        ));
    }
    // Another instance may have taken in a newer one just now. Without Postgres, nothing is kept below.
    let _ = tokio::time::timeout(LOOK_FIRST, look(&game)).await;
    let current = game.bundle.now();
    if bundle.generation < current.bundle.generation {
        return Ok(in_use(&game).await);
    }
    if bundle.generation == current.bundle.generation && bundle != current.bundle {
        return Err(conflict(bundle.generation));
    }
    // This instance may have booted with it; others learn of it only from what is kept and announced.
    if store::bundles::keep(&game.postgres, &bundle).await?.as_ref() != Some(&bundle) {
        return Err(conflict(bundle.generation));
    }
    let generation = bundle.generation;
    use_bundle(&game, bundle);
    game.bus
        .tell(subjects::bundle_announcements(&game.id), &generation)
        .await?;
    Ok(in_use(&game).await)
}

/// Whichever instance is asked, it has the newest generation by then: another one may have taken it in just now.
pub(crate) async fn read(game: Arc<Game>, _: ReadBundle) -> Result<BundleInUse, Fault> {
    // Without Postgres, what is in use here is still an answer.
    let _ = tokio::time::timeout(LOOK_FIRST, look(&game)).await;
    Ok(in_use(&game).await)
}

/// Looks for newer generations: now, when one is announced, and from time to time.
pub(crate) async fn keep_current(game: &Arc<Game>) -> Result<(), BusFault> {
    let mut announcements = game.bus.hear(subjects::bundle_announcements(&game.id)).await?;
    let first = look(game).await;
    replies::warm_up(game);
    let game = Arc::clone(game);
    let tasks = game.tasks.clone();
    tasks.spawn(async move {
        let mut looked = first;
        loop {
            let wait = if looked.is_ok() { LOOK } else { LOOK_AGAIN };
            tokio::select! {
                () = game.tasks.draining() => return,
                () = tokio::time::sleep(wait) => {}
                announced = announcements.next() => if announced.is_none() { return },
            }
            looked = look(&game).await;
        }
    });
    Ok(())
}

async fn look(game: &Arc<Game>) -> Result<(), PostgresFault> {
    let generation = game.bundle.now().bundle.generation;
    match store::bundles::newest_above(&game.postgres, generation).await {
        Ok(newer) => {
            if let Some(bundle) = newer.filter(|bundle| bundle.game == game.id) {
                use_bundle(game, bundle);
            }
            Ok(())
        }
        Err(fault) => {
            let chain = gaia_service::telemetry::chain(&fault);
            tracing::warn!(game.name = %game.id, error = %chain, "cannot look for a newer bundle: {chain}");
            Err(fault)
        }
    }
}

fn use_bundle(game: &Arc<Game>, bundle: Bundle) {
    let generation = bundle.generation;
    if game.bundle.advance(bundle) {
        tracing::info!(game.name = %game.id, generation, "game `{}` uses generation {generation}", game.id);
        game.tools.reload(&game.bundle.now().bundle.servers_in_use());
        replies::warm_up(game);
    }
}

async fn in_use(game: &Game) -> BundleInUse {
    let loaded = game.bundle.now();
    let (answers_by, why) = replies::answers_by(game, &loaded);
    BundleInUse {
        generation: loaded.bundle.generation,
        answers_by,
        why,
        lines_to_read: replies::lines_to_read(game, &loaded),
        spending: game.budget.spending(&loaded.bundle).await,
    }
}

fn conflict(generation: u64) -> Fault {
    Fault::new(
        ErrorCode::InvalidInput,
        format!("Generation {generation} is there with other content; publish a higher one."),
    )
}
