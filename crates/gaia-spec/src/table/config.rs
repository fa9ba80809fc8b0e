//! Every key of `config.yaml`.

mod tools;

use self::tools::SERVER;
use super::{Key, Kind};

/// The parts of a cluster that a config may speak of.
const PARTS: &[&str] = &["gateway", "auth", "chat", "world", "nats", "redis", "postgres"];

/// The keys of `config.yaml`, in the order of the sample.
pub(crate) const CONFIG: &[Key] = &[
    Key::new("name", Kind::Text { longest: 80 }, "The game's name for people.")
        .said("the folder's name, in words")
        .example("\"Zombie Survival MMOIRL\""),
    Key::new(
        "studio",
        Kind::Label,
        "Whose game it is. Containers and objects carry it as a label, so that what they cost can be told apart.",
    )
    .said("they carry no such label")
    .example("night-owl-games"),
    Key::new(
        "theme",
        Kind::Text { longest: 120 },
        "What kind of world it is. Every persona is told.",
    )
    .default("open world")
    .example("post-apocalyptic"),
    Key::new(
        "services",
        Kind::Either(
            &Kind::Map(SERVICES),
            &Kind::List {
                item: &SERVICE,
                least: 1,
                most: 20,
                is_distinct: true,
            },
        ),
        "What runs for the game. Every cluster has all of its services and stores, so only `chat` needs words here. \
         A list of names is read, too: [gateway, auth, chat, nats, redis, postgres].",
    )
    .of_parts(),
    Key::new(
        "replicas",
        Kind::Map(REPLICAS),
        "How many of each run at first. `10+` asks for at least ten. On the local target one of each runs unless \
         `--replicas` asks for more.",
    )
    .said("what `infrastructure.cluster_size` stands for"),
    Key::new(
        "resources",
        Kind::Map(RESOURCES),
        "What one replica may use, as Kubernetes writes it.",
    )
    .said("what `infrastructure.cluster_size` stands for"),
    Key::new(
        "horizontalPodAutoscaler",
        Kind::Map(AUTOSCALER),
        "Lets the number of replicas follow the load. The keys are those of Kubernetes.",
    )
    .said("the number of replicas stays as it is"),
    Key::new(
        "infrastructure",
        Kind::Map(INFRASTRUCTURE),
        "How large the game's cluster is, and where it runs.",
    )
    .of_parts(),
    Key::new("limits", Kind::Map(LIMITS), "How much a player may ask for.").of_parts(),
    Key::new("features", Kind::Map(FEATURES), "What the game switches on.").of_parts(),
    Key::new("ai_configuration", Kind::Map(AI), "How the game's characters answer.").of_parts(),
];

const SERVICE: Kind = Kind::Either(&Kind::Choice(PARTS), &Kind::Map(SERVICES));

const SERVICES: &[Key] = &[
    Key::new("gateway", Kind::Map(&[]), "Where players connect. It has no keys here.").example("{}"),
    Key::new(
        "auth",
        Kind::Map(&[]),
        "Players, sessions and tokens. It has no keys here.",
    )
    .example("{}"),
    Key::new("chat", Kind::Map(CHAT), "Conversations with personas.").of_parts(),
    Key::new("world", Kind::Map(&[]), "The game's world.")
        .example("{}")
        .unbuilt(),
    Key::new(
        "nats",
        Kind::Map(&[]),
        "How services speak to each other. It has no keys here.",
    )
    .example("{}"),
    Key::new(
        "redis",
        Kind::Map(&[]),
        "What is quick to ask and may be forgotten. It has no keys here.",
    )
    .example("{}"),
    Key::new(
        "postgres",
        Kind::Map(&[]),
        "What must not be lost. It has no keys here.",
    )
    .example("{}"),
];

