//! What a game asks for: its folder -> Game (checked); no I/O beyond reading the folder.
//!
//! [`check_folder`] reads `config.yaml` and `personas/<name>.md` and tells everything that is wrong at once, each with
//! its place. One table per file describes every key; the check, the JSON Schemas and the commented samples come from
//! it.

mod built_in;
mod check;
mod config;
mod fault;
mod fields;
mod folder;
mod game;
mod persona;
mod price_book;
mod prices;
mod sample;
mod scalars;
mod schema;
mod size;
mod starter;
mod table;
mod walk;
mod yaml;

pub use check::check_folder;
pub use fault::{Fault, Faults, Severity};
pub use game::{
    Autoscaler, Checked, Entrance, Game, Images, KeyReference, OAuth, OffHours, Reference, Replicas, Resources, Route,
    Setting, Size, Sizing, Through, ToolSecretReference, ToolServer, Transport,
};
pub use price_book::{PriceBook, UnitPrices, explain_prices};
pub use sample::{explain_config, explain_persona};
pub use schema::{config_schema, persona_schema};
pub use starter::{new_game, starter_persona};
