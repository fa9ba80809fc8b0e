//! The keys of a tool server.

use super::{Key, Kind};

/// The tool servers that a config may name without saying how they run.
const KNOWN_SERVERS: &[&str] = &[
    "weather_api",
    "location_service",
    "news_scraper",
    "image_recognition",
    "social_media",
    "payment_gateway",
];

pub(super) const SERVER: Kind = Kind::Either(&Kind::Choice(KNOWN_SERVERS), &Kind::Map(OWN_SERVER));

const WORDS: Kind = Kind::List {
    item: &Kind::Text { longest: 1000 },
    least: 1,
    most: 64,
    is_distinct: false,
};

const OWN_SERVER: &[Key] = &[
    Key::new("name", Kind::Word, "The name under which personas allow its tools.")
        .required()
        .example("bus_times"),
    Key::new(
        "command",
        Kind::Either(&Kind::Text { longest: 1000 }, &WORDS),
        "The program that serves it on its standard input and output, with its arguments: a list, or one line that is \
         split at spaces. It runs without the game's secrets and, where the machine can, without files that it was \
         not given.",
    )
    .example("[bus-times-server, --city, Leeds]"),
    Key::new("url", Kind::Address, "Where it is served over HTTP.")
        .instead_of("command")
        .example("https://tools.example.com/mcp"),
    Key::new(
        "feeds",
        Kind::List {
            item: &Kind::Address,
            least: 1,
            most: 50,
            is_distinct: true,
        },
        "RSS or Atom feeds: the server is Gaia's own for news, and reads these.",
    )
    .instead_of("command")
    .example("[https://news.example.com/leeds.xml]"),
    Key::new(
        "tools",
        Kind::List {
            item: &Kind::ToolName,
            least: 0,
            most: 64,
            is_distinct: true,
        },
        "The only tools of it that may be used.",
    )
    .said("all of its tools")
    .example("[next_bus]"),
    Key::new(
        "timeout",
        Kind::Duration {
            least_ms: 100,
            most_ms: 60_000,
        },
        "How long one call may be silent. A server that tells of its progress may take five times as long in all.",
    )
    .default("5s")
    .example("2s"),
    Key::new(
        "kinds",
        Kind::Named {
            name: &Kind::ToolName,
            item: &Kind::Choice(&["reads", "locates", "posts", "spends"]),
            most: 64,
            example: "next_bus",
        },
        "What its tools do: `reads` looks something up, `locates` tells others where the player is, `posts` says or \
         changes something outside the game, `spends` costs money. Once a turn holds words of people unknown, \
         everything but `reads` needs the player's yes.",
    )
    .said("`posts`, unless the server says that a tool only reads")
    .example("{next_bus: reads}"),
    Key::new(
        "trusted",
        Kind::Switch,
        "Whether what it answers is as good as the game's own word, and never written by people unknown.",
    )
    .default("false")
    .example("false"),
    Key::new(
        "env",
        Kind::Named {
            name: &Kind::Variable,
            item: &Kind::Text { longest: 1000 },
            most: 32,
            example: "BUS_API_KEY",
        },
        "The environment of its program, besides PATH, HOME and LANG: a value, or where a secret is found, env:NAME or \
         file:/path.",
    )
    .said("nothing else")
    .example("{BUS_API_KEY: \"env:BUS_API_KEY\"}"),
    Key::new(
        "files",
        Kind::List {
            item: &Kind::Path,
            least: 0,
            most: 32,
            is_distinct: true,
        },
        "Files and folders that its program may read, besides the system's programs and libraries. It may write into a \
         folder of its own, which is its HOME.",
    )
    .said("none")
    .example("[/srv/bus-times]"),
    Key::new("network", Kind::Switch, "Whether its program may use the network.")
        .default("false")
        .example("true"),
    Key::new(
        "key",
        Kind::Reference,
        "Where the key for its `url` is found when the game is brought up, never the key itself: env:NAME or \
         file:/path.",
    )
    .aside()
    .example("env:BUS_KEY"),
    Key::new(
        "oauth",
        Kind::Map(OAUTH),
        "How a token for its `url` is had from the authorization server that it names.",
    )
    .aside()
    .example("{client_id: gaia, client_secret: \"env:BUS_SECRET\"}"),
];

const OAUTH: &[Key] = &[
    Key::new(
        "client_id",
        Kind::Text { longest: 400 },
        "The client that was registered with the authorization server beforehand, or the https:// address of a page that \
         describes one (a client ID metadata document). A sign-in needs none where that server registers clients itself.",
    )
    .example("gaia"),
    Key::new(
        "client_secret",
        Kind::Reference,
        "Where its secret is found: env:NAME or file:/path.",
    )
    .example("env:BUS_SECRET"),
    Key::new(
        "client_key",
        Kind::Reference,
        "In place of a secret, where the client's private key is found, env:NAME or file:/path: PEM in PKCS #8, for \
         RS256, ES256 or ES384 (private_key_jwt).",
    )
    .example("file:/srv/secrets/bus_times.pem"),
    Key::new(
        "sign_in",
        Kind::Reference,
        "Where a sign-in is found, file:/path or env:NAME, for servers that want somebody's yes in a browser: \
         `gaia tools <folder> sign-in <server>` asks for it and writes the file. The game keeps renewing it.",
    )
    .example("file:/srv/secrets/bus_times.json"),
    Key::new(
        "scopes",
        Kind::List {
            item: &Kind::Text { longest: 200 },
            least: 0,
            most: 32,
            is_distinct: true,
        },
        "What the token is to allow.",
    )
    .said("what the server asks for")
    .example("[timetable.read]"),
];
