//! A chat service of a test's own, with somebody who talks to it.

use std::time::Duration;

use gaia_chat::BudgetOptions;
use gaia_names::{ConversationId, InstanceId, PersonaId, PlayerId, Service, SessionId, TurnId};
use gaia_protocol::{
    ErrorCode, Fault, Request,
    auth::{Caller, Role},
    bundle::{Bundle, Provider},
    chat::{Conversation, ReadTurn, StartConversation, TakeTurn, Turn, TurnCommand, TurnEvent},
    settings::{ChatGame, Settings},
    subjects,
};
use gaia_service::{Bus, Call, Tasks, bus::Events};
use gaia_testkit::{Script, ScriptedLlm, TestGame, bundle, eventually, route};
use tokio::runtime::Runtime;

/// What the scripted model says unless told otherwise.
pub(crate) const REPLY: &str = "Good evening, traveller. The lamps are lit.";

pub(crate) struct Chat {
    pub(crate) game: TestGame,
    pub(crate) bundle: Bundle,
    pub(crate) llm: ScriptedLlm,
    pub(crate) bus: Bus,
    pub(crate) player: Caller,
    pub(crate) settings: Settings<ChatGame>,
    instances: Vec<Instance>,
    options: BudgetOptions,
}

/// A process of the service, as far as a test needs one: it can be killed, and then nothing of it goes on.
pub(crate) struct Instance {
    pub(crate) tasks: Tasks,
    runtime: Option<Runtime>,
}

impl Instance {
    fn start(settings: Settings<ChatGame>, options: BudgetOptions) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be started");
        let tasks = Tasks::default();
        let (beside, started) = (tasks.clone(), runtime.handle().clone());
        let start = async move { gaia_chat::start_with(settings, &beside, options).await.map(drop) };
        let outcome = std::thread::spawn(move || started.block_on(start))
            .join()
            .expect("starting does not panic");
        outcome.expect("chat starts");
        Self {
            tasks,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Chat {
    /// A game whose one persona is answered for by a scripted model.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_, _, _| {}).await
    }

    /// The same, with changes to the bundle and to what chat is told.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Bundle, &mut ChatGame, &ScriptedLlm)) -> Self {
        Self::start_in(TestGame::start().await, change).await
    }

    pub(crate) async fn start_in(
        game: TestGame,
        change: impl FnOnce(&mut Bundle, &mut ChatGame, &ScriptedLlm),
    ) -> Self {
        Self::start_keeping(game, BudgetOptions::default(), change).await
    }

    /// The same, with the budget kept in another way.
    pub(crate) async fn start_keeping(
        game: TestGame,
        options: BudgetOptions,
        change: impl FnOnce(&mut Bundle, &mut ChatGame, &ScriptedLlm),
    ) -> Self {
        let llm = ScriptedLlm::start(Script::says(REPLY)).await;
        let mut bundle = bundle(&game.id);
        bundle
            .routes
            .push(route("scripted", Provider::Openai, &llm.openai_url()));
        let mut settings = game.chat_settings(&bundle);
        change(&mut bundle, &mut settings.games[0], &llm);
        let body = serde_json::to_vec(&bundle).expect("a bundle is JSON");
        std::fs::write(&settings.games[0].bundle, body).expect("the bundle can be written");
        let bus = game.bus(Service::Gateway).await;
        let mut chat = Self {
            game,
            bundle,
            llm,
            bus,
            player: somebody(),
            settings,
            instances: Vec::new(),
            options,
        };
        chat.start_instance();
        eventually("chat answers", async || {
            chat.ask(&gaia_protocol::chat::ListPersonas {}).await.ok()
        })
        .await;
        chat
    }

    /// One more process. Returns its place.
    pub(crate) fn start_instance(&mut self) -> usize {
        let settings = Settings {
            instance: InstanceId::fresh(),
            ..self.settings.clone()
        };
        self.instances.push(Instance::start(settings, self.options.clone()));
        self.instances.len() - 1
    }

    pub(crate) fn instance(&mut self, place: usize) -> &mut Instance {
        &mut self.instances[place]
    }

    pub(crate) fn persona(&self) -> PersonaId {
        self.bundle.personas[0].id.clone()
    }

    pub(crate) async fn ask<R: Request>(&self, question: &R) -> Result<R::Reply, Fault> {
        self.bus.ask(&call(), question).await
    }

    /// Asks with little patience: a question may have gone to a process that was killed this moment.
    pub(crate) async fn ask_quickly<R: Request>(&self, question: &R) -> Option<R::Reply> {
        let call = Call::new("test", Duration::from_secs(1));
        self.bus.ask(&call, question).await.ok()
    }

    pub(crate) async fn conversation(&self) -> Conversation {
        self.conversation_of(self.player).await
    }

    pub(crate) async fn conversation_of(&self, caller: Caller) -> Conversation {
        let persona = self.persona();
        let start = StartConversation {
            caller,
            persona,
            title: None,
            may_answer_later: false,
        };
        self.ask(&start).await.expect("a conversation can be started")
    }

