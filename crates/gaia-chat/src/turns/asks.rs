//! What tools want of the player while a turn runs.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use gaia_protocol::chat::{Asked, LONGEST_VALUES, PlayerAnswer, Verdict, Wants};
use gaia_tools::{AskPlayer, Question, Reply, Wanted};
use tokio::sync::oneshot;

use super::running::Running;

/// How long a player may think.
const PATIENCE: Duration = Duration::from_secs(25);
/// How often a player is asked in one turn.
const MOST: u32 = 8;

/// The questions of one turn.
#[derive(Default)]
pub(super) struct Asks(Mutex<Open>);

#[derive(Default)]
struct Open {
    asked: u32,
    waiting: BTreeMap<u32, Waiting>,
}

struct Waiting {
    question: Asked,
    answer: oneshot::Sender<PlayerAnswer>,
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

    fn put(&self, by: String, wants: Wants) -> Option<(Asked, oneshot::Receiver<PlayerAnswer>)> {
        let mut open = self.lock();
        if open.asked == MOST {
            return None;
        }
        open.asked += 1;
        let question = Asked {
            number: open.asked,
            by,
            wants,
            seconds: u32::try_from(PATIENCE.as_secs()).unwrap_or(u32::MAX),
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question that nobody waits for any more is not asked again.
struct Withdrawn<'a>(&'a Asks, u32);

impl Drop for Withdrawn<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting.remove(&self.1);
    }
}

impl Running {
    /// Asks the player, and waits for a while. No answer is a no.
    pub(crate) async fn ask(&self, by: String, wants: Wants) -> PlayerAnswer {
        if !self.may_ask {
            return PlayerAnswer::NO;
        }
        let Some((question, answer)) = self.asks.put(by, wants) else {
            return PlayerAnswer::NO;
        };
        let _withdrawn = Withdrawn(&self.asks, question.number);
        self.put_question(question).await;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => answer,
            _ => PlayerAnswer::NO,
        }
    }
}

/// The player of a turn, as a tool's server can ask them.
pub(crate) struct PlayerOf(pub(crate) Arc<Running>);

impl AskPlayer for PlayerOf {
    fn ask(&self, question: Question) -> BoxFuture<'_, Reply> {
        let Question { server, message, wants } = question;
        let wants = match wants {
            Wanted::Form(schema) => Wants::Form { message, schema },
            Wanted::Visit(url) => Wants::Visit { message, url },
        };
        async move {
            let answer = self.0.ask(server, wants).await;
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
        let (first, mut answer) = asks.put("shop.buy".to_owned(), consent()).unwrap();
        assert_eq!(asks.waiting(), [first]);
        let yes = PlayerAnswer {
            verdict: Verdict::Accept,
            values: None,
        };
        assert!(!asks.answer(2, PlayerAnswer::NO), "nobody asked that");
        assert!(asks.answer(1, yes.clone()));
        assert!(!asks.answer(1, PlayerAnswer::NO), "it is answered");
        assert_eq!(answer.try_recv(), Ok(yes));
        let asked = std::iter::from_fn(|| asks.put("shop.buy".to_owned(), consent()));
        assert_eq!(asked.count(), MOST as usize - 1);
    }

    #[test]
    fn an_answer_that_is_too_large_is_a_no() {
        let asks = Asks::default();
        let (_, mut answer) = asks.put("shop".to_owned(), consent()).unwrap();
        let long = PlayerAnswer {
            verdict: Verdict::Accept,
            values: Some(serde_json::json!({ "note": "a".repeat(LONGEST_VALUES) })),
        };
        assert!(asks.answer(1, long));
        assert_eq!(answer.try_recv(), Ok(PlayerAnswer::NO));
    }
}
