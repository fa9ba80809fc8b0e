//! What one persona may say without a model, and the ways of asking for it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use gaia_protocol::bundle::{IntentCall, Persona, reserved};
use gaia_service::Tasks;
use tokio::sync::watch;

use super::{
    inference::{Inference, Vector},
    words::{self, Words},
};

/// An intent or a fact.
#[derive(Debug)]
pub(super) struct Topic {
    /// `greeting`, or `fact.bridge`.
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) say: Vec<String>,
    /// The place of the topic whose lines bridge the wait for an answer to this one.
    pub(super) meanwhile: Option<usize>,
    /// What is called before a line of it is said.
    pub(super) call: Option<IntentCall>,
}

/// What is special about a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    Intent,
    /// It tells what the persona knows.
    Fact,
    /// A pleasantry that often stands before what a message is about.
    Courtesy,
    NameGiven,
    Recall,
    RecallNothing,
    Fallback,
    /// Its lines bridge the wait for an answer.
    Meanwhile,
    /// Its lines end a wait that was too long.
    Closing,
}

impl Kind {
    /// Whether its lines may stand as a reply.
    pub(super) const fn may_answer(self) -> bool {
        !matches!(self, Self::Meanwhile | Self::Closing)
    }
}

/// A way of asking, and for which topic.
#[derive(Debug)]
pub(super) struct When {
    pub(super) topic: usize,
    pub(super) words: Words,
}

/// One persona's topics.
pub(crate) struct Lines {
    pub(super) topics: Vec<Topic>,
    /// In the order of [`Lines::texts`].
    pub(super) whens: Vec<When>,
    texts: Vec<String>,
    vectors: watch::Sender<Option<Arc<Vec<Vector>>>>,
    is_loading: AtomicBool,
}

impl Lines {
    pub(crate) fn of(persona: &Persona) -> Self {
        let none = Vec::new();
        let intents = persona.intents.iter().map(|intent| {
            let kind = kind_of(&intent.name);
            let lines = (&intent.when, &intent.say, &intent.meanwhile);
            (intent.name.clone(), kind, lines, intent.call.clone())
        });
        let facts = persona.facts.iter().map(|fact| {
            let name = format!("fact.{}", fact.name);
            (name, Kind::Fact, (&fact.when, &fact.say, &none), None)
        });
        let (mut topics, mut whens, mut texts) = (Vec::<Topic>::new(), Vec::new(), Vec::new());
        for (name, kind, (when, say, meanwhile), call) in intents.chain(facts) {
            let bridge = (!meanwhile.is_empty()).then(|| {
                topics.push(Topic {
                    name: format!("{name}.meanwhile"),
                    kind: Kind::Meanwhile,
                    say: meanwhile.clone(),
                    meanwhile: None,
                    call: None,
                });
                topics.len() - 1
            });
            for text in when.iter().filter(|text| !text.trim().is_empty()) {
                let words = words::of(text);
                whens.push(When {
                    topic: topics.len(),
                    words,
                });
                texts.push(text.clone());
            }
            topics.push(Topic {
                name,
                kind,
                say: say.clone(),
                meanwhile: bridge,
                call,
            });
        }
        Self {
            topics,
            whens,
            texts,
            vectors: watch::Sender::new(None),
            is_loading: AtomicBool::new(false),
        }
    }

    /// The meanings of the ways of asking; waits while they are read. Nothing if that failed.
    pub(super) async fn vectors(self: &Arc<Self>, inference: &Inference, tasks: &Tasks) -> Option<Arc<Vec<Vector>>> {
        let mut vectors = self.vectors.subscribe();
        if let Some(loaded) = vectors.borrow_and_update().clone() {
            return Some(loaded);
        }
        // In a task of its own: it goes on when this turn does not wait any longer, and the next ones find it done.
        let (lines, inference) = (Arc::clone(self), inference.clone());
        let draining = tasks.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = lines.load(&inference) => {}
                () = draining.draining() => {}
            }
        });
        while vectors.changed().await.is_ok() {
            let now = vectors.borrow_and_update().clone();
            if now.is_some() || !self.is_loading.load(Ordering::Acquire) {
                return now;
            }
        }
        None
    }

    /// How many ways of asking have not been read.
    pub(crate) fn to_read(&self) -> usize {
        if self.vectors.borrow().is_some() {
            0
        } else {
            self.texts.len()
        }
    }

    /// Reads the meanings, unless they are there or somebody is at it.
    pub(crate) async fn load(&self, inference: &Inference) {
        if self.vectors.borrow().is_some() || self.is_loading.swap(true, Ordering::AcqRel) {
            return;
        }
        // Also when this is dropped half-way.
        let loading = Loading(self);
        let loaded = inference.embed_kept(&self.texts).await.ok().map(Arc::new);
        drop(loading);
        self.vectors.send_replace(loaded);
    }
}

struct Loading<'a>(&'a Lines);

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.0.is_loading.store(false, Ordering::Release);
    }
}

fn kind_of(intent: &str) -> Kind {
    match intent {
        reserved::FALLBACK => Kind::Fallback,
        reserved::RECALL => Kind::Recall,
        reserved::RECALL_NOTHING => Kind::RecallNothing,
        reserved::NAME_GIVEN => Kind::NameGiven,
        reserved::MEANWHILE => Kind::Meanwhile,
        reserved::CLOSING => Kind::Closing,
        reserved::GREETING | "farewell" | "thanks" | "yes" | "no" => Kind::Courtesy,
        _ => Kind::Intent,
    }
}
