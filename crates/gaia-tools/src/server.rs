//! One tool server: kept running, restarted when it dies, put to sleep while nobody needs it.

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use gaia_protocol::bundle::{ToolServer, ToolTransport};
use rmcp::{RoleClient, service::Peer};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    clean,
    client::InHand,
    connection::{self, Connection, Eras, House},
    launch::Complaints,
    oauth,
    pins::PinStore,
    sandbox::Confinement,
    tool::{self, KnownTool, ListFault},
};

/// How many calls one server has in hand at a time.
const AT_ONCE: usize = 8;
/// How long a list may take.
const LIST: Duration = Duration::from_secs(15);
/// How often a list is asked for without cause.
const RELIST: Duration = Duration::from_secs(600);
/// How soon it is asked for again where pins could not be read.
const SOON: Duration = Duration::from_secs(5);
/// How long a program runs that nobody calls.
const IDLE: Duration = Duration::from_secs(300);
/// How many scopes a token is said to need at most, and how long each may be.
const MOST_SCOPES: usize = 32;
const LONGEST_SCOPE: usize = 200;
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A tool server of a game.
pub(crate) struct Server {
    pub(crate) config: ToolServer,
    pub(crate) house: Arc<House>,
    pub(crate) in_hand: Arc<InHand>,
    pub(crate) slots: Semaphore,
    pub(crate) stop: CancellationToken,
    pins: Arc<dyn PinStore>,
    now: RwLock<Now>,
    changes: watch::Sender<u64>,
    /// Somebody wants it: wake up, or look whether it is still there.
    wanted: Notify,
    last_used: Mutex<Instant>,
    list_changed: Arc<Notify>,
}

/// How a server is.
#[derive(Clone)]
pub(crate) struct Now {
    pub(crate) phase: Phase,
    pub(crate) tools: Arc<Vec<Arc<KnownTool>>>,
    pub(crate) notes: Vec<String>,
    /// How often it was started again after it died.
    pub(crate) restarts: u32,
    pub(crate) revision: Option<String>,
    pub(crate) confinement: Option<Confinement>,
    /// What its token allows, where it has one and that was said.
    pub(crate) scopes: Vec<String>,
}

/// Whether it can be called.
#[derive(Clone)]
pub(crate) enum Phase {
    /// It starts, for the first time or again.
    Starting,
    /// It can.
    Ready(Peer<RoleClient>),
    /// It will start when it is called.
    Asleep,
    /// It cannot for now; why, for the operator.
    Failed(String),
    /// It never can.
    Unavailable,
}

/// Why a connection ended.
enum Ending {
    Stopped,
    Idle,
    Lost(String),
}

impl Server {
    pub(crate) fn start(config: ToolServer, house: Arc<House>, pins: Arc<dyn PinStore>) -> Arc<Self> {
        let is_built = config.is_available && config.transport != ToolTransport::Unbuilt;
        let server = Arc::new(Self {
            config,
            in_hand: Arc::default(),
            slots: Semaphore::new(AT_ONCE),
            stop: CancellationToken::new(),
            pins,
            now: RwLock::new(Now {
                phase: if is_built { Phase::Starting } else { Phase::Unavailable },
                tools: Arc::default(),
                notes: Vec::new(),
                restarts: 0,
                revision: None,
                confinement: None,
                scopes: Vec::new(),
            }),
            changes: watch::Sender::new(0),
            wanted: Notify::new(),
            last_used: Mutex::new(Instant::now()),
            list_changed: Arc::default(),
            house: house.clone(),
        });
        if is_built {
            let kept = server.clone();
            house.tasks.spawn_to_the_last(async move {
                tokio::select! {
                    () = kept.keep() => {}
                    () = kept.house.tasks.stopping() => kept.stop.cancel(),
                }
            });
        }
        server
    }

