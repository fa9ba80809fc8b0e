//! Every key of the front matter of a persona's file.

use super::{Key, Kind};

/// The keys of the front matter, in the order of the sample.
pub(crate) const PERSONA: &[Key] = &[
    Key::new("name", Kind::Text { longest: 60 }, "The character's name in the game.")
        .said("the file's name, in words")
        .example("Mara Voss"),
    Key::new("role", Kind::Text { longest: 120 }, "What it is in the game.")
        .said("the file's name, in small words")
        .example("survivor guide"),
    Key::new("voice", Kind::Text { longest: 300 }, "How it speaks.")
        .default("plain and friendly, in short sentences")
        .example("short sentences, dry humour"),
    Key::new(
        "barks",
        BARKS,
        "What players come to say, by intent, and lines that answer it without a model. These intents have built-in \
         meanings and need only lines: greeting, farewell, thanks, who_are_you, are_you_real, how_are_you, \
         name_given, recall, recall_nothing, insult, praise, joke, small_talk, yes, no, confused, help, story, \
         fallback, and two that no player's line calls for: `meanwhile`, said while a reply takes its time, and \
         `closing`, said when none came in time. For those that are left out the persona has plain lines of its own. \
         In a line, {player} stands for the player's name, and in `recall` {earlier} for what they said before.",
    )
    .said("plain lines for the built-in intents")
    .example("greeting: [\"You made it. Sit down, keep your voice low.\", \"Still breathing, {player}? Good.\"]"),
    Key::new(
        "facts",
        Kind::Named {
            name: &Kind::Word,
            item: &Kind::Map(FACT),
            most: 400,
            example: "pharmacy",
        },
        "What it knows, by name, with the lines that tell it.",
    )
    .said("none"),
    Key::new(
        "examples",
        Kind::List {
            item: &Kind::Map(EXAMPLE),
            least: 0,
            most: 20,
            is_distinct: false,
        },
        "Exchanges that show its manner to a model.",
    )
    .said("none"),
    Key::new(
        "tools",
        Kind::List {
            item: &Kind::Tool,
            least: 0,
            most: 64,
            is_distinct: true,
        },
        "Tools that it may use: a server of the config's `mcp_servers`, or one tool of it.",
    )
    .said("none")
    .example("[weather_api, location_service.nearby]"),
    Key::new("limits", Kind::Map(LIMITS), "What bounds its replies.").of_parts(),
];

const BARKS: Kind = Kind::Named {
    name: &Kind::Word,
    item: &BARK,
    most: 400,
    example: "ask_shelter",
};

const BARK: Kind = Kind::Either(&LINES, &Kind::Map(SAYING));

const LINES: Kind = Kind::List {
    item: &Kind::Line,
    least: 1,
    most: 400,
    is_distinct: true,
};

const SAYING: &[Key] = &[
    Key::new(
        "when",
        Kind::List {
            item: &Kind::Text { longest: 400 },
            least: 1,
            most: 400,
            is_distinct: true,
        },
        "Ways in which players say or ask it. Five to ten varied ones are good.",
    )
    .said("the built-in ones, where the intent has them")
    .example("[\"where can I sleep tonight\", \"is there a safe place\"]"),
    Key::new(
        "say",
        LINES,
        "Lines that answer it, any of which fits. At least one does without {player}.",
    )
    .required()
    .example("[\"The school on Mill Street has a dry cellar. Knock twice.\"]"),
    Key::new(
        "meanwhile",
        LINES,
        "Lines that bridge the wait while a model's reply to it takes its time. They must promise and claim nothing, for \
         nothing has happened yet.",
    )
    .said("those of the intent `meanwhile`")
    .example("[\"Somewhere to sleep. Let me think.\"]"),
    Key::new(
        "tool",
        Kind::OneTool,
        "A tool of the character's `tools` that is called before a line of this intent is said, where no model speaks. In \
         `say`, {answer} stands for what it answers and {answer.condition} for a part of that. A line that holds it is \
         said only if the answer has come.",
    )
    .said("none")
    .example("weather_api.now")
    .aside(),
    Key::new(
        "with",
        Kind::Named {
            name: &Kind::Variable,
            item: &Kind::Argument,
            most: 32,
            example: "place",
        },
        "What the tool is handed, by name.",
    )
    .said("nothing")
    .example("{place: Berlin}")
    .aside(),
];

const FACT: &[Key] = &[
    Key::new(
        "when",
        Kind::List {
            item: &Kind::Text { longest: 400 },
            least: 1,
            most: 400,
            is_distinct: true,
        },
        "Ways in which players ask for it.",
    )
    .required()
    .example("[\"where do I find medicine\", \"is there a pharmacy\"]"),
    Key::new(
        "say",
        LINES,
        "Lines that tell it, any of which fits. At least one does without {player}.",
    )
    .required()
    .example("[\"The pharmacy on Mill Street was cleared in spring. Try the vet's, two roads down.\"]"),
];

const EXAMPLE: &[Key] = &[
    Key::new("player", Kind::Text { longest: 1000 }, "What a player says.")
        .required()
        .example("\"I think one of them bit me.\""),
    Key::new("reply", Kind::Text { longest: 1000 }, "What the character answers.")
        .required()
        .example("\"Show me. Now. And breathe, panic kills faster than teeth.\""),
];

const LIMITS: &[Key] = &[
    Key::new(
        "reply_tokens",
        Kind::Number { least: 16, most: 2000 },
        "The most tokens of one reply.",
    )
    .default("160")
    .example("160"),
    Key::new(
        "avoid",
        Kind::List {
            item: &Kind::Text { longest: 200 },
            least: 0,
            most: 32,
            is_distinct: true,
        },
        "What it must not talk about.",
    )
    .said("nothing")
    .example("[\"real medical advice\"]"),
    Key::new(
        "budget_per_day",
        Kind::Money,
        "How much its replies may cost in a day, in US dollars. When it is spent, cheaper routes and the lines of this \
         file answer.",
    )
    .said("what `ai_configuration.budget.per_persona_per_day` says")
    .example("$2"),
];