const CHAT: &[Key] = &[
    Key::new(
        "personas",
        Kind::List {
            item: &Kind::PersonaName,
            least: 0,
            most: 64,
            is_distinct: true,
        },
        "The game's AI characters, the first one first. Each is described in personas/<name>.md; one without a file \
         gets a built-in starter.",
    )
    .said("the files in personas/, by name; without any, a built-in `guide`")
    .example("[mara_voss]"),
    Key::new(
        "mcp_servers",
        Kind::List {
            item: &SERVER,
            least: 0,
            most: 32,
            is_distinct: true,
        },
        "Servers of tools that personas may use: a known name, or how to reach your own. Known: weather_api, \
         location_service, news_scraper, image_recognition, social_media, payment_gateway. The first three are built \
         in; the others are not built yet.",
    )
    .said("none")
    .example("weather_api"),
];

const fn store(name: &'static str, example: &'static str) -> Key {
    Key::new(
        name,
        Kind::Replicas { may_cluster: true },
        "One, or a cluster of three or more.",
    )
    .example(example)
}

const fn service(name: &'static str, example: &'static str) -> Key {
    Key::new(name, Kind::Replicas { may_cluster: false }, "How many run.").example(example)
}

const REPLICAS: &[Key] = &[
    service("gateway", "5"),
    service("auth", "2"),
    service("chat", "10+"),
    store("nats", "1 (single instance)"),
    store("redis", "3 (cluster mode)"),
    service("postgres", "1"),
];

const RESOURCES: &[Key] = &[
    Key::new("gateway", Kind::Map(AMOUNTS), "For each replica of the gateway."),
    Key::new("auth", Kind::Map(AMOUNTS), "For each replica of auth."),
    Key::new("chat", Kind::Map(AMOUNTS), "For each replica of chat."),
    Key::new("nats", Kind::Map(AMOUNTS), "For each NATS server."),
    Key::new("redis", Kind::Map(AMOUNTS), "For each Redis server."),
    Key::new("postgres", Kind::Map(AMOUNTS), "For each Postgres server."),
];

const AMOUNTS: &[Key] = &[
    Key::new("memory", Kind::Memory, "Memory.")
        .said("what the size stands for")
        .example("2Gi"),
    Key::new("cpu", Kind::Cpu, "CPU: 1000m is one core.")
        .said("what the size stands for")
        .example("1000m"),
];

const LIMITS: &[Key] = &[
    Key::new(
        "requests_per_minute",
        Kind::Number {
            least: 1,
            most: 100_000_000,
        },
        "How many requests a player may make in a minute, evenly, with a burst of a sixth of it.",
    )
    .default("600")
    .example("600"),
    Key::new(
        "sign_ins_per_minute",
        Kind::Number {
            least: 1,
            most: 100_000_000,
        },
        "How many attempts to sign in, sign up or refresh one address may make in a minute. Players behind one network \
         share an address.",
    )
    .default("30")
    .example("30"),
];

const AUTOSCALER: &[Key] = &[
    Key::new(
        "minReplicas",
        Kind::Number { least: 0, most: 1000 },
        "The fewest replicas.",
    )
    .default("1")
    .example("1"),
    Key::new(
        "maxReplicas",
        Kind::Number { least: 1, most: 1000 },
        "The most replicas.",
    )
    .default("50")
    .example("50"),
    Key::new(
        "targetCPUUtilization",
        Kind::Percent,
        "The load at which more replicas start.",
    )
    .default("70%")
    .example("70%"),
];

/// Where clusters can run.
pub(crate) const REGIONS: &[&str] = &[
    "global",
    "us-east",
    "us-central",
    "us-west",
    "ca-east",
    "sa-east",
    "eu-west",
    "eu-central",
    "eu-north",
    "af-south",
    "me-central",
    "ap-south",
    "ap-southeast",
    "ap-northeast",
    "au-southeast",
];

const INFRASTRUCTURE: &[Key] = &[
    Key::new(
        "cluster_size",
        Kind::Choice(&["small", "medium", "large"]),
        "small: fewer than 1,000 players at once. medium: 1,000 to 10,000. large: more.",
    )
    .default("small")
    .example("medium"),
    Key::new(
        "regions",
        Kind::List {
            item: &Kind::Choice(REGIONS),
            least: 1,
            most: 15,
            is_distinct: true,
        },
        "Where the game runs. The first one is home and holds the stores.",
    )
    .default("[us-east]")
    .example("[us-east, us-west, eu-west]"),
    Key::new(
        "images",
        Kind::Map(IMAGES),
        "Container images in place of the usual ones, where the game runs in containers.",
    )
    .said("those that this version of Gaia was tested with"),
    Key::new(
        "off_hours",
        Kind::Map(OFF_HOURS),
        "Each day from one time until another, nothing but the stores runs, and players find nobody. On Kubernetes.",
    )
    .said("the game is always there"),
    Key::new(
        "entrance",
        Kind::Map(ENTRANCE),
        "How players reach the game from outside of its Kubernetes: through a Gateway, or an ingress controller, that is \
         there already.",
    )
    .said("only from within, and by `gaia play`"),
];

