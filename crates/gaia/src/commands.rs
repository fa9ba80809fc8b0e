//! What can be typed after `gaia`, and what it means.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use gaia_names::Target;

use crate::verbs;

const ABOUT: &str = "Runs games whose AI characters live in the real world.

A game is one folder with a config.yaml and its personas. `gaia up` makes it a running cluster of its own, with gateway,
auth and chat and a private Postgres, Redis and NATS: as processes on this machine, in containers by Docker Compose, or in
a namespace of Kubernetes.";

const AFTER: &str = "\
A first game:
  gaia new my-game                         make games/my-game
  gaia check games/my-game                 see what is wrong with it
  gaia up games/my-game                    bring it up
  gaia play my-game                        talk to its characters

Exit codes:
  0   nothing to do, or done
  1   it failed
  2   there are changes to make (gaia plan)
  64  what was typed or written cannot be used

Environment:
  GAIA_HOME        where Gaia keeps everything on this machine; default: /var/lib/gaia for root, else
                   $XDG_STATE_HOME/gaia or ~/.local/state/gaia
  GAIA_TARGET      where games run that run nowhere yet: local, compose or kubernetes; default: local
  GAIA_MODELS      where models lie; default: models in home
  GAIA_PRICE_BOOK  what cores, memory and volumes cost (a file); default: prices.yaml in home
  GAIA_LOG         what `gaia serve` logs, such as info or gaia_chat=debug,warn
  NO_COLOR         no colour";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "gaia", version, about = "Runs games whose AI characters live in the real world.", long_about = ABOUT)]
