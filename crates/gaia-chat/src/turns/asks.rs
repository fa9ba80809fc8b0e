//! What tools want of the player while a turn runs.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use gaia_protocol::chat::{Asked, LONGEST_VALUES, PlayerAnswer, Verdict, Wants};
use gaia_tools::{AskPlayer, Question, Reply, Wanted};
use tokio::{
    sync::{
        mpsc::{Sender, WeakSender},
        oneshot,
    },
    time::Instant,
};

use uuid::Uuid;

use super::running::Running;
use crate::replies::Piece;

/// How long a player may think.
const PATIENCE: Duration = Duration::from_secs(25);
/// How often a player is asked in one turn.
const MOST: u32 = 8;

/// The questions of one turn.
pub(super) struct Asks {
    /// What numbers count from. A turn that is taken again must not take an answer to what was asked before.
    first: u32,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    asked: u32,
    waiting: BTreeMap<u32, Waiting>,
}

struct Waiting {
    question: Asked,
    answer: oneshot::Sender<PlayerAnswer>,
}

impl Default for Asks {
    fn default() -> Self {
        // The last bytes of an id are random.
        let [.., high, low] = Uuid::now_v7().into_bytes();
        let random = u16::from_be_bytes([high, low]);
        Self {
            first: u32::from(random) * MOST,
            open: Mutex::default(),
        }
    }
}

impl Asks {
    /// The questions that wait for an answer.
    pub(super) fn waiting(&self) -> Vec<Asked> {
        let open = self.lock();
        open.waiting.values().map(|waiting| waiting.question.clone()).collect()
    }

    /// The player answers. False if nobody waits for it.
    pub(super) fn answer(&self, number: u32, answer: PlayerAnswer) -> bool {
        let waiting = self.lock().waiting.remove(&number);
        let bytes = answer.values.as_ref().map_or(0, |values| values.to_string().len());
        let answer = if bytes <= LONGEST_VALUES {
            answer
        } else {
            PlayerAnswer::NO
        };
        waiting.is_some_and(|waiting| waiting.answer.send(answer).is_ok())
    }

    fn put(&self, by: String, wants: Wants, patience: Duration) -> Option<(Asked, oneshot::Receiver<PlayerAnswer>)> {
        let mut open = self.lock();
        if open.asked == MOST {
            return None;
        }
        open.asked += 1;
        let question = Asked {
            number: self.first + open.asked,
            by,
            wants,
            seconds: u32::try_from(patience.as_secs()).unwrap_or(u32::MAX),
        };
        let (sender, receiver) = oneshot::channel();
        let waiting = Waiting {
            question: question.clone(),
            answer: sender,
        };
        open.waiting.insert(question.number, waiting);
        Some((question, receiver))
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question that nobody waits for any more is not asked again.
struct Withdrawn<'a>(&'a Asks, u32);

impl Drop for Withdrawn<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting.remove(&self.1);
    }
}

/// The player of a turn, as tools can ask them. The question goes out with the reply's pieces, so that it comes after the
/// words that led to it.
#[derive(Clone)]
pub(crate) struct PlayerOf {
    running: Arc<Running>,
    /// Weak, because whoever holds this longer than the reply takes must not keep the reply open.
    pieces: WeakSender<Piece>,
    deadline: Instant,
}

impl PlayerOf {
    pub(crate) fn new(running: &Arc<Running>, pieces: &Sender<Piece>, deadline: Instant) -> Self {
        Self {
            running: Arc::clone(running),
            pieces: pieces.downgrade(),
            deadline,
        }
    }

    /// Asks the player, and waits for a while. No answer is a no.
    pub(crate) async fn put(&self, by: String, wants: Wants) -> PlayerAnswer {
        let (asks, until) = (&self.running.asks, self.deadline.min(Instant::now() + PATIENCE));
        let Some(pieces) = self.pieces.upgrade().filter(|_| self.running.may_ask) else {
            return PlayerAnswer::NO;
        };
        let Some((question, answer)) = asks.put(by, wants, until - Instant::now()) else {
            return PlayerAnswer::NO;
        };
        let _withdrawn = Withdrawn(asks, question.number);
        let asked = pieces.send(Piece::Ask(question)).await;
        drop(pieces);
        match tokio::time::timeout_at(until, answer).await {
            Ok(Ok(answer)) if asked.is_ok() => answer,
            _ => PlayerAnswer::NO,
        }
    }
}

impl AskPlayer for PlayerOf {
    fn ask(&self, question: Question) -> BoxFuture<'_, Reply> {
        let Question { server, message, wants } = question;
        let wants = match wants {
            Wanted::Form(schema) => Wants::Form { message, schema },
            Wanted::Visit(url) => Wants::Visit { message, url },
        };
        async move {
            let answer = self.put(server, wants).await;
            match answer.verdict {
                Verdict::Accept => Reply::Accept(answer.values),
                Verdict::Decline => Reply::Decline,
                Verdict::Cancel => Reply::Cancel,
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consent() -> Wants {
        Wants::Consent {
            does: gaia_protocol::bundle::ToolKind::Posts,
            arguments: "{}".to_owned(),
        }
    }

    #[test]
    fn a_player_is_asked_only_so_often_and_answers_only_what_waits() {
        let asks = Asks::default();
        let (first, mut answer) = asks.put("shop.buy".to_owned(), consent(), PATIENCE).unwrap();
        let number = first.number;
        assert_eq!(asks.waiting(), [first]);
        let yes = PlayerAnswer {
            verdict: Verdict::Accept,
            values: None,
        };
        assert!(!asks.answer(number + 1, PlayerAnswer::NO), "nobody asked that");
        assert!(asks.answer(number, yes.clone()));
        assert!(!asks.answer(number, PlayerAnswer::NO), "it is answered");
        assert_eq!(answer.try_recv(), Ok(yes));
        let asked = std::iter::from_fn(|| asks.put("shop.buy".to_owned(), consent(), PATIENCE));
        assert_eq!(asked.count(), MOST as usize - 1);
    }

    #[test]
    fn an_answer_that_is_too_large_is_a_no() {
        let asks = Asks::default();
        let (Asked { number, .. }, mut answer) = asks.put("shop".to_owned(), consent(), PATIENCE).unwrap();
        let long = PlayerAnswer {
            verdict: Verdict::Accept,
            values: Some(serde_json::json!({ "note": "a".repeat(LONGEST_VALUES) })),
        };
        assert!(asks.answer(number, long));
        assert_eq!(answer.try_recv(), Ok(PlayerAnswer::NO));
    }
}
