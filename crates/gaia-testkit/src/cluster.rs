//! A whole game in the test's process: its own services on real stores.

use std::{collections::BTreeMap, net::SocketAddr};

use gaia_names::{InstanceId, Secret};
use gaia_protocol::{
    bundle::{Bundle, Provider},
    settings::{GatewayGame, InferenceAccess, Settings},
};
use gaia_service::Tasks;

use crate::{Script, ScriptedLlm, TestGame, Visitor, bundles, game::settings};

/// Changes what a cluster is told before it starts.
type Change<T> = Box<dyn FnOnce(&mut T, &ScriptedLlm) + Send>;

/// What a test wants to be different.
#[derive(Default)]
pub struct ClusterOptions {
    /// The game's stores are this test's own, so that it may kill them.
    pub alone: bool,
    /// They are this test's own, and Redis runs in cluster mode.
    pub has_redis_cluster: bool,
    /// Changes the bundle. By default it has one route, `scripted`, to the cluster's [`ScriptedLlm`].
    pub bundle: Option<Change<Bundle>>,
    /// Changes what the gateway is told.
    pub gateway: Option<Change<GatewayGame>>,
    /// Where embeddings come from.
    pub inference: Option<InferenceAccess>,
    /// Keys of routes.
    pub route_keys: BTreeMap<String, Secret>,
}

/// Gateway, auth and chat of one game. With `GAIA_TEST_CLUSTERS=shared` in the environment the same processes serve a
/// second game too, so that the whole suite also runs in a shared cluster.
pub struct TestCluster {
    /// The game.
    pub game: TestGame,
    /// The game that shares the services, in a shared cluster.
    pub neighbour: Option<TestGame>,
    /// The bundle that chat booted with.
    pub bundle: Bundle,
    /// The gateway: `http://127.0.0.1:port`.
    pub gateway: String,
    /// The gateway's listener for the neighbour.
    pub neighbour_gateway: Option<String>,
    /// The ops ports of gateway, auth and chat.
    pub ops: [SocketAddr; 3],
    /// What answers the route `scripted`.
    pub llm: ScriptedLlm,
    /// The tasks of gateway, auth and chat: drain one to stop that service.
    pub tasks: [Tasks; 3],
}

impl TestCluster {
    /// A cluster whose persona says "Good evening, traveller." to everything.
    pub async fn start() -> Self {
        Self::start_with(ClusterOptions::default()).await
    }

    /// The same, with differences.
    ///
    /// # Panics
    ///
    /// Where a part does not start.
    pub async fn start_with(options: ClusterOptions) -> Self {
        let game = match (options.has_redis_cluster, options.alone) {
            (true, _) => TestGame::start_alone_with_redis_cluster().await,
            (false, true) => TestGame::start_alone().await,
            (false, false) => TestGame::start().await,
        };
        let llm = ScriptedLlm::start(Script::says("Good evening, traveller.")).await;
        let mut bundle = bundles::bundle(&game.id);
        bundle
            .routes
            .push(bundles::route("scripted", Provider::Openai, &llm.openai_url()));
        if let Some(change) = options.bundle {
            change(&mut bundle, &llm);
        }
        let neighbour = if is_shared() {
            Some(game.neighbour().await)
        } else {
            None
        };

        let mut auth = game.auth_settings();
        let mut chat = settings(game.chat_game(&bundle, options.route_keys, options.inference));
        let mut gateway = game.gateway_settings();
        if let Some(change) = options.gateway {
            change(&mut gateway.games[0], &llm);
        }
        if let Some(neighbour) = &neighbour {
            auth.games.push(neighbour.auth_game());
            chat.games
                .push(neighbour.chat_game(&bundles::bundle(&neighbour.id), BTreeMap::new(), None));
            gateway.games.push(neighbour.gateway_game());
        }
        let tasks: [Tasks; 3] = Default::default();
        let auth = gaia_auth::start(auth, &tasks[1]).await.expect("auth starts");
        let chat = gaia_chat::start(chat, &tasks[2]).await.expect("chat starts");
        let listening = gaia_gateway::start(gateway, &tasks[0])
            .await
            .expect("the gateway starts");
        let url = |game: &TestGame| format!("http://{}", listening.games[&game.id]);
        Self {
            gateway: url(&game),
            neighbour_gateway: neighbour.as_ref().map(url),
            ops: [listening.ops, auth, chat],
            game,
            neighbour,
            bundle,
            llm,
            tasks,
        }
    }

    /// Starts one more gateway for the game, beside the first.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    pub async fn another_gateway(&self, tasks: &Tasks) -> String {
        let mut settings: Settings<GatewayGame> = self.game.gateway_settings();
        settings.instance = InstanceId::fresh();
        let listening = gaia_gateway::start(settings, tasks).await.expect("the gateway starts");
        format!("http://{}", listening.games[&self.game.id])
    }

    /// Somebody who has not signed in.
    #[must_use]
    pub fn stranger(&self) -> Visitor {
        Visitor::new(&self.gateway)
    }

    /// A new guest.
    pub async fn visitor(&self) -> Visitor {
        Visitor::enter(&self.gateway).await
    }
}

fn is_shared() -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is a test's own switch, read nowhere else"
    )]
    std::env::var("GAIA_TEST_CLUSTERS").is_ok_and(|mode| mode == "shared")
}