#[command(after_help = AFTER, subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
#[command(arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Commands {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a game's folder, ready to be changed
    ///
    /// Makes <INTO>/<GAME> with a config.yaml and a first persona. Nothing that is there already is touched.
    #[command(verbatim_doc_comment)]
    New(verbs::new::Arguments),
    /// Say everything that is wrong with games' folders
    ///
    /// Reads each folder's config.yaml and personas and tells every fault with its place, what may stand there and what
    /// was probably meant. Exits 64 if a game cannot run like this; warnings alone do not matter.
    #[command(verbatim_doc_comment)]
    Check(verbs::check::Arguments),
    /// Show what can be written: a commented config or persona, the schema, or every command
    ///
    /// Prints it on standard output, so that it can be sent to a file:
    ///
    ///   gaia explain config > games/my-game/config.yaml
    #[command(verbatim_doc_comment)]
    Explain(verbs::explain::Arguments),
    /// Show what `gaia up` would do; exits 2 if that is something
    ///
    /// Checks the folder, looks at what runs, and shows the steps from here to there. Nothing is changed. Exits 0 if there
    /// is nothing to do and 2 if there are changes to make.
    #[command(verbatim_doc_comment)]
    Plan(verbs::plan::Arguments),
    /// Write what `gaia up` would apply as plain files
    ///
    /// For Compose a compose.yaml and what it mounts, for Kubernetes a manifest for each object, ready for whoever keeps
    /// what runs in version control. What holds secrets is left out unless it is asked for.
    ///
    ///   gaia render games/my-game --target kubernetes --into manifests
    #[command(verbatim_doc_comment)]
    Render(verbs::render::Arguments),
    /// Bring a game up, or change it to what its folder says now
    ///
    /// Checks the folder, makes the plan and carries it out: stores, migrations, services, the game's content. Only what
    /// differs is touched, so running it again changes nothing, and after any interruption it goes on from where it
    /// stopped. Several folders with --cluster share one cluster.
    ///
    /// Keys of routes to LLM providers are taken from the variables or files that the config names. Without any, the
    /// characters answer with what their files say, chosen by a small model on this machine (see `gaia model`).
    #[command(verbatim_doc_comment)]
    Up(verbs::up::Arguments),
    /// Run more or fewer instances of a game's services
    ///
    /// Shows the plan and carries it out. The number holds until another one is asked for, here or by `gaia up --replicas`;
    /// `usual` gives the number back to the config. A number that follows the load is changed in the config alone.
    ///
    ///   gaia scale zombie-survival chat=3
    #[command(verbatim_doc_comment)]
    Scale(verbs::scale::Arguments),
    /// Say how a game is, or all games
    ///
    /// Shows a game's gateway, its processes, what is wrong, and how its characters answer. Without a game, all clusters.
    #[command(verbatim_doc_comment)]
    Status(verbs::status::Arguments),
    /// Say what a game's models cost, and what is left of its budget
    ///
    /// Adds up what each call of a model has cost since a day, by day, persona, route, model or player, and shows the
    /// budget of today and of this month. Days and months are those of the calendar in UTC. A call that broke off is
    /// estimated, because its provider did not tell.
    #[command(verbatim_doc_comment)]
    Costs(verbs::costs::Arguments),
    /// List the clusters on this machine
    ///
    /// Lists every cluster with its games, how it is and where its players connect.
    #[command(verbatim_doc_comment)]
    List(verbs::list::Arguments),
    /// Show what a game's processes wrote
    ///
    /// Shows the last lines of one process, of all instances of a service, or of every process of the cluster.
    #[command(verbatim_doc_comment)]
    Logs(verbs::logs::Arguments),
    /// Restart a game's processes
    ///
    /// Restarts a process and waits until it is ready again. No data is lost; what runs meanwhile waits or is sent again.
    #[command(verbatim_doc_comment)]
    Restart(verbs::restart::Arguments),
    /// Stop a game and keep its data
    ///
    /// Stops all processes of a game's cluster. Its data stays, and `gaia up` brings it back as it was.
    #[command(verbatim_doc_comment)]
    Down(verbs::down::Arguments),
    /// Remove a game with all its data
    ///
    /// Stops a game's cluster and removes it with all its data: players, conversations, secrets and logs. There is no way
    /// back, so it asks for the game's name first. It ends by proving that nothing is left.
    #[command(verbatim_doc_comment)]
    Destroy(verbs::destroy::Arguments),
    /// Say what this machine lacks, and the command that brings it
    ///
    /// Looks at the machine: the stores' programs, users, folders, disk, memory, ports and the model. With --target compose
    /// it looks at Docker and Compose, with --target kubernetes at the API server and what one may do there. Exits 1 if
    /// something is missing without which no game can run.
    #[command(verbatim_doc_comment)]
    Doctor(verbs::doctor::Arguments),
    /// Install or list models
    ///
    /// Models choose the authored lines with which characters answer without a key and without a network. Nothing is ever
    /// downloaded but by `gaia model pull`.
    #[command(verbatim_doc_comment)]
    Model(verbs::model::Arguments),
    /// Make, list or revoke the keys of a game's own programs
    ///
    /// A key lets a website or a server of the game's talk to its characters for the players that it names, with any
    /// client of OpenAI's. Players themselves need none.
    #[command(verbatim_doc_comment)]
    Keys(verbs::keys::Arguments),
    /// Replace the secrets with which a game's own parts come to each other
    ///
    /// Gaia makes them and shows them to nobody: the logins of Postgres, Redis and NATS, the key that signs access tokens,
    /// the admin's token, in containers the key of the model.
    #[command(verbatim_doc_comment)]
    Secrets(verbs::secrets::Arguments),
    /// List a game's tools, call one, accept one that changed, or sign in to a server
    ///
    /// Starts the tool servers of a game's folder on this machine and shows each with its tools: what they do, whether they
    /// may be used, and what keeps their programs from this machine. A tool that presents itself differently than before is
    /// refused until it is accepted here, which is written to the folder's tools.lock and holds from the next `gaia up` on.
    ///
    ///   gaia tools games/my-game call weather_api.now '{"place": "Leeds"}'
    #[command(verbatim_doc_comment)]
    Tools(verbs::tools::Arguments),
    /// Run a tool server that comes with Gaia: weather, location or news
    ///
    /// Speaks MCP (2026-07-28 and 2025-11-25) on standard input and output, for a game's personas and for any other MCP
    /// client, or over HTTP with --listen. Logs go to standard error. A game uses one as `mcp_servers` in its config.yaml.
    #[command(verbatim_doc_comment)]
    Mcp(verbs::mcp::Arguments),
    /// Talk to a game's characters
    ///
    /// Comes in as a guest (the same one each time), goes on where you left off, and streams what the character says.
    /// Ctrl-C stops a reply, Ctrl-D or /quit leaves, /help shows the rest.
    ///
    /// In a pipe each line is one turn and each reply is one line; the exit code is 1 if a turn failed:
    ///
    ///   printf 'Hello!\nWhere is water?\n' | gaia play zombie-survival --persona survivor_guide
    #[command(verbatim_doc_comment)]
    Play(verbs::play::Arguments),
    /// Ask a service whether it is ready
    ///
    /// Exits 0 if the service says that it is ready, 1 if it does not, naming what is missing.
    #[command(verbatim_doc_comment)]
    Health(verbs::health::Arguments),
    /// Ask the admin API of the gateway in this container; `gaia up` does this by itself
    ///
    /// Prints the HTTP status and body as JSON. The tokens that the game's admin may have come in by standard input, so
    /// that no list of processes shows them.
    #[command(verbatim_doc_comment, hide = true)]
    Admin(verbs::admin::Arguments),
    /// Run one part of a cluster; `gaia up` does this by itself
    ///
    /// These are for supervisors, containers and whoever wants to see a part by itself. SIGTERM lets work in hand end.
    #[command(verbatim_doc_comment)]
    Serve(verbs::serve::Arguments),
}

/// Where Gaia keeps everything.
#[derive(Args, Debug)]
pub(crate) struct HomeFolderArgument {
    /// Where Gaia keeps everything on this machine [default: $GAIA_HOME, else see `gaia help`]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) home: Option<PathBuf>,
}

/// Where Gaia keeps everything, and where the game runs.
#[derive(Args, Debug)]
pub(crate) struct HomeArgument {
    #[command(flatten)]
    pub(crate) folder: HomeFolderArgument,
    /// Where the game runs: local, compose or kubernetes [default: where it runs, else $GAIA_TARGET, else local]
    #[arg(long, value_name = "TARGET")]
    pub(crate) target: Option<Target>,
    /// The context of the kubeconfig, on Kubernetes [default: where the game runs, else the current one]
    #[arg(long, value_name = "CONTEXT")]
    pub(crate) context: Option<String>,
}

/// What cores, memory and volumes cost.
#[derive(Args, Debug)]
pub(crate) struct PriceBookArgument {
    /// What cores, memory and volumes cost [default: $GAIA_PRICE_BOOK, else prices.yaml in home, else `gaia explain prices`]
    #[arg(long, value_name = "FILE")]
    pub(crate) price_book: Option<PathBuf>,
}

/// For programs.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct JsonArgument {
    /// Print one JSON document on standard output and nothing else there
    #[arg(long)]
    pub(crate) json: bool,
}
