//! A connection to a tool server: its program or its address, the era it speaks, and its end.

use std::{collections::BTreeMap, error::Error, path::PathBuf, sync::Arc, time::Duration};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use gaia_names::{GameId, Secret};
use gaia_protocol::bundle::{ToolServer, ToolSetting, ToolTransport};
use gaia_service::Tasks;
use rmcp::{
    ClientCacheConfig, ClientLifecycleMode, ClientServiceExt, RoleClient,
    model::{ProtocolVersion, SubscriptionFilter},
    service::{ClientInitializeError, Peer, RunningService, RunningServiceCancellationToken, Subscription},
    transport::{IntoTransport, StreamableHttpClientTransport, async_rw::AsyncRwTransport},
};
use tokio::{sync::Notify, time::timeout};

use crate::{
    bounded::BoundedLines,
    client::{Client, InHand},
    http,
    launch::{self, Complaints, Launch, LaunchFault, Running},
    oauth::{self, Authorized, OauthFault},
    sandbox::{self, Confinement},
    sign_ins::SignInStore,
};

/// How long a server may take to start and to say what it speaks.
const START: Duration = Duration::from_secs(30);
/// How long an end may take.
const END: Duration = Duration::from_secs(2);

/// What all servers of a game have in common.
pub(crate) struct House {
    pub(crate) game: GameId,
    pub(crate) secrets: BTreeMap<String, Secret>,
    /// Where sign-ins are kept while their tokens change.
    pub(crate) sign_ins: Arc<dyn SignInStore>,
    /// The program that serves our own servers: `gaia`.
    pub(crate) program: PathBuf,
    /// Where each server's program has a folder of its own.
    pub(crate) scratch: PathBuf,
    pub(crate) tasks: Tasks,
}

