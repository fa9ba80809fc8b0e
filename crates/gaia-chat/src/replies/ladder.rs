//! The promise about the first useful output, `response_time_target`, and what is done in time to keep it.
//!
//! With T for the target, from the moment in which chat has the message: the best route is asked at once. If it has not
//! begun to speak after as long as it usually takes, and at most T/2, another is asked, too. At 0.8 T a line that the
//! author wrote for this bridges the wait. After 4 T, and at most 8 s, the persona closes in character.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant as StdInstant},
};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use gaia_protocol::bundle::Route;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Draft, Question, key_of,
    models::{self, Answering, RouteFault},
    tools::ToolUse,
    voice::Piece,
};
use crate::{authored, game::Game};

/// After this, no promise is left to keep.
const LATEST: Duration = Duration::from_secs(8);
/// How long a stream may be silent at least, however short the target is.
const SILENCE: Duration = Duration::from_secs(2);

/// When what is done.
#[derive(Clone, Copy)]
pub(super) struct Ladder {
    pub(super) target: Duration,
    began: Instant,
}

impl Ladder {
    pub(super) fn of(question: &Question) -> Self {
        Self {
            target: Duration::from_millis(question.bundle().response_time_target_ms.into()),
            began: question.asked_at.into(),
        }
    }

    /// The same, for what a model says once its tools have answered.
    pub(super) fn anew(self) -> Self {
        Self {
            began: Instant::now(),
            ..self
        }
    }

    /// When the line that bridges the wait is looked for.
    fn look_at(&self) -> Instant {
        self.began + self.target * 6 / 10
    }

    /// When it is said.
    fn bridge_at(&self) -> Instant {
        self.began + self.target * 8 / 10
    }

    pub(super) fn close_at(&self) -> Instant {
        self.began + (self.target * 4).min(LATEST)
    }

    /// How long a stream may be silent once it has begun.
    pub(super) fn silence(&self, route: &Route) -> Duration {
        let longest = (self.target * 4).clamp(SILENCE, LATEST);
        Duration::from_millis(route.silence_ms.into()).min(longest)
    }
}

/// Who speaks.
pub(super) enum First {
    Route(Box<Answering>),
    /// There is no route, or none could.
    Nobody,
    /// None has spoken in time.
    TooLate,
}

/// A route that has been asked.
struct Runner<'a> {
    route: &'a Route,
    asked: StdInstant,
    is_running: bool,
}

type Asked<'a> = BoxFuture<'a, (usize, Result<Answering, RouteFault>)>;

/// Routes that race for the first words of one reply.
struct Race<'a> {
    game: &'a Arc<Game>,
    question: &'a Question,
    tools: &'a ToolUse,
    draft: &'a Arc<Draft>,
    ladder: Ladder,
    waiting: VecDeque<&'a Route>,
    runners: Vec<Runner<'a>>,
    running: FuturesUnordered<Asked<'a>>,
}

/// Finds out who speaks first.
pub(super) async fn first_words(
    game: &Arc<Game>,
    question: &Question,
    tools: &ToolUse,
    draft: &Arc<Draft>,
    ladder: Ladder,
) -> First {
    let usable = question
        .bundle()
        .routes
        .iter()
        .filter(|route| key_of(game, route).is_ok());
    let mut race = Race {
        game,
        question,
        tools,
        draft,
        ladder,
        waiting: game.route_states.order(usable, ladder.target).into(),
        runners: Vec::new(),
        running: FuturesUnordered::new(),
    };
    if !race.ask_next() {
        return First::Nobody;
    }
    game.route_states.count_call();
    race.run().await
}