const OFF_HOURS: &[Key] = &[
    Key::new("from", Kind::TimeOfDay, "When the game closes.")
        .required()
        .example("\"23:30\""),
    Key::new("until", Kind::TimeOfDay, "When it opens again.")
        .required()
        .example("\"06:30\""),
    Key::new("timezone", Kind::TimeZone, "Where it is that time.")
        .default("UTC")
        .example("Europe/Berlin"),
];

const ENTRANCE: &[Key] = &[
    Key::new("hostname", Kind::Hostname, "The name at which players find the game.")
        .required()
        .example("play.example.org"),
    Key::new(
        "gateway",
        Kind::Map(GATEWAY),
        "The Gateway (Gateway API) that takes players in. It must allow routes from the game's namespace.",
    ),
    Key::new(
        "ingress",
        Kind::Map(INGRESS),
        "An ingress controller, where there is no Gateway.",
    )
    .instead_of("gateway"),
];

const GATEWAY: &[Key] = &[
    Key::new("name", Kind::ObjectName, "The Gateway's name.")
        .required()
        .example("public"),
    Key::new("namespace", Kind::ObjectName, "Its namespace.")
        .required()
        .example("gateways"),
    Key::new("listener", Kind::ObjectName, "The one of its listeners that is meant.")
        .said("all that take the hostname")
        .example("https"),
];

const INGRESS: &[Key] = &[
    Key::new("class", Kind::ObjectName, "The class of the controller.")
        .required()
        .example("traefik"),
    Key::new(
        "tls_secret",
        Kind::ObjectName,
        "The secret in the game's namespace that holds the certificate; whoever makes certificates there makes it.",
    )
    .said("players come in without TLS, unless the controller adds it")
    .example("play-cert"),
];

const fn image(name: &'static str, doc: &'static str, example: &'static str) -> Key {
    Key::new(name, Kind::Text { longest: 255 }, doc).example(example)
}

const IMAGES: &[Key] = &[
    image("gaia", "Gaia itself.", "registry.example.com/gaia:0.1.0"),
    image(
        "postgres",
        "Postgres 15 or newer, made like the official image.",
        "postgres:17",
    ),
    image(
        "redis",
        "Redis 7 or Valkey 8, made like the official image.",
        "valkey/valkey:8",
    ),
    image("nats", "NATS 2.9 or newer, with a shell.", "nats:2-alpine"),
];

const fn feature(name: &'static str, doc: &'static str) -> Key {
    Key::new(name, Kind::Switch, doc)
        .said("false")
        .example("false")
        .unbuilt()
}

const FEATURES: &[Key] = &[
    feature(
        "real_weather_integration",
        "The weather where the player is steers the game.",
    ),
    feature("location_based_events", "Things happen at places."),
    feature("social_features", "Players meet and help each other."),
    feature(
        "image_recognition",
        "What a player's camera sees becomes part of the game.",
    ),
    feature("educational_content", "The game teaches as it is played."),
    feature("collaborative_puzzles", "Puzzles that several players solve together."),
    feature(
        "health_api_integration",
        "Steps, heart rate and the like count in the game.",
    ),
    feature("competitive_leaderboards", "Players see who leads."),
    feature("real_time_coaching", "Characters coach while the player moves."),
];

