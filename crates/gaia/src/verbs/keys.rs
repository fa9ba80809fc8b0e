//! `gaia keys`: the keys with which a game's own programs sign in.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use gaia_deploy::Admin;
use gaia_names::{GameId, KeyId};
use gaia_protocol::api_keys::{ApiKey, KEY_REQUESTS_PER_MINUTE, KeyScope};

use crate::{
    commands::{HomeArgument, JsonArgument},
    environment,
    failure::{Failure, Outcome},
    output::{Output, Table, plain},
};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The game
    game: GameId,
    #[command(subcommand)]
    verb: KeysVerb,
}

#[derive(Debug, Subcommand)]
enum KeysVerb {
    /// Make a key and show it, once
    ///
    /// The key is printed on standard output and kept nowhere; only its hash is. Whoever holds it speaks for any of the
    /// players that it names, so it belongs on a server, never in a page or an app.
    #[command(verbatim_doc_comment)]
    Create(Create),
    /// List the keys, those that hold first
    ///
    /// Shows what each key is for, how it begins, when it was used last and whether it was revoked. No key is shown.
    #[command(verbatim_doc_comment)]
    List(List),
    /// Revoke a key; it is refused from now on
    ///
    /// Takes the id that `gaia keys <GAME> list` shows. There is no way back: make a new key instead.
    #[command(verbatim_doc_comment)]
    Revoke(Revoke),
}

#[derive(Args, Debug)]
struct Create {
    /// What it is for: "website"
    name: String,
    /// What it may be used for: chat (talk to the characters) or models (only list them); may be given for each
    #[arg(long = "scope", value_name = "SCOPE", default_value = "chat", value_parser = scope)]
    scopes: Vec<KeyScope>,
    /// How many requests it may make in a minute
    #[arg(long, value_name = "COUNT", default_value_t = KEY_REQUESTS_PER_MINUTE)]
    requests_per_minute: u32,
    #[command(flatten)]
    home: HomeArgument,
    #[command(flatten)]
    json: JsonArgument,
}

#[derive(Args, Debug)]
struct List {
    #[command(flatten)]
    home: HomeArgument,
    #[command(flatten)]
    json: JsonArgument,
}

#[derive(Args, Debug)]
struct Revoke {
    /// The key's id
    key: KeyId,
    #[command(flatten)]
    home: HomeArgument,
    #[command(flatten)]
    json: JsonArgument,
}

impl Arguments {
    pub(super) fn is_json(&self) -> bool {
        match &self.verb {
            KeysVerb::Create(arguments) => arguments.json.json,
            KeysVerb::List(arguments) => arguments.json.json,
            KeysVerb::Revoke(arguments) => arguments.json.json,
        }
    }

    fn home(&self) -> &HomeArgument {
        match &self.verb {
            KeysVerb::Create(arguments) => &arguments.home,
            KeysVerb::List(arguments) => &arguments.home,
            KeysVerb::Revoke(arguments) => &arguments.home,
        }
    }
}

fn scope(word: &str) -> Result<KeyScope, String> {
    let found = KeyScope::ALL.iter().find(|scope| scope.as_str() == word);
    found
        .copied()
        .ok_or_else(|| format!("`{word}` is not one of chat, models"))
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let output = Output::new(arguments.is_json());
    let home = environment::home(arguments.home())?;
    let game = &arguments.game;
    let cluster = super::cluster_named(&home, game.as_str()).await?;
    let admin = Admin::of(&home, &cluster, game).await.map_err(|fault| {
        Failure::new(format!("the keys of `{game}` cannot be reached"))
            .because(fault)
            .help(format!("see `gaia status {game}`; `gaia up` brings it up"))
    })?;
    match &arguments.verb {
        KeysVerb::Create(arguments) => create(output, game, &admin, arguments).await?,
        KeysVerb::List(_) => list(output, game, &admin).await?,
        KeysVerb::Revoke(arguments) => revoke(output, &admin, arguments.key).await?,
    }
    Ok(Outcome::Done)
}

async fn create(output: Output, game: &GameId, admin: &Admin, wanted: &Create) -> anyhow::Result<()> {
    let made = admin
        .create_key(&wanted.name, &wanted.scopes, wanted.requests_per_minute)
        .await?;
    output.document(&made);
    // The key alone on standard output, so that it can be sent to a file.
    output.say(made.secret.expose());
    output.note(format_args!(
        "This is the key `{}`, id {}. It is shown only now: keep it where secrets are kept.",
        plain(&made.key.name),
        made.key.id
    ));
    output.note(format_args!(
        "Next: give it to an OpenAI client with the base URL <gateway>/openai/v1 (`gaia status {game}` shows the gateway)"
    ));
    Ok(())
}

async fn list(output: Output, game: &GameId, admin: &Admin) -> anyhow::Result<()> {
    let keys = admin.list_keys().await?;
    output.document(&keys);
    if keys.is_empty() {
        output.say(format_args!("`{game}` has no keys."));
        output.say(format_args!("Next: `gaia keys {game} create <name>`"));
        return Ok(());
    }
    let mut table = Table::new(&["id", "name", "key", "for", "per minute", "used", "state"]);
    for key in &keys {
        table.row(row(key));
    }
    output.say(table);
    Ok(())
}

fn row(key: &ApiKey) -> [String; 7] {
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let state = match key.revoked_at {
        Some(at) => format!("revoked {}", day(at)),
        None => "holds".to_owned(),
    };
    [
        key.id.to_string(),
        plain(&key.name),
        format!("{}…", plain(&key.hint)),
        scopes.join(", "),
        key.requests_per_minute.to_string(),
        key.last_used_at.map_or_else(|| "never".to_owned(), day),
        state,
    ]
}

fn day(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M").to_string()
}

async fn revoke(output: Output, admin: &Admin, key: KeyId) -> anyhow::Result<()> {
    let revoked = admin.revoke_key(key).await?;
    output.document(&revoked);
    output.say(format_args!(
        "The key `{}` is refused from now on.",
        plain(&revoked.name)
    ));
    Ok(())
}