impl<'a> Race<'a> {
    async fn run(mut self) -> First {
        let states = &self.game.route_states;
        let mut given_up = states.given_up();
        let hedge_at = self.runners[0].asked + states.patience(&self.runners[0].route.name, self.ladder.target);
        let mut hedge = std::pin::pin!(sleep_until(hedge_at.into()));
        let mut close = std::pin::pin!(sleep_until(self.ladder.close_at()));
        let mut may_hedge = true;
        loop {
            tokio::select! {
                biased;
                Some((place, outcome)) = self.running.next() => match outcome {
                    Ok(answering) => return self.won(place, answering),
                    Err(fault) => {
                        self.runners[place].is_running = false;
                        models::note(self.game, self.runners[place].route, &fault);
                        if self.running.is_empty() && !self.fall_back() {
                            return First::Nobody;
                        }
                    }
                },
                () = &mut hedge, if may_hedge => {
                    may_hedge = false;
                    self.hedge();
                }
                Ok(()) = given_up.changed() => {
                    let is_hopeless = |runner: &Runner<'_>| !runner.is_running || states.is_left_alone(&runner.route.name);
                    if self.runners.iter().all(is_hopeless) {
                        self.fall_back();
                    }
                }
                () = &mut close => return self.too_late(),
            }
        }
    }

    /// Asks the next route; false if there is none.
    fn ask_next(&mut self) -> bool {
        let Some(route) = self.waiting.pop_front() else {
            return false;
        };
        let place = self.runners.len();
        self.runners.push(Runner {
            route,
            asked: StdInstant::now(),
            is_running: true,
        });
        let (game, question, tools, draft) = (self.game, self.question, self.tools, self.draft);
        // A little after the close, so that it is the race that ends and not the last runner that fails.
        let until = self.ladder.close_at() + Duration::from_secs(1);
        self.running.push(Box::pin(async move {
            let Ok(key) = key_of(game, route) else {
                return (place, Err(RouteFault::Empty));
            };
            (
                place,
                models::ask(game, route, key, question, tools, draft, until).await,
            )
        }));
        true
    }

    fn fall_back(&mut self) -> bool {
        let falls = self.ask_next();
        if falls {
            metrics::counter!("gaia_chat_fallbacks_total", &self.labels()).increment(1);
        }
        falls
    }

    fn hedge(&mut self) {
        if !self.waiting.is_empty() && self.runners.len() == 1 && self.game.route_states.may_hedge() {
            self.ask_next();
            metrics::counter!("gaia_chat_hedges_total", &self.labels()).increment(1);
        }
    }

    fn won(&self, place: usize, answering: Answering) -> First {
        let states = &self.game.route_states;
        let winner = &self.runners[place];
        states.began(&winner.route.name, winner.asked.elapsed());
        // Those asked before it have lost; those asked after it have not had their time.
        for loser in self.runners[..place].iter().filter(|runner| runner.is_running) {
            states.outrun(&loser.route.name, loser.asked.elapsed());
        }
        answering.call.speaks();
        First::Route(Box::new(answering))
    }

    fn too_late(&self) -> First {
        for runner in self.runners.iter().filter(|runner| runner.is_running) {
            models::note(self.game, runner.route, &RouteFault::Slow(runner.asked.elapsed()));
        }
        metrics::counter!("gaia_chat_closes_total", &self.labels()).increment(1);
        First::TooLate
    }

    fn labels(&self) -> [(&'static str, String); 2] {
        let persona = self.question.persona().id.to_string();
        [("game", self.game.id.to_string()), ("persona", persona)]
    }
}

/// Bridges the wait for the first words with a line of the author's, when it is time for it. There is nothing to bridge
/// once they have `begun`.
pub(super) async fn bridge(
    game: &Arc<Game>,
    question: &Question,
    draft: &Draft,
    pieces: mpsc::Sender<Piece>,
    begun: CancellationToken,
) {
    let ladder = Ladder::of(question);
    let bridging = async {
        sleep_until(ladder.look_at()).await;
        let line = authored::meanwhile(game, question, ladder.bridge_at().duration_since(Instant::now())).await;
        sleep_until(ladder.bridge_at()).await;
        line
    };
    tokio::select! {
        biased;
        () = begun.cancelled() => {}
        line = bridging => {
            let said = pieces.send(Piece::Interim(line.line.clone())).await;
            if said.is_ok() {
                draft.used_line(line);
            }
        }
    }
}