    /// Begins a turn of the player's.
    pub(crate) async fn begin(&self, conversation: ConversationId, turn: TurnId, text: &str) -> Stream {
        self.begin_as(self.player, conversation, turn, text).await
    }

    pub(crate) async fn begin_as(
        &self,
        caller: Caller,
        conversation: ConversationId,
        turn: TurnId,
        text: &str,
    ) -> Stream {
        let text = text.to_owned();
        self.take(TakeTurn {
            caller,
            conversation,
            turn,
            text,
            options: None,
            may_ask: true,
        })
        .await
    }

    pub(crate) async fn take(&self, take: TakeTurn) -> Stream {
        let events = self
            .bus
            .ask_stream(TakeTurn::subject(&self.game.id), &call(), &take)
            .await;
        Stream(events.expect("nats takes the question"))
    }

    pub(crate) async fn follow(&self, turn: TurnId, after: u32) -> Stream {
        let follow = TurnCommand::Follow {
            player: self.player.player,
            after,
        };
        let subject = subjects::turn_commands(&self.game.id, Some(turn));
        Stream(
            self.bus
                .ask_stream(subject, &call(), &follow)
                .await
                .expect("nats takes the command"),
        )
    }

    pub(crate) async fn cancel(&self, turn: TurnId, player: PlayerId, wait: Duration) -> Result<(), Fault> {
        let subject = subjects::turn_commands(&self.game.id, Some(turn));
        self.bus
            .ask_at(subject, &Call::new("test", wait), &TurnCommand::Cancel { player })
            .await
    }

    /// Says something and waits for the end.
    pub(crate) async fn say(&self, conversation: ConversationId, text: &str) -> Turn {
        let stream = self.begin(conversation, TurnId::fresh(), text).await;
        stream.rest().await.final_turn()
    }

    pub(crate) async fn read(&self, conversation: ConversationId, turn: TurnId) -> Result<Turn, Fault> {
        let caller = self.player;
        self.ask(&ReadTurn {
            caller,
            conversation,
            turn,
        })
        .await
    }
}

pub(crate) fn call() -> Call {
    Call::new("test", Duration::from_secs(90))
}

pub(crate) fn somebody() -> Caller {
    Caller {
        player: PlayerId::fresh(),
        session: SessionId::fresh(),
        role: Role::Player,
    }
}

/// What happens to a turn.
pub(crate) struct Stream(Events<TurnEvent>);

impl Stream {
    /// The next event that says more than that the turn is alive.
    pub(crate) async fn next(&mut self) -> Result<TurnEvent, Fault> {
        loop {
            let event = self.any().await?;
            if event != (TurnEvent::Alive {}) {
                return Ok(event);
            }
        }
    }

    pub(crate) async fn any(&mut self) -> Result<TurnEvent, Fault> {
        let next = tokio::time::timeout(Duration::from_secs(20), self.0.next()).await;
        next.expect("an event comes in 20 s")
            .expect("the stream goes on to its last event")
    }

    pub(crate) async fn accepted(&mut self) -> i64 {
        match self.next().await {
            Ok(TurnEvent::Accepted { sequence, .. }) => sequence,
            other => panic!("not accepted: {other:?}"),
        }
    }

    /// All events up to the last.
    pub(crate) async fn rest(mut self) -> Told {
        let mut told = Told::default();
        loop {
            match self.any().await {
                Ok(TurnEvent::Alive {}) => told.alive += 1,
                Ok(event) => {
                    let is_last = event.is_last();
                    told.events.push(event);
                    if is_last {
                        return told;
                    }
                }
                Err(fault) => {
                    told.fault = Some(fault);
                    return told;
                }
            }
        }
    }
}

/// A stream that has ended.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) events: Vec<TurnEvent>,
    pub(crate) alive: usize,
    pub(crate) fault: Option<Fault>,
}

impl Told {
    pub(crate) fn final_turn(&self) -> Turn {
        match self.events.last() {
            Some(TurnEvent::Final { turn, .. }) if self.fault.is_none() => turn.clone(),
            _ => panic!("no final turn: {self:?}"),
        }
    }

    pub(crate) fn refused(&self) -> ErrorCode {
        self.fault
            .as_ref()
            .unwrap_or_else(|| panic!("not refused: {self:?}"))
            .code
    }

    /// The deltas put together. They are numbered from the given number without gaps.
    pub(crate) fn deltas_after(&self, after: u32) -> String {
        let mut text = String::new();
        let mut expected = after;
        for event in &self.events {
            if let TurnEvent::Delta { number, text: more } = event {
                expected += 1;
                assert_eq!(*number, expected, "{self:?}");
                text.push_str(more);
            }
        }
        text
    }
}

/// The words of a reply.
pub(crate) fn reply(turn: &Turn) -> &str {
    &turn.reply.as_ref().unwrap_or_else(|| panic!("no reply: {turn:?}")).text
}

/// The route of a reply.
pub(crate) fn route_of(turn: &Turn) -> &str {
    &turn
        .reply
        .as_ref()
        .unwrap_or_else(|| panic!("no reply: {turn:?}"))
        .route
}