    pub(crate) fn now(&self) -> Now {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Now)) {
        change(&mut self.now.write().unwrap_or_else(PoisonError::into_inner));
        self.changes.send_modify(|count| *count += 1);
    }

    /// Has the server's list looked through again, and wakes it if it sleeps.
    pub(crate) fn want(&self) {
        self.wanted.notify_one();
    }

    /// Why it never can be called.
    pub(crate) fn lack(&self) -> &'static str {
        match self.config.transport {
            ToolTransport::Unbuilt => "this version of Gaia has no such server",
            _ => "the config does not say what it needs; `gaia check` does",
        }
    }

    /// All that its token is to allow, where it was refused for what it does not: whoever asks for the missing scope alone
    /// loses the others. The operator is told once, until the server's list is looked through again.
    pub(crate) fn wanted_scopes(&self, refusal: &(dyn Error + 'static)) -> Option<Vec<String>> {
        let more = oauth::missing_scope(refusal)?;
        let more = more.split_whitespace().map(|scope| clean::line(scope, LONGEST_SCOPE));
        let scopes = oauth::each_once(self.now().scopes.into_iter().chain(more).take(MOST_SCOPES).collect());
        let name = &self.config.name;
        let signs_in = match &self.config.transport {
            ToolTransport::Http { oauth: Some(oauth), .. } if oauth.sign_in.is_some() => {
                format!(", run `gaia tools <folder> sign-in {name}`")
            }
            _ => String::new(),
        };
        let refuses = format!("tool server `{name}` refuses what its token does not allow");
        // A server that wants something else each time fills neither the log nor the notes.
        if !self.now().notes.iter().any(|note| note.starts_with(&refuses)) {
            let listed = scopes.join(", ");
            let note = format!(
                "{refuses}: write `scopes: [{listed}]` under its `oauth`{signs_in} and bring the game up again"
            );
            tracing::warn!(game.name = %self.house.game, tool.server = name, "{note}");
            self.change(|now| now.notes.push(note));
        }
        Some(scopes)
    }

    /// Notes that it is used, so that it stays awake.
    pub(crate) fn touch(&self) {
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn sleepy_at(&self) -> Instant {
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner) + IDLE
    }

    /// Waits until it is clear whether the server can be called. The refusal is for the operator.
    pub(crate) async fn settled(&self) -> Result<Peer<RoleClient>, String> {
        let mut changes = self.changes.subscribe();
        loop {
            match self.now().phase {
                Phase::Ready(peer) => return Ok(peer),
                Phase::Failed(why) => return Err(why),
                Phase::Unavailable => return Err(self.lack().to_owned()),
                Phase::Asleep => self.want(),
                Phase::Starting => {}
            }
            if changes.changed().await.is_err() {
                return Err("it was taken out of the config".to_owned());
            }
        }
    }

    async fn keep(&self) {
        let (mut wait, mut eras) = (FIRST_WAIT, Eras::Both);
        loop {
            let began = Instant::now();
            let why = match self.run_once(&mut eras).await {
                Ending::Stopped => return,
                Ending::Idle => {
                    self.change(|now| now.phase = Phase::Asleep);
                    tokio::select! {
                        () = self.wanted.notified() => {}
                        () = self.stop.cancelled() => return,
                    }
                    self.change(|now| now.phase = Phase::Starting);
                    continue;
                }
                Ending::Lost(why) => why,
            };
            if began.elapsed() > LONGEST_WAIT {
                wait = FIRST_WAIT;
            }
            let name = &self.config.name;
            let wait_ms = wait.as_millis();
            tracing::warn!(
                game.name = %self.house.game, tool.server = name, wait_ms,
                "tool server `{name}` is gone, next try in {wait_ms} ms: {why}"
            );
            let game = self.house.game.to_string();
            metrics::counter!("gaia_tools_server_failures_total", "game" => game, "server" => name.clone())
                .increment(1);
            self.change(|now| now.phase = Phase::Failed(why));
            tokio::select! {
                () = sleep(wait) => {}
                () = self.stop.cancelled() => return,
            }
            wait = (wait * 2).min(LONGEST_WAIT);
            self.change(|now| now.restarts += 1);
        }
    }

    async fn run_once(&self, eras: &mut Eras) -> Ending {
        let opening = connection::open(&self.config, &self.house, &self.in_hand, &self.list_changed, *eras);
        let opened = tokio::select! {
            opened = opening => opened,
            () = self.stop.cancelled() => return Ending::Stopped,
        };
        let mut connection = match opened {
            Ok(connection) => connection,
            Err((fault, complaints)) => {
                // A server of the older era may fall over the modern era's first word, and one of the modern era may
                // know no other, so the next try is in the other way.
                *eras = match eras {
                    Eras::Both if fault.may_be_of_its_era() => Eras::Older,
                    _ => Eras::Both,
                };
                return Ending::Lost(because(&fault, &complaints));
            }
        };
        let scopes = std::mem::take(&mut connection.scopes);
        self.change(|now| now.scopes = scopes);
        let ending = self.serve(&mut connection).await;
        let ending = match ending {
            Ending::Lost(why) => Ending::Lost(with_complaints(why, &connection.complaints)),
            ending => ending,
        };
        if matches!(ending, Ending::Lost(_)) {
            self.change(|now| now.phase = Phase::Starting);
        }
        connection.close().await;
        ending
    }

    async fn serve(&self, connection: &mut Connection) -> Ending {
        let is_program = connection.confinement.is_some();
        let mut relist = Duration::ZERO;
        self.touch();
        loop {
            if relist.is_zero() {
                relist = match self.list(&connection.peer, connection.confinement).await {
                    Ok(next) => next,
                    Err(why) => return Ending::Lost(why),
                };
            }
            let subscription = async {
                match &mut connection.subscription {
                    Some(subscription) => subscription.next().await.is_ok_and(|change| change.is_some()),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return Ending::Stopped,
                () = connection.over.clone() => return Ending::Lost("it ended".to_owned()),
                () = self.list_changed.notified() => relist = Duration::ZERO,
                is_change = subscription => {
                    if !is_change {
                        connection.subscription = None;
                    }
                    relist = Duration::ZERO;
                }
                () = self.wanted.notified() => relist = Duration::ZERO,
                () = sleep(relist) => relist = Duration::ZERO,
                () = sleep_until(self.sleepy_at()), if is_program => {
                    let is_idle = self.slots.available_permits() == AT_ONCE;
                    if is_idle && self.sleepy_at() <= Instant::now() {
                        return Ending::Idle;
                    }
                    self.touch();
                }
            }
        }
    }

    /// Lists, judges and offers the tools. Says when to look again.
    async fn list(&self, peer: &Peer<RoleClient>, confinement: Option<Confinement>) -> Result<Duration, String> {
        let listing = async {
            let (listed, left_out) = tool::list(peer, &self.config).await?;
            Ok::<_, ListFault>((tool::judge(&listed, &self.config, self.pins.as_ref()).await, left_out))
        };
        let (judged, left_out) = match timeout(LIST, listing).await {
            Ok(Ok(listed)) => listed,
            Ok(Err(fault)) => {
                self.wanted_scopes(&fault);
                return Err(chain(&fault));
            }
            Err(_) => return Err(format!("it did not list its tools within {} seconds", LIST.as_secs())),
        };
        let (tools, notes, next) = match judged {
            Ok(tools) => {
                let notes = tool::notes(&tools, &self.config, left_out);
                (tools, notes, RELIST)
            }
            // Without pins nothing new can be trusted: what is offered stays as it was.
            Err(fault) => {
                self.change(|now| now.notes = vec![chain(&fault)]);
                if matches!(self.now().phase, Phase::Starting | Phase::Failed(_)) {
                    return Err(chain(&fault));
                }
                return Ok(SOON);
            }
        };
        for note in notes.iter().filter(|note| !self.now().notes.contains(note)) {
            tracing::warn!(game.name = %self.house.game, tool.server = self.config.name, "{note}");
        }
        let revision = peer.peer_info().map(|about| about.protocol_version.to_string());
        self.change(|now| {
            now.phase = Phase::Ready(peer.clone());
            now.tools = Arc::new(tools.into_iter().map(Arc::new).collect());
            now.notes = notes;
            now.revision = revision;
            now.confinement = confinement;
        });
        Ok(next)
    }
}

/// An error with its causes, on one line.
pub(crate) fn chain(fault: &dyn Error) -> String {
    let mut text = fault.to_string();
    let mut source = fault.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    clean::line(&text, 600)
}

fn because(fault: &dyn Error, complaints: &Complaints) -> String {
    with_complaints(chain(fault), complaints)
}

fn with_complaints(why: String, complaints: &Complaints) -> String {
    match complaints.last() {
        Some(last) => format!("{why}; it said: {last}"),
        None => why,
    }
}