/// An open connection.
pub(crate) struct Connection {
    pub(crate) peer: Peer<RoleClient>,
    /// Resolves when it is over.
    pub(crate) over: Shared<BoxFuture<'static, ()>>,
    pub(crate) confinement: Option<Confinement>,
    pub(crate) complaints: Complaints,
    /// Word of changes of the list, where the server only gives it to those who ask.
    pub(crate) subscription: Option<Subscription>,
    /// What its token allows, where it has one and that was said.
    pub(crate) scopes: Vec<String>,
    stop: RunningServiceCancellationToken,
    running: Option<Running>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectFault {
    /// Nobody can run it.
    #[error("this version of Gaia has no such server")]
    Unbuilt,
    /// Its program.
    #[error(transparent)]
    Launch(#[from] LaunchFault),
    /// The settings do not hold what the bundle names.
    #[error("the secret `{0}` is not set; set what the config refers to and bring the game up again")]
    NoSecret(String),
    /// Its address or our TLS.
    #[error("its address cannot be used")]
    Address(#[source] Box<dyn Error + Send + Sync>),
    /// Its token.
    #[error(transparent)]
    Oauth(#[from] OauthFault),
    /// What it says at first.
    #[error("it does not start to speak MCP")]
    Initialize(#[source] Box<ClientInitializeError>),
    /// Nothing came.
    #[error("it said nothing within {} seconds", START.as_secs())]
    Silent,
}

/// Which revisions are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eras {
    /// The modern one, and the older one where the server says that it does not know it.
    Both,
    /// The older one alone.
    Older,
}

impl ConnectFault {
    /// Whether the modern era's first word may be what the server stumbled over.
    pub(crate) fn may_be_of_its_era(&self) -> bool {
        matches!(self, Self::Initialize(_))
    }

    /// Whether the server took the modern era's first word for something else.
    fn is_of_its_era(&self) -> bool {
        matches!(self, Self::Initialize(fault) if matches!(**fault, ClientInitializeError::ExpectedInitResult(Some(_))))
    }
}

/// Opens a connection.
pub(crate) async fn open(
    server: &ToolServer,
    house: &House,
    in_hand: &Arc<InHand>,
    list_changed: &Arc<Notify>,
    eras: Eras,
) -> Result<Connection, (ConnectFault, Complaints)> {
    let complaints = Complaints::default();
    let opened = async |eras| {
        let client = Client {
            in_hand: in_hand.clone(),
            list_changed: list_changed.clone(),
            eras,
        };
        match &server.transport {
            ToolTransport::Unbuilt => Err(ConnectFault::Unbuilt),
            ToolTransport::Http { url, .. } => over_http(server, url, house, client).await,
            ToolTransport::Shipped { .. } | ToolTransport::Command { .. } => {
                over_stdio(server, house, client, &complaints).await
            }
        }
    };
    let mut connection = opened(eras).await;
    if connection.as_ref().is_err_and(ConnectFault::is_of_its_era) && eras == Eras::Both {
        connection = opened(Eras::Older).await;
    }
    match connection {
        Ok(mut connection) => {
            connection
                .peer
                .set_response_cache_config(ClientCacheConfig::disabled())
                .await;
            connection.subscription = subscribe(&connection.peer).await;
            Ok(connection)
        }
        Err(fault) => Err((fault, complaints)),
    }
}

/// On the modern era word of changes comes only to those who ask for it.
async fn subscribe(peer: &Peer<RoleClient>) -> Option<Subscription> {
    let about = peer.peer_info()?;
    let tells = about
        .capabilities
        .tools
        .as_ref()
        .is_some_and(|tools| tools.list_changed == Some(true));
    if !tells || about.protocol_version.has_initialize() {
        return None;
    }
    let wanted = SubscriptionFilter::builder().tools_list_changed().build();
    timeout(END, peer.listen(wanted)).await.ok()?.ok()
}

async fn over_stdio(
    server: &ToolServer,
    house: &House,
    client: Client,
    complaints: &Complaints,
) -> Result<Connection, ConnectFault> {
    let launch = launch(server, house)?;
    let sandbox = sandbox::of_this_machine(&house.scratch.join("sandbox")).await;
    let confinement = Confinement {
        sandbox,
        may_use_network: launch.has_network,
    };
    let given = launch.environment.iter().cloned().collect();
    let mut running = launch::start(launch, sandbox).await?;
    let (stdin, stdout) = (running.child.stdin.take(), running.child.stdout.take());
    let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
        return Err(ConnectFault::Silent);
    };
    if let Some(stderr) = running.child.stderr.take() {
        complaints.hear(&server.name, stderr, given, &house.tasks);
    }
    let bounded = BoundedLines::new(stdout, http::LARGEST_ANSWER);
    let transport = AsyncRwTransport::new(bounded, stdin).with_max_line_length(http::LARGEST_ANSWER + 1);
    let service = speak(client, transport).await?;
    let mut connection = Connection::over(service);
    connection.confinement = Some(confinement);
    connection.complaints = complaints.clone();
    connection.running = Some(running);
    Ok(connection)
}

async fn over_http(server: &ToolServer, url: &str, house: &House, client: Client) -> Result<Connection, ConnectFault> {
    let address = url
        .parse()
        .map_err(|fault: url::ParseError| ConnectFault::Address(fault.into()))?;
    let http = http::client(&address).map_err(|fault| ConnectFault::Address(fault.into()))?;
    let mut config = http::config(url);
    let ToolTransport::Http { key, oauth, .. } = &server.transport else {
        return Err(ConnectFault::Unbuilt);
    };
    if let Some(name) = key {
        let key = house
            .secrets
            .get(name)
            .ok_or_else(|| ConnectFault::NoSecret(name.clone()))?;
        config = config.auth_header(key.expose());
    }
    let Some(oauth) = oauth else {
        let service = speak(client, StreamableHttpClientTransport::with_client(http, config)).await?;
        return Ok(Connection::over(service));
    };
    let authorized = timeout(START, oauth::authorized(http, url, oauth, (&server.name, house))).await;
    let Authorized { client: http, scopes } = authorized.map_err(|_| ConnectFault::Silent)??;
    let service = speak(client, StreamableHttpClientTransport::with_client(http, config)).await?;
    let mut connection = Connection::over(service);
    connection.scopes = scopes;
    Ok(connection)
}

/// The modern era first, then the one before it.
async fn speak<T, E, A>(client: Client, transport: T) -> Result<RunningService<RoleClient, Client>, ConnectFault>
where
    T: IntoTransport<RoleClient, E, A>,
    E: Error + Send + Sync + 'static,
{
    let lifecycle = match client.eras {
        Eras::Both => ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
        },
        Eras::Older => ClientLifecycleMode::Initialize,
    };
    let spoken = timeout(START, client.serve_with_lifecycle(transport, lifecycle)).await;
    let service = spoken.map_err(|_| ConnectFault::Silent)?;
    service.map_err(|fault| ConnectFault::Initialize(Box::new(fault)))
}

fn launch(server: &ToolServer, house: &House) -> Result<Launch, ConnectFault> {
    let home = house.scratch.join(house.game.as_str()).join(&server.name);
    let plan = |program, arguments, environment, files, has_network| Launch {
        name: server.name.clone(),
        program,
        arguments,
        environment,
        files,
        has_network,
        home,
    };
    match &server.transport {
        ToolTransport::Shipped { name, arguments } => {
            let words = ["mcp", name.as_str()]
                .map(str::to_owned)
                .into_iter()
                .chain(arguments.iter().cloned());
            // Where places are is in the program itself; weather and news are out there.
            let has_network = name != "location";
            Ok(plan(
                house.program.clone(),
                words.collect(),
                Vec::new(),
                Vec::new(),
                has_network,
            ))
        }
        ToolTransport::Command {
            command,
            environment,
            files,
            has_network,
        } => {
            let (program, arguments) = command.split_first().ok_or(ConnectFault::Unbuilt)?;
            let value = |setting: &ToolSetting| match setting {
                ToolSetting::Plain(value) => Ok(Secret::new(value)),
                ToolSetting::Secret(name) => house
                    .secrets
                    .get(name)
                    .cloned()
                    .ok_or_else(|| ConnectFault::NoSecret(name.clone())),
            };
            let environment = environment
                .iter()
                .map(|(name, setting)| Ok((name.clone(), value(setting)?)));
            let environment = environment.collect::<Result<_, ConnectFault>>()?;
            Ok(plan(
                launch::program(program)?,
                arguments.to_vec(),
                environment,
                files.clone(),
                *has_network,
            ))
        }
        ToolTransport::Unbuilt | ToolTransport::Http { .. } => Err(ConnectFault::Unbuilt),
    }
}

impl Connection {
    fn over(service: RunningService<RoleClient, Client>) -> Self {
        Self {
            peer: service.peer().clone(),
            stop: service.cancellation_token(),
            over: service.waiting().map(drop).boxed().shared(),
            confinement: None,
            complaints: Complaints::default(),
            subscription: None,
            scopes: Vec::new(),
            running: None,
        }
    }

    /// Closes it, and ends the program with all its children.
    pub(crate) async fn close(mut self) {
        drop(self.subscription.take());
        self.stop.cancel();
        let _ = timeout(END, self.over).await;
        if let Some(running) = self.running.take() {
            running.end().await;
        }
    }
}