const AI: &[Key] = &[
    Key::new(
        "response_time_target",
        Kind::Duration {
            least_ms: 50,
            most_ms: 60_000,
        },
        "When a player has the first useful output of a reply at the latest.",
    )
    .default("2s")
    .example("500ms"),
    Key::new(
        "personality",
        Kind::Text { longest: 400 },
        "How all characters of the game are. Every persona is told.",
    )
    .example("\"urgent, survival-focused\""),
    Key::new(
        "context_window",
        Kind::Number { least: 1, most: 100 },
        "How many recent messages a character has in mind; a player's and a character's each count as one.",
    )
    .default("10")
    .example("5"),
    Key::new(
        "routes",
        Kind::List {
            item: &Kind::Map(ROUTE),
            least: 0,
            most: 16,
            is_distinct: false,
        },
        "Models that replies may come from, best first. Behind them always stands the offline route, which answers \
         from the personas' files without any model.",
    )
    .said("only the offline route"),
    Key::new(
        "budget",
        Kind::Map(BUDGET),
        "How much the models may cost, in US dollars. Before each call the most that it can cost is set aside, and what \
         does not fit is not called: the next route that fits answers, at last the offline route. Days and months are \
         those of the calendar, in UTC. At 50, 80 and 100% of the game's day and month there is an event.",
    )
    .of_parts(),
];

const BUDGET: &[Key] = &[
    Key::new("per_day", Kind::Money, "For the whole game, in a day.")
        .said("no limit")
        .example("$5"),
    Key::new("per_month", Kind::Money, "For the whole game, in a month.")
        .said("no limit")
        .example("100 USD"),
    Key::new("per_player_per_day", Kind::Money, "For each player, in a day.")
        .said("no limit")
        .example("0.50"),
    Key::new(
        "per_persona_per_day",
        Kind::Money,
        "For each persona, in a day. `limits.budget_per_day` in a persona's file goes before it.",
    )
    .said("no limit")
    .example("$2"),
];

const PRICE: &[Key] = &[
    Key::new("input", Kind::Money, "For tokens that are read.")
        .required()
        .example("1.00"),
    Key::new("output", Kind::Money, "For tokens that are written.")
        .required()
        .example("5.00"),
    Key::new(
        "cache_read",
        Kind::Money,
        "For tokens that come from the provider's cache.",
    )
    .said("what `input` says")
    .example("0.10"),
    Key::new(
        "cache_write",
        Kind::Money,
        "For tokens that go into the provider's cache.",
    )
    .said("what `input` says")
    .example("1.25"),
];

const ROUTE: &[Key] = &[
    Key::new("name", Kind::Word, "The route's name, in replies and in metrics.")
        .required()
        .example("claude"),
    Key::new(
        "provider",
        Kind::Choice(&["anthropic", "openai"]),
        "The wire format: Anthropic's Messages, or OpenAI's chat completions, which Ollama, vLLM and llama-server \
         speak, too.",
    )
    .required()
    .example("anthropic"),
    Key::new(
        "model",
        Kind::Text { longest: 120 },
        "The model, as the provider calls it.",
    )
    .required()
    .example("claude-haiku-4-5"),
    Key::new(
        "base_url",
        Kind::Address,
        "Where the provider is reached, such as http://127.0.0.1:11434/v1 for Ollama.",
    )
    .said("https://api.anthropic.com or https://api.openai.com/v1")
    .example("https://api.anthropic.com"),
    Key::new(
        "api_key",
        Kind::Reference,
        "Where the key is found when the game is brought up, never the key itself: env:NAME or file:/path. May be \
         left out only together with a base_url of your own.",
    )
    .example("env:ANTHROPIC_API_KEY"),
    Key::new(
        "first_token_timeout",
        Kind::Duration {
            least_ms: 100,
            most_ms: 300_000,
        },
        "How long the first token may take before the next route is tried.",
    )
    .default("10s")
    .example("3s"),
    Key::new(
        "silence_timeout",
        Kind::Duration {
            least_ms: 100,
            most_ms: 300_000,
        },
        "How long the stream may be silent after that.",
    )
    .default("15s")
    .example("15s"),
    Key::new(
        "price",
        Kind::Map(PRICE),
        "What a million tokens cost, in US dollars. Gaia knows the prices of well-known models of Anthropic and OpenAI. \
         A base_url of your own costs nothing, unless it is a public address that takes an api_key: then say the price, \
         zeros if there is none.",
    )
    .said("the price that Gaia knows"),
];
